import { isDigit, isSimpleEscape } from './json-letters.js';

/** Offsets of bytes, `end` exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** One top-level member: its name, the place of its value, and the member after it. */
interface Member extends Span {
  readonly name: string;
  next: Member | undefined;
}

/** Above this number members are found by a `Map`. */
const FEW = 16;

/** Top-level members of an object in a row, each with the next: nine of them take 550 bytes, and 1,300 in a `Map`. */
export class Members {
  size = 0;
  /** Members and values of the whole text, at whatever depth. */
  keysWithin = 0;
  valuesWithin = 0;
  first: Member | undefined = undefined;
  private last: Member | undefined = undefined;
  private index: Map<string, Member> | undefined = undefined;

  /** The place of that member's value. */
  get(name: string): Span | undefined {
    if (this.index !== undefined) return this.index.get(name);
    let member = this.first;
    while (member !== undefined && member.name !== name) member = member.next;
    return member;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** @returns whether it is the first of its name; another one is not kept. */
  add(name: string, start: number, end: number): boolean {
    if (this.has(name)) return false;
    const member: Member = { name, start, end, next: undefined };
    if (this.last === undefined) this.first = member;
    else this.last.next = member;
    this.last = member;
    this.size += 1;
    if (this.index === undefined && this.size > FEW) this.index = this.indexed();
    else this.index?.set(name, member);
    return true;
  }

  private indexed(): Map<string, Member> {
    const index = new Map<string, Member>();
    for (let member = this.first; member !== undefined; member = member.next) index.set(member.name, member);
    return index;
  }
}

/** Bounds within which parsing cannot block the process (2 MB of `[` block `JSON.parse` for 1.5 s). */
export interface JsonBounds {
  readonly maxDepth: number;
  /** Most members of objects. */
  readonly maxKeys: number;
  /** Most values, of whatever kind: texts, numbers, lists and objects, those that stand in others included. */
  readonly maxValues: number;
  /** Most bytes of what is parsed. */
  readonly maxBytes: number;
  /**
   * Whether to refuse names that lead to a prototype and top-level names that stand twice, and to replace lone
   * surrogates, as for requests. An upstream's answer must pass as it came; of a name that stands twice the last
   * counts.
   */
  readonly strict: boolean;
}

type PlainReason = 'syntax' | 'not-an-object' | 'depth' | 'keys' | 'size' | 'poisoned';

/** The reason why a text is no document. `name`: the member that stands there twice. */
export type JsonRefusal =
  | { readonly kind: 'refused'; readonly reason: PlainReason }
  | { readonly kind: 'refused'; readonly reason: 'duplicate'; readonly name: string };

// Tokens that may come next.
const VALUE = 0;
const VALUE_OR_CLOSE = 1;
const NAME = 2;
const NAME_OR_CLOSE = 3;
const COLON = 4;
const COMMA_OR_CLOSE = 5;

/** Most top-level members of a text that is not parsed. */
const MAX_MEMBERS = 50_000;

/**
 * Walks over one object without recursion: checks JSON's grammar but for the insides of strings, counts depth, members and
 * values, and notes the places of the top-level values. `JSON.parse` tells no offsets, and takes several times as long
 * where its table of names is not in the processor's cache.
 * @param text UTF-8 bytes in latin1, one character for each byte: faster to walk over than the bytes.
 */
export function scanTopLevel(text: string, bounds: JsonBounds): Members | JsonRefusal {
  const scan = new TopLevelScan(text, bounds, false);
  scan.walk(text.length);
  return scan.result();
}

/** Walks over one object that nobody will parse: the insides of its strings are checked, too. */
export function scanWhole(text: string, bounds: JsonBounds): Members | JsonRefusal {
  const scan = new TopLevelScan(text, bounds, true);
  scan.walk(text.length);
  return scan.result();
}

/** The place in the text where a walk pauses. */
interface Pause {
  readonly at: number;
  readonly next: number;
  readonly depth: number;
  readonly open: number;
  readonly isObject: boolean;
  readonly name: string;
  readonly valueStart: number;
  readonly stringStart: number;
}

/** Longest token but for strings, with room to spare: a number has three runs of digits. */
const TOKEN_LENGTH = 16_384;

/** Containers whose kinds one number holds. */
const KINDS_PER_NUMBER = 30;

/** A walk over one object, in one go or in turns. */
export class TopLevelScan {
  /** The text that is walked over, or the part of it that begins at `base`. */
  private text: string;
  private base = 0;
  private bytes: Buffer | undefined = undefined;
  private length: number;
  private readonly bounds: JsonBounds;
  /** Whether the insides of strings are checked. Then nothing is parsed, and any number of values may pass. */
  private readonly isWhole: boolean;
  private readonly members = new Members();
  /** The kinds of the outer containers, where there are many: an array for each walk would take 200 bytes. */
  private outer: number[] | undefined = undefined;
  private pause: Pause | undefined = undefined;
  private refusal: JsonRefusal | undefined = undefined;

