import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import {
  ANSWER_BOUNDS,
  type JsonDocument,
  memberValue,
  outlinedByteLength,
  parseDocument,
  replaceMembers,
} from '../../base/json-document.js';
import type { ChatStream, StreamFailure } from '../chat/stream.js';
import { estimateTokens } from '../estimate.js';
import { eventBuffer } from '../event-buffer.js';
import { BLANK_LINE, BYTE_ORDER_MARK, endOfEvent, eventData } from '../sse.js';
import { readResponsesUsage } from './usage.js';

/** How a stream of a response is to be watched that an upstream sends itself. */
export interface ResponsesStreamOptions {
  /** What to write in place of the upstream's model id; `undefined` leaves it as it is. */
  readonly showModel: string | undefined;
  /** Longest single event; a snapshot bears the whole answer. */
  readonly maxEventBytes: number;
}

/** The watched stream of a response. It is done when the response has ended. */
export interface ResponsesStream extends ChatStream {
  /** The latest number of an event that was shown: an event of our own goes on from there. -1: none yet. */
  readonly lastSequenceNumber: number;
  /** As soon as a snapshot was seen. */
  readonly responseId: string | undefined;
  /** The latest snapshot, as the client sees it. */
  readonly response: JsonObject | undefined;
}

/** Events with which a response has ended, well or not. */
const LAST_EVENTS = new Set(['response.completed', 'response.incomplete', 'response.failed', 'response.cancelled']);

/**
 * Watches a response's stream on its way to the client: whole events, as the bytes they came as. An upstream's `error`
 * event is not passed on, for it may tell what the client must not know; `response.failed` is a proper end.
 */
