import { isUtf8 } from 'node:buffer';
import { isJsonObject, type Json, type JsonObject, objectOf } from '../../base/json.js';
import {
  ANSWER_BOUNDS,
  type JsonDocument,
  type JsonOutline,
  memberValue,
  outlinedByteLength,
  parseDocument,
} from '../../base/json-document.js';
import { estimateTokens } from '../estimate.js';
import { EventBuffer } from '../event-buffer.js';
import { readToolCalls } from '../hosted-tools.js';
import { type SaidText, saidInChoices } from '../said-text.js';
import { shownUsage } from '../shown-usage.js';
import {
  BLANK_LINE,
  BYTE_ORDER_MARK,
  endOfEvent,
  endOfPlainEvent,
  errorField,
  eventData,
  eventKind,
  isDone,
  isEmptyData,
  sseEvent,
} from '../sse.js';
import { isToldError } from '../told-error.js';
import { joinedUsage, readAnswerUsage, readServiceTier, type ToldUsage } from '../usage.js';
import type { StreamChunk, StreamFailure, WatchedStream, WatchOptions } from '../watched-stream.js';
import { failureIn, isFinished, toldByGroq } from './answer.js';
import { ChunkForm, ChunkTemplate, type LearntText } from './chunk-template.js';
import { hasChatChoice, LEGACY_OBJECT, legacyChoices } from './legacy-choices.js';
import { CHAT_CHUNK, visibleEvent, withKnownReasons } from './visible-event.js';

const RETURN = 0x0d;

/** Templates learnt in vain before learning stops: some streams never repeat a chunk, as with log probabilities. */
const MAX_VAIN = 16;

/** Longest event that a template is made of: its copies would take long. */
const MAX_LEARNT_CHARS = 65_536;

/** Texts that each begin with the whole of the one before, the first among them: fewer may do so by chance. */
const MIN_GROWTHS = 3;

/** Events that match a template in a row before the stream narrows it to itself, which takes as long as it spares for a dozen. */
const ALIKE_EVENTS = 24;

/** Times that it does so: where more than the words changes with each chunk, it would be in vain. */
const MAX_NARROWINGS = 2;

/** A watched stream of chat completion chunks, or of legacy completions. */
export class ChatStream implements WatchedStream {
  readonly takesInPlace = true;
  done = false;
  begun = false;
  finished = false;
  hasShownUsage = false;
  failure: StreamFailure | undefined = undefined;
  serviceTier: string | undefined = undefined;
  toolCalls: Readonly<Record<string, number>> | undefined = undefined;
  lastChunk: JsonObject | undefined = undefined;
  private readonly options: WatchOptions;
  private readonly buffer = new EventBuffer();
  /** Indexes of the choices that have a finish reason: some upstreams send one twice. */
  private readonly finishedChoices = new Set<Json>();
  private told: ToldUsage | undefined = undefined;
  /** Events with text when usage was told last. */
  private textEventsAtUsage = 0;
  /** Whether usage was told beside a part of the answer, as with every chunk: such a number is the last word only at the end. */
  private isToldOnTheWay = false;
  private textEvents = 0;
  private textBytes = 0;
  /** The text of the latest chunk, as long as each has begun with the whole of the one before; `undefined`: they are pieces. */
  private repeated: string | undefined = '';
  /** All text of that chunk. */
  private repeatedBytes = 0;
  /** Chunks that went on from the one before, and those that only said the same again. */
  private growths = 0;
  private copies = 0;
  private readonly form: ChunkForm;
  /** The template that matched last. */
  private matched: ChunkTemplate | undefined = undefined;
  /** Events in a row that it has matched. */
  private alike = 0;
  private narrowings = 0;
  /** Templates learnt since one last matched. */
  private vain = 0;

  constructor(options: WatchOptions) {
    this.options = options;
    this.form = options.form ?? new ChunkForm();
  }

  watchPiece(piece: Uint8Array | JsonObject): StreamChunk | undefined {
    return piece instanceof Uint8Array ? this.watchBytes(piece) : this.watchChunk(piece);
  }

