import { type IncomingMessage, OutgoingMessage, ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import {
  type AnswerStream,
  countLingering,
  type GatewayRequest,
  type GatewayResponse,
  type Lingering,
} from '../src/adapter.js';
import {
  IncomingRequest,
  isComplete,
  isHttp2,
  markRequest,
  type RequestContext,
  requestOf,
} from './incoming-request.js';
import { dropRest } from './lingering.js';
import { isGone, STALLED_CLIENT_MS, StreamWriter } from './stream-writer.js';

export type { RequestContext } from './incoming-request.js';

/** Largest body whose copying costs less than a write of its own. */
const SMALL_BYTES = 65_536;

/** Headers that describe the body which the host meant to send: ours is another. */
const DESCRIBING = ['content-length', 'transfer-encoding', 'content-encoding'];

/** Reads a Node request, of HTTP/1 or the compatible API of HTTP/2, into the form that the core sees. */
export function readRequest(req: IncomingMessage, res: ServerResponse, context: RequestContext): GatewayRequest {
  const request = new IncomingRequest(req, res, context);
  markRequest(res, request);
  return request;
}

/** Gives a request that is not ours back to the host, which answers it: nothing here watches it any more. */
export function releaseRequest(res: ServerResponse): void {
  requestOf(res)?.handBack();
}

/**
 * Writes an answer. Resolves when it is written, or nobody is left to read it.
 * @param lingering the gateway's, which counts connections that still send after an early answer
 */
export async function writeResponse(
  req: IncomingMessage,
  res: ServerResponse,
  response: GatewayResponse,
  lingering: Lingering = countLingering(),
): Promise<void> {
  await writeAnswer(req, res, response, lingering, requestOf(res));
}

/** The same without a promise, where the answer is written at once. */
export function writeAnswer(
  req: IncomingMessage,
  res: ServerResponse,
  response: GatewayResponse,
  lingering: Lingering,
  request: IncomingRequest | undefined,
): Promise<void> | undefined {
  if (isComplete(req) || isAnswered(res, request)) return writeComplete(req, res, response, lingering, request);
  // The end of a small body may stand in the very packet that is being read: a turn later the request is complete.
  return setImmediate().then(() => writeComplete(req, res, response, lingering, request));
}

function writeComplete(
  req: IncomingMessage,
  res: ServerResponse,
  { status, headers, body }: GatewayResponse,
  lingering: Lingering,
  request: IncomingRequest | undefined,
): Promise<void> | undefined {
  const isWhole = typeof body === 'string' || body instanceof Uint8Array;
  if (isAnswered(res, request)) {
    if (!isWhole) body.leave();
    return undefined;
  }
  for (const name of DESCRIBING) if (res.hasHeader(name)) res.removeHeader(name);
  const isEarly = !isComplete(req);
  writeHead(res, status, headersFor(req, headers, isEarly));
  const end = (last: string | Uint8Array): void => {
    request?.end();
    if (isEarly) endEarly(req, res, last, lingering);
    else if (isWhole) endWhole(res, last);
    else res.end();
    cutIfStalled(res);
  };
  if (!isWhole) return writeStream(res, request, body, () => end(''));
  end(body);
  return undefined;
}

/** Writes an answer in pieces. @param end writes its end, in the turn of the last piece. */
function writeStream(
  res: ServerResponse,
  request: IncomingRequest | undefined,
  pieces: AnswerStream,
  end: () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = (): void => {
      try {
        if (!isGone(res, request)) end();
        resolve();
      } catch (error) {
        reject(error);
      }
    };
    new StreamWriter(res, request, pieces, over).writeNext();
  });
}

/** Whether the host answered in our place, or nobody is left to answer. */
function isAnswered(res: ServerResponse, request: IncomingRequest | undefined): boolean {
  return isGone(res, request) || res.headersSent;
}

/** Node takes a flat list fastest; hosts may have put a method in its place that does not know it (on-headers before 1.1). */
function writeHead(res: ServerResponse, status: number, headers: readonly string[]): void {
  const isNodes = res.writeHead === ServerResponse.prototype.writeHead;
  // To Node's types a list is one that may be written to.
  if (isNodes && Array.isArray(headers)) res.writeHead(status, headers);
  else res.writeHead(status, byName(headers));
}

/** The headers, with `connection: close` after an early answer. HTTP/2 knows no headers of connections (RFC 9113, 8.2.2). */
function headersFor(req: IncomingMessage, headers: readonly string[], isEarly: boolean): readonly string[] {
  const isNamed = headers.includes('connection');
  if (!isNamed && !isEarly) return headers;
  if (isHttp2(req)) return isNamed ? headers.filter((_, at) => headers[at - (at % 2)] !== 'connection') : headers;
  return isNamed ? headers : [...headers, 'connection', 'close'];
}

function byName(headers: readonly string[]): Record<string, string | string[]> {
  const named: Record<string, string | string[]> = {};
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? '';
    const value = headers[at + 1] ?? '';
    const before = named[name];
    named[name] = before === undefined ? value : [before, value].flat();
  }
  return named;
}

/** As a text, a small body leaves in one write together with the head; latin1 keeps its bytes. */
function endWhole(res: ServerResponse, body: string | Uint8Array): void {
  if (typeof body === 'string') endText(res, body, 'utf8');
  else if (body.byteLength > SMALL_BYTES) res.end(body);
  else endText(res, Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1'), 'latin1');
}

/**
 * Node's `end` writes an empty text behind the last one, and hands the two to the system in a list, which costs three kilobytes.
 * Where the system has taken all there was when `end` is called, there is nothing left to write.
 */
function endText(res: ServerResponse, text: string, encoding: 'latin1' | 'utf8'): void {
  const { socket } = res;
  if (text === '' || socket === null || socket.writableLength > 0 || socket.writableCorked > 0 || !writesAsNode(res)) {
    res.end(text, encoding);
    return;
  }
  socket.cork();
  res.write(text, encoding);
  socket.uncork();
  res.end();
}

/** Whether the methods are Node's own: hosts put theirs in place of them, and HTTP/2 has others. */
function writesAsNode({ write, end }: ServerResponse): boolean {
  const { prototype } = OutgoingMessage;
  return write === prototype.write && end === prototype.end;
}

/** Ends an answer to a client that still sends. All of the answer leaves at once; the connection stays for what still comes. */
function endEarly(req: IncomingMessage, res: ServerResponse, body: string | Uint8Array, lingering: Lingering): void {
  if (isHttp2(req)) {
    const { stream } = req;
    res.end(body);
    // Without an error: the answer is whole, and the rest of the request is not wanted (RFC 9113, 8.1).
    dropRest(req, lingering, () => stream.close());
    return;
  }
  if (body.length > 0) res.write(body);
  dropRest(req, lingering, () => res.end());
}

/** Cuts off a client that does not take the rest of an answer which is written. */
function cutIfStalled(res: ServerResponse): void {
  if ((res.writableLength ?? 0) === 0 || !res.writableEnded || res.writableFinished) return;
  const timer = setTimeout(() => res.destroy(), STALLED_CLIENT_MS);
  res.on('close', () => clearTimeout(timer));
}
