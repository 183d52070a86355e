import { isTextAt } from '../../base/bytes.js';
import type { AnswerHead } from '../transport.js';

/** Most bytes of a head, with those of 1xx before it, and of trailers: Node's own parser takes no more. */
export const MAX_HEAD_BYTES = 16_384;

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const ZERO = 0x30;
const ONE = 0x31;

/** Characters of a field's name (RFC 9110, 5.6.2), and those of its value: no control character but the tab. */
export const NAME_CHARS = tableOf((code) => /[\w!#$%&'*+.^`|~-]/.test(String.fromCharCode(code)) && code < 0x80);
export const VALUE_CHARS = tableOf((code) => code === TAB || (code >= SPACE && code !== 0x7f));

function tableOf(isIn: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => Number(isIn(code)));
}

/** Fields that tell how to read a message, where it ends, and whether its connection lives on. */
export class Framing {
  /** Length of the body that `content-length` tells; `undefined` without one. */
  contentLength: number | undefined = undefined;
  isChunked = false;
  /** Whether the body has a `content-encoding`. */
  isCoded = false;
  /** Whether the other side closes the connection after this message. */
  closes = false;
  /** Time for which the server says that it keeps an idle connection; `undefined` if it says nothing. */
  keepAliveMs: number | undefined = undefined;

  /** Takes a field: its name from `start` to the colon, its value up to `end`. @returns the reason for which it is refused. */
  take(bytes: Buffer, start: number, colon: number, end: number): string | undefined {
    // By the length of the name first: other names are not even looked at.
    switch (colon - start) {
      case 10:
        if (isWordAt(bytes, start, colon, 'connection')) this.takeOptions(bytes, colon + 1, end);
        else if (isWordAt(bytes, start, colon, 'keep-alive')) this.takeKeepAlive(bytes, colon + 1, end);
        return undefined;
      case 14:
        return isWordAt(bytes, start, colon, 'content-length') ? this.takeLength(bytes, colon + 1, end) : undefined;
      case 16:
        if (isWordAt(bytes, start, colon, 'proxy-connection')) this.takeOptions(bytes, colon + 1, end);
        else if (isWordAt(bytes, start, colon, 'content-encoding')) this.isCoded = true;
        return undefined;
      case 17:
        return isWordAt(bytes, start, colon, 'transfer-encoding') ? this.takeCoding(bytes, colon + 1, end) : undefined;
      default:
        return undefined;
    }
  }

  private takeLength(bytes: Buffer, from: number, end: number): string | undefined {
    if (this.contentLength !== undefined) return 'two lengths';
    const to = trimmedEnd(bytes, from, end);
    let at = trimmedStart(bytes, from, to);
    if (to === at || to - at > MAX_LENGTH_DIGITS) return 'a bad length';
    let length = 0;
    for (; at < to; at += 1) {
      const digit = digitAt(bytes, at);
      if (digit < 0) return 'a bad length';
      length = length * 10 + digit;
    }
    this.contentLength = length;
    return this.isChunked ? BOTH : undefined;
  }

  private takeCoding(bytes: Buffer, from: number, end: number): string | undefined {
    const to = trimmedEnd(bytes, from, end);
    if (this.isChunked || !isWordAt(bytes, trimmedStart(bytes, from, to), to, 'chunked'))
      return 'a transfer coding other than chunked';
    this.isChunked = true;
    return this.contentLength === undefined ? undefined : BOTH;
  }

  private takeOptions(bytes: Buffer, from: number, end: number): void {
    const to = trimmedEnd(bytes, from, end);
    // Almost all servers say just this.
    if (isWordAt(bytes, trimmedStart(bytes, from, to), to, 'keep-alive')) return;
    const options = bytes.toString('latin1', from, end).split(',');
    if (options.some((option) => option.trim().toLowerCase() === 'close')) this.closes = true;
  }

  private takeKeepAlive(bytes: Buffer, from: number, end: number): void {
    const [, seconds] = /timeout=([0-9]{1,6})/i.exec(bytes.toString('latin1', from, end)) ?? [];
    if (seconds !== undefined) this.keepAliveMs = Number(seconds) * 1_000;
  }
}

/** Most digits of a length: more would be no exact number. */
const MAX_LENGTH_DIGITS = 15;
const BOTH = 'a length and chunks';

/** Whether that word, in lower case, stands between two places, in whatever case. For bytes that are no control characters. */
function isWordAt(bytes: Buffer, from: number, to: number, word: string): boolean {
  if (to - from !== word.length) return false;
  // A letter differs from its capital by that bit alone; what else a word has, such as `-`, has it.
  for (let at = 0; at < word.length; at += 1)
    if (((bytes[from + at] ?? 0) | 0x20) !== word.charCodeAt(at)) return false;
  return true;
}

function trimmedStart(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && (bytes[at] === SPACE || bytes[at] === TAB)) at += 1;
  return at;
}

/** The end without spaces. A tab stays: Node's own parser refuses one behind a length, and takes `chunked` with one for another coding. */
function trimmedEnd(bytes: Buffer, from: number, to: number): number {
  let at = to;
  while (at > from && bytes[at - 1] === SPACE) at -= 1;
  return at;
}