  watchEnd(): StreamChunk | undefined {
    const rest = this.buffer.heldBytes === 0 ? undefined : this.watchBytes(BLANK_LINE);
    // An end without `[DONE]` is one, too, once every answer has its reason; usage that did not come by now never will.
    this.finished ||= this.finishedChoices.size >= this.options.n;
    return rest;
  }

  /** A number that was told before the last text came cannot count it, nor one on the way what was still made: then it is the least. */
  get usage(): ToldUsage | undefined {
    const { told } = this;
    const isCut = this.isToldOnTheWay && !this.done && this.finishedChoices.size < this.options.n;
    if (told === undefined || (!isCut && this.textEvents === this.textEventsAtUsage)) return told;
    return { ...told, outputTokens: Math.max(told.outputTokens, this.deliveredTokens()), isDoubtful: true };
  }

  get keptBytes(): number {
    return this.buffer.heldBytes;
  }

  deliveredTokens(): number {
    if (this.repeated !== undefined && this.growths >= MIN_GROWTHS) return estimateTokens(this.repeatedBytes);
    return Math.max(this.textEvents, estimateTokens(this.textBytes));
  }

  private watchBytes(piece: Uint8Array): StreamChunk | undefined {
    const complete = this.buffer.addBytes(piece);
    const shown = complete === undefined ? undefined : this.shownOf(complete);
    // The events before one that is too long were whole.
    if (this.buffer.heldBytes > this.options.maxEventBytes) this.failure ??= { kind: 'malformed' };
    return shown;
  }

  private shownOf(bytes: Buffer): StreamChunk | undefined {
    return this.options.takes === 'objects' ? this.shownObjects(bytes.toString('latin1')) : this.shownBytes(bytes);
  }

  /** The chunks of the events, each parsed once. */
  private shownObjects(text: string): readonly JsonObject[] | undefined {
    const chunks: JsonObject[] = [];
    for (let at = 0; at < text.length && this.failure === undefined; ) {
      const end = endOfEvent(text, at);
      const data = this.dataOf(text.slice(at, end));
      at = end;
      if (data === undefined) continue;
      const result = parseDocument(Buffer.from(data, 'latin1'), this.options.bounds ?? ANSWER_BOUNDS, 'decoded');
      if (result.kind === 'refused') this.failure = { kind: 'malformed' };
      else {
        const wasDone = this.done;
        const shown = this.watchObject(result.outline.body);
        if (!wasDone && shown !== undefined) chunks.push(...shown);
      }
    }
    return chunks.length === 0 ? undefined : chunks;
  }

  /** The events as they are shown: the bytes themselves where nothing changes. */
  private shownBytes(bytes: Buffer): string | Uint8Array | undefined {
    /** All of the bytes in latin1, once an event must be read whose lines may end otherwise than in a line feed. */
    let text: string | undefined;
    let hasReturns: boolean | undefined;
    let isAscii = this.options.takes === 'text';
    let shown = '';
    let shownUpTo = 0;
    let at = 0;
    while (at < bytes.length && this.failure === undefined) {
      const wasDone = this.done;
      let end = wasDone || this.awaitsChunk ? -1 : this.endOfMatch(bytes, at);
      let visible: string | undefined;
      const { matched } = this;
      if (end !== -1 && matched !== undefined) {
        visible = matched.isShownAsItIs ? undefined : matched.shownEvent(bytes);
        isAscii &&= matched.isAsciiShown;
      } else {
        isAscii = false;
        hasReturns ??= bytes.includes(RETURN);
        if (hasReturns) text ??= bytes.toString('latin1');
        end = text === undefined ? endOfPlainEvent(bytes, at) : endOfEvent(text, at);
        const event = text === undefined ? bytes.toString('latin1', at, end) : text.slice(at, end);
        const inspected = this.inspectEvent(event, this.isLikeOthers(bytes, at));
        visible = wasDone ? '' : inspected === event ? undefined : inspected;
      }
      if (visible !== undefined) {
        if (shownUpTo < at) shown += bytes.toString('latin1', shownUpTo, at);
        shown += visible;
        shownUpTo = end;
      }
      at = end;
    }
    // A copy: the bytes are read over with the next ones.
    if (shownUpTo === 0 && at === bytes.length) return isAscii ? bytes.toString('latin1') : Buffer.from(bytes);
    if (shownUpTo < at) shown += bytes.toString('latin1', shownUpTo, at);
    // In ASCII alone a text is its own bytes, and need not be made into them to be written.
    return shown === '' ? undefined : isAscii ? shown : Buffer.from(shown, 'latin1');
  }

