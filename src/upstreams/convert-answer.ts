import { systemClock } from '../base/clock.js';
import { upstreamBadResponse, upstreamInterrupted } from '../base/errors.js';
import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import { nextOf, type StepSource } from '../base/steps.js';
import { turn } from '../base/turns.js';
import { chatCompletion, chatHead } from '../wire/chat/answer.js';
import { collectChunks, collectCompletion } from '../wire/chat/collect-chunks.js';
import { LEGACY_OBJECT, legacyChoice } from '../wire/chat/legacy-choices.js';
import { objectsAmong } from '../wire/members.js';
import type { ModelOperation } from '../wire/operations.js';
import { eventObjects } from '../wire/sse.js';
import type { ToldUsage } from '../wire/usage.js';
import { type OutgoingCall, reportedError } from './answer.js';
import { withUsage } from './upstream-failure.js';

/** Chunks that say the same as a whole answer, for a client that asked for a stream. */
export function chunksOfWhole(operation: ModelOperation, whole: JsonObject): readonly JsonObject[] {
  if (operation === 'responses') return [{ type: lastEventOf(whole), sequence_number: 0, response: whole }];
  const { choices, usage, ...head } = whole;
  const isChat = operation === 'chat.completions';
  const chunk = { ...head, object: isChat ? 'chat.completion.chunk' : LEGACY_OBJECT };
  const shown = objectsAmong(choices).map(isChat ? deltaChoice : legacyChoice);
  return [{ ...chunk, choices: shown }, ...(isJsonObject(usage) ? [{ ...chunk, choices: [], usage }] : [])];
}

function lastEventOf({ status }: JsonObject): string {
  return status === 'incomplete' || status === 'failed' ? `response.${status}` : 'response.completed';
}

function deltaChoice({ message, text, ...choice }: JsonObject): JsonObject {
  if (!isJsonObject(message)) return { ...choice, delta: typeof text === 'string' ? { content: text } : {} };
  const { tool_calls, ...delta } = message;
  if (!Array.isArray(tool_calls)) return { ...choice, delta: message };
  const calls = tool_calls.map((call, index): Json => (isJsonObject(call) ? { index, ...call } : call));
  return { ...choice, delta: { ...delta, tool_calls: calls } };
}

/** A stream collected to the whole answer that was asked for. */
export interface CollectedAnswer {
  readonly body: JsonObject;
  /** Usage that the stream told, believable or not; `undefined`: as the body says. */
  readonly usage: ToldUsage | undefined;
}

/** Bytes that a parsed event takes for each of its own. */
const PARSED_SHARE = 2;

/** One whole answer of a stream that nobody asked for. */
export async function wholeOfStream(
  call: OutgoingCall,
  source: StepSource<Uint8Array | JsonObject>,
): Promise<CollectedAnswer> {
  if (call.endpoint.operation === 'responses') return { body: await responseOfStream(source, call), usage: undefined };
  return completionOfStream(call, source);
}

/** Bytes of a stream after which others get their turn. */
const BYTES_PER_TURN = 262_144;

async function completionOfStream(
  call: OutgoingCall,
  source: StepSource<Uint8Array | JsonObject>,
): Promise<CollectedAnswer> {
  const { endpoint, asks, requestId, answerBounds } = call;
  // One text is made of it.
  const maxResponseBytes = Math.min(call.maxResponseBytes, answerBounds.maxBytes);
  const isLegacy = endpoint.operation === 'completions';
  if (endpoint.operation !== 'chat.completions' && !isLegacy) throw streamed();
  const stream = endpoint.watch({
    hideUsage: false,
    showModel: undefined,
    awaitsUsage: false,
    n: asks.n,
    takes: 'objects',
    maxEventBytes: maxResponseBytes,
    bounds: answerBounds,
  });
  const chunks: JsonObject[] = [];
  let sinceTurn = 0;
  for (let piece = await nextOf(source); piece !== undefined && !stream.done; piece = await nextOf(source)) {
    keep(stream.watchPiece(piece));
    if (piece instanceof Uint8Array) await call.holdInTime(PARSED_SHARE * piece.byteLength);
    if (stream.failure !== undefined) break;
    sinceTurn += piece instanceof Uint8Array ? piece.byteLength : 0;
    if (sinceTurn < BYTES_PER_TURN) continue;
    sinceTurn = 0;
    await turn();
  }
  keep(stream.watchEnd());
  if (stream.failure?.kind === 'reported') throw withUsage(reportedError(call, stream.failure.error), stream.usage);
  if (stream.failure !== undefined) throw upstreamBadResponse('The upstream sent what is not a chunk.');
  if (!stream.done && !stream.finished) throw upstreamInterrupted();
  const head = chatHead(requestId, asks.model, systemClock.wallMs());
  try {
    const body = isLegacy
      ? collectCompletion(chunks, head, maxResponseBytes)
      : chatCompletion(await collectChunks(chunks, head, maxResponseBytes));
    return { body, usage: stream.usage };
  } catch (error) {
    throw upstreamBadResponse('The upstream answered with too much.', error);
  }

  function keep(shown: unknown): void {
    if (Array.isArray(shown)) chunks.push(...shown.filter(isJsonObject));
  }
}

/** The response that the last event of a stream bears. */
async function responseOfStream(source: StepSource<Uint8Array | JsonObject>, call: OutgoingCall): Promise<JsonObject> {
  let last: JsonObject | undefined;
  for (let piece = await nextOf(source); piece !== undefined; piece = await nextOf(source)) {
    for (const event of piece instanceof Uint8Array ? eventsIn(piece) : [piece]) {
      if (event.type === 'error') throw reportedError(call, isJsonObject(event.error) ? event.error : event);
      if (isJsonObject(event.response) && isLast(event.type)) last = event.response;
    }
  }
  if (last === undefined) throw upstreamInterrupted();
  return last;
}

function eventsIn(bytes: Uint8Array): readonly JsonObject[] {
  try {
    return [...eventObjects(Buffer.from(bytes).toString('utf8'))];
  } catch (error) {
    throw upstreamBadResponse('The upstream sent what is not an event.', error);
  }
}

const isLast = (type: Json | undefined): boolean =>
  type === 'response.completed' || type === 'response.incomplete' || type === 'response.failed';

function streamed(): Error {
  return upstreamBadResponse('The upstream streamed an answer that was to be whole.');
}
