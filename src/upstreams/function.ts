import { abortable, orAborted } from '../base/cancellation.js';
import { refuseOthers, unexpected } from '../base/checks.js';
import { systemClock } from '../base/clock.js';
import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import { type ChatHead, chatCompletion, chatHead } from '../wire/chat/answer.js';
import { asksForUsage, chatChunks } from '../wire/chat/chunks.js';
import { collectChunks } from '../wire/chat/collect-chunks.js';
import { DeltaCompleter } from '../wire/chat/complete-deltas.js';
import { isFullCompletion, readAnswer } from '../wire/chat/read-answer.js';
import { type AbortPolicy, abortPolicy, type Upstream, type UpstreamReply } from './upstream.js';

/** Facts of a call that a function is told beside its body. */
export interface FunctionContext {
  /** Aborts when the client goes away or time is up. Pass it on to whatever the function waits for. */
  readonly signal: AbortSignal;
  readonly requestId: string;
  /** Id of the calling key. */
  readonly keyId: string;
}

/**
 * Answers that a function may give, whether the client asked for a stream or not: a text; a whole chat completion; an
 * assistant message such as `{ content, tool_calls, finish_reason, usage }`; or the pieces of an answer as they come,
 * each a text, a chunk of OpenAI's shape, or a delta such as `{ content }`, `{ tool_calls }` or `{ usage }`.
 */
export type FunctionAnswer = string | object | AsyncIterable<string | object> | Iterable<string | object>;

/** Longest answer gathered from pieces when the client wants it whole. */
const MAX_ANSWER_CHARS = 16_777_216;

/**
 * Makes an upstream of a function of your own. Ids, roles, finish reasons and the shape of chunks are filled in. Tokens
 * the function does not name stay unknown, and the gateway estimates them.
 *
 * An error before the first piece, or anywhere in an answer that is to be whole, is an ordinary error answer: a
 * `GatewayError` as it is, anything else a 502. Later it ends the stream. Yielding an error is throwing it.
 * When the call is aborted, the `return()` of a generator is called, and nobody waits for it any longer.
 * @param options.name For logs and usage records. @default 'function'
 * @param options.onAbort Treatment of a call whose client leaves: see `Upstream`. @default 'cancel'
 */
export function fromFunction(
  fn: (body: JsonObject, context: FunctionContext) => FunctionAnswer | Promise<FunctionAnswer>,
  options: { readonly name?: string | undefined; readonly onAbort?: AbortPolicy | undefined } = {},
): Upstream {
  if (typeof fn !== 'function') throw unexpected('fn', 'to be a function', fn);
  refuseOthers('options', options, { name: true, onAbort: true });
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
      const pieces = typeof answer === 'string' ? undefined : piecesIn(answer);
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

/** Gathers the chunks into one answer. A chunk that is an error becomes the answer, for the gateway to tell. */
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

/** Puts a step that was read back in front. No generator: one that was never started would not pass its `return` on. */
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

function piecesIn(answer: unknown): AsyncIterable<unknown> | undefined {
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

/** Members of a delta that must be text where they are present: a value of another type would vanish without a word. */
const TEXTS = ['content', 'refusal'];

/**
 * Checks that a yielded value is a piece of an answer.
 * @throws {TypeError} that names the value; a yielded error as it is, as if it had been thrown.
 */
function readPiece(piece: unknown): string | JsonObject {
  if (typeof piece === 'string') return piece;
  if (piece instanceof Error) throw piece;
  if (!isJsonObject(piece)) {
    throw new TypeError(`Expected the function to yield strings or objects, got ${shownValue(piece)}`);
  }
  checkTexts(piece);
  for (const choice of Array.isArray(piece.choices) ? piece.choices : []) {
    if (isJsonObject(choice) && isJsonObject(choice.delta)) checkTexts(choice.delta);
  }
  return piece;
}

/** A value as an error message shows it: itself where it is short, and its type. */
function shownValue(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `${String(value)} (${typeof value})`;
}

function checkTexts(delta: JsonObject): void {
  for (const name of TEXTS) {
    const value: Json = delta[name] ?? null;
    if (value === null || typeof value === 'string') continue;
    throw new TypeError(
      `Expected the function to yield deltas whose \`${name}\` is a string, got ${shownValue(value)}`,
    );
  }
}
