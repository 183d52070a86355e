import type { Cancellation } from '../cancellation.js';
import { GatewayError, upstreamBadResponse, upstreamInterrupted } from '../errors.js';
import type { Json, JsonObject } from '../json.js';
import { ANSWER_BOUNDS, type JsonDocument, parseDocument, replaceMembers } from '../json-document.js';
import type { ChatRequest } from '../wire/chat-request.js';
import { type ChatStream, watchChatStream } from '../wire/chat-stream.js';
import { readUsage, type TokenUsage } from '../wire/usage.js';
import { abortable } from './abortable.js';
import { type DirectReply, directOf } from './direct.js';
import type { Upstream, UpstreamCall, UpstreamReply } from './upstream.js';
import { upstreamFailure } from './upstream-failure.js';

/** One chat completion on its way to an upstream. */
export interface ChatSend {
  readonly upstream: Upstream;
  readonly call: Omit<UpstreamCall, 'body' | 'signal'>;
  readonly cancellation: Cancellation;
  readonly document: JsonDocument;
  readonly chat: ChatRequest;
  /** The upstream's own id of the model. */
  readonly upstreamModel: string;
  /** Sent as `max_completion_tokens` when the client named no ceiling; `undefined` sends none. */
  readonly outputCeiling: number | undefined;
  readonly maxResponseBytes: number;
}

/** An answer that has begun well. */
export type BegunAnswer = WholeAnswer | StreamAnswer;

/** An answer that is there in full. */
export interface WholeAnswer {
  readonly kind: 'whole';
  readonly body: Uint8Array | string;
  readonly usage: TokenUsage | undefined;
  /** Size of what the model wrote, where the upstream said no usage. */
  readonly outputBytes: number;
}

/** A stream whose first event is there. */
export interface StreamAnswer {
  readonly kind: 'stream';
  readonly first: Uint8Array | string;
  readonly rest: AsyncIterator<Uint8Array | string>;
  readonly stream: ChatStream;
}

/** Longest event of a stream. */
const MAX_EVENT_BYTES = 4_194_304;

/** Reads a whole answer to its end and makes sure that it is one. */
export async function readWhole(send: ChatSend, reply: UpstreamReply | DirectReply): Promise<BegunAnswer> {
  if (reply.kind === 'chunks') throw upstreamBadResponse('The upstream streamed an answer that was to be whole.');
  const renames = send.upstreamModel !== send.chat.model;
  if (reply.kind === 'whole') {
    checkNoError(send, reply.body, { value: reply.body });
    const body = renames ? { ...reply.body, model: send.chat.model } : reply.body;
    return wholeAnswer(reply.body, JSON.stringify(body));
  }
  if (!/^application\/(?:[\w.+-]+\+)?json/i.test(reply.contentType)) {
    throw upstreamBadResponse('The upstream answered with something other than JSON.');
  }
  const bytes = reply.kind === 'read' ? reply.bytes : await collect(watched(reply.body, send), send);
  const result = parseDocument(bytes, ANSWER_BOUNDS);
  if (result.kind === 'refused') throw upstreamBadResponse('The upstream answered with JSON that cannot be read.');
  const { document } = result;
  checkNoError(send, document.outline, document);
  return wholeAnswer(document.outline, renames ? replaceMembers(document, { model: send.chat.model }) : document.bytes);
}

function wholeAnswer(value: JsonObject, body: Uint8Array | string): BegunAnswer {
  const usage = readUsage(value.usage);
  const outputBytes = usage === undefined && value.choices !== undefined ? JSON.stringify(value.choices).length : 0;
  return { kind: 'whole', body, usage, outputBytes };
}

async function collect(body: AsyncIterable<Uint8Array>, { maxResponseBytes }: ChatSend): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of body) {
    size += piece.byteLength;
    if (size > maxResponseBytes) throw upstreamBadResponse('The upstream answered with too much.');
    pieces.push(piece);
  }
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
}

