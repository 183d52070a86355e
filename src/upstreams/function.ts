import { abortable, orAborted } from '../base/cancellation.js';
import { unexpected } from '../base/checks.js';
import { systemClock } from '../base/clock.js';
import { isJsonObject, type JsonObject } from '../base/json.js';
import { type ChatHead, chatCompletion, chatHead } from '../wire/chat/answer.js';
import { asksForUsage, chatChunks } from '../wire/chat/chunks.js';
import { collectChunks } from '../wire/chat/collect-chunks.js';
import { DeltaCompleter } from '../wire/chat/complete-deltas.js';
import { isFullCompletion, readAnswer } from '../wire/chat/read-answer.js';
import { readPiece, shownValue } from './function-pieces.js';
import { type AbortPolicy, abortPolicy, type Upstream, type UpstreamReply } from './upstream.js';

/** What a function is told beside the body of the call. */
export interface FunctionContext {
  /** Aborts when the client goes away or time is up. Pass it on to whatever the function waits for. */
  readonly signal: AbortSignal;
  readonly requestId: string;
  /** Who is calling. */
  readonly keyId: string;
}

/**
 * What a function may answer, whether the client asked for a stream or not: a text; a whole chat completion; an
 * assistant message such as `{ content, tool_calls, finish_reason, usage }`; or the pieces of an answer as they come,
 * each a text, a chunk of OpenAI's shape, or a delta such as `{ content }`, `{ tool_calls }` or `{ usage }`.
 */
export type FunctionAnswer = string | object | AsyncIterable<string | object> | Iterable<string | object>;

/** Longest answer gathered from pieces when the client wants it whole. */
const MAX_ANSWER_CHARS = 16_777_216;

/**
 * An upstream out of a function of your own. Ids, roles, finish reasons and the shape of chunks are filled in. Tokens
 * the function does not name stay unknown, and the gateway estimates them.
 *
 * An error before the first piece, or anywhere in an answer that is to be whole, is an ordinary error answer: a
 * `GatewayError` as it is, anything else a 502. Later it ends the stream. Yielding an error is throwing it.
 * When the call is aborted, the `return()` of a generator is called, and nobody waits for it any longer.
 * @param options.name For logs and usage records. @default 'function'
 * @param options.onAbort What becomes of a call whose client leaves: see `Upstream`. @default 'cancel'
 */
export function fromFunction(
  fn: (body: JsonObject, context: FunctionContext) => FunctionAnswer | Promise<FunctionAnswer>,
  options: { readonly name?: string; readonly onAbort?: AbortPolicy } = {},
): Upstream {
  if (typeof fn !== 'function') throw unexpected('fn', 'to be a function', fn);
  return {
    name: options.name ?? 'function',
    ...abortPolicy(options.onAbort),
    async send(call) {
      const { signal, requestId, keyId } = call;
      signal.throwIfAborted();
      const body = call.body();
      // In a promise of its own, so that what a plain function throws is a rejection like any other.
      const running = (async () => fn(body, { signal, requestId, keyId }))();
      const answer = await orAborted(running, signal);
      const model = typeof body.model === 'string' ? body.model : '';
      const head = chatHead(requestId, model, systemClock.wallMs());
      const pieces = typeof answer === 'string' ? undefined : iterableOf(answer);
      return pieces === undefined ? replyOf(answer, body, head) : replyInPieces(pieces, body, { head, signal });
    },
  };
}

function replyOf(answer: unknown, body: JsonObject, head: ChatHead): UpstreamReply {
  if (answer instanceof Error) throw answer;
  const given = typeof answer === 'string' ? { content: answer } : answer;
  if (!isJsonObject(given)) {
    throw new TypeError(
      `Expected the function to return a string, an object or an iterable, got ${shownValue(answer)}`,
    );
  }
  if (body.stream === true) {
    const chunks = isJsonObject(given.error)
      ? [given]
      : chatChunks(readAnswer(given, head), { includeUsage: asksForUsage(body) });
    return { kind: 'chunks', chunks: asynchronous(chunks) };
  }
  const { id, created, model } = head;
  if (isJsonObject(given.error)) return { kind: 'whole', body: given };
  const completed = isFullCompletion(given)
    ? { id, object: 'chat.completion', created, model, ...given }
    : chatCompletion(readAnswer(given, head));
  return { kind: 'whole', body: completed };
}

/** Waits for the first chunk, so that a function that fails at once fails before the answer has begun. */
async function replyInPieces(
  pieces: AsyncIterable<unknown>,
  body: JsonObject,
  { head, signal }: { readonly head: ChatHead; readonly signal: AbortSignal },
): Promise<UpstreamReply> {
  const streams = body.stream === true;
  const chunks = chunksOf(abortable(pieces, signal), head, streams ? asksForUsage(body) : true);
  if (!streams) return { kind: 'whole', body: await wholeOf(chunks, head) };
  const first = await chunks.next();
  return { kind: 'chunks', chunks: resumed(first, chunks) };
}

/** The chunks as one answer, or the error that one of them is, which is for the gateway to tell. */
async function wholeOf(chunks: AsyncIterable<JsonObject>, head: ChatHead): Promise<JsonObject> {
  let reported: JsonObject | undefined;
  async function* untilError(): AsyncGenerator<JsonObject, void, undefined> {
    for await (const chunk of chunks) {
      if (isJsonObject(chunk.error)) {
        reported = chunk;
        return;
      }
      yield chunk;
    }
  }
  const answer = await collectChunks(untilError(), head, MAX_ANSWER_CHARS);
  return reported ?? chatCompletion(answer);
}

async function* chunksOf(
  pieces: AsyncIterable<unknown>,
  head: ChatHead,
  includeUsage: boolean,
): AsyncGenerator<JsonObject, void, undefined> {
  const completer = new DeltaCompleter(head, { includeUsage });
  for await (const piece of pieces) yield* completer.completePiece(readPiece(piece));
  yield* completer.completeEnd();
}

/** Not a generator: one that was never started would not pass its `return` on. */
function resumed<T>(first: IteratorResult<T, void>, rest: AsyncGenerator<T, void, undefined>): AsyncIterable<T> {
  let held: IteratorResult<T, void> | undefined = first;
  return {
    [Symbol.asyncIterator]: () => ({
      next() {
        const step = held;
        held = undefined;
        return step === undefined ? rest.next() : Promise.resolve(step);
      },
      return: () => rest.return(undefined),
    }),
  };
}

function iterableOf(answer: unknown): AsyncIterable<unknown> | undefined {
  if (isAsyncIterable(answer)) return answer;
  return isIterable(answer) ? asynchronous(answer) : undefined;
}

async function* asynchronous<T>(source: Iterable<T>): AsyncGenerator<T, void, undefined> {
  yield* source;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value;
}
