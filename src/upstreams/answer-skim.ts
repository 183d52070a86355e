import { isUtf8 } from 'node:buffer';
import { isTextAt } from '../base/bytes.js';
import type { JsonDocument } from '../base/json-document.js';
import { Members } from '../base/json-scan.js';
import { TextEnds } from '../base/text-ends.js';
import { hashed, KnownTexts } from '../wire/known-texts.js';

/** Kinds of bytes outside strings; 0 for those that stand nowhere else. */
const SPACE = 1;
const NUMBER = 2;
const WORD = 3;
const QUOTE = 4;
const COLON = 5;
const COMMA = 6;
const OPENING_BRACE = 7;
const OPENING_BRACKET = 8;
const CLOSING_BRACE = 9;
const CLOSING_BRACKET = 10;

const KINDS = kindsOf([
  [SPACE, ' \t\r\n'],
  [NUMBER, '-+.0123456789eE'],
  [WORD, 'tfn'],
  [QUOTE, '"'],
  [COLON, ':'],
  [COMMA, ','],
  [OPENING_BRACE, '{'],
  [OPENING_BRACKET, '['],
  [CLOSING_BRACE, '}'],
  [CLOSING_BRACKET, ']'],
]);

function kindsOf(kinds: readonly (readonly [kind: number, bytes: string])[]): Uint8Array {
  const table = new Uint8Array(256);
  for (const [kind, bytes] of kinds) for (const byte of Buffer.from(bytes)) table[byte] = kind;
  return table;
}

// Tokens that may come next.
const VALUE = 0;
const VALUE_OR_CLOSE = 1;
const NAME = 2;
const NAME_OR_CLOSE = 3;
const NAME_END = 4;
const COMMA_OR_CLOSE = 5;

const QUOTE_BYTE = 0x22;
const COLON_BYTE = 0x3a;
const BACKSLASH = 0x5c;

/** Containers whose kinds one number holds; no good answer is deeper. */
const MAX_DEPTH = 30;
/** Bytes of a number; no good one is longer. */
const MAX_NUMBER = 1_024;
/** Members of the top level; no good answer has more. */
const MAX_NAMES = 32;
/** Names of the top level: of what is read where it is there, of the answer itself, and of an error. */
const IS_READ = 1;
const IS_ANSWER = 2;
const IS_ERROR = 4;
const NAMES = new KnownTexts(
  new Map([
    ...(['usage', 'model', 'service_tier'] as const).map((name) => [name, IS_READ] as const),
    ...(['choices', 'data'] as const).map((name) => [name, IS_ANSWER] as const),
    ['error', IS_ERROR] as const,
  ]),
);

const WORDS = ['null', 'true', 'false'];
const KNOWN_REASONS = ['null', '"stop"', '"length"', '"tool_calls"', '"content_filter"', '"function_call"'];

/**
 * A look at a whole answer that finds the few members that are acted on, and whether there is anything else to act on: then it
 * is odd, and must be read as `scanDocument` does. Only the insides of strings and the forms of numbers go unchecked:
 * whatever a model says stands inside a string, and cannot end it. Takes half of what reading takes where answers are
 * small, and a thirtieth where they are long texts; and makes no copy.
 */
export class AnswerSkim implements JsonDocument {
  readonly bytes: Buffer;
  /** The members that are acted on; of others nobody takes note. */
  readonly members = new Members();
  private readonly answerMember: string;
  // The place of a pause.
  private at = 0;
  private next = VALUE;
  private depth = 0;
  /** A bit for each open container, the innermost last: whether it is an object. */
  private open = 0;
  private stringStart = -1;
  /** The member of the top level that the walk is in: where its name and its value begin. */
  private nameStart = 0;
  private nameEnd = 0;
  private valueStart = 0;
  /** Those of the names of the top level so far. */
  private readonly hashes: number[] = [];
  private readonly ends: TextEnds;

  constructor(bytes: Buffer, answerMember: string) {
    this.bytes = bytes;
    this.ends = new TextEnds(bytes);
    this.answerMember = answerMember;
  }