/** Waits for the first event: until then an error is an ordinary one, with a status. */
export async function beginStream(
  send: ChatSend,
  reply: UpstreamReply | DirectReply,
  hideUsage: boolean,
): Promise<BegunAnswer> {
  if (reply.kind === 'whole' || reply.kind === 'read')
    throw upstreamBadResponse('The upstream answered whole where a stream was asked for.');
  if (reply.kind === 'bytes' && !/^text\/event-stream/i.test(reply.contentType)) {
    await refuseWholeAnswer(send, reply.body);
  }
  const stream = watchChatStream({
    hideUsage,
    showModel: send.upstreamModel === send.chat.model ? undefined : send.chat.model,
    n: send.chat.n,
    maxEventBytes: Math.min(MAX_EVENT_BYTES, send.maxResponseBytes),
  });
  const source: AsyncIterable<Uint8Array | JsonObject> = reply.kind === 'bytes' ? reply.body : reply.chunks;
  const rest = deliverable(watched(source, send), stream, send.maxResponseBytes);
  let first = await rest.next();
  // Comments keep a connection alive and say nothing: the answer has not begun.
  while (first.done !== true && !stream.begun) first = await rest.next();
  if (first.done !== true) return { kind: 'stream', first: first.value, rest, stream };
  if (stream.failure?.kind === 'reported') throw reportedError(send, stream.failure.error);
  throw upstreamBadResponse('The upstream ended the stream before it began.');
}

/** A 200 that is no stream: an error in disguise, if it is one. */
async function refuseWholeAnswer(send: ChatSend, body: AsyncIterable<Uint8Array>): Promise<never> {
  const result = parseDocument(await collect(watched(body, send), send), ANSWER_BOUNDS);
  if (result.kind === 'document') checkNoError(send, result.document.outline, result.document);
  throw upstreamBadResponse('The upstream answered with something other than an event stream.');
}

/** The source, which ends at once when the call is aborted, whether it knows how to or not. */
function watched<T>(source: AsyncIterable<T>, { upstream, cancellation }: ChatSend): AsyncIterable<T> {
  return directOf(upstream) === undefined ? abortable(source, cancellation) : source;
}

/**
 * What may go to the client, piece by piece; ends at `[DONE]`, at the end, or at a failure that `stream` tells. Not a
 * generator, which costs three promises more for each piece.
 */
function deliverable(
  source: AsyncIterable<Uint8Array | JsonObject>,
  stream: ChatStream,
  maxResponseBytes: number,
): AsyncIterator<Uint8Array | string, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  let size = 0;
  let ended = false;

  async function leave(): Promise<IteratorReturnResult<undefined>> {
    ended = true;
    await iterator.return?.();
    return { done: true, value: undefined };
  }

  return {
    async next() {
      while (!ended) {
        if (stream.done || stream.failure !== undefined) return leave();
        const step = await iterator.next();
        if (step.done === true) {
          ended = true;
          const last = stream.takeEnd();
          return last === undefined ? { done: true, value: undefined } : { done: false, value: last };
        }
        if (step.value instanceof Uint8Array) size += step.value.byteLength;
        if (size > maxResponseBytes) {
          await leave();
          throw upstreamBadResponse('The upstream answered with too much.');
        }
        const shown = stream.take(step.value);
        if (shown !== undefined) return { done: false, value: shown };
      }
      return { done: true, value: undefined };
    },
    return: leave,
  };
}

/** How a stream that did not end well is told to the client. */
export function streamError(send: ChatSend, stream: ChatStream): GatewayError | undefined {
  if (stream.failure?.kind === 'reported') return reportedError(send, stream.failure.error);
  if (stream.failure !== undefined) return upstreamBadResponse('The upstream sent what is not a chunk.');
  return stream.done || stream.finished ? undefined : upstreamInterrupted();
}

function checkNoError(send: ChatSend, answer: JsonObject, exact: { readonly value: JsonObject }): void {
  if (answer.error !== undefined && answer.error !== null) throw reportedError(send, exact.value.error ?? null);
  if (!Array.isArray(answer.choices)) throw upstreamBadResponse('The upstream answered with no choices.');
}

/** An error that came with a 200. Its own words, our status. */
function reportedError({ upstreamModel, chat }: ChatSend, error: Json): GatewayError {
  return renamedError(upstreamFailure({ status: 502, body: { error } }), upstreamModel, chat.model);
}

/** The upstream's own model id must not show in prose either. */
export function renamedError(error: GatewayError, upstreamModel: string, publicModel: string): GatewayError {
  if (upstreamModel === publicModel || !error.message.includes(upstreamModel)) return error;
  const { status, type, code, param, retryAfterMs, shouldRetry, headers, cause } = error;
  return new GatewayError({
    status,
    message: error.message.replaceAll(upstreamModel, publicModel),
    type,
    code,
    param,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(shouldRetry === undefined ? {} : { shouldRetry }),
    headers,
    cause,
  });
}
