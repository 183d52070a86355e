import { isJsonObject, type Json, type JsonObject, objectOf } from '../../base/json.js';
import {
  ANSWER_BOUNDS,
  type JsonDocument,
  memberValue,
  outlinedByteLength,
  parseDocument,
  replaceMembers,
  scanDocument,
} from '../../base/json-document.js';
import { Members } from '../../base/json-scan.js';
import { LARGE_BYTES } from '../../base/turns.js';
import { estimateTokens } from '../estimate.js';
import { EventBuffer } from '../event-buffer.js';
import { calledTool, readToolCalls } from '../hosted-tools.js';
import { answerTextBytes, saidIn } from '../said-text.js';
import { withoutCost } from '../shown-usage.js';
import {
  BLANK_LINE,
  BYTE_ORDER_MARK,
  endOfEvent,
  errorField,
  eventData,
  eventKind,
  isDone,
  isEmptyData,
} from '../sse.js';
import { isToldError } from '../told-error.js';
import { readResponsesUsage, readServiceTier, type ToldUsage } from '../usage.js';
import type { StreamFailure, WatchedStream, WatchOptions } from '../watched-stream.js';

/** The settings that matter for a response. Its longest events are snapshots, which bear the whole answer. */
export type PassedStreamOptions = Pick<WatchOptions, 'showModel' | 'showError' | 'maxEventBytes' | 'bounds'>;

/** Events with which a response has ended, well or not. */
const LAST_EVENTS = new Set(['response.completed', 'response.incomplete', 'response.failed', 'response.cancelled']);

/**
 * A watched stream of a response that the upstream makes itself. It is done when the response has ended. An upstream's
 * `error` event is not passed on, for it may tell what the client must not know; `response.failed` is a proper end.
 */
export class PassedStream implements WatchedStream {
  done = false;
  begun = false;
  finished = false;
  failure: StreamFailure | undefined = undefined;
  serviceTier: string | undefined = undefined;
  lastChunk: JsonObject | undefined = undefined;
  /** The latest number of a shown event: an event of our own goes on from there. -1: there was none yet. */
  lastSequenceNumber = -1;
  /** Set as soon as a snapshot was seen. */
  responseId: string | undefined = undefined;
  /** The latest snapshot, as the client sees it. */
  response: JsonObject | undefined = undefined;
  private readonly options: PassedStreamOptions;
  private readonly buffer = new EventBuffer();
  private told: ToldUsage | undefined = undefined;
  /** Whether the last event told the usage: before it a number, of the input alone or growing, is no last word. */
  private isToldLast = false;
  private textEvents = 0;
  private textBytes = 0;
  /** Calls of hosted tools as a snapshot counts them, and as their items came. */
  private toldCalls: Readonly<Record<string, number>> | undefined = undefined;
  private seenCalls: Record<string, number> | undefined = undefined;

  constructor(options: PassedStreamOptions) {
    this.options = options;
  }

  watchPiece(piece: Uint8Array | JsonObject): string | Uint8Array | undefined {
    return piece instanceof Uint8Array ? this.watchBytes(piece) : this.watchEvent(piece);
  }

  watchEnd(): Uint8Array | undefined {
    return this.buffer.heldBytes === 0 ? undefined : this.watchBytes(BLANK_LINE);
  }

  get usage(): ToldUsage | undefined {
    const { told } = this;
    if (told === undefined || this.isToldLast) return told;
    return { ...told, outputTokens: Math.max(told.outputTokens, this.deliveredTokens()), isDoubtful: true };
  }

  /** Calls that were seen are paid for, also where the stream broke off before its last word. */
  get toolCalls(): Readonly<Record<string, number>> | undefined {
    return this.done ? (this.toldCalls ?? this.seenCalls) : (this.seenCalls ?? this.toldCalls);
  }

  get keptBytes(): number {
    return this.buffer.heldBytes;
  }

  deliveredTokens(): number {
    return Math.max(this.textEvents, estimateTokens(this.textBytes));
  }