  /** Whether one chunk must be read as an object: for a usage chunk of our own, should the upstream send none. */
  private get awaitsChunk(): boolean {
    return this.options.awaitsUsage && this.lastChunk === undefined;
  }

  /** End of the event that begins at `at`, if it is like an earlier one; -1 if it is not. */
  private endOfMatch(bytes: Buffer, at: number): number {
    const { matched } = this;
    const end = matched === undefined ? -1 : this.endLike(matched, bytes, at);
    if (end !== -1) return end;
    for (const template of this.form.templates) {
      const found = template === matched ? -1 : this.endLike(template, bytes, at);
      if (found !== -1) return found;
    }
    return -1;
  }

  private endLike(template: ChunkTemplate, bytes: Buffer, at: number): number {
    const end = template.matchEvent(bytes, at);
    // What is no UTF-8 is for the parser to refuse.
    if (end === -1 || (template.isBeyondAscii && !isUtf8(bytes.subarray(at, end)))) return -1;
    if (this.repeated === undefined) this.countEvent(template.textLength);
    else {
      const first = template.wordsIn(bytes);
      // Whether it goes on from the text before only its meaning tells.
      if (first === undefined) return -1;
      this.countText({ size: template.textLength, first });
    }
    if (this.matched !== template) {
      this.form.used(template);
      this.matched = template;
      this.alike = 0;
    }
    this.alike += 1;
    if (this.alike > ALIKE_EVENTS && template.isWide && this.narrowings < MAX_NARROWINGS)
      this.narrow(template, bytes, end);
    this.vain = 0;
    this.begun = true;
    this.serviceTier = template.serviceTier ?? this.serviceTier;
    return end;
  }

  /** Narrows a template to what this stream says. */
  private narrow(template: ChunkTemplate, bytes: Buffer, end: number): void {
    this.narrowings += 1;
    this.matched = template.narrowed(bytes, end) ?? template;
  }

  /** Whether an event that must be read all the same is like an earlier one. */
  private isLikeOthers(bytes: Buffer, at: number): boolean {
    return this.repeated !== undefined && this.form.templates.some((one) => one.matchEvent(bytes, at) !== -1);
  }

  private learnTemplate(event: string, visible: string, said: LearntText): void {
    if (this.vain >= MAX_VAIN || event.length > MAX_LEARNT_CHARS) return;
    const template = ChunkTemplate.learn(event, visible, said);
    if (template === undefined) return;
    this.vain += 1;
    this.form.add(template);
  }

  /**
   * Reads an event. Returns it as it is shown, in latin1; an empty text when it is hidden.
   * @param isKnown whether nothing is to be learnt of it
   */
  private inspectEvent(given: string, isKnown: boolean): string {
    const event = given.startsWith(BYTE_ORDER_MARK) ? given.slice(BYTE_ORDER_MARK.length) : given;
    const data = this.dataOf(event);
    if (data === undefined) return '';
    const result = parseDocument(Buffer.from(data, 'latin1'), this.options.bounds ?? ANSWER_BOUNDS);
    if (result.kind === 'refused') {
      this.failure = { kind: 'malformed' };
      return '';
    }
    const { document, outline } = result;
    const said = this.saidIn(outline);
    const seen = this.noteChunk(outline.body, said, document);
    if (seen === 'hidden') return '';
    if (this.awaitsChunk) this.lastChunk = this.renamed(objectOf(document.bytes));
    const visible = visibleEvent({ event, data, document }, this.options);
    // The text of such a chunk need not be all that changes in it.
    const isMade = this.options.isLegacy === true && hasChatChoice(outline.body.choices);
    if (seen === 'text' && !isKnown && !said.hasTwice && !isMade && readAnswerUsage(outline.body) === undefined) {
      this.learnTemplate(event, visible, { size: said.size, serviceTier: readServiceTier(outline.body) });
    }
    return visible;
  }

