import type { Socket } from 'node:net';

export interface ParsedRequest {
  readonly method: string;
  readonly path: string;
  /** Names in lower case; of repeated headers the values joined with `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The HTTP/1.1 requests that arrive on a socket, each once it is whole; ends with the socket. */
export async function* incomingRequests(socket: Socket): AsyncGenerator<ParsedRequest> {
  let buffered: Buffer = Buffer.alloc(0);
  let wake: () => void = () => {};
  socket.on('data', (bytes) => {
    buffered = Buffer.concat([buffered, bytes]);
    wake();
  });
  socket.once('close', () => wake());
  while (!socket.destroyed) {
    const parsed = parseRequest(buffered);
    if (parsed !== undefined) {
      buffered = buffered.subarray(parsed.length);
      yield parsed.request;
      continue;
    }
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

function parseRequest(bytes: Buffer): { readonly request: ParsedRequest; readonly length: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd === -1) return undefined;
  const [requestLine = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const [method = '', path = ''] = requestLine.split(' ');
  const headers = parseHeaderLines(lines);
  const body = parseBody(bytes.subarray(headEnd + 4), headers);
  if (body === undefined) return undefined;
  return {
    request: { method, path, headers, body: body.content.toString('utf8') },
    length: headEnd + 4 + body.length,
  };
}

/** `name: value` lines as an object; of repeated names the values joined with `, `. */
export function parseHeaderLines(lines: readonly string[]): Record<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return Object.fromEntries(headers);
}

interface ParsedBody {
  readonly content: Buffer;
  /** How many bytes of the input it took. */
  readonly length: number;
}

function parseBody(bytes: Buffer, headers: Readonly<Record<string, string>>): ParsedBody | undefined {
  if (headers['transfer-encoding']?.toLowerCase() === 'chunked') return parseChunked(bytes);
  const length = Number(headers['content-length'] ?? 0);
  return bytes.length < length ? undefined : { content: bytes.subarray(0, length), length };
}

/** A body in chunks, once its last chunk is there; without trailers. */
export function parseChunked(bytes: Buffer): ParsedBody | undefined {
  const pieces: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    const end = lineEnd + 2 + size + 2;
    if (Number.isNaN(size)) throw new Error('Not a chunked body');
    if (bytes.length < end) return undefined;
    pieces.push(bytes.subarray(lineEnd + 2, end - 2));
    at = end;
    if (size === 0) return { content: Buffer.concat(pieces), length: at };
  }
}

/** The content of a chunked body as far as it arrived, whole or cut. */
export function chunkedContentSoFar(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) break;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (Number.isNaN(size) || size === 0) break;
    pieces.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
  return Buffer.concat(pieces);
}
