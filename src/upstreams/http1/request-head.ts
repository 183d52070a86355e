import type { TransportRequest } from '../transport.js';
import { NAME_CHARS } from './answer-head.js';

/** Fields that only the client itself may say: they are about the connection, or tell where the body ends. */
const OWN_FIELDS = new Set([
  'connection',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Methods of requests that a server expects to have a body. */
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);

/** The start of a head, checked: its line, and the fields but for those about the body. */
interface HeadStart extends Pick<TransportRequest, 'method' | 'path' | 'headers'> {
  readonly text: string;
  /** The length of the body that the fields tell. */
  readonly contentLength: number | undefined;
}

/** The head of a request, but for the empty line, and the way in which its body ends. */
export interface RequestHead {
  readonly text: string;
  /** Length of a body that comes in pieces; `undefined` if they go out as chunks. */
  readonly piecesLength: number | undefined;
}

/** Writes the heads of requests to one server. Nothing gets into a head that could end a line or the head. */
export class RequestHeads {
  private readonly host: string;
  /** Model calls have the same start one after the other, down to the array of their headers: it is checked and joined once. */
  private last: HeadStart | undefined = undefined;

  constructor(host: string) {
    this.host = host;
  }

  /** @throws {TypeError} for what cannot stand in a head. */
  headOf(request: TransportRequest): RequestHead {
    const { body } = request;
    const { text, contentLength, method } = this.startOf(request);
    if (body instanceof Uint8Array) {
      if (contentLength !== undefined && contentLength !== body.byteLength)
        throw new TypeError('Expected the length of the body');
      return { text: `${text}content-length: ${body.byteLength}\r\n`, piecesLength: undefined };
    }
    if (body === undefined) {
      if (contentLength !== undefined && contentLength !== 0)
        throw new TypeError('Expected a body of the length that is told');
      return { text: WITH_BODY.has(method) ? `${text}content-length: 0\r\n` : text, piecesLength: undefined };
    }
    const framing = contentLength === undefined ? 'transfer-encoding: chunked' : `content-length: ${contentLength}`;
    return { text: `${text}${framing}\r\n`, piecesLength: contentLength };
  }

  private startOf({ method, path, headers }: TransportRequest): HeadStart {
    const { last } = this;
    if (last?.headers === headers && last.path === path && last.method === method) return last;
    if (!isName(method) || method === 'CONNECT') throw new TypeError('Expected a method of HTTP');
    // Blanks, control characters and what is beyond latin1 are no part of a request's line.
    if (!/^\/[\x21-\x7e\x80-\xff]*$/.test(path))
      throw new TypeError('Expected a path from its first slash, as it stands in a request');
    const { text, contentLength } = this.fieldsOf(headers);
    const start = { method, path, headers, text: `${method} ${path} HTTP/1.1\r\n${text}`, contentLength };
    this.last = start;
    return start;
  }

  private fieldsOf(headers: readonly string[]): Pick<HeadStart, 'text' | 'contentLength'> {
    let host: string | undefined;
    let contentLength: number | undefined;
    let text = '';
    for (let at = 0; at + 1 < headers.length; at += 2) {
      const [name = '', value = ''] = [headers[at], headers[at + 1]];
      if (!isName(name) || !isValue(value)) throw new TypeError('Expected headers that can stand in a request');
      const lower = name.toLowerCase();
      if (OWN_FIELDS.has(lower)) throw new TypeError(`Expected no header \`${lower}\`: it is the client's own`);
      if (lower === 'host') {
        if (host !== undefined) throw new TypeError('Expected one `host`');
        host = value;
      } else if (lower === 'content-length') {
        if (contentLength !== undefined || !/^[0-9]{1,15}$/.test(value))
          throw new TypeError('Expected one `content-length`');
        contentLength = Number(value);
      } else text += `${name}: ${value}\r\n`;
    }
    return { text: `host: ${host ?? this.host}\r\nconnection: keep-alive\r\n${text}`, contentLength };
  }
}

function isName(text: string): boolean {
  if (text === '') return false;
  for (let at = 0; at < text.length; at += 1) if (NAME_CHARS[text.charCodeAt(at)] !== 1) return false;
  return true;
}

function isValue(text: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text);
}
