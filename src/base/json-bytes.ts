import { isDigit, isSimpleEscape, spelledUnit } from './json-letters.js';
import { TextEnds } from './text-ends.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;

/** The offset that stands for bytes which are no plain JSON. */
export const ODD = -1;

/**
 * Reads over the tokens of JSON in its bytes, without making anything of them. Whatever is rare counts as odd: whoever meets it
 * parses the bytes instead.
 */
export class JsonBytes {
  /** Offset of the next byte to be read. */
  at = 0;
  /** Bytes that the latest text has in UTF-8, once its escapes are decoded. */
  textSize = 0;
  readonly bytes: Buffer;
  private readonly ends: TextEnds;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.ends = new TextEnds(bytes);
  }

  /** Skips space. Returns the byte that comes next, which is not taken; `ODD` at the end. */
  peek(): number {
    const { bytes } = this;
    let { at } = this;
    while (at < bytes.length) {
      const byte = bytes[at] ?? 0;
      if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) {
        this.at = at;
        return byte;
      }
      at += 1;
    }
    this.at = at;
    return ODD;
  }

  /** Takes the text that begins here. Returns whether it is valid and of whole surrogate pairs; `textSize` tells its size. */
  takeText(): boolean {
    const { bytes, ends } = this;
    const start = this.at + 1;
    let at = start;
    /** Bytes that escapes take beyond those that they mean. */
    let saved = 0;
    ends.escapes = 0;
    for (;;) {
      at = ends.after(at);
      const byte = at < bytes.length ? bytes[at] : ODD;
      if (byte === QUOTE) {
        this.at = at + 1;
        this.textSize = at - start - saved - ends.escapes;
        return true;
      }
      if (byte !== BACKSLASH) return false;
      const found = escapeAt(bytes, at);
      if (found === ODD) return false;
      saved += found & 0xf;
      at += found >> 4;
    }
  }

  /** Takes a number, `true`, `false` or `null`. Returns whether there is one. */
  takeScalar(first: number): boolean {
    if (first === 0x2d || isDigit(first)) return this.takeNumber(first);
    const word = first === 0x74 ? 'true' : first === 0x66 ? 'false' : 'null';
    for (let index = 0; index < word.length; index += 1) {
      if (this.bytes[this.at + index] !== word.charCodeAt(index)) return false;
    }
    this.at += word.length;
    return true;
  }

  private takeNumber(sign: number): boolean {
    const { bytes } = this;
    const start = this.at;
    const first = sign === 0x2d ? start + 1 : start;
    let at = this.digitsEnd(first);
    if (at === first || (bytes[first] === 0x30 && at > first + 1)) return false;
    if (bytes[at] === 0x2e) {
      const fraction = at + 1;
      at = this.digitsEnd(fraction);
      if (at === fraction) return false;
    }
    const letter = bytes[at];
    if (letter === 0x65 || letter === 0x45) {
      const next = bytes[at + 1];
      const exponent = next === 0x2b || next === 0x2d ? at + 2 : at + 1;
      at = this.digitsEnd(exponent);
      if (at === exponent) return false;
    }
    this.at = at;
    return at - start <= MAX_NUMBER_LENGTH;
  }

  private digitsEnd(from: number): number {
    const { bytes } = this;
    let at = from;
    while (at < bytes.length && isDigit(bytes[at] ?? 0)) at += 1;
    return at;
  }
}

/** Longest number that counts as plain. */
const MAX_NUMBER_LENGTH = 64;

/**
 * The escape that begins there: 16 times the bytes that it takes, and those that it takes beyond the UTF-8 which it means. `ODD`
 * for half a surrogate pair, and for what is no escape.
 */
function escapeAt(bytes: Buffer, at: number): number {
  const letter = bytes[at + 1] ?? 0;
  if (letter !== LETTER_U) return isSimpleEscape(letter) ? 0x21 : ODD;
  const unit = spelledUnit(bytes, at + 2);
  if (unit < 0xd800 || unit >= 0xe000) return unit < 0 ? ODD : unit < 0x80 ? 0x65 : unit < 0x800 ? 0x64 : 0x63;
  if (unit >= 0xdc00 || bytes[at + 6] !== BACKSLASH || bytes[at + 7] !== LETTER_U) return ODD;
  const low = spelledUnit(bytes, at + 8);
  return low >= 0xdc00 && low < 0xe000 ? 0xc8 : ODD;
}