/** The head of an answer over HTTP/1.1. Its fields stay text until somebody asks for one. */
export class Http1Head implements AnswerHead {
  readonly status: number;
  readonly framing: Framing;
  /** Bytes that the head took, with its empty line. */
  readonly size: number;
  /** The lines of the fields. */
  private readonly text: string;

  constructor(status: number, framing: Framing, text: string, size: number) {
    this.status = status;
    this.framing = framing;
    this.text = text;
    this.size = size;
  }

  get contentLength(): number | undefined {
    return this.framing.contentLength;
  }

  get isCoded(): boolean {
    return this.framing.isCoded;
  }

  get(name: string): string | undefined {
    const { text } = this;
    for (let at = 0; at < text.length; at = text.indexOf('\n', at) + 1) {
      if (text.charCodeAt(at + name.length) !== COLON) continue;
      if (text.slice(at, at + name.length).toLowerCase() === name) return fieldValue(text, at + name.length + 1);
    }
    return undefined;
  }

  fields(): readonly string[] {
    const { text } = this;
    const fields: string[] = [];
    for (let at = 0; at < text.length; at = text.indexOf('\n', at) + 1) {
      const colon = text.indexOf(':', at);
      fields.push(text.slice(at, colon).toLowerCase(), fieldValue(text, colon + 1));
    }
    return fields;
  }
}

/** The value of the field whose colon stands before, without the blanks around it. */
function fieldValue(text: string, from: number): string {
  let start = from;
  let end = text.indexOf('\r', from);
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/**
 * Reads a head from its first byte. Two readers must not be able to understand it differently, so nothing is tolerated that the
 * grammar does not have.
 * @returns `undefined` if its end has not come yet, or the reason for which it is refused.
 */
export function readHead(bytes: Buffer, from: number, to: number): Http1Head | string | undefined {
  // `HTTP/1.1 200`: 12 bytes, then a blank and a reason, or the line's end.
  if (to - from <= 12) return undefined;
  const status = statusAt(bytes, from);
  if (status === undefined) return 'no status line of HTTP/1.1';
  const fieldsAt = lineEnd(bytes, from + 12, to);
  if (fieldsAt <= 0) return fieldsAt === 0 ? undefined : 'a character that no status line has';
  const framing = new Framing();
  const end = fieldsEnd(bytes, fieldsAt, to, framing);
  if (typeof end !== 'number') return end;
  if (bytes[from + 7] === ZERO) {
    if (framing.isChunked) return 'chunks in HTTP/1.0';
    framing.closes = true;
  }
  return new Http1Head(status, framing, bytes.toString('latin1', fieldsAt, end - 2), end - from);
}

/** The status of a line that begins as one of HTTP/1.1 or HTTP/1.0 does. */
function statusAt(bytes: Buffer, from: number): number | undefined {
  const version = bytes[from + 7];
  if (!isTextAt(bytes, from, from + 7, 'HTTP/1.') || (version !== ZERO && version !== ONE)) return undefined;
  const after = bytes[from + 12];
  if (bytes[from + 8] !== SPACE || (after !== SPACE && after !== CR)) return undefined;
  const [hundreds, tens, ones] = [digitAt(bytes, from + 9), digitAt(bytes, from + 10), digitAt(bytes, from + 11)];
  return hundreds > 0 && tens >= 0 && ones >= 0 ? 100 * hundreds + 10 * tens + ones : undefined;
}

/** The digit there; -1 for any other byte. */
function digitAt(bytes: Buffer, at: number): number {
  const digit = (bytes[at] ?? 0) - ZERO;
  return digit <= 9 ? Math.max(digit, -1) : -1;
}

/** The place after the line; 0 if its end has not come, -1 if it holds what no line may hold. */
function lineEnd(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && VALUE_CHARS[bytes[at] ?? 0] === 1) at += 1;
  if (at === to) return 0;
  if (bytes[at] !== CR) return -1;
  if (at + 1 === to) return 0;
  return bytes[at + 1] === LF ? at + 2 : -1;
}

/**
 * Reads the fields of a head or of trailers, and notes the framing.
 * @returns The place after the empty line, `undefined` if that has not come, or the reason for which the fields are refused.
 */
export function fieldsEnd(bytes: Buffer, from: number, to: number, framing: Framing): number | string | undefined {
  let at = from;
  while (at < to) {
    const start = at;
    while (at < to && NAME_CHARS[bytes[at] ?? 0] === 1) at += 1;
    if (at === to) return undefined;
    if (at === start && bytes[at] === CR) {
      if (at + 1 === to) return undefined;
      return bytes[at + 1] === LF ? at + 2 : 'a bare CR';
    }
    if (at === start || bytes[at] !== COLON) return 'a line that is no field';
    const colon = at;
    at = lineEnd(bytes, colon + 1, to);
    if (at <= 0) return at === 0 ? undefined : 'a character that no field has';
    const refused = framing.take(bytes, start, colon, at - 2);
    if (refused !== undefined) return refused;
  }
  return undefined;
}
