import { isJsonObject, type Json } from '../../base/json.js';
import { type JsonDocument, memberValue, replaceMembers } from '../../base/json-document.js';
import { isSimpleEscape } from '../../base/json-scan.js';
import { type ChangingString, changingStrings } from '../said-text.js';
import { mayTellUsage, NOTHING_TOLD, shownUsage } from '../shown-usage.js';
import type { WatchOptions } from '../watched-stream.js';
import { isFinished, readFinishReason } from './answer.js';
import { LEGACY_OBJECT, legacyChoices } from './legacy-choices.js';

/** The `object` of a chat's chunk. */
export const CHAT_CHUNK = 'chat.completion.chunk';

/** One event in latin1, its data, and the JSON that the data is. */
export interface ReadEvent {
  readonly event: string;
  readonly data: string;
  readonly document: JsonDocument;
}

/**
 * The event as the client may see it, in latin1. Usage that the client did not ask for and the upstream's name of the
 * model are hidden; all else stays as it came.
 */
export function visibleEvent(
  { event, data, document }: ReadEvent,
  { hideUsage, showModel, isLegacy = false }: Pick<WatchOptions, 'hideUsage' | 'showModel' | 'isLegacy'>,
): string {
  const namesUsage = data.includes('"usage"');
  const { changed, leftOut } =
    namesUsage || mayTellUsage(document.members)
      ? shownUsage(
          (name) => document.members.has(name),
          (name) => (name === 'choices' && !namesUsage ? undefined : memberValue(document, name)),
          hideUsage,
        )
      : NOTHING_TOLD;
  const changes: { [name: string]: Json } = { ...changed };
  if (showModel !== undefined && document.members.has('model')) changes.model = showModel;
  const choices = withKnownReasons(changes.choices ?? choicesOfReasons(document, data));
  if (choices !== undefined) changes.choices = choices;
  if (isLegacy) {
    const texts = legacyChoices(changes.choices ?? memberValue(document, 'choices'));
    if (texts !== undefined) changes.choices = texts;
    if (memberValue(document, 'object') === CHAT_CHUNK) changes.object = LEGACY_OBJECT;
  }
  const hidden = hasNullError(document) ? [...leftOut, 'error'] : leftOut;
  if (hidden.length > 0 || Object.keys(changes).length > 0) {
    return sseText(replaceMembers(document, changes, ...hidden).toString('latin1'));
  }
  // After an `id:` or `retry:` line openai-python fails at the next blank line: only the data is passed on.
  return event.startsWith('data:') && !/[\r\n](?:id|retry|event):/.test(event) ? event : sseText(data);
}

/** Whether the event has an `error` of null, which makes the SDKs for Go and Java throw. */
function hasNullError(document: JsonDocument): boolean {
  return document.members.has('error') && memberValue(document, 'error') === null;
}

/** The choices, where one of them may have a finish reason of another vendor. */
function choicesOfReasons(document: JsonDocument, data: string): Json | undefined {
  const span = document.members.get('choices');
  // As a rule there is none in all of the event.
  if (span === undefined || !mayHaveReason(data)) return undefined;
  const text = document.bytes.toString('latin1', span.start, span.end);
  return mayHaveReason(text) ? memberValue(document, 'choices') : undefined;
}

/** Whether a finish reason is told. A name may be written with escapes. */
function mayHaveReason(text: string): boolean {
  return /"finish_reason"\s*:\s*"/.test(text) || text.includes('\\u00');
}

/** The choices with each finish reason as OpenAI calls it; `undefined` where they have no other. */
export function withKnownReasons(choices: Json | undefined): readonly Json[] | undefined {
  if (!Array.isArray(choices)) return undefined;
  let isChanged = false;
  const known = choices.map((choice: Json) => {
    if (!isJsonObject(choice) || typeof choice.finish_reason !== 'string') return choice;
    const reason = isFinished(choice) ? (readFinishReason(choice.finish_reason) ?? choice.finish_reason) : null;
    if (reason === choice.finish_reason) return choice;
    isChanged = true;
    return { ...choice, finish_reason: reason };
  });
  return isChanged ? known : undefined;
}

function sseText(json: string): string {
  return `data: ${json}\n\n`;
}

/**
 * Recognises chunks that differ from an earlier one only in their text. That one was read, and found to say nothing but
 * text. The next ones are compared with it as the bytes that they came as: parsing them would take ten times as long.
 */
export class ChunkTemplate {
  /** UTF-8 bytes of the model's text in the event that matched last. */
  textLength = 0;
  /** Whether the strings of that event are more than ASCII: only then may they be no UTF-8. */
  isBeyondAscii = false;
  private readonly parts: readonly Buffer[];
  private readonly isPadding: readonly boolean[];
  /** Begin and end of each changing string in the event that was read last. */
  private readonly places: number[];
  /** Whether several strings bear words: those that say the same count once. */
  private readonly hasSeveralWords: boolean;
  /** Fixed parts of the event as it is shown, in latin1; `undefined` when it is shown as it came. */
  private readonly shownParts: readonly string[] | undefined;
  private readonly isShownInAscii: boolean;

  /**
   * Makes a template of an event.
   * @param event one event in latin1, JSON that says nothing but text.
   * @param shownEvent the same event as it is shown.
   * @param size bytes of the text in it, as parsing has found them.
   * @returns `undefined` when no later event could match, or when it would be counted otherwise than by parsing.
   */
  static learn(event: string, shownEvent: string, size: number): ChunkTemplate | undefined {
    // An event of several lines need not be JSON.
    if (/[\r\n]/.test(event.trimEnd())) return undefined;
    const changing = changingStrings(event);
    const shown = event === shownEvent ? undefined : shownPartsOf(shownEvent, changing.length);
    if (changing.length === 0 || shown?.length === 0) return undefined;
    // A copy of its own: a piece of the read that the event came in would keep all of it alive.
    const bytes = Buffer.allocUnsafeSlow(event.length);
    bytes.write(event, 'latin1');
    const template = new ChunkTemplate(bytes, changing, shown);
    // It must find the very words that parsing has found, or others of its form would be counted wrong.
    const isRight = template.matchEvent(bytes, 0) === bytes.length && template.textLength === size;
    return isRight ? template : undefined;
  }

