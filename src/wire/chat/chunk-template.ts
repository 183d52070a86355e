import { isAscii } from 'node:buffer';
import { isDigit, isSimpleEscape } from '../../base/json-letters.js';
import { type ChangingString, changingStrings, MAX_DIGITS } from '../said-text.js';

/** The text of an event that was parsed. */
export interface LearntText {
  /** UTF-8 bytes of all words. */
  readonly size: number;
  readonly serviceTier: string | undefined;
}

/** Templates of one form kept at once: chunks of several choices and of tool calls take turns. */
const MAX_TEMPLATES = 6;

/** Templates of the text chunks in streams of one form, the latest first. */
export class ChunkForm {
  templates: readonly ChunkTemplate[] = [];

  add(template: ChunkTemplate): void {
    this.templates = [template, ...this.templates.slice(0, MAX_TEMPLATES - 1)];
  }

  /** Keeps a template that has served: those that are made for one call of a tool would push it out. */
  used(template: ChunkTemplate): void {
    if (this.templates.indexOf(template) < MAX_TEMPLATES / 2) return;
    this.templates = [template, ...this.templates.filter((one) => one !== template)];
  }
}

/** Most bytes of a template. */
const MAX_FIXED_BYTES = 4_096;

/** Forms kept at once: clients may name as many models as they like. */
const MAX_FORMS = 64;

/** Forms of streams by the model that is asked, and by what is shown of its chunks: one that was learnt in one stream serves the next. */
export class ChunkForms {
  private readonly forms = new Map<string, ChunkForm>();

  of(name: string): ChunkForm {
    const known = this.forms.get(name);
    if (known !== undefined) return known;
    const [oldest] = this.forms.keys();
    if (this.forms.size >= MAX_FORMS && oldest !== undefined) this.forms.delete(oldest);
    const form = new ChunkForm();
    this.forms.set(name, form);
    return form;
  }
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
  /** Whether there are escapes in them. */
  hasEscapes = false;
  /** The service tier that such events name. */
  readonly serviceTier: string | undefined;
  /** Whether more may change in such events than their words. */
  readonly isWide: boolean;
  private readonly parts: readonly Buffer[];
  private readonly fixedBytes: number;
  private readonly changing: readonly Pick<ChangingString, 'kind'>[];
  /** Begin and end of each changing string in the event that was read last. */
  private readonly places: number[];
  /** Place of the one string that bears words; -1 where several do: those that say the same count once. */
  private readonly wordsAt: number;
  /** Fixed parts of the event as it is shown, in latin1; `undefined` when it is shown as it came. */
  private readonly shownParts: readonly string[] | undefined;
  /** Fixed parts at the beginning that are shown as they came; never all of them. */
  private readonly sameParts: number;
  private readonly isFixedInAscii: boolean;
  /** Beginning of the event that was read last. */
  private matchedAt = 0;

  /**
   * Makes a template of an event.
   * @param event one event in latin1, JSON that says nothing but text.
   * @param shownEvent the same event as it is shown.
   * @param said its text, as parsing has found it.
   * @returns `undefined` when no later event could match, or when it would be counted otherwise than by parsing.
   */
  static learn(event: string, shownEvent: string, said: LearntText): ChunkTemplate | undefined {
    // An event of several lines need not be JSON.
    if (/[\r\n]/.test(event.trimEnd())) return undefined;
    const changing = changingStrings(event);
    const shown = event === shownEvent ? undefined : shownPartsOf(shownEvent, changing);
    if (!changing.some(({ kind }) => kind === 'words') || shown?.length === 0) return undefined;
    const bytes = Buffer.from(event, 'latin1');
    const template = new ChunkTemplate(bytes, changing, shown, said.serviceTier);
    if (template.fixedBytes > MAX_FIXED_BYTES) return undefined;
    // It must find the very words that parsing has found, or others of its form would be counted wrong.
    if (template.matchEvent(bytes, 0) !== bytes.length || template.textLength !== said.size) return undefined;
    return shown === undefined || template.shownEvent(bytes) === shownEvent ? template : undefined;
  }