  /** Walks on, to about that offset. `odd`: the answer must be read. */
  walk(until: number): 'odd' | 'paused' | 'plain' {
    const { bytes } = this;
    const end = Math.min(until, bytes.length);
    let { at, next, depth, open, stringStart } = this;
    for (; at < end; at += 1) {
      const kind = stringStart === -1 ? KINDS[bytes[at] ?? 0] : QUOTE;
      switch (kind) {
        case SPACE:
          continue;
        case QUOTE: {
          if (next > NAME_OR_CLOSE) return 'odd';
          const from = stringStart === -1 ? at + 1 : at;
          if (stringStart === -1) stringStart = at;
          if (depth === 1 && next === VALUE && from === at + 1) this.valueStart = at;
          const quote = this.closingQuote(from, end);
          if (quote < 0) {
            // The next turn goes on inside.
            at = ~quote - 1;
            continue;
          }
          if (depth > 1 && isOdd(bytes, stringStart + 1, quote)) return 'odd';
          if (next === NAME || next === NAME_OR_CLOSE) {
            if (depth === 1) {
              this.nameStart = stringStart + 1;
              this.nameEnd = quote;
            }
            next = NAME_END;
          } else next = COMMA_OR_CLOSE;
          stringStart = -1;
          at = quote;
          break;
        }
        case COLON:
          if (next !== NAME_END) return 'odd';
          next = VALUE;
          continue;
        case COMMA:
          if (next !== COMMA_OR_CLOSE || depth === 0) return 'odd';
          next = (open & 1) === 1 ? NAME : VALUE;
          continue;
        case OPENING_BRACE:
        case OPENING_BRACKET:
          if (next > VALUE_OR_CLOSE || depth === MAX_DEPTH) return 'odd';
          if (depth === 0 && kind === OPENING_BRACKET) return 'odd';
          if (depth === 1) this.valueStart = at;
          depth += 1;
          open = (open << 1) | (kind === OPENING_BRACE ? 1 : 0);
          next = kind === OPENING_BRACE ? NAME_OR_CLOSE : VALUE_OR_CLOSE;
          continue;
        case CLOSING_BRACE:
        case CLOSING_BRACKET: {
          const isBrace = kind === CLOSING_BRACE;
          if (next !== COMMA_OR_CLOSE && next !== (isBrace ? NAME_OR_CLOSE : VALUE_OR_CLOSE)) return 'odd';
          if (depth === 0 || (open & 1) !== (isBrace ? 1 : 0)) return 'odd';
          depth -= 1;
          open >>= 1;
          next = COMMA_OR_CLOSE;
          break;
        }
        case NUMBER:
        case WORD: {
          if (next > VALUE_OR_CLOSE || depth === 0) return 'odd';
          if (depth === 1) this.valueStart = at;
          const last = kind === WORD ? lastOfWord(bytes, at) : lastOfNumber(bytes, at);
          if (last === -1) return 'odd';
          next = COMMA_OR_CLOSE;
          at = last;
          break;
        }
        default:
          return 'odd';
      }
      if (depth === 1 && next === COMMA_OR_CLOSE && !this.takeMember(at + 1)) return 'odd';
    }
    if (at >= bytes.length) return depth === 0 && next === COMMA_OR_CLOSE && isUtf8(bytes) ? 'plain' : 'odd';
    this.at = at;
    this.next = next;
    this.depth = depth;
    this.open = open;
    this.stringStart = stringStart;
    return 'paused';
  }

  /** Offset of the quote that ends the string; where it comes after `end`, the complement of the offset to go on from. */
  private closingQuote(from: number, end: number): number {
    const { bytes, ends } = this;
    let at = from;
    while (at < end) {
      at = ends.after(at);
      const byte = bytes[at];
      if (byte === QUOTE_BYTE) return at;
      at += byte === BACKSLASH ? 2 : 1;
    }
    return ~at;
  }

  /** Takes a member of the top level. Returns whether it is what it should be, and the only one of its name. */
  private takeMember(end: number): boolean {
    const { bytes, members, nameStart: from, nameEnd: to, valueStart: start } = this;
    let hash = 0;
    for (let at = from; at < to; at += 1) {
      const byte = bytes[at] ?? 0;
      // A name that is spelt with escapes may be any.
      if (byte === BACKSLASH) return false;
      hash = hashed(hash, byte);
    }
    if (this.stoodBefore(hash)) return false;
    const known = NAMES.find(hash, bytes, from, to);
    if (known === undefined) return true;
    if (known.flags === IS_ERROR) return isTextAt(bytes, start, end, 'null');
    if (known.flags === IS_READ) members.add(known.text, start, end);
    if (known.text !== this.answerMember) return true;
    members.add(known.text, start, end);
    return KINDS[bytes[start] ?? 0] === OPENING_BRACKET;
  }

  /** Whether a name of that hash stood there before, or there are more names than are looked through. */
  private stoodBefore(hash: number): boolean {
    const { hashes } = this;
    for (let at = 0; at < hashes.length; at += 1) if (hashes[at] === hash) return true;
    hashes.push(hash);
    return hashes.length > MAX_NAMES;
  }
}

/** Offset of the last byte of a number, whatever its form; -1 for one that is too long. */
function lastOfNumber(bytes: Buffer, start: number): number {
  const most = start + MAX_NUMBER;
  let at = start;
  while (at < most && KINDS[bytes[at + 1] ?? 0] === NUMBER) at += 1;
  return at < most ? at : -1;
}

/** Offset of the last letter of `true`, `false` or `null`; -1 for any other word. */
function lastOfWord(bytes: Buffer, start: number): number {
  for (const word of WORDS) if (isTextAt(bytes, start, start + word.length, word)) return start + word.length - 1;
  return -1;
}

/** Whether a string within the answer may be the name of an error, or of a finish reason of another vendor. */
function isOdd(bytes: Buffer, from: number, to: number): boolean {
  if (isTextAt(bytes, from, to, 'error')) return true;
  if (!isTextAt(bytes, from, to, 'finish_reason')) return false;
  let at = to + 1;
  while (bytes[at] === COLON_BYTE || KINDS[bytes[at] ?? 0] === SPACE) at += 1;
  return !isKnownReason(bytes, at);
}

/** Whether a finish reason of OpenAI's begins there. */
export function isKnownReason(bytes: Buffer, start: number): boolean {
  for (const known of KNOWN_REASONS) if (isTextAt(bytes, start, start + known.length, known)) return true;
  return false;
}