  /** The data of an event, in latin1; `undefined` where there is none to be read. */
  private dataOf(given: string): string | undefined {
    const event = given.startsWith(BYTE_ORDER_MARK) ? given.slice(BYTE_ORDER_MARK.length) : given;
    const kind = eventKind(event);
    // A comment may tell the upstream's name of the model; many, or one before an error, break go-openai, which gives up after 300 lines that are no data.
    const data = kind === 'nothing' ? undefined : eventData(event);
    if (data === undefined) {
      const told = errorField(event);
      if (told !== undefined) this.fail(told);
      return undefined;
    }
    if (isDone(data)) {
      this.done = true;
      return undefined;
    }
    if (isEmptyData(data)) return undefined;
    if (kind === 'data') return data;
    this.fail(data);
    return undefined;
  }

  /** Takes an error that an event tells, in latin1: as JSON, or in words. */
  private fail(told: string): void {
    const text = Buffer.from(told, 'latin1').toString();
    let error: unknown = text;
    try {
      error = JSON.parse(text);
    } catch {
      // Words, then.
    }
    const shown = isJsonObject(error) ? (error.error ?? error) : text;
    this.failure = { kind: 'reported', error: typeof shown === 'string' ? { message: shown } : shown };
  }

  private watchChunk(chunk: JsonObject): StreamChunk | undefined {
    const shown = this.watchObject(chunk);
    if (shown === undefined || this.options.takes !== 'text') return shown;
    return sseEvent(shown[0]);
  }

  private watchObject(chunk: JsonObject): readonly [JsonObject] | undefined {
    const shown = this.visibleChunk(chunk);
    return shown === undefined ? undefined : [shown];
  }

  /** The chunk without the members that are not for the client's eyes; `undefined` when it is all hidden. */
  private visibleChunk(chunk: JsonObject): JsonObject | undefined {
    const said = this.saidIn({ body: chunk, isDecoded: true });
    if (this.noteChunk(chunk, said) === 'hidden') return undefined;
    const { hideUsage } = this.options;
    const { changed, leftOut } = shownUsage(
      (name) => chunk[name] !== undefined,
      (name) => chunk[name],
      hideUsage,
    );
    const hidden = chunk.error === null ? [...leftOut, 'error'] : leftOut;
    const isWhole = hidden.length === 0 && Object.keys(changed).length === 0;
    const shown = isWhole ? chunk : withMembers(chunk, changed, hidden);
    const known = withKnownReasons(shown.choices);
    const choices = (this.options.isLegacy === true ? legacyChoices(known ?? shown.choices) : undefined) ?? known;
    this.lastChunk = this.renamed(choices === undefined ? shown : { ...shown, choices });
    return this.lastChunk;
  }

  private renamed(chunk: JsonObject): JsonObject {
    const { showModel, isLegacy } = this.options;
    const named = showModel !== undefined && 'model' in chunk ? { ...chunk, model: showModel } : chunk;
    return isLegacy === true && named.object === CHAT_CHUNK ? { ...named, object: LEGACY_OBJECT } : named;
  }

  private saidIn(outline: JsonOutline): SaidText {
    return saidInChoices(outline.body.choices, (text) => outlinedByteLength(outline, text));
  }

