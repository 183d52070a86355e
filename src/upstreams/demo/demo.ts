import { setTimeout as wait } from 'node:timers/promises';
import type { JsonObject } from '../../base/json.js';
import type { ModelOperation } from '../../wire/operations.js';
import type { Upstream, UpstreamCall, UpstreamReply } from '../upstream.js';
import { composeChat } from './compose-chat.js';
import { composeCompletion } from './compose-completion.js';
import { composeEmbeddings } from './compose-embeddings.js';
import { composeModeration } from './compose-moderation.js';
import { tokenDecoder } from './decode-tokens.js';
import type { DemoContext, DemoReply } from './demo-context.js';
import { demoForward } from './forward/demo-forward.js';
import { tokenizers } from './tokenizer.js';
import { nextTurn } from './turns.js';

export interface DemoOptions {
  /** Milliseconds before each chunk of a stream. @default 0 */
  readonly chunkDelayMs?: number;
}

/** Chunks after which other work gets its turn, a sign of abort among it. */
const CHUNKS_PER_TURN = 64;

/** Who answers what. Responses are translated to chat completions before they get here. */
const COMPOSERS: ReadonlyMap<ModelOperation, (body: JsonObject, context: DemoContext) => Promise<DemoReply>> = new Map([
  ['chat.completions', composeChat],
  ['completions', composeCompletion],
  ['embeddings', composeEmbeddings],
  ['moderations', composeModeration],
]);

/**
 * An upstream that needs no network and no key: it plays any well-known model, refuses what OpenAI refuses, streams,
 * calls every tool it is offered, and keeps to JSON schemas; it embeds, moderates, paints, speaks and listens, and keeps
 * files in memory. The same body always gets the same answer, which says that it is a demo. For a first try, for tests and
 * for development without cost.
 */
export function demo(options: DemoOptions = {}): Upstream {
  const { chunkDelayMs = 0 } = options;
  const tokenizerOf = tokenizers();

  async function send({ operation, body, requestId, signal }: UpstreamCall): Promise<UpstreamReply> {
    signal.throwIfAborted();
    const compose = COMPOSERS.get(operation) ?? composeChat;
    const reply = await compose(body(), { requestId, signal, tokenizerOf, decoder: tokenDecoder });
    return reply.kind === 'whole' ? reply : { kind: 'chunks', chunks: paced(reply.chunks, signal, chunkDelayMs) };
  }
  return { name: 'demo', operations: [...COMPOSERS.keys()], send, forward: demoForward(send) };
}

async function* paced(
  chunks: Iterable<JsonObject>,
  signal: AbortSignal,
  delayMs: number,
): AsyncGenerator<JsonObject, void, undefined> {
  let sent = 0;
  for (const chunk of chunks) {
    if (delayMs > 0) await wait(delayMs, undefined, { signal }).catch(() => {});
    else if (sent % CHUNKS_PER_TURN === CHUNKS_PER_TURN - 1) await nextTurn(signal);
    signal.throwIfAborted();
    yield chunk;
    sent += 1;
  }
}