  constructor(text: string, bounds: JsonBounds, isWhole: boolean) {
    this.text = text;
    this.length = text.length;
    this.bounds = bounds;
    this.isWhole = isWhole;
  }

  /** A walk over bytes that nobody will parse, without a copy of all of them: `walk` reads no more than it walks over. */
  static ofBytes(bytes: Buffer, bounds: JsonBounds): TopLevelScan {
    const scan = new TopLevelScan('', bounds, true);
    scan.bytes = bytes;
    scan.length = bytes.length;
    return scan;
  }

  /** The members, once the walk is over, or the reason against the text. */
  result(): Members | JsonRefusal {
    return this.refusal ?? this.members;
  }

  /** Walks on, to about that offset. Returns whether the walk is over. */
  walk(until: number): boolean {
    const end = Math.min(until, this.length);
    if (this.bytes !== undefined) {
      this.base = this.pause?.at ?? 0;
      this.text = this.bytes.toString('latin1', this.base, Math.min(this.length, end + TOKEN_LENGTH));
    }
    return this.walked(end - this.base, this.pause);
  }

  /** The text between two offsets of the whole. */
  private textBetween(start: number, end: number): string {
    if (start >= this.base) return this.text.slice(start - this.base, end - this.base);
    return this.bytes?.toString('latin1', start, end) ?? '';
  }

  private end(refusal: JsonRefusal | undefined): true {
    this.refusal = refusal ?? this.refusal;
    return true;
  }