export function watchResponsesStream(options: ResponsesStreamOptions): ResponsesStream {
  const stream: { -readonly [Field in keyof ResponsesStream]: ResponsesStream[Field] } = {
    done: false,
    begun: false,
    finished: false,
    failure: undefined,
    usage: undefined,
    lastChunk: undefined,
    lastSequenceNumber: -1,
    responseId: undefined,
    response: undefined,
    take: (piece) => (piece instanceof Uint8Array ? takeBytes(piece) : takeObject(piece)),
    takeEnd: () => (buffer.heldBytes === 0 ? undefined : takeBytes(BLANK_LINE)),
    deliveredTokens: () => Math.max(textEvents, estimateTokens(textBytes)),
  };
  const buffer = eventBuffer();
  let textEvents = 0;
  let textBytes = 0;

  function takeBytes(piece: Uint8Array): Uint8Array | undefined {
    const complete = buffer.take(piece);
    if (buffer.heldBytes > options.maxEventBytes) fail({ kind: 'malformed' });
    return complete === undefined ? undefined : inspect(complete, buffer.text);
  }

  /** The events as they are to be shown: the bytes themselves where nothing is changed. */
  function inspect(bytes: Buffer, text: string): Uint8Array | undefined {
    let shown = '';
    for (let at = 0; at < text.length && stream.failure === undefined && !stream.done; ) {
      const end = endOfEvent(text, at);
      shown += inspectEvent(text.slice(at, end));
      at = end;
    }
    if (shown === text) return bytes;
    return shown === '' ? undefined : Buffer.from(shown, 'latin1');
  }

  /** The event as it is to be shown, in latin1; empty when it is not. */
  function inspectEvent(given: string): string {
    const event = given.startsWith(BYTE_ORDER_MARK) ? given.slice(BYTE_ORDER_MARK.length) : given;
    const data = eventData(event);
    // A comment may tell the upstream's name of the model, and breaks go-openai as in chat (wire.md §2.2).
    if (data === undefined) return '';
    if (data === '[DONE]') {
      stream.done = true;
      return '';
    }
    if (event.length > options.maxEventBytes) return fail({ kind: 'malformed' });
    const result = parseDocument(Buffer.from(data, 'latin1'), ANSWER_BOUNDS);
    if (result.kind === 'refused') return fail({ kind: 'malformed' });
    const { document, outline } = result;
    const { body } = outline;
    const reported = reportedError(body, document);
    if (reported !== undefined) return fail({ kind: 'reported', error: reported });
    const renamed = options.showModel === undefined ? undefined : withModel(document, body, options.showModel);
    const response = memberValue(renamed === undefined ? document : { ...document, ...renamed }, 'response');
    observe(body, isJsonObject(response) ? response : undefined);
    if (typeof body.delta === 'string') count(outlinedByteLength(outline, body.delta));
    if (renamed !== undefined) return framed(body.type, renamed.bytes.toString('latin1'));
    // Lines such as `id:` break some SDKs (wire.md §2.2).
    return /(?:^|[\r\n])(?:id|retry):/.test(event) ? framed(body.type, data) : event;
  }

  function takeObject(event: JsonObject): string | undefined {
    const reported = reportedError(event);
    if (reported !== undefined) {
      fail({ kind: 'reported', error: reported });
      return undefined;
    }
    const { response } = event;
    const isRenamed = options.showModel !== undefined && isJsonObject(response) && 'model' in response;
    const snapshot = isRenamed ? { ...response, model: options.showModel } : response;
    const shown = isRenamed ? { ...event, response: snapshot } : event;
    observe(event, isJsonObject(snapshot) ? snapshot : undefined);
    if (typeof event.delta === 'string') count(Buffer.byteLength(event.delta));
    stream.lastChunk = shown;
    return framed(event.type, JSON.stringify(shown));
  }

  /** Notes what an event says. */
  function observe({ type, sequence_number }: JsonObject, response: JsonObject | undefined): void {
    stream.begun = true;
    if (typeof sequence_number === 'number') stream.lastSequenceNumber = sequence_number;
    if (response !== undefined) {
      stream.response = response;
      if (typeof response.id === 'string') stream.responseId = response.id;
      stream.usage = readResponsesUsage(response.usage) ?? stream.usage;
    }
    if (typeof type !== 'string' || !LAST_EVENTS.has(type)) return;
    stream.finished = true;
    stream.done = true;
  }

  function count(bytes: number): void {
    if (bytes > 0) textEvents += 1;
    textBytes += bytes;
  }

  function fail(failure: StreamFailure): '' {
    stream.failure = failure;
    return '';
  }

  return stream;
}

/** The error that an event reports, in whichever of the two shapes. */
function reportedError(
  { type, error, sequence_number: _, ...flat }: JsonObject,
  document?: JsonDocument,
): Json | undefined {
  if (type !== 'error' && (error === undefined || error === null)) return undefined;
  const nested = document === undefined ? error : memberValue(document, 'error');
  if (nested !== undefined && nested !== null) return nested;
  const texts = document === undefined ? {} : { message: memberValue(document, 'message') ?? null };
  return { ...flat, ...texts };
}

/** The event with its snapshot's model replaced, all other bytes as they were; `undefined` when it names none. */
function withModel(document: JsonDocument, { response }: JsonObject, model: string): JsonDocument | undefined {
  const span = document.members.get('response');
  if (span === undefined || !isJsonObject(response) || response.model === undefined) return undefined;
  const snapshot = parseDocument(document.bytes.subarray(span.start, span.end), ANSWER_BOUNDS);
  if (snapshot.kind === 'refused') return undefined;
  const replaced = replaceMembers(snapshot.document, { model });
  const bytes = Buffer.concat([document.bytes.subarray(0, span.start), replaced, document.bytes.subarray(span.end)]);
  const members = new Map([['response', { start: span.start, end: span.start + replaced.length }]]);
  return { bytes, members };
}

/** One event, in the encoding of its data. */
function framed(type: Json | undefined, data: string): string {
  return typeof type === 'string' && /^[\w.]+$/.test(type) ? `event: ${type}\ndata: ${data}\n\n` : `data: ${data}\n\n`;
}
