import { connect, type Socket } from 'node:net';
import { within } from './deadline.js';
import { chunkedContentSoFar, parseChunked, parseHeaderLines } from './incoming-requests.js';

/** One answer, taken apart; `body` without HTTP chunks. */
export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Whether all that the headers announced arrived. */
  readonly whole: boolean;
}

/** A connection on which every byte, both ways, is the test's own. */
export interface RawClient {
  send(bytes: string | Uint8Array): void;
  /** The next answer, interim (1xx) ones skipped. */
  response(what?: string): Promise<RawResponse>;
  /** Everything received so far, less the answers taken by `response`. */
  received(): Buffer;
  /** Resolves when so much has been received that `holds`. */
  until(holds: (received: string) => boolean, what: string): Promise<void>;
  /** Resolves when the connection is gone, whoever closed it and however. */
  readonly closed: Promise<void>;
  /** RST. */
  reset(): void;
  /** FIN. */
  end(): void;
  destroy(): void;
  /** Stops reading, so that the peer's writes pile up. */
  pause(): void;
  resume(): void;
}

export async function rawClient(origin: string): Promise<RawClient> {
  const { hostname, port } = new URL(origin);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await within(connected(socket), `connecting to ${origin}`);
  let received: Buffer = Buffer.alloc(0);
  let isClosed = false;
  const listeners = new Set<() => void>();
  const notify = (): void => {
    for (const listener of listeners) listener();
  };
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes]);
    notify();
  });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      isClosed = true;
      notify();
      resolve();
    });
  });

  function when<T>(look: () => T | undefined, what: string): Promise<T> {
    let listener: () => void = () => {};
    const found = new Promise<T>((resolve, reject) => {
      listener = () => {
        const value = look();
        if (value !== undefined) resolve(value);
        else if (isClosed) reject(new Error(`Closed before ${what}; received: ${received.toString().slice(0, 400)}`));
      };
      listeners.add(listener);
      listener();
    });
    return within(found, what).finally(() => listeners.delete(listener));
  }

  return {
    closed,
    send: (bytes) => void socket.write(bytes),
    received: () => received,
    until: async (holds, what) => {
      await when(() => (holds(received.toString()) ? true : undefined), what);
    },
    response: async (what = 'a response') => {
      const { response, length } = await when(() => parseResponse(received, isClosed), what);
      received = received.subarray(length);
      return response;
    },
    reset: () => void socket.resetAndDestroy(),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
  };
}

/** Sends literal bytes over a connection of its own and takes one answer. */
export async function rawExchange(origin: string, bytes: string | Uint8Array): Promise<RawResponse> {
  const client = await rawClient(origin);
  client.send(bytes);
  try {
    return await client.response();
  } finally {
    client.destroy();
  }
}

/** A request's bytes, with `host` and a right `content-length` unless given. */
export function rawRequest(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array = '',
): Buffer {
  const content = Buffer.from(body);
  const lines = Object.entries({ host: 'test', 'content-length': String(content.length), ...headers });
  const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${text}\r\n`), content]);
}

/** A chat completion's bytes. */
export function rawChat(secret: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Buffer {
  const text = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
  return rawRequest(
    'POST',
    '/v1/chat/completions',
    { authorization: `Bearer ${secret}`, 'content-type': 'application/json', ...headers },
    text,
  );
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('connect', () => resolve());
    socket.once('error', reject);
  });
}

function parseResponse(bytes: Buffer, closed: boolean): { response: RawResponse; length: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd === -1) return undefined;
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const status = Number(statusLine.split(' ')[1]);
  const headers = parseHeaderLines(lines);
  const rest = bytes.subarray(headEnd + 4);
  if (status < 200) return skipping(parseResponse(rest, closed), headEnd + 4);
  const body = bodyOf(rest, headers, closed, status);
  if (body === undefined) return undefined;
  const { content, length, whole } = body;
  return { response: { status, headers, body: content.toString('utf8'), whole }, length: headEnd + 4 + length };
}

function skipping<T extends { length: number }>(parsed: T | undefined, skipped: number): T | undefined {
  return parsed === undefined ? undefined : { ...parsed, length: parsed.length + skipped };
}

function bodyOf(
  bytes: Buffer,
  headers: Readonly<Record<string, string>>,
  closed: boolean,
  status: number,
): { content: Buffer; length: number; whole: boolean } | undefined {
  if (status === 204 || status === 304) return { content: Buffer.alloc(0), length: 0, whole: true };
  if (headers['transfer-encoding'] === 'chunked') {
    const chunked = parseChunked(bytes);
    if (chunked !== undefined) return { ...chunked, whole: true };
    return closed ? { content: chunkedContentSoFar(bytes), length: bytes.length, whole: false } : undefined;
  }
  const announced = headers['content-length'];
  if (announced === undefined) return closed ? { content: bytes, length: bytes.length, whole: true } : undefined;
  const length = Number(announced);
  if (bytes.length >= length) return { content: bytes.subarray(0, length), length, whole: true };
  return closed ? { content: bytes, length: bytes.length, whole: false } : undefined;
}