  private walked(until: number, pause: Pause | undefined): boolean {
    const { text, base, bounds, members, isWhole } = this;
    const maxValues = isWhole ? Number.POSITIVE_INFINITY : bounds.maxValues;
    const maxKeys = isWhole ? Number.POSITIVE_INFINITY : bounds.maxKeys;
    let at = pause === undefined ? 0 : pause.at - base;
    let next = pause === undefined ? VALUE : pause.next;
    let depth = pause === undefined ? 0 : pause.depth;
    /** A bit for each open container, the innermost last: whether it is an object. */
    let open = pause === undefined ? 0 : pause.open;
    let isObject = pause === undefined ? false : pause.isObject;
    let name = pause === undefined ? '' : pause.name;
    let valueStart = pause === undefined ? 0 : pause.valueStart;
    /** Where the string begins in which a turn ended; -1 between tokens. */
    let stringStart = pause === undefined ? -1 : pause.stringStart;
    let keys = members.keysWithin;
    let values = members.valuesWithin;

    for (; at < until; at += 1) {
      const code = stringStart === -1 ? text.charCodeAt(at) : 0x22;
      if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) continue;
      if (next === VALUE && stringStart === -1) {
        if (depth === 1) valueStart = base + at;
        else if (depth === 0) isObject = code === 0x7b;
      }
      switch (code) {
        case 0x22: {
          const from = stringStart === -1 ? at + 1 : at;
          if (stringStart === -1) stringStart = base + at;
          const quote = isWhole ? this.checkedQuote(from, until) : this.plainQuote(from, until);
          if (quote === -1 || next > NAME_OR_CLOSE) return this.end(refused('syntax'));
          if (quote >= until) {
            // The loop is over; the next turn goes on inside.
            at = quote - 1;
            continue;
          }
          if (next === NAME || next === NAME_OR_CLOSE) {
            if (depth === 1) name = memberName(this.textBetween(stringStart + 1, base + quote));
            next = COLON;
          } else {
            values += 1;
            next = COMMA_OR_CLOSE;
          }
          stringStart = -1;
          at = quote;
          break;
        }
        case 0x3a: // :
          keys += 1;
          if (next !== COLON) return this.end(refused('syntax'));
          if (keys > maxKeys) return this.end(refused('keys'));
          next = VALUE;
          break;
        case 0x2c: // ,
          if (next !== COMMA_OR_CLOSE || depth === 0) return this.end(refused('syntax'));
          next = (open & 1) === 1 ? NAME : VALUE;
          break;
        case 0x7b: // {
        case 0x5b: // [
          values += 1;
          if (next > VALUE_OR_CLOSE) return this.end(refused('syntax'));
          if (values > maxValues) return this.end(refused('keys'));
          if (depth > 0 && depth % KINDS_PER_NUMBER === 0) {
            this.outer ??= [];
            this.outer.push(open);
            open = 0;
          }
          open = (open << 1) | (code === 0x7b ? 1 : 0);
          depth += 1;
          if (depth > bounds.maxDepth) return this.end(refused('depth'));
          next = code === 0x7b ? NAME_OR_CLOSE : VALUE_OR_CLOSE;
          continue;
        case 0x7d: // }
        case 0x5d: // ]
          if (next !== COMMA_OR_CLOSE && next !== (code === 0x7d ? NAME_OR_CLOSE : VALUE_OR_CLOSE)) {
            return this.end(refused('syntax'));
          }
          if (depth === 0 || (open & 1) !== (code === 0x7d ? 1 : 0)) return this.end(refused('syntax'));
          open >>= 1;
          depth -= 1;
          if (depth > 0 && depth % KINDS_PER_NUMBER === 0) open = this.outer?.pop() ?? 0;
          next = COMMA_OR_CLOSE;
          break;
        default: {
          const end = scalarEnd(text, at);
          if (end === -1 || next > VALUE_OR_CLOSE) return this.end(refused('syntax'));
          values += 1;
          next = COMMA_OR_CLOSE;
          at = end - 1;
        }
      }
      if (next !== COMMA_OR_CLOSE) continue;
      if (values > maxValues) return this.end(refused('keys'));
      if (depth === 1 && isObject) {
        if (!members.add(name, valueStart, base + at + 1)) {
          this.refusal = { kind: 'refused', reason: 'duplicate', name };
          if (bounds.strict) return true;
        }
        if (members.size > MAX_MEMBERS) return this.end(refused('keys'));
      }
    }
    members.keysWithin = keys;
    members.valuesWithin = values;
    if (base + at < this.length) {
      this.pause = { at: base + at, next, depth, open, isObject, name, valueStart, stringStart };
      return false;
    }
    if (depth > 0 || next !== COMMA_OR_CLOSE) return this.end(refused('syntax'));
    return this.end(isObject ? undefined : refused('not-an-object'));
  }

  /** Offset of the quote that ends the string; at least `until` when it may come later, -1 when there is none. */
  private plainQuote(from: number, until: number): number {
    const { text } = this;
    let quote = text.indexOf('"', from);
    while (quote !== -1 && quote < until && isEscaped(text, quote)) quote = text.indexOf('"', quote + 1);
    return quote;
  }