  private constructor(bytes: Buffer, changing: readonly ChangingString[], shownParts: readonly string[] | undefined) {
    const from = [0, ...changing.map(({ end }) => end)];
    const to = [...changing.map(({ start }) => start), bytes.length];
    this.parts = from.map((start, index) => bytes.subarray(start, to[index]));
    this.isPadding = changing.map(({ isPadding }) => isPadding);
    this.places = changing.flatMap(({ start, end }) => [start, end]);
    this.hasSeveralWords = changing.filter(({ isPadding }) => !isPadding).length > 1;
    this.shownParts = shownParts;
    this.isShownInAscii = shownParts?.every((part) => IS_ASCII.test(part)) === true;
  }

  /** End of the event that begins at `at`; -1 when the event does not match. */
  matchEvent(bytes: Buffer, at: number): number {
    const { parts, places } = this;
    this.textLength = 0;
    this.isBeyondAscii = false;
    let from = at;
    for (let index = 0; index < parts.length; index += 1) {
      const part = parts[index] ?? EMPTY;
      const end = from + part.length;
      if (end > bytes.length || bytes.compare(part, 0, part.length, from, end) !== 0) return -1;
      if (index === parts.length - 1) return !this.hasSeveralWords || this.differ(bytes) ? end : -1;
      from = this.stringEnd(bytes, end, this.isPadding[index] !== true);
      if (from === -1) return -1;
      places[2 * index] = end;
      places[2 * index + 1] = from;
    }
    return -1;
  }

  /** Whether the words of the event that matched last say something else each: several names may bear the same thoughts. */
  private differ(bytes: Buffer): boolean {
    const said = this.isPadding
      .map((pads, index) => (pads ? '' : this.stringAt(bytes, index)))
      .filter((words) => words !== '');
    // With escapes the same may be written otherwise.
    return said.length < 2 || (new Set(said).size === said.length && !said.some((words) => words.includes('\\')));
  }

  private stringAt(bytes: Buffer, index: number): string {
    return bytes.toString('latin1', this.places[2 * index], this.places[2 * index + 1]);
  }

  /** End of the well-formed JSON string that began before `from`; -1 when it is malformed. Counts the bytes that it means. */
  private stringEnd(bytes: Buffer, from: number, counts: boolean): number {
    let saved = 0;
    for (let at = from; at < bytes.length; at += 1) {
      const code = bytes[at] ?? 0;
      if (code === 0x22) {
        if (counts) this.textLength += at - from - saved;
        return at;
      }
      if (code < 0x20) return -1;
      if (code > 0x7f) this.isBeyondAscii = true;
      if (code !== 0x5c) continue;
      at += 1;
      const character = bytes[at];
      const hex = character === 0x75 ? bytes.toString('latin1', at + 1, at + 5) : '';
      if (hex !== '' && /^[0-9A-Fa-f]{4}$/.test(hex)) {
        at += 4;
        const isPair = SURROGATE_BEFORE.test(hex) && SURROGATE_AFTER.test(bytes.toString('latin1', at + 1, at + 7));
        if (isPair) at += 6;
        saved += isPair ? 8 : 6 - escapedBytes(hex);
      } else if (character !== undefined && isSimpleEscape(String.fromCharCode(character))) saved += 1;
      else return -1;
    }
    return -1;
  }

  /** Whether such events are shown as they came. */
  get isShownAsItIs(): boolean {
    return this.shownParts === undefined;
  }

  /** Whether the event that matched last is shown in ASCII alone. */
  get isAsciiShown(): boolean {
    return this.isShownInAscii && !this.isBeyondAscii;
  }

  /** The event that matched last as it is shown, in latin1. @param bytes those that it matched in. */
  shownEvent(bytes: Buffer): string {
    const { shownParts = [] } = this;
    let shown = shownParts[0] ?? '';
    for (let index = 1; index < shownParts.length; index += 1) {
      shown += this.stringAt(bytes, index - 1) + (shownParts[index] ?? '');
    }
    return shown;
  }
}

const EMPTY = Buffer.alloc(0);
const IS_ASCII = /^[\0-\x7f]*$/;

/** Texts between the strings that change in an event as it is shown; none where it has not as many. */
function shownPartsOf(shownEvent: string, count: number): readonly string[] {
  // A copy, for the same reason.
  const event = Buffer.from(shownEvent, 'latin1').toString('latin1');
  const changing = changingStrings(event);
  if (changing.length !== count) return [];
  const parts: string[] = [];
  let from = 0;
  for (const { start, end } of changing) {
    parts.push(event.slice(from, start));
    from = end;
  }
  parts.push(event.slice(from));
  return parts;
}

/** The halves of a surrogate pair: together one character of four bytes, alone the three of U+FFFD. */
const SURROGATE_BEFORE = /^[dD][89abAB]/;
const SURROGATE_AFTER = /^\\u[dD][c-fC-F][0-9A-Fa-f]{2}$/;

/** UTF-8 bytes of the character that four hexadecimal digits stand for. */
function escapedBytes(hex: string): number {
  const code = Number.parseInt(hex, 16);
  if (code < 0x80) return 1;
  return code < 0x800 ? 2 : 3;
}
