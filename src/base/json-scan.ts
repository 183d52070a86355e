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
  /** Most `:` outside strings. */
  readonly maxKeys: number;
  /** Most `,` outside strings. */
  readonly maxItems: number;
  /**
   * Whether to refuse names that lead to a prototype and top-level names that stand twice, and to replace lone
   * surrogates, as for requests. An upstream's answer must pass as it came; of a name that stands twice the last
   * counts.
   */
  readonly strict: boolean;
}

/** The reason why a text is no document. `name`: the member that stands there twice. */
export type JsonRefusal =
  | { readonly kind: 'refused'; readonly reason: 'syntax' | 'not-an-object' | 'depth' | 'keys' | 'poisoned' }
  | { readonly kind: 'refused'; readonly reason: 'duplicate'; readonly name: string };

// Tokens that may come next.
const VALUE = 0;
const VALUE_OR_CLOSE = 1;
const NAME = 2;
const NAME_OR_CLOSE = 3;
const COLON = 4;
const COMMA_OR_CLOSE = 5;

/**
 * Walks over one object without recursion: checks JSON's grammar but for the insides of strings, counts depth, keys and
 * items, and notes the places of the top-level values. `JSON.parse` tells no offsets, and takes several times as long
 * where its table of names is not in the processor's cache.
 * @param text UTF-8 bytes in latin1, one character for each byte: faster to walk over than the bytes.
 */
export function scanTopLevel(text: string, bounds: JsonBounds): Members | JsonRefusal {
  const members = new Members();
  /** For each open container whether it is an object. */
  const open: boolean[] = [];
  let isObject = false;
  let next = VALUE;
  let keys = 0;
  let items = 0;
  let name = '';
  let valueStart = 0;
  let twice: JsonRefusal | undefined;

  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) continue;
    if (next === VALUE) {
      if (open.length === 1) valueStart = at;
      else if (open.length === 0) isObject = code === 0x7b;
    }
    switch (code) {
      case 0x22: {
        const quote = closingQuote(text, at + 1);
        if (quote === -1 || next > NAME_OR_CLOSE) return refused('syntax');
        if (next === NAME || next === NAME_OR_CLOSE) {
          if (open.length === 1) name = memberName(text.slice(at + 1, quote));
          next = COLON;
        } else next = COMMA_OR_CLOSE;
        at = quote;
        break;
      }
      case 0x3a: // :
        keys += 1;
        if (next !== COLON) return refused('syntax');
        if (keys > bounds.maxKeys) return refused('keys');
        next = VALUE;
        break;
      case 0x2c: // ,
        items += 1;
        if (next !== COMMA_OR_CLOSE || open.length === 0) return refused('syntax');
        if (items > bounds.maxItems) return refused('keys');
        next = open[open.length - 1] === true ? NAME : VALUE;
        break;
      case 0x7b: // {
      case 0x5b: // [
        if (next > VALUE_OR_CLOSE) return refused('syntax');
        open.push(code === 0x7b);
        if (open.length > bounds.maxDepth) return refused('depth');
        next = code === 0x7b ? NAME_OR_CLOSE : VALUE_OR_CLOSE;
        continue;
      case 0x7d: // }
      case 0x5d: // ]
        if (next !== COMMA_OR_CLOSE && next !== (code === 0x7d ? NAME_OR_CLOSE : VALUE_OR_CLOSE)) {
          return refused('syntax');
        }
        if (open.pop() !== (code === 0x7d)) return refused('syntax');
        next = COMMA_OR_CLOSE;
        break;
      default: {
        const end = scalarEnd(text, at);
        if (end === -1 || next > VALUE_OR_CLOSE) return refused('syntax');
        next = COMMA_OR_CLOSE;
        at = end - 1;
      }
    }
    if (next === COMMA_OR_CLOSE && open.length === 1 && isObject) {
      if (!members.add(name, valueStart, at + 1)) {
        twice = { kind: 'refused', reason: 'duplicate', name };
        if (bounds.strict) return twice;
      }
    }
  }
  if (open.length > 0 || next !== COMMA_OR_CLOSE) return refused('syntax');
  if (!isObject) return refused('not-an-object');
  return twice ?? members;
}

/** Offset after a number, `true`, `false` or `null`; -1 for anything else. */
function scalarEnd(text: string, start: number): number {
  // In its place: to cut out each of an answer's numbers takes 400 bytes.
  SCALAR.lastIndex = start;
  if (!SCALAR.test(text)) return -1;
  return SCALAR.lastIndex;
}

const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\da-zE.+-])/y;

/** Whether the insides of all strings are valid JSON, too, in a text that `scanTopLevel` accepted. */
export function hasGoodStrings(text: string): boolean {
  // Between tokens these are space; only the parser knows which are inside a string.
  if (SPACE_OR_STRING.test(text)) return parses(text);
  if (CONTROL.test(text)) return false;
  for (let at = text.indexOf('\\'); at !== -1; at = text.indexOf('\\', at)) {
    const isUnicode = text[at + 1] === 'u';
    if (isUnicode ? !/^[0-9A-Fa-f]{4}$/.test(text.slice(at + 2, at + 6)) : !isSimpleEscape(text[at + 1])) return false;
    at += isUnicode ? 6 : 2;
  }
  return true;
}

const SPACE_OR_STRING = /[\t\n\r]/;
const CONTROL = /[^ -\xff]/;

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Whether a character may follow a backslash; `u` has its own rule. */
export function isSimpleEscape(character: string | undefined): boolean {
  return character !== undefined && '"\\/bfnrt'.includes(character);
}

/** Offset of the quote that ends the string begun before `from`; -1 when there is none. */
export function closingQuote(text: string, from: number): number {
  let quote = text.indexOf('"', from);
  while (quote !== -1) {
    let slashes = 0;
    while (text.charCodeAt(quote - 1 - slashes) === 0x5c) slashes += 1;
    if (slashes % 2 === 0) return quote;
    quote = text.indexOf('"', quote + 1);
  }
  return -1;
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

export function refused(reason: 'syntax' | 'not-an-object' | 'depth' | 'keys' | 'poisoned'): JsonRefusal {
  return { kind: 'refused', reason };
}