  /** The same for a string whose inside must be valid JSON. */
  private checkedQuote(from: number, until: number): number {
    const { text } = this;
    let at = from;
    for (; at < until; at += 1) {
      const code = text.charCodeAt(at);
      if (code === 0x22) return at;
      if (code < 0x20) return -1;
      if (code !== 0x5c) continue;
      at += 1;
      if (text.charCodeAt(at) !== 0x75) {
        if (!isSimpleEscape(text.charCodeAt(at))) return -1;
      } else {
        if (!areHex(text, at + 1)) return -1;
        at += 4;
      }
    }
    return at < text.length ? at : -1;
  }
}

/** Longest number that is read: to look for the end of one of megabytes would take long. */
const MAX_NUMBER_LENGTH = 4_096;
const WORD = /true|false|null/y;

/** Offset after a number, `true`, `false` or `null`; -1 for anything else. Text that goes on behind it is found as the next token. */
function scalarEnd(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === 0x2d || isDigit(first)) return numberEnd(text, start);
  // In its place: to cut out each of an answer's words takes 400 bytes.
  WORD.lastIndex = start;
  return WORD.test(text) ? WORD.lastIndex : -1;
}

function numberEnd(text: string, start: number): number {
  let at = text.charCodeAt(start) === 0x2d ? start + 1 : start;
  const first = at;
  at = digitsEnd(text, at);
  if (at === first || (text.charCodeAt(first) === 0x30 && at > first + 1)) return -1;
  if (text.charCodeAt(at) === 0x2e) {
    const fraction = at + 1;
    at = digitsEnd(text, fraction);
    if (at === fraction) return -1;
  }
  if ((text.charCodeAt(at) | 0x20) === 0x65) {
    const sign = text.charCodeAt(at + 1);
    const exponent = sign === 0x2b || sign === 0x2d ? at + 2 : at + 1;
    at = digitsEnd(text, exponent);
    if (at === exponent) return -1;
  }
  return at;
}

/** Offset after the digits that begin there; none are seen behind the longest number. */
function digitsEnd(text: string, from: number): number {
  const most = from + MAX_NUMBER_LENGTH;
  let at = from;
  while (at < most && isDigit(text.charCodeAt(at))) at += 1;
  return at;
}

/** Whether four hexadecimal digits begin there. */
function areHex(text: string, from: number): boolean {
  for (let at = from; at < from + 4; at += 1) {
    const code = text.charCodeAt(at);
    if (!isDigit(code) && !((code | 0x20) >= 0x61 && (code | 0x20) <= 0x66)) return false;
  }
  return true;
}

/** Offset of the quote that ends the string begun before `from`; -1 when there is none. */
export function closingQuote(text: string, from: number): number {
  let quote = text.indexOf('"', from);
  while (quote !== -1 && isEscaped(text, quote)) quote = text.indexOf('"', quote + 1);
  return quote;
}

/** Whether an odd number of backslashes stands before. */
function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes += 1;
  return slashes % 2 === 1;
}

/** Longest slice that V8 copies: a longer one keeps its whole text alive. */
const COPIED_CHARS = 12;
// Out here, as each run of a literal makes a new object.
const PLAIN = /^[ -[\]-~]*$/;

/** Reads a member's name, as a copy. Escapes and characters beyond ASCII are decoded. */
function memberName(inner: string): string {
  if (PLAIN.test(inner)) {
    if (inner.length <= COPIED_CHARS) return inner;
    if (inner.length <= 2 * COPIED_CHARS) return inner.slice(0, COPIED_CHARS) + inner.slice(COPIED_CHARS);
  }
  try {
    return String(JSON.parse(Buffer.from(`"${inner}"`, 'latin1').toString('utf8')));
  } catch {
    return inner;
  }
}

/** Number of members in a JSON text, those whose names stand twice included. */
export function membersIn(bytes: Buffer, { start, end }: Span): number {
  let members = 0;
  let isInText = false;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at];
    if (byte === 0x22) isInText = !isInText;
    else if (byte === 0x5c) at += 1;
    else if (byte === 0x3a && !isInText) members += 1;
  }
  return members;
}

export function refused(reason: PlainReason): JsonRefusal {
  return { kind: 'refused', reason };
}