  private constructor(
    bytes: Buffer,
    changing: readonly ChangingString[],
    shownParts: readonly string[] | undefined,
    serviceTier: string | undefined,
  ) {
    const from = [0, ...changing.map(({ end }) => end)];
    const to = [...changing.map(({ start }) => start), bytes.length];
    // Copies of their own, without the words: pieces of the read that the event came in would keep all of it alive.
    this.parts = from.map((start, index) => copyOf(bytes.subarray(start, to[index])));
    this.fixedBytes = this.parts.reduce((sum, { length }) => sum + length, 0);
    this.changing = changing;
    this.places = changing.flatMap(({ start, end }) => [start, end]);
    const words = changing.filter(({ kind }) => kind === 'words');
    this.wordsAt = words.length === 1 && words[0] !== undefined ? changing.indexOf(words[0]) : -1;
    this.isWide = this.wordsAt !== -1 && changing.length > 1;
    this.shownParts = shownParts;
    // Where the words alone change, the texts around them are there already.
    this.sameParts = changing.length === 1 ? 0 : sameAtBeginning(this.parts, shownParts);
    this.isFixedInAscii = shownParts === undefined ? this.parts.every(isAscii) : shownParts.every(isAsciiText);
    this.serviceTier = serviceTier;
  }

  /** End of the event that begins at `at`; -1 when the event does not match. */
  matchEvent(bytes: Buffer, at: number): number {
    const { parts, places } = this;
    this.textLength = 0;
    this.isBeyondAscii = false;
    this.hasEscapes = false;
    this.matchedAt = at;
    let from = at;
    for (let index = 0; index < parts.length; index += 1) {
      const part = parts[index] ?? EMPTY;
      const end = from + part.length;
      if (end > bytes.length || bytes.compare(part, 0, part.length, from, end) !== 0) return -1;
      if (index === parts.length - 1) return this.wordsAt !== -1 || this.differ(bytes) ? end : -1;
      const kind = this.changing[index]?.kind;
      from = kind === 'number' ? numberEnd(bytes, end) : this.stringEnd(bytes, end, kind === 'words');
      if (from === -1) return -1;
      places[2 * index] = end;
      places[2 * index + 1] = from;
    }
    return -1;
  }