  private watchBytes(piece: Uint8Array): Uint8Array | undefined {
    const complete = this.buffer.addBytes(piece);
    const shown = complete === undefined ? undefined : this.shownBytes(complete, complete.toString('latin1'));
    // The events before one that is too long were whole.
    if (this.failure === undefined && this.buffer.heldBytes > this.options.maxEventBytes)
      this.fail({ kind: 'malformed' });
    return shown;
  }

  /** The events as they are shown: the bytes themselves where nothing changes. */
  private shownBytes(bytes: Buffer, text: string): Uint8Array | undefined {
    let shown = '';
    for (let at = 0; at < text.length && this.failure === undefined && !this.done; ) {
      const end = endOfEvent(text, at);
      shown += this.inspectEvent(text.slice(at, end));
      at = end;
    }
    if (shown === text) return bytes;
    return shown === '' ? undefined : Buffer.from(shown, 'latin1');
  }

  /** Reads an event. Returns it as it is shown, in latin1; an empty text when it is hidden. */
  private inspectEvent(given: string): string {
    const event = given.startsWith(BYTE_ORDER_MARK) ? given.slice(BYTE_ORDER_MARK.length) : given;
    const kind = eventKind(event);
    const data = kind === 'nothing' ? undefined : eventData(event);
    // A comment may tell the upstream's name of the model, and breaks go-openai as in chat.
    if (data === undefined) {
      const told = errorField(event);
      return told === undefined ? '' : this.fail({ kind: 'reported', error: toldError(told) });
    }
    // Without a last event the answer is not whole, whatever else says that it is over.
    if (isDone(data)) return this.fail({ kind: 'malformed' });
    if (isEmptyData(data)) return '';
    if (kind === 'error' && !data.trimStart().startsWith('{')) {
      return this.fail({ kind: 'reported', error: toldError(data) });
    }
    if (event.length > this.options.maxEventBytes) return this.fail({ kind: 'malformed' });
    // A long one is a snapshot, which is parsed once.
    const isLong = data.length > LARGE_BYTES;
    const bounds = this.options.bounds ?? ANSWER_BOUNDS;
    const result = parseDocument(Buffer.from(data, 'latin1'), bounds, isLong ? 'decoded' : 'as-bytes');
    if (result.kind === 'refused') return this.fail({ kind: 'malformed' });
    const { document, outline } = result;
    const { body } = outline;
    const reported = reportedError(kind === 'error' ? { ...body, type: 'error' } : body, document);
    if (reported !== undefined) return this.fail({ kind: 'reported', error: reported });
    // Clients look for its type in whatever comes.
    if (typeof body.type !== 'string') return '';
    const renamed = shownSnapshot(document, body, this.options);
    const response =
      isLong && renamed === undefined
        ? body.response
        : memberValue(renamed === undefined ? document : { ...document, ...renamed }, 'response');
    this.noteEvent(body, isJsonObject(response) ? response : undefined);
    if (body.delta !== undefined) this.countText(saidIn(body.delta, (text) => outlinedByteLength(outline, text)).size);
    if (renamed !== undefined) return eventText(body.type, renamed.bytes.toString('latin1'));
    // After an `id:` or `retry:` line openai-python fails at the next blank line.
    return /(?:^|[\r\n])(?:id|retry):/.test(event) ? eventText(body.type, data) : event;
  }

  private watchEvent(event: JsonObject): string | undefined {
    const reported = reportedError(event);
    if (reported !== undefined) {
      this.fail({ kind: 'reported', error: reported });
      return undefined;
    }
    if (typeof event.type !== 'string') return undefined;
    const { response } = event;
    const changes = isJsonObject(response) ? changesOf(response, this.options) : undefined;
    const snapshot = changes !== undefined && isJsonObject(response) ? { ...response, ...changes } : response;
    const shown = changes === undefined ? event : { ...event, response: snapshot };
    this.noteEvent(event, isJsonObject(snapshot) ? snapshot : undefined);
    if (event.delta !== undefined) this.countText(saidIn(event.delta, Buffer.byteLength).size);
    this.lastChunk = shown;
    return eventText(event.type, JSON.stringify(shown));
  }

