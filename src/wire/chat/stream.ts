import { isUtf8 } from 'node:buffer';
import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { ANSWER_BOUNDS, type JsonDocument, memberValue, parseDocument } from '../../base/json-document.js';
import { closingQuote } from '../../base/json-scan.js';
import { estimateTokens } from '../estimate.js';
import { eventBuffer } from '../event-buffer.js';
import { BLANK_LINE, BYTE_ORDER_MARK, endOfEvent, eventData, sseEvent } from '../sse.js';
import { readUsage, type TokenUsage } from '../usage.js';
import { type ChunkTemplate, chunkTemplate } from './chunk-template.js';
import { visibleEvent } from './visible-event.js';

/** How a stream of chat completion chunks is to be watched. */
export interface ChatStreamOptions {
  /** The usage chunk is ours alone: the client did not ask for it. */
  readonly hideUsage: boolean;
  /** The client waits for usage: without it a stream is not finished, but by `[DONE]`. */
  readonly awaitsUsage: boolean;
  /** What to write in place of the upstream's model id; `undefined` leaves it as it is. */
  readonly showModel: string | undefined;
  /** Answers asked for: the stream is finished when so many have a finish reason. */
  readonly n: number;
  /** Longest single event. */
  readonly maxEventBytes: number;
}

/**
 * Watches a stream on its way to the client: passes whole events on as the bytes they came as, and looks inside only
 * where it must. What it holds back is never half delivered: a stream can be ended properly after any `take`.
 */
export interface ChatStream {
  /** Takes what the upstream sent; gives what may go to the client now, `undefined` when no event is complete yet. */
  take(piece: Uint8Array | JsonObject): string | Uint8Array | undefined;
  /** Takes the end of the upstream's stream, which may lack its last blank line. */
  takeEnd(): string | Uint8Array | undefined;
  /** The upstream said `[DONE]`: nothing more is to come. */
  readonly done: boolean;
  /** An event was shown; comments are none. */
  readonly begun: boolean;
  /** Every answer has its finish reason. */
  readonly finished: boolean;
  /** The upstream reported an error, which was not passed on, or sent what is no chunk. */
  readonly failure: StreamFailure | undefined;
  readonly usage: TokenUsage | undefined;
  /** The latest chunk that came as an object. */
  readonly lastChunk: JsonObject | undefined;
  /** At least what the client got so far. */
  deliveredTokens(): number;
}

export type StreamFailure = { readonly kind: 'reported'; readonly error: Json } | { readonly kind: 'malformed' };

/** Text whose bytes are what the model wrote. */
const DELTA_TEXTS = ['"content":"', '"arguments":"', '"reasoning_content":"', '"refusal":"', '"text":"', '"input":"'];

/** Chunks of several choices and of tool calls take turns. */
const MAX_TEMPLATES = 4;
/** A stream whose chunks are all different, as with log probabilities, is read chunk by chunk. */
const MAX_VAIN = 16;

