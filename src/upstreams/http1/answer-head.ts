import type { AnswerHead } from '../transport.js';

/** Most bytes of a head, with those of 1xx before it, and of trailers: Node's own parser takes no more. */
export const MAX_HEAD_BYTES = 16_384;

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const ZERO = 0x30;

/** Characters of a field's name (RFC 9110, 5.6.2), and those of its value: no control character but the tab. */
export const NAME_CHARS = tableOf((code) => /[\w!#$%&'*+.^`|~-]/.test(String.fromCharCode(code)) && code < 0x80);
const VALUE_CHARS = tableOf((code) => code === TAB || (code >= SPACE && code !== 0x7f));

function tableOf(isIn: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => Number(isIn(code)));
}

/** Fields that tell where a message ends, and whether its connection lives on. */
export class Framing {
  /** Length of the body that `content-length` tells; `undefined` without one. */
  contentLength: number | undefined = undefined;
  isChunked = false;
  /** Whether the other side closes the connection after this message. */
  closes = false;
  /** Time for which the server says that it keeps an idle connection; `undefined` if it says nothing. */
  keepAliveMs: number | undefined = undefined;

  /** Takes a field, by its name in lower case. @returns the reason for which it is refused. */
  take(name: string, value: string): string | undefined {
    switch (name) {
      case 'content-length':
        if (this.contentLength !== undefined) return 'two lengths';
        if (!/^ *[0-9]{1,15} *$/.test(value)) return 'a bad length';
        this.contentLength = Number(value);
        break;
      case 'transfer-encoding':
        if (this.isChunked || !/^ *chunked *$/i.test(value)) return 'a transfer coding other than chunked';
        this.isChunked = true;
        break;
      case 'connection':
      case 'proxy-connection':
        if (value.split(',').some((option) => option.trim().toLowerCase() === 'close')) this.closes = true;
        break;
      case 'keep-alive': {
        const [, seconds] = /timeout=([0-9]{1,6})/i.exec(value) ?? [];
        if (seconds !== undefined) this.keepAliveMs = Number(seconds) * 1_000;
      }
    }
    return this.isChunked && this.contentLength !== undefined ? 'a length and chunks' : undefined;
  }
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
  const line = bytes.toString('latin1', from, from + 12);
  const isLine = /^HTTP\/1\.[01] [1-9][0-9][0-9]$/.test(line);
  if (!isLine || (bytes[from + 12] !== SPACE && bytes[from + 12] !== CR)) return 'no status line of HTTP/1.1';
  const fieldsAt = lineEnd(bytes, from + 12, to);
  if (fieldsAt <= 0) return fieldsAt === 0 ? undefined : 'a character that no status line has';
  const framing = new Framing();
  const end = fieldsEnd(bytes, fieldsAt, to, framing);
  if (typeof end !== 'number') return end;
  if (line.charCodeAt(7) === ZERO) {
    if (framing.isChunked) return 'chunks in HTTP/1.0';
    framing.closes = true;
  }
  return new Http1Head(Number(line.slice(9)), framing, bytes.toString('latin1', fieldsAt, end - 2), end - from);
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
    if (!FRAMING_LENGTHS.has(colon - start)) continue;
    const name = bytes.toString('latin1', start, colon).toLowerCase();
    const refused = framing.take(name, bytes.toString('latin1', colon + 1, at - 2));
    if (refused !== undefined) return refused;
  }
  return undefined;
}

/** Lengths of the names that tell of framing: other names are not even decoded. */
const FRAMING_LENGTHS = new Set(
  ['connection', 'proxy-connection', 'keep-alive', 'content-length', 'transfer-encoding'].map(({ length }) => length),
);
