import { isUtf8 } from 'node:buffer';
import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { ANSWER_BOUNDS, type JsonDocument, memberValue, parseDocument } from '../../base/json-document.js';
import { closingQuote } from '../../base/json-scan.js';
import { estimateTokens } from '../estimate.js';
import { EventBuffer } from '../event-buffer.js';
import { BLANK_LINE, BYTE_ORDER_MARK, endOfEvent, eventData, sseEvent } from '../sse.js';
import { readServiceTier, readUsage, type TokenUsage } from '../usage.js';
import type { StreamChunk, StreamFailure, WatchedStream, WatchOptions } from '../watched-stream.js';
import { ChunkTemplate, visibleEvent } from './visible-event.js';

/** Openings of the members whose text the model wrote. */
const DELTA_TEXTS = ['"content":"', '"arguments":"', '"reasoning_content":"', '"refusal":"', '"text":"', '"input":"'];

/** Templates kept at once: chunks of several choices and of tool calls take turns. */
const MAX_TEMPLATES = 4;
/** Templates learnt in vain before learning stops: some streams never repeat a chunk, as with log probabilities. */
const MAX_VAIN = 16;

/** A watched stream of chat completion chunks, or of legacy completions. */
export class ChatStream implements WatchedStream {
  done = false;
  begun = false;
  finished = false;
  failure: StreamFailure | undefined = undefined;
  usage: TokenUsage | undefined = undefined;
  serviceTier: string | undefined = undefined;
  lastChunk: JsonObject | undefined = undefined;
  private readonly options: WatchOptions;
  private readonly buffer = new EventBuffer();
  /** Indexes of the choices that have a finish reason: some upstreams send one twice. */
  private readonly finishedChoices = new Set<Json>();
  private textEvents = 0;
  private textBytes = 0;
  /** Templates of the text chunks in this stream, the latest first. */
  private templates: readonly ChunkTemplate[] = [];
  private matched: ChunkTemplate | undefined = undefined;
  /** Templates learnt since one last matched. */
  private vain = 0;

  constructor(options: WatchOptions) {
    this.options = options;
  }

  watchPiece(piece: Uint8Array | JsonObject): StreamChunk | undefined {
    return piece instanceof Uint8Array ? this.watchBytes(piece) : this.watchChunk(piece);
  }

  watchEnd(): StreamChunk | undefined {
    return this.buffer.heldBytes === 0 ? undefined : this.watchBytes(BLANK_LINE);
  }

  deliveredTokens(): number {
    return Math.max(this.textEvents, estimateTokens(this.textBytes));
  }

  private watchBytes(piece: Uint8Array): StreamChunk | undefined {
    const complete = this.buffer.addBytes(piece);
    if (this.buffer.heldBytes > this.options.maxEventBytes) this.failure = { kind: 'malformed' };
    if (complete === undefined) return undefined;
    const { text } = this.buffer;
    return this.options.takes === 'objects' ? this.shownObjects(text) : this.shownBytes(complete, text);
  }

  /** The chunks of the events, each parsed once. */
  private shownObjects(text: string): readonly JsonObject[] | undefined {
    const chunks: JsonObject[] = [];
    for (let at = 0; at < text.length && this.failure === undefined; ) {
      const end = endOfEvent(text, at);
      const data = this.dataOf(text.slice(at, end));
      at = end;
      if (data === undefined) continue;
      const result = parseDocument(Buffer.from(data, 'latin1'), ANSWER_BOUNDS, 'decoded');
      if (result.kind === 'refused') this.failure = { kind: 'malformed' };
      else chunks.push(...(this.watchObject(result.outline.body, data) ?? []));
    }
    return chunks.length === 0 ? undefined : chunks;
  }