export function watchChatStream(options: ChatStreamOptions): ChatStream {
  // Plain fields: V8 gives every object with a getter a shape of its own, and reading them costs several times as much.
  const stream: { -readonly [Field in keyof ChatStream]: ChatStream[Field] } = {
    done: false,
    begun: false,
    finished: false,
    failure: undefined,
    usage: undefined,
    lastChunk: undefined,
    take: (piece) => (piece instanceof Uint8Array ? takeBytes(piece) : takeChunk(piece)),
    takeEnd,
    deliveredTokens: () => Math.max(textEvents, estimateTokens(textBytes)),
  };
  const buffer = eventBuffer();
  /** Indexes of the choices that have their reason: some upstreams say one twice. */
  const finished = new Set<Json>();
  let textEvents = 0;
  let textBytes = 0;
  /** What chunks of text look like in this stream, the latest first. */
  let templates: readonly ChunkTemplate[] = [];
  let matched: ChunkTemplate | undefined;
  /** Templates learnt since one matched. */
  let vain = 0;

  function takeBytes(piece: Uint8Array): Uint8Array | undefined {
    const complete = buffer.take(piece);
    if (buffer.heldBytes > options.maxEventBytes) stream.failure = { kind: 'malformed' };
    return complete === undefined ? undefined : inspect(complete, buffer.text);
  }

  function takeEnd(): Uint8Array | undefined {
    return buffer.heldBytes === 0 ? undefined : takeBytes(BLANK_LINE);
  }

  /** The events as they are to be shown: the bytes themselves where nothing is changed. */
  function inspect(bytes: Buffer, text: string): Uint8Array | undefined {
    const mayMatch = isUtf8(bytes);
    let shown = '';
    let shownUpTo = 0;
    let at = 0;
    while (at < text.length && stream.failure === undefined) {
      let end = mayMatch ? matchEvent(text, at) : -1;
      let visible = end === -1 ? '' : matched?.shown();
      if (end === -1) {
        end = endOfEvent(text, at);
        const event = text.slice(at, end);
        const inspected = inspectEvent(event);
        visible = inspected === event ? undefined : inspected;
      }
      if (visible !== undefined) {
        shown += text.slice(shownUpTo, at) + visible;
        shownUpTo = end;
      }
      at = end;
    }
    if (shownUpTo === 0) return bytes;
    shown += text.slice(shownUpTo, at);
    return shown === '' ? undefined : Buffer.from(shown, 'latin1');
  }

  /** Where the event ends that begins at `at` and is like an earlier one; -1 when it is not. */
  function matchEvent(text: string, at: number): number {
    for (const template of templates) {
      const end = template.match(text, at);
      if (end === -1) continue;
      matched = template;
      vain = 0;
      countEvent(template.textLength);
      return end;
    }
    return -1;
  }

  function learn(event: string, visible: string): void {
    if (vain >= MAX_VAIN) return;
    const template = chunkTemplate(event, visible);
    if (template === undefined) return;
    vain += 1;
    templates = [template, ...templates.slice(0, MAX_TEMPLATES - 1)];
  }

  /** The event as it is to be shown, in latin1; empty when it is not. */
  function inspectEvent(given: string): string {
    const event = given.startsWith(BYTE_ORDER_MARK) ? given.slice(BYTE_ORDER_MARK.length) : given;
    const data = eventData(event);
    // A comment may tell the upstream's name of the model; many, or one before an error, break go-openai (wire.md §2.2).
    if (data === undefined) return '';
    if (data === '[DONE]') {
      stream.done = true;
      return '';
    }
    const result = parseDocument(Buffer.from(data, 'latin1'), ANSWER_BOUNDS);
    if (result.kind === 'refused') {
      stream.failure = { kind: 'malformed' };
      return '';
    }
    const { document, outline } = result;
    const seen = observe(outline.body, document);
    if (seen === 'hidden') return '';
    count(event);
    const visible = visibleEvent({ event, data, document }, options);
    if (seen === 'text') learn(event, visible);
    return visible;
  }

  function takeChunk(chunk: JsonObject): string | undefined {
    if (observe(chunk) === 'hidden') return undefined;
    const hidden = (name: string): boolean =>
      chunk[name] === null && (name === 'error' || (name === 'usage' && options.hideUsage));
    const isWhole = !hidden('error') && !hidden('usage');
    const shown = isWhole ? chunk : Object.fromEntries(Object.entries(chunk).filter(([name]) => !hidden(name)));
    const renamed = options.showModel !== undefined && 'model' in chunk;
    stream.lastChunk = renamed ? { ...shown, model: options.showModel } : shown;
    const event = sseEvent(stream.lastChunk);
    count(event);
    return event;
  }

  /** Notes what a chunk says: nothing but text, something to act on, or what the client must not see. */
  function observe(chunk: JsonObject, document?: JsonDocument): 'text' | 'news' | 'hidden' {
    if (chunk.error !== undefined && chunk.error !== null) {
      const error = document === undefined ? chunk.error : memberValue(document, 'error');
      stream.failure = { kind: 'reported', error: error ?? null };
      return 'hidden';
    }
    stream.usage = readUsage(chunk.usage) ?? stream.usage;
    const choices = Array.isArray(chunk.choices) ? chunk.choices : [];
    let isText = choices.length > 0 && !isJsonObject(chunk.usage);
    for (const choice of choices) {
      if (!isJsonObject(choice) || typeof choice.finish_reason !== 'string' || choice.finish_reason === '') continue;
      finished.add(choice.index ?? 0);
      isText = false;
    }
    stream.finished = finished.size >= options.n && (!options.awaitsUsage || stream.usage !== undefined);
    if (isText) return 'text';
    return options.hideUsage && choices.length === 0 && isJsonObject(chunk.usage) ? 'hidden' : 'news';
  }

  function count(text: string): void {
    let written = 0;
    for (const start of DELTA_TEXTS) {
      for (let at = text.indexOf(start); at !== -1; at = text.indexOf(start, at + start.length)) {
        const end = closingQuote(text, at + start.length);
        written += (end === -1 ? text.length : end) - at - start.length;
      }
    }
    countEvent(written);
  }

  function countEvent(written: number): void {
    if (written > 0) textEvents += 1;
    textBytes += written;
    stream.begun = true;
  }

  return stream;
}