  /** Notes what an event says. @param response the snapshot that it bears, if any. */
  private noteEvent({ type, sequence_number, item }: JsonObject, response: JsonObject | undefined): void {
    this.begun = true;
    if (typeof sequence_number === 'number') this.lastSequenceNumber = sequence_number;
    const isLast = typeof type === 'string' && LAST_EVENTS.has(type);
    if (response !== undefined) {
      this.response = response;
      if (typeof response.id === 'string') this.responseId = response.id;
      const told = readResponsesUsage(response.usage);
      this.told = told ?? this.told;
      this.isToldLast = isLast && told !== undefined;
      this.serviceTier = readServiceTier(response) ?? this.serviceTier;
      this.toldCalls = readToolCalls(response) ?? this.toldCalls;
    }
    if (type === 'response.output_item.added') this.countCall(item);
    if (!isLast) return;
    // Some servers tell texts whole, at the end.
    if (!this.isToldLast) this.textBytes = Math.max(this.textBytes, answerTextBytes(response?.output));
    this.finished = true;
    this.done = true;
  }

  private countCall(item: Json | undefined): void {
    const tool = calledTool(item);
    if (tool === undefined) return;
    this.seenCalls ??= {};
    this.seenCalls[tool] = (this.seenCalls[tool] ?? 0) + 1;
  }

  private countText(bytes: number): void {
    if (bytes > 0) this.textEvents += 1;
    this.textBytes += bytes;
  }

  private fail(failure: StreamFailure): '' {
    this.failure = failure;
    return '';
  }
}

/** An error in words, in latin1. */
function toldError(words: string): JsonObject {
  return { message: Buffer.from(words, 'latin1').toString() };
}

/** The error that an event reports, in either of the two shapes: nested, or beside the event's type. */
function reportedError(
  { type, error, sequence_number: _, ...flat }: JsonObject,
  document?: JsonDocument,
): Json | undefined {
  const isTold = typeof type === 'string' ? type === 'error' : isToldError(flat);
  if (!isTold && (error === undefined || error === null)) return undefined;
  const nested = document === undefined ? error : memberValue(document, 'error');
  if (nested !== undefined && nested !== null) return nested;
  if (document !== undefined && type !== 'error') return objectOf(document.bytes);
  const texts = document === undefined ? {} : { message: memberValue(document, 'message') ?? null };
  return { ...flat, ...texts };
}

/** Members of a snapshot that are shown otherwise than the upstream has them; `undefined`: none. */
function changesOf(
  { model, error, usage }: JsonObject,
  { showModel, showError }: PassedStreamOptions,
  whole: () => Json | undefined = () => error,
): JsonObject | undefined {
  const isRenamed = showModel !== undefined && model !== undefined;
  const told = showError !== undefined && isJsonObject(error) ? whole() : undefined;
  const shownUsage = withoutCost(usage);
  if (!isRenamed && !isJsonObject(told) && shownUsage === undefined) return undefined;
  return {
    ...(isRenamed ? { model: showModel } : {}),
    ...(shownUsage === undefined ? {} : { usage: shownUsage }),
    ...(isJsonObject(told) && showError !== undefined ? { error: showError(told) } : {}),
  };
}

/** The event with its snapshot as the client sees it, and all other bytes untouched; `undefined` when that is as it came. */
function shownSnapshot(
  document: JsonDocument,
  { response }: JsonObject,
  options: PassedStreamOptions,
): JsonDocument | undefined {
  const span = document.members.get('response');
  const isSame = !isJsonObject(response) || changesOf(response, options) === undefined;
  if (span === undefined || isSame) return undefined;
  const snapshot = scanDocument(document.bytes.subarray(span.start, span.end), ANSWER_BOUNDS);
  if ('kind' in snapshot) return undefined;
  const changes = changesOf(response, options, () => memberValue(snapshot, 'error')) ?? {};
  const replaced = replaceMembers(snapshot, changes);
  const bytes = Buffer.concat([document.bytes.subarray(0, span.start), replaced, document.bytes.subarray(span.end)]);
  const members = new Members();
  members.add('response', span.start, span.start + replaced.length);
  return { bytes, members };
}

/** One event, in the encoding of its data. */
function eventText(type: Json | undefined, data: string): string {
  return typeof type === 'string' && /^[\w.]+$/.test(type) ? `event: ${type}\ndata: ${data}\n\n` : `data: ${data}\n\n`;
}
