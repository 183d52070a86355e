import { type Clock, holdProcess, systemClock } from '../../base/clock.js';
import { GatewayError } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import type { ModelOperation } from '../../wire/operations.js';
import { chatBodyOf } from '../../wire/responses/chat-body.js';
import { completedResponse, responseHead } from '../../wire/responses/object.js';
import { inNamesOfResponses } from '../../wire/responses/renamed-error.js';
import { readResponsesRequest } from '../../wire/responses/request.js';
import type { Upstream } from '../upstream.js';
import { audioEndpoints } from './audio.js';
import { type BatchedCall, batchEndpoints } from './batches.js';
import { composeChat } from './chat.js';
import { composeCompletion } from './completions.js';
import { type DemoContext, type DemoOptions, type DemoReply, nextTurn, pause } from './context.js';
import { composeEmbeddings } from './embeddings.js';
import { fileEndpoints } from './files.js';
import { imageEndpoints } from './images.js';
import { isDemoModel } from './models.js';
import { composeModeration } from './moderations.js';
import { answerAt } from './replies.js';
import { type DemoBounds, demoStore } from './store.js';
import { tokenCounters } from './tokenizer.js';
import { vectorStoreEndpoints } from './vector-stores.js';

type Compose = (body: JsonObject, context: DemoContext) => Promise<DemoReply>;

/** Work in the background takes about as long, so that it can be watched and cancelled. */
const BACKGROUND_MS = 1_000;
/** Chunks after which other work gets its turn, a sign of abort among it. */
const CHUNKS_PER_TURN = 64;

/** Answers by operation. Responses are translated to chat completions before they get here, save those of batches. */
const COMPOSERS: Readonly<Record<ModelOperation, Compose>> = {
  'chat.completions': composeChat,
  completions: composeCompletion,
  embeddings: composeEmbeddings,
  moderations: composeModeration,
  responses: composeResponse,
};

/**
 * OpenAI's API, played from memory without network and key. All keys share one account: the gateway knows what belongs to
 * whom. The same requests in the same order get the same answers, times aside.
 * @param bounds of what is stored.
 */
export function offlineOpenAI(
  { chunkDelayMs = 0, clock = systemClock }: DemoOptions,
  bounds: Partial<DemoBounds> = {},
): Required<Pick<Upstream, 'send' | 'forward' | 'hasModel'>> {
  const tools = { clock, counterOf: tokenCounters() };
  const store = demoStore(clock, bounds);
  const batchTools = {
    store,
    async answer(operation: ModelOperation, body: JsonObject, call: BatchedCall) {
      const reply = await COMPOSERS[operation](body, { ...call, ...tools });
      return reply.kind === 'whole' ? reply.body : {};
    },
  };
  return {
    hasModel: isDemoModel,
    async send({ operation, body, requestId, signal, isBackground }) {
      signal.throwIfAborted();
      const asked = body();
      const pauseMs = isBackground === true ? BACKGROUND_MS : 0;
      if (pauseMs > 0 && asked.stream !== true) await pause(clock, pauseMs, signal);
      const reply = await COMPOSERS[operation](asked, { requestId, signal, ...tools });
      if (reply.kind === 'whole') return reply;
      return { kind: 'chunks', chunks: paced(reply.chunks, signal, { clock, chunkDelayMs, pauseMs }) };
    },
    forward: answerAt({
      ...fileEndpoints(store),
      ...batchEndpoints(batchTools),
      ...vectorStoreEndpoints(store),
      ...imageEndpoints(store),
      ...audioEndpoints(store),
    }),
  };
}

async function composeResponse(body: JsonObject, context: DemoContext): Promise<DemoReply> {
  const request = readResponsesRequest(body);
  const head = responseHead(context.requestId, request, context.clock.wallMs());
  const reply = await composeChat(chatBodyOf(request, { priorItems: [] }), context).catch((error: unknown) => {
    throw error instanceof GatewayError ? inNamesOfResponses(error) : error;
  });
  if (reply.kind !== 'whole') return reply;
  return { kind: 'whole', body: completedResponse(head, reply.body, context.clock.wallMs()) };
}

async function* paced(
  chunks: Iterable<JsonObject>,
  signal: AbortSignal,
  { clock, chunkDelayMs, pauseMs }: { readonly clock: Clock; readonly chunkDelayMs: number; readonly pauseMs: number },
): AsyncGenerator<JsonObject, void, undefined> {
  let sent = 0;
  for (const chunk of chunks) {
    // Once the answer has begun, so that it can be seen to be under way.
    if (sent === 1 && pauseMs > 0) await pause(clock, pauseMs, signal);
    if (chunkDelayMs > 0) await pause(clock, chunkDelayMs, signal).finally(holdProcess());
    else if (sent % CHUNKS_PER_TURN === CHUNKS_PER_TURN - 1) await nextTurn(signal);
    signal.throwIfAborted();
    yield chunk;
    sent += 1;
  }
}