  /** The events as they are shown: the bytes themselves where nothing changes. */
  private shownBytes(bytes: Buffer, text: string): Uint8Array | undefined {
    const mayMatch = isUtf8(bytes);
    let shown = '';
    let shownUpTo = 0;
    let at = 0;
    while (at < text.length && this.failure === undefined) {
      let end = mayMatch ? this.endOfMatch(text, at) : -1;
      let visible = end === -1 ? '' : this.matched?.shownEvent();
      if (end === -1) {
        end = endOfEvent(text, at);
        const event = text.slice(at, end);
        const inspected = this.inspectEvent(event);
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

  /** End of the event that begins at `at`, if it is like an earlier one; -1 if it is not. */
  private endOfMatch(text: string, at: number): number {
    for (const template of this.templates) {
      const end = template.matchEvent(text, at);
      if (end === -1) continue;
      this.matched = template;
      this.vain = 0;
      this.countEvent(template.textLength);
      return end;
    }
    return -1;
  }

  private learnTemplate(event: string, visible: string): void {
    if (this.vain >= MAX_VAIN) return;
    const template = ChunkTemplate.learn(event, visible);
    if (template === undefined) return;
    this.vain += 1;
    this.templates = [template, ...this.templates.slice(0, MAX_TEMPLATES - 1)];
  }

  /** Reads an event. Returns it as it is shown, in latin1; an empty text when it is hidden. */
  private inspectEvent(given: string): string {
    const event = given.startsWith(BYTE_ORDER_MARK) ? given.slice(BYTE_ORDER_MARK.length) : given;
    const data = this.dataOf(event);
    if (data === undefined) return '';
    const result = parseDocument(Buffer.from(data, 'latin1'), ANSWER_BOUNDS);
    if (result.kind === 'refused') {
      this.failure = { kind: 'malformed' };
      return '';
    }
    const { document, outline } = result;
    const seen = this.noteChunk(outline.body, document);
    if (seen === 'hidden') return '';
    this.countText(event);
    const visible = visibleEvent({ event, data, document }, this.options);
    if (seen === 'text') this.learnTemplate(event, visible);
    return visible;
  }

  /** The data of an event, in latin1; `undefined` where there is none to be read. */
  private dataOf(given: string): string | undefined {
    const event = given.startsWith(BYTE_ORDER_MARK) ? given.slice(BYTE_ORDER_MARK.length) : given;
    const data = eventData(event);
    // A comment may tell the upstream's name of the model; many, or one before an error, break go-openai, which gives up after 300 lines that are no data.
    if (data !== '[DONE]') return data;
    this.done = true;
    return undefined;
  }

  private watchChunk(chunk: JsonObject): StreamChunk | undefined {
    if (this.options.takes !== 'text') return this.watchObject(chunk);
    const shown = this.visibleChunk(chunk);
    if (shown === undefined) return undefined;
    const event = sseEvent(shown);
    this.countText(event);
    return event;
  }

  /** @param data the JSON that the chunk came as: texts count as they are written there, as in a stream of bytes. */
  private watchObject(chunk: JsonObject, data?: string): readonly [JsonObject] | undefined {
    const shown = this.visibleChunk(chunk);
    if (shown === undefined) return undefined;
    this.countText(data ?? JSON.stringify(shown));
    return [shown];
  }

  /** The chunk without the members that are not for the client's eyes; `undefined` when it is all hidden. */
  private visibleChunk(chunk: JsonObject): JsonObject | undefined {
    if (this.noteChunk(chunk) === 'hidden') return undefined;
    const { hideUsage, showModel } = this.options;
    const isHidden = (name: string): boolean =>
      chunk[name] === null && (name === 'error' || (name === 'usage' && hideUsage));
    const isWhole = !isHidden('error') && !isHidden('usage');
    const shown = isWhole ? chunk : Object.fromEntries(Object.entries(chunk).filter(([name]) => !isHidden(name)));
    const isRenamed = showModel !== undefined && 'model' in chunk;
    this.lastChunk = isRenamed ? { ...shown, model: showModel } : shown;
    return this.lastChunk;
  }

  /** Notes what a chunk says. Returns whether it is nothing but text, something to act on, or not for the client's eyes. */
  private noteChunk(chunk: JsonObject, document?: JsonDocument): 'text' | 'news' | 'hidden' {
    if (chunk.error !== undefined && chunk.error !== null) {
      const error = document === undefined ? chunk.error : memberValue(document, 'error');
      this.failure = { kind: 'reported', error: error ?? null };
      return 'hidden';
    }
    this.usage = readUsage(chunk.usage) ?? this.usage;
    this.serviceTier = readServiceTier(chunk) ?? this.serviceTier;
    const choices = Array.isArray(chunk.choices) ? chunk.choices : [];
    let isText = choices.length > 0 && !isJsonObject(chunk.usage);
    for (const choice of choices) {
      if (!isJsonObject(choice) || typeof choice.finish_reason !== 'string' || choice.finish_reason === '') continue;
      this.finishedChoices.add(choice.index ?? 0);
      isText = false;
    }
    const { n, awaitsUsage, hideUsage } = this.options;
    this.finished = this.finishedChoices.size >= n && (!awaitsUsage || this.usage !== undefined);
    if (isText) return 'text';
    return hideUsage && choices.length === 0 && isJsonObject(chunk.usage) ? 'hidden' : 'news';
  }

  private countText(text: string): void {
    let written = 0;
    for (const start of DELTA_TEXTS) {
      for (let at = text.indexOf(start); at !== -1; at = text.indexOf(start, at + start.length)) {
        const end = closingQuote(text, at + start.length);
        written += (end === -1 ? text.length : end) - at - start.length;
      }
    }
    this.countEvent(written);
  }

  private countEvent(written: number): void {
    if (written > 0) this.textEvents += 1;
    this.textBytes += written;
    this.begun = true;
  }
}