  /** Whether the words of the event that matched last say something else each: several names may bear the same thoughts. */
  private differ(bytes: Buffer): boolean {
    const said = this.changing
      .map(({ kind }, index) => (kind === 'words' ? this.stringAt(bytes, index) : ''))
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
      this.hasEscapes = true;
      at += 1;
      const character = bytes[at];
      const hex = character === 0x75 ? bytes.toString('latin1', at + 1, at + 5) : '';
      if (hex !== '' && /^[0-9A-Fa-f]{4}$/.test(hex)) {
        at += 4;
        const isPair = SURROGATE_BEFORE.test(hex) && SURROGATE_AFTER.test(bytes.toString('latin1', at + 1, at + 7));
        if (isPair) at += 6;
        saved += isPair ? 8 : 6 - escapedBytes(hex);
      } else if (character !== undefined && isSimpleEscape(character)) saved += 1;
      else return -1;
    }
    return -1;
  }

  /** The words of the event that matched last, in ASCII; `undefined` where they are several, or written otherwise than they are meant. */
  wordsIn(bytes: Buffer): string | undefined {
    return this.wordsAt === -1 || this.isBeyondAscii || this.hasEscapes
      ? undefined
      : this.stringAt(bytes, this.wordsAt);
  }

  /** Whether such events are shown as they came. */
  get isShownAsItIs(): boolean {
    return this.shownParts === undefined;
  }

  /** Whether the event that matched last is shown in ASCII alone. */
  get isAsciiShown(): boolean {
    return this.isFixedInAscii && !this.isBeyondAscii;
  }

  /**
   * A template of the events that differ in their words alone from the one that matched last: as a rule all others of its stream.
   * It compares two parts, where this one, which is wide, looks at every part that changes from one stream to the next.
   * @param bytes those that it matched in. @param end the end of the event.
   * @returns the template, matched as this one is; `undefined` where it would not match.
   */
  narrowed(bytes: Buffer, end: number): ChunkTemplate | undefined {
    const { matchedAt, wordsAt, serviceTier } = this;
    const [start = 0, stop = 0] = this.places.slice(2 * wordsAt, 2 * wordsAt + 2);
    const words = { start: start - matchedAt, end: stop - matchedAt, kind: 'words' } as const;
    const shownParts = this.shownParts && [
      this.shownText(bytes, 0, wordsAt),
      this.shownText(bytes, wordsAt + 1, this.changing.length),
    ];
    const narrow = new ChunkTemplate(bytes.subarray(matchedAt, end), [words], shownParts?.map(flatOf), serviceTier);
    return narrow.matchEvent(bytes, matchedAt) === end ? narrow : undefined;
  }

  /** The fixed parts of what is shown from one to another, with the strings between them. */
  private shownText(bytes: Buffer, first: number, last: number): string {
    const { shownParts = [] } = this;
    let shown = shownParts[first] ?? '';
    for (let index = first + 1; index <= last; index += 1) {
      shown += this.stringAt(bytes, index - 1) + (shownParts[index] ?? '');
    }
    return shown;
  }

  /** The event that matched last as it is shown, in latin1. @param bytes those that it matched in. */
  shownEvent(bytes: Buffer): string {
    const { sameParts } = this;
    const rest = this.shownText(bytes, sameParts, this.changing.length);
    // What is the same before the first change is one text.
    return sameParts === 0 ? rest : bytes.toString('latin1', this.matchedAt, this.places[2 * sameParts - 1]) + rest;
  }
}

function sameAtBeginning(parts: readonly Buffer[], shownParts: readonly string[] = []): number {
  let same = 0;
  while (same < shownParts.length - 1 && parts[same]?.toString('latin1') === shownParts[same]) same += 1;
  return same;
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

const EMPTY = Buffer.alloc(0);

function isAsciiText(text: string): boolean {
  return Buffer.byteLength(text) === text.length;
}

/** Texts between the strings that change in an event as it is shown; none where it has not the same. */
function shownPartsOf(shownEvent: string, expected: readonly ChangingString[]): readonly string[] {
  const changing = changingStrings(shownEvent);
  const isSame = changing.length === expected.length && changing.every(({ kind }, at) => kind === expected[at]?.kind);
  if (!isSame) return [];
  const from = [0, ...changing.map(({ end }) => end)];
  const to = [...changing.map(({ start }) => start), shownEvent.length];
  return from.map((start, index) => flatOf(shownEvent.slice(start, to[index])));
}

/** A copy of its own of a text, in latin1: a part of another would keep all of that alive. */
function flatOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

/** End of the number that begins at `from`, of digits alone and not too many; -1 for any other. */
function numberEnd(bytes: Buffer, from: number): number {
  let at = from;
  while (isDigit(bytes[at] ?? 0)) at += 1;
  const digits = at - from;
  const isNumber = digits > 0 && digits <= MAX_DIGITS && (digits === 1 || bytes[from] !== ZERO);
  return isNumber ? at : -1;
}

const ZERO = 0x30;

/** The halves of a surrogate pair: together one character of four bytes, alone the three of U+FFFD. */
const SURROGATE_BEFORE = /^[dD][89abAB]/;
const SURROGATE_AFTER = /^\\u[dD][c-fC-F][0-9A-Fa-f]{2}$/;

/** UTF-8 bytes of the character that four hexadecimal digits stand for. */
function escapedBytes(hex: string): number {
  const code = Number.parseInt(hex, 16);
  if (code < 0x80) return 1;
  return code < 0x800 ? 2 : 3;
}
