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

type State = 'head' | 'length' | 'untilClose' | 'chunkLine' | 'chunk' | 'chunkEnd' | 'trailers' | 'over';

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
  /** Bytes of a head, of a chunk's line or of trailers whose end has not come. */
  private held: Buffer = NO_BYTES;
  private heldSize = 0;
  /** Bytes of heads that are over, those of 1xx. */
  private interimSize = 0;
  /** The part that has come of what ends the held head, or a chunk: CR and LF, twice or once. */
  private endMatched = 0;
  /** Bytes of the body, or of the chunk, that are to come. */
  private remaining = 0;

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
    else if (framing.isChunked) this.state = 'chunkLine';
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
    if (this.heldSize + at - from + this.interimSize > MAX_HEAD_BYTES) return 'too large a head';
    this.keep(bytes, from, at);
    return at;
  }

  private keep(bytes: Buffer, from: number, to: number): void {
    const needed = this.heldSize + to - from;
    if (needed > this.held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(MAX_HEAD_BYTES, Math.max(1_024, 2 * needed)));
      this.held.copy(larger, 0, 0, this.heldSize);
      this.held = larger;
    }
    bytes.copy(this.held, this.heldSize, from, to);
    this.heldSize = needed;
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
      let read: number | string;
      if (this.state === 'chunk') {
        const to = Math.min(size, at + this.remaining);
        if (start === end) {
          start = at;
          end = to;
        } else {
          bytes.copyWithin(end, at, to);
          end += to - at;
        }
        this.remaining -= to - at;
        if (this.remaining === 0) this.state = 'chunkEnd';
        read = to;
      } else if (this.state === 'chunkEnd') read = this.readChunkEnd(bytes, at, size);
      else if (this.state === 'chunkLine') read = this.readChunkLine(bytes, at, size);
      else read = this.readTrailers(bytes, at, size);
      if (typeof read === 'string') refused = read;
      else at = read;
    }
    if (end > start) this.parts.onBody(bytes.subarray(start, end));
    return refused ?? at;
  }

  private readChunkEnd(bytes: Buffer, from: number, size: number): number | string {
    let at = from;
    if (this.endMatched === 0) {
      if (bytes[at] !== CR) return 'a chunk without its end';
      at += 1;
      this.endMatched = 1;
      if (at === size) return at;
    }
    if (bytes[at] !== LF) return 'a chunk without its end';
    this.endMatched = 0;
    this.state = 'chunkLine';
    return at + 1;
  }

  /** Reads the line that tells the size of a chunk. As a rule all of it is there. */
  private readChunkLine(bytes: Buffer, from: number, size: number): number | string {
    const most = Math.min(size, from + MAX_CHUNK_LINE_BYTES - this.heldSize);
    let at = from;
    while (at < most && bytes[at] !== LF) at += 1;
    if (at === most && most < size) return 'too large an extension of a chunk';
    const to = Math.min(at + 1, size);
    if (this.heldSize === 0 && at < most) return this.takeChunkLine(bytes, from, to) ?? to;
    this.keep(bytes, from, to);
    if (at === most) return to;
    const { held, heldSize } = this;
    this.letGo();
    return this.takeChunkLine(held, 0, heldSize) ?? to;
  }

  /** Takes a line with its LF: a size and extensions. @returns the reason for which it is refused. */
  private takeChunkLine(bytes: Buffer, from: number, to: number): string | undefined {
    let at = from;
    let length = 0;
    for (let digit = hexDigit(bytes[at] ?? 0); digit >= 0; digit = hexDigit(bytes[at] ?? 0)) {
      length = length * 16 + digit;
      at += 1;
    }
    if (at === from || at - from > MAX_SIZE_DIGITS) return 'a bad chunk size';
    while (bytes[at] === SEMICOLON) {
      at = extensionEnd(bytes, at + 1);
      if (at < 0) return 'a bad extension of a chunk';
    }
    if (at !== to - 2 || bytes[at] !== CR) return 'a bad line of a chunk';
    this.remaining = length;
    this.state = length > 0 ? 'chunk' : 'trailers';
    // The end of the last chunk's line and an empty line end the answer, as they end a head.
    if (length === 0) this.endMatched = 2;
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

/** The place after `name`, `name=value` or `name="value"`; -1 if there is none. This and the next two stop at the LF, in which the line must end. */
function extensionEnd(bytes: Buffer, from: number): number {
  const end = nameEnd(bytes, from);
  if (end === from) return -1;
  if (bytes[end] !== EQUALS) return end;
  const value = end + 1;
  if (bytes[value] === QUOTE) return quotedEnd(bytes, value + 1);
  const valueEnd = nameEnd(bytes, value);
  return valueEnd === value ? -1 : valueEnd;
}

/** The place after characters that a name may have. */
function nameEnd(bytes: Buffer, from: number): number {
  let at = from;
  while (NAME_CHARS[bytes[at] ?? 0] === 1) at += 1;
  return at;
}

/**
 * The place after the second quote of a quoted string (RFC 9110, 5.6.4); -1 if there is none. No end of a line is in it, so that who
 * ignores the quotes sees the line end at the same place.
 */
function quotedEnd(bytes: Buffer, from: number): number {
  for (let at = from; VALUE_CHARS[bytes[at] ?? 0] === 1; at += 1) {
    if (bytes[at] === QUOTE) return at + 1;
    if (bytes[at] === BACKSLASH && VALUE_CHARS[bytes[at + 1] ?? 0] === 1) at += 1;
  }
  return -1;
}

/** The value of a hexadecimal digit; -1 for any other character. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
