import {
  Framing,
  fieldsEnd,
  type Http1Head,
  MAX_HEAD_BYTES,
  NAME_CHARS,
  readHead,
  VALUE_CHARS,
} from './answer-head.js';

/** Receiver of the parts of an answer as they are read. */
export interface AnswerParts {
  onHead(head: Http1Head): void;
  /** Bytes of the body, once for each read; good until this returns. */
  onBody(piece: Buffer): void;
}

type State =
  | 'head'
  | 'length'
  | 'untilClose'
  | 'sizeStart'
  | 'size'
  | 'extensionStart'
  | 'extension'
  | 'extensionValueStart'
  | 'extensionValue'
  | 'extensionQuoted'
  | 'extensionEscaped'
  | 'extensionQuotedEnd'
  | 'sizeEnd'
  | 'data'
  | 'dataCr'
  | 'dataLf'
  | 'trailers'
  | 'over';

/** Most bytes of the line before a chunk, with its extensions. */
const MAX_CHUNK_LINE_BYTES = 256;
/** Most digits of a chunk's size. */
const MAX_SIZE_DIGITS = 12;

const LF = 0x0a;
const CR = 0x0d;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const NO_BYTES = Buffer.alloc(0);

/**
 * A parser of answers, one after the other, that are read from one connection. It is as strict as can be, takes time in proportion
 * to the bytes, however they are split, and keeps no more of them than a head.
 */
export class AnswerParser {
  private readonly parts: AnswerParts;
  private state: State = 'over';
  private isHeadAsked = false;
  /** Bytes of a head or of trailers whose end has not come. */
  private held: Buffer = NO_BYTES;
  private heldSize = 0;
  /** Bytes of heads that are over, those of 1xx. */
  private interimSize = 0;
  /** The part of the empty line that ends the held head which has come. */
  private endMatched = 0;
  /** Bytes of the body, or of the chunk, that are to come. */
  private remaining = 0;
  private digits = 0;
  private lineSize = 0;

  constructor(parts: AnswerParts) {
    this.parts = parts;
  }

  /** Whether the answer that was begun has ended. */
  get isOver(): boolean {
    return this.state === 'over';
  }

  /** Expects the next answer. */
  begin(method: string): void {
    this.state = 'head';
    this.isHeadAsked = method === 'HEAD';
    this.interimSize = 0;
  }

  /**
   * Reads on; the bytes of chunks are moved together in their place.
   * @returns The number of bytes read, which is less than `size` only where the answer has ended before, or the reason for which
   * they are refused.
   */
  read(bytes: Buffer, size: number): number | string {
    let at = 0;
    while (this.state === 'head') {
      if (at === size) return at;
      const read = this.readHead(bytes, at, size);
      if (typeof read === 'string') return read;
      at = read;
    }
    switch (this.state) {
      case 'over':
        return at;
      case 'length':
        return this.readLength(bytes, at, size);
      case 'untilClose':
        if (at < size) this.parts.onBody(bytes.subarray(at, size));
        return size;
      default:
        return this.readChunks(bytes, at, size);
    }
  }

  /** Tells that nothing more comes. @returns whether that is a proper end of the answer. */
  end(): boolean {
    const isProper = this.state === 'untilClose' || this.state === 'over';
    this.state = 'over';
    return isProper;
  }

  private readHead(bytes: Buffer, from: number, size: number): number | string {
    if (this.heldSize === 0) {
      // As a rule a head comes in one read.
      const head = readHead(bytes, from, size);
      if (typeof head === 'string') return head;
      if (head !== undefined) return this.takeHead(head, from + head.size);
    }
    const at = this.hold(bytes, from, size);
    if (typeof at === 'string' || this.endMatched < 4) return at;
    const head = readHead(this.held, 0, this.heldSize);
    this.letGo();
    return typeof head === 'object' ? this.takeHead(head, at) : (head ?? 'no head');
  }

