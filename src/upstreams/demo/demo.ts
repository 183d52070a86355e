import { createHash } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises';
import { systemClock } from '../../clock.js';
import type { JsonObject } from '../../json.js';
import { contextLengthExceeded } from '../../request-errors.js';
import { type ChatAnswer, chatCompletion, chatHead, usageBody } from '../../wire/chat-answer.js';
import { chatChunks } from '../../wire/chat-chunks.js';
import { orAborted } from '../abortable.js';
import type { Upstream, UpstreamCall } from '../upstream.js';
import { composeAnswer } from './compose-answer.js';
import { countInput } from './count-input.js';
import { type DemoRequest, readRequest } from './read-request.js';
import { type Tokenizer, tokenizers } from './tokenizer.js';

export interface DemoOptions {
  /** Milliseconds before each chunk of a stream. @default 0 */
  readonly chunkDelayMs?: number;
}

/** Chunks after which other work gets its turn, a sign of abort among it. */
const CHUNKS_PER_TURN = 64;

/**
 * An upstream that needs no network and no key: it plays any well-known model, refuses what OpenAI refuses, streams,
 * calls every tool it is offered, and keeps to JSON schemas. The same body always gets the same answer, which says that
 * it is a demo. For a first try, for tests and for development without cost.
 */
export function demo(options: DemoOptions = {}): Upstream {
  const { chunkDelayMs = 0 } = options;
  const tokenizerOf = tokenizers();
  return {
    name: 'demo',
    async send(call) {
      call.signal.throwIfAborted();
      const request = readRequest(call.body);
      const tokenizer = await orAborted(tokenizerOf(request.model.encoding), call.signal);
      const answer = answerTo(request, call, tokenizer);
      if (!request.stream) return { kind: 'whole', body: chatCompletion(answer) };
      const chunks = chatChunks(answer, { includeUsage: request.includeUsage });
      return { kind: 'chunks', chunks: paced(chunks, call.signal, chunkDelayMs) };
    },
  };
}

function answerTo(request: DemoRequest, { body, requestId }: UpstreamCall, tokenizer: Tokenizer): ChatAnswer {
  const { model, modelId, messages, maxOutputTokens } = request;
  const inputTokens = countInput(body, messages, tokenizer);
  const room = model.contextLength - inputTokens;
  if (room < (maxOutputTokens ?? 1)) throw contextLengthExceeded(model.contextLength, inputTokens, maxOutputTokens);
  // Turns of one conversation have different ids even where a test gives all requests the same one.
  const seed = `${requestId}/${messages.length}`;
  const composed = composeAnswer(
    request,
    tokenizer,
    seed,
    maxOutputTokens ?? Math.min(room, model.maxOutputTokens ?? room),
  );
  return {
    head: {
      ...chatHead(seed, modelId, systemClock.wallMs()),
      serviceTier: 'default',
      systemFingerprint: `fp_demo${createHash('sha1').update(modelId).digest('hex').slice(0, 6)}`,
    },
    choices: composed.choices,
    usage: usageBody({ inputTokens, ...composed }),
  };
}

async function* paced(
  chunks: Iterable<JsonObject>,
  signal: AbortSignal,
  delayMs: number,
): AsyncGenerator<JsonObject, void, undefined> {
  let sent = 0;
  for (const chunk of chunks) {
    if (delayMs > 0) await wait(delayMs, undefined, { signal }).catch(() => {});
    else if (sent % CHUNKS_PER_TURN === CHUNKS_PER_TURN - 1) await nextTurn();
    signal.throwIfAborted();
    yield chunk;
    sent += 1;
  }
}
