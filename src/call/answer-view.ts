import type { Awaitable } from '../base/awaitable.js';
import { errorBody, type GatewayError, upstreamBadResponse } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import { parseDocument } from '../base/json-document.js';
import type { JsonBounds } from '../base/json-scan.js';
import { objectInTurns } from '../base/json-turns.js';
import { LARGE_BYTES } from '../base/turns.js';
import type { AnswerChunk, OutgoingCall } from '../upstreams/answer.js';
import type { RelayedStream } from '../upstreams/begin-stream.js';
import type { UsageRecord } from '../usage/usage-store.js';
import { DONE_EVENT, eventObjects, sseEvent } from '../wire/sse.js';

/** A part of an answer as it is written to the client. */
export type AnswerPiece = string | Uint8Array;

/** How the client sees an answer, where that is not the answer itself; made anew for each call. */
export interface AnswerView {
  /** Form in which the view takes chunks: as they go to the client, as they came, or parsed. */
  readonly takes: OutgoingCall['view']['takes'];
  /** The stream has begun: what is known of it grows as its chunks come. */
  begin?(stream: RelayedStream): void;
  /** Shows a whole answer. @param record `undefined`: the call goes on. */
  whole(body: AnswerChunk, record?: UsageRecord): Awaitable<AnswerPiece>;
  /** Shows a part of a stream; `undefined` when the client sees nothing of it. */
  piece(chunk: AnswerChunk): Awaitable<AnswerPiece | undefined>;
  /** Ends a good stream. @param comment for whoever debugs, to come first; often empty. */
  end(record: UsageRecord, comment: string): Awaitable<AnswerPiece>;
  /**
   * Ends a stream that failed; `undefined`: this format cannot say so, and the connection is cut.
   * @param debug what `X-Debug` shows.
   */
  error(error: GatewayError, debug: object | undefined): Awaitable<AnswerPiece | undefined>;
  /** The error in the words of what the client asked. @default as it is */
  inClientsWords?(error: GatewayError): GatewayError;
  /** The response before anybody works on it, where the gateway makes it in the background. */
  readonly queued?: JsonObject | undefined;
  /** Whether the client watches while such a response is made. */
  readonly isWatched?: boolean;
  /** Keeps the queued response. @throws {GatewayError} 503 when the client could not come back for it. */
  keepQueued?(): Awaitable<void>;
  /** Tells that there is no answer, and that nobody waits for it: the call was made in the background. */
  failed?(error: GatewayError): Awaitable<void>;
  /** As `BackgroundWork` has it. */
  eventsAfter?(sequenceNumber: number): AsyncIterable<string> | undefined;
  /** Nothing more comes, however the work ended. */
  over?(): void;
  /** Keeps nothing more of the call; resolves when nothing is being kept. */
  drop?(): Awaitable<void>;
}

/** Chat completions and their like as they are. */
export const AS_IT_IS: AnswerView = {
  takes: 'text',
  whole: asWritten,
  piece: asWritten,
  end: (_record, comment) => comment + DONE_EVENT,
  error(error, debug) {
    const body = errorBody(error);
    return sseEvent(debug === undefined ? body : { error: { ...body.error, debug } });
  },
};

/** A chunk as it goes to the client: text and bytes as they are. */
export function asWritten(chunk: AnswerChunk): AnswerPiece {
  if (typeof chunk === 'string' || chunk instanceof Uint8Array) return chunk;
  return isChunkList(chunk) ? chunk.map(sseEvent).join('') : JSON.stringify(chunk);
}

/** A whole answer, or an answer's one object. @throws {GatewayError} 502 for one beyond the bounds. */
export async function objectIn(chunk: AnswerChunk, bounds: JsonBounds): Promise<JsonObject> {
  if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return isChunkList(chunk) ? (chunk[0] ?? {}) : chunk;
  const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
  const object = bytes.byteLength > LARGE_BYTES ? await objectInTurns(bytes, bounds) : parsedObject(bytes, bounds);
  if (object === undefined) throw upstreamBadResponse('The upstream answered with more than can be read.');
  return object;
}

function parsedObject(bytes: Uint8Array, bounds: JsonBounds): JsonObject | undefined {
  const result = parseDocument(bytes, bounds, 'decoded');
  return result.kind === 'document' ? result.outline.body : undefined;
}

/** The chunks of a part of a stream. */
export function* chunksIn(chunk: AnswerChunk): Generator<JsonObject> {
  if (typeof chunk === 'string') yield* eventObjects(chunk);
  else if (chunk instanceof Uint8Array) yield* eventObjects(Buffer.from(chunk).toString('utf8'));
  else if (isChunkList(chunk)) yield* chunk;
  else yield chunk;
}

function isChunkList(chunk: JsonObject | readonly JsonObject[]): chunk is readonly JsonObject[] {
  return Array.isArray(chunk);
}