  private takeHead(head: Http1Head, at: number): number | string {
    const { status, framing } = head;
    this.interimSize += head.size;
    if (this.interimSize > MAX_HEAD_BYTES) return 'too large a head';
    if (status === 101) return 'another protocol';
    if (status < 200) return framing.closes ? 'an interim answer that closes' : at;
    this.remaining = framing.contentLength ?? 0;
    const isBare = this.isHeadAsked || status === 204 || status === 304 || framing.contentLength === 0;
    if (isBare) this.state = 'over';
    else if (framing.isChunked) this.beginLine();
    else this.state = framing.contentLength === undefined ? 'untilClose' : 'length';
    this.parts.onHead(head);
    return at;
  }

  /** Keeps bytes of a head or of trailers, up to the end of their empty line. @returns the place after them, or why they are refused. */
  private hold(bytes: Buffer, from: number, size: number): number | string {
    let at = from;
    while (at < size && this.endMatched < 4) {
      const byte = bytes[at];
      const expectsLf = this.endMatched % 2 === 1;
      if (expectsLf !== (byte === LF)) return 'a bare CR or LF';
      if (expectsLf || byte === CR) this.endMatched += 1;
      else this.endMatched = 0;
      at += 1;
    }
    const needed = this.heldSize + at - from;
    if (needed + this.interimSize > MAX_HEAD_BYTES) return 'too large a head';
    if (needed > this.held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(MAX_HEAD_BYTES, Math.max(1_024, 2 * needed)));
      this.held.copy(larger, 0, 0, this.heldSize);
      this.held = larger;
    }
    bytes.copy(this.held, this.heldSize, from, at);
    this.heldSize = needed;
    return at;
  }

  private letGo(): void {
    this.held = NO_BYTES;
    this.heldSize = 0;
    this.endMatched = 0;
  }

  private readLength(bytes: Buffer, from: number, size: number): number {
    const to = Math.min(size, from + this.remaining);
    this.remaining -= to - from;
    if (this.remaining === 0) this.state = 'over';
    if (to > from) this.parts.onBody(bytes.subarray(from, to));
    return to;
  }

  private readChunks(bytes: Buffer, from: number, size: number): number | string {
    let at = from;
    let start = from;
    let end = from;
    let refused: string | undefined;
    while (at < size && refused === undefined && this.state !== 'over') {
      if (this.state === 'data') {
        const to = Math.min(size, at + this.remaining);
        if (start === end) {
          start = at;
          end = to;
        } else {
          bytes.copyWithin(end, at, to);
          end += to - at;
        }
        this.remaining -= to - at;
        at = to;
        if (this.remaining > 0) continue;
        if (at + 1 < size && bytes[at] === CR && bytes[at + 1] === LF) {
          at += 2;
          this.beginLine();
        } else this.state = 'dataCr';
      } else if (this.state === 'trailers') {
        const read = this.readTrailers(bytes, at, size);
        if (typeof read === 'string') refused = read;
        else at = read;
      } else {
        const lineEnd = this.state === 'sizeStart' ? this.readPlainLine(bytes, at, size) : at;
        if (lineEnd === at) refused = this.readFramingByte(bytes[at] ?? 0);
        at = Math.max(lineEnd, at + 1);
      }
    }
    if (end > start) this.parts.onBody(bytes.subarray(start, end));
    return refused ?? at;
  }

  /** Expects the line that tells the size of a chunk. */
  private beginLine(): void {
    this.state = 'sizeStart';
    this.digits = 0;
    this.lineSize = 0;
    this.remaining = 0;
  }

  /** Reads the line of a chunk as almost all come: whole, and a size alone. @returns the place after it; `from` for any other. */
  private readPlainLine(bytes: Buffer, from: number, size: number): number {
    let at = from;
    let length = 0;
    for (; at < size && at - from <= MAX_SIZE_DIGITS; at += 1) {
      const digit = hexDigit(bytes[at] ?? 0);
      if (digit < 0) break;
      length = length * 16 + digit;
    }
    // The last one, of size 0, is left to the states as well: what follows it is no data.
    if (length === 0 || at - from > MAX_SIZE_DIGITS) return from;
    if (at + 1 >= size || bytes[at] !== CR || bytes[at + 1] !== LF) return from;
    this.remaining = length;
    this.state = 'data';
    return at + 2;
  }

  private readFramingByte(byte: number): string | undefined {
    if (this.state === 'dataCr' || this.state === 'dataLf') {
      if (byte !== (this.state === 'dataCr' ? CR : LF)) return 'a chunk without its end';
      if (this.state === 'dataCr') this.state = 'dataLf';
      else this.beginLine();
      return undefined;
    }
    this.lineSize += 1;
    if (this.lineSize > MAX_CHUNK_LINE_BYTES) return 'too large an extension of a chunk';
    if (this.state === 'sizeEnd') return this.endLine(byte);
    return this.state === 'sizeStart' || this.state === 'size' ? this.readSize(byte) : this.readExtension(byte);
  }

  private endLine(byte: number): string | undefined {
    if (byte !== LF) return 'a bare CR';
    if (this.remaining > 0) {
      this.state = 'data';
      return undefined;
    }
    this.state = 'trailers';
    // The end of the last chunk's line and an empty line end the answer, as they end a head.
    this.endMatched = 2;
    return undefined;
  }

  private readSize(byte: number): string | undefined {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.digits += 1;
      if (this.digits > MAX_SIZE_DIGITS) return 'too large a chunk';
      this.remaining = this.remaining * 16 + digit;
      this.state = 'size';
      return undefined;
    }
    if (this.state === 'sizeStart') return 'a bad chunk size';
    if (byte === CR) this.state = 'sizeEnd';
    else if (byte === SEMICOLON) this.state = 'extensionStart';
    else return 'a bad chunk size';
    return undefined;
  }

  /** Reads an extension: `;name`, `;name=value` of characters that a name may have, or `;name="value"` of any that a field may have. */
  private readExtension(byte: number): string | undefined {
    const { state } = this;
    if (state === 'extensionQuoted' || state === 'extensionEscaped') return this.readQuoted(byte);
    const isValue = state === 'extensionValueStart' || state === 'extensionValue';
    if (NAME_CHARS[byte] === 1 && state !== 'extensionQuotedEnd') {
      this.state = isValue ? 'extensionValue' : 'extension';
      return undefined;
    }
    if (byte === QUOTE && state === 'extensionValueStart') {
      this.state = 'extensionQuoted';
      return undefined;
    }
    if (state === 'extensionStart' || state === 'extensionValueStart') return 'a bad extension of a chunk';
    if (byte === CR) this.state = 'sizeEnd';
    else if (byte === SEMICOLON) this.state = 'extensionStart';
    else if (byte === EQUALS && state === 'extension') this.state = 'extensionValueStart';
    else return 'a bad extension of a chunk';
    return undefined;
  }

  /** Reads a quoted string (RFC 9110, 5.6.4). No end of a line is in it, so that who ignores the quotes sees the line end at the same place. */
  private readQuoted(byte: number): string | undefined {
    if (VALUE_CHARS[byte] !== 1) return 'a bad extension of a chunk';
    if (this.state === 'extensionEscaped') this.state = 'extensionQuoted';
    else if (byte === BACKSLASH) this.state = 'extensionEscaped';
    else if (byte === QUOTE) this.state = 'extensionQuotedEnd';
    return undefined;
  }

  /** Reads trailers, which nobody uses; they must be as clean as a head. */
  private readTrailers(bytes: Buffer, from: number, size: number): number | string {
    this.interimSize = 0;
    const at = this.hold(bytes, from, size);
    if (typeof at === 'string' || this.endMatched < 4) return at;
    const framing = new Framing();
    const end = fieldsEnd(this.held, 0, this.heldSize, framing);
    const { heldSize } = this;
    this.letGo();
    if (end !== heldSize) return typeof end === 'string' ? end : 'bad trailers';
    if (framing.isChunked || framing.contentLength !== undefined) return 'trailers about framing';
    this.state = 'over';
    return at;
  }
}

/** The value of a hexadecimal digit; -1 for any other character. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