  /** Notes what a chunk says. Returns whether it is nothing but text, something to act on, or not for the client's eyes. */
  private noteChunk(chunk: JsonObject, said: SaidText, document?: JsonDocument): 'text' | 'news' | 'hidden' {
    if (isToldError(chunk)) {
      const whole = document === undefined ? chunk : (memberValue(document, 'error') ?? objectOf(document.bytes));
      const error = isJsonObject(whole) ? (whole.error ?? whole) : whole;
      this.failure = { kind: 'reported', error: error ?? null };
      return 'hidden';
    }
    const choices = Array.isArray(chunk.choices) ? chunk.choices : [];
    const { n, awaitsUsage, hideUsage } = this.options;
    const usage = readAnswerUsage(chunk);
    const tellsUsage = usage !== undefined || isJsonObject(chunk.usage);
    let isText = choices.length > 0 && !isJsonObject(chunk.usage);
    let hasNews = choices.length === 0 ? !tellsUsage : said.size > 0 || saysMore(choices, this.finishedChoices);
    for (const choice of choices) {
      if (!isJsonObject(choice) || !isFinished(choice)) continue;
      isText = false;
      const index = choice.index ?? 0;
      if (!this.finishedChoices.has(index)) hasNews = true;
      this.finishedChoices.add(index);
    }
    if (!this.done) this.countText(said);
    if (usage !== undefined) this.noteUsage(usage, { chunk, choices });
    const failed = failureIn(choices) ?? toldByGroq(chunk.x_groq);
    if (failed !== undefined) {
      const inFull = (name: string): Json | undefined =>
        document === undefined ? chunk[name] : memberValue(document, name);
      this.failure = {
        kind: 'reported',
        error: failureIn(inFull('choices')) ?? toldByGroq(inFull('x_groq')) ?? failed,
      };
      return 'hidden';
    }
    this.serviceTier = readServiceTier(chunk) ?? this.serviceTier;
    this.finished = this.finishedChoices.size >= n && (!awaitsUsage || this.told !== undefined);
    if (isText) {
      this.begun = true;
      return 'text';
    }
    if (hideUsage && tellsUsage && !hasNews) return 'hidden';
    // Clients look for `choices` in whatever comes.
    if (chunk.choices === undefined && !tellsUsage) return 'hidden';
    this.begun = true;
    return 'news';
  }

  private noteUsage(
    usage: ToldUsage,
    { chunk, choices }: { readonly chunk: JsonObject; readonly choices: readonly Json[] },
  ): void {
    this.told = joinedUsage(this.told, usage);
    this.toolCalls = readToolCalls(chunk) ?? this.toolCalls;
    // A part alone is not what a client waits for, nor are other names.
    const isReadable = isJsonObject(chunk.usage) && chunk.usage.prompt_tokens !== undefined;
    this.hasShownUsage = isReadable && this.told === usage && usage.lacks === undefined;
    if (usage.lacks === 'output') return;
    this.textEventsAtUsage = this.textEvents;
    this.isToldOnTheWay = choices.length > 0;
  }

  private countText({ size, first }: Pick<SaidText, 'size' | 'first'>): void {
    this.countEvent(size);
    const { repeated } = this;
    if (repeated === undefined || first === '') return;
    const isSame = first === repeated;
    if (isSame) this.copies += 1;
    else this.growths += 1;
    // Pieces that are alike are pieces: what was delivered must be paid. A chunk of a text that grows may come twice.
    const isRepeated = first.startsWith(repeated) && size >= this.repeatedBytes && this.copies < this.growths;
    this.repeated = isRepeated ? first : undefined;
    this.repeatedBytes = size;
  }

  private countEvent(written: number): void {
    if (written > 0) this.textEvents += 1;
    this.textBytes += written;
  }
}

function withMembers(chunk: JsonObject, changed: JsonObject, leftOut: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries({ ...chunk, ...changed }).filter(([name]) => !leftOut.includes(name)));
}

/**
 * Whether a choice brings something that is neither text nor an end, such as the name of a call.
 * @param finished choices for which a role is no news any more: before their end, clients wait for it.
 */
function saysMore(choices: readonly Json[], finished: ReadonlySet<Json>): boolean {
  return choices.some((choice) => {
    if (!isJsonObject(choice)) return false;
    const said = choice.delta ?? choice.message;
    if (!isJsonObject(said)) return false;
    const { role, content: _, ...more } = said;
    if (typeof role === 'string' && role !== '' && !finished.has(choice.index ?? 0)) return true;
    return Object.values(more).some((value) => value !== null && value !== '');
  });
}
