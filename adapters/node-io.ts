import { type IncomingMessage, ServerResponse } from 'node:http';
import {
  type AnswerStream,
  countLingering,
  type GatewayRequest,
  type GatewayResponse,
  type Lingering,
} from '../src/adapter.js';
import { IncomingRequest, isComplete, isHttp2, type RequestContext, requestOf } from './incoming-request.js';
import { dropRest } from './lingering.js';

export type { RequestContext } from './incoming-request.js';

/** Longest time in which a client may take nothing before it is cut off: it holds memory and a place in the limits. */
const STALLED_CLIENT_MS = 30_000;

/** Largest body whose copying costs less than a write of its own. */
const SMALL_BYTES = 65_536;

/** Headers that describe the body which the host meant to send: ours is another. */
const DESCRIBING = ['content-length', 'transfer-encoding', 'content-encoding'];

/** Reads a Node request, of HTTP/1 or the compatible API of HTTP/2, into the form that the core sees. */
export function readRequest(req: IncomingMessage, res: ServerResponse, context: RequestContext): GatewayRequest {
  return new IncomingRequest(req, res, context);
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
  // The end of a small body may stand in the very packet that is being read: a turn later the request is complete.
  if (!isComplete(req) && !isAnswered(res)) await new Promise((resolve) => setImmediate(resolve));
  const { status, headers, body } = response;
  const isWhole = typeof body === 'string' || body instanceof Uint8Array;
  if (isAnswered(res)) {
    if (!isWhole) body.leave();
    return;
  }
  for (const name of DESCRIBING) if (res.hasHeader(name)) res.removeHeader(name);
  const isEarly = !isComplete(req);
  writeHead(res, status, isHttp2(req) ? withoutConnection(headers) : isEarly ? closing(headers) : headers);
  if (!isWhole) {
    await new Promise<void>((resolve) => new StreamWriter(res, body, resolve).writeNext());
    if (isGone(res)) return;
  }
  requestOf(res)?.end();
  if (isEarly) endEarly(req, res, isWhole ? body : '', lingering);
  else if (isWhole) endWhole(res, body);
  else res.end();
  cutIfStalled(res);
}

/** Whether the host answered in our place, or nobody is left to answer. */
function isAnswered(res: ServerResponse): boolean {
  return isGone(res) || res.headersSent;
}

/** Whether nobody is left to read. The compatible API of HTTP/2 knows no `destroyed`. */
function isGone(res: ServerResponse): boolean {
  return res.destroyed || requestOf(res)?.isClosed === true;
}

/** Node takes a flat list fastest; hosts may have put a method in its place that does not know it (on-headers before 1.1). */
function writeHead(res: ServerResponse, status: number, headers: readonly string[]): void {
  const isNodes = res.writeHead === ServerResponse.prototype.writeHead;
  // To Node's types a list is one that may be written to.
  if (isNodes && Array.isArray(headers)) res.writeHead(status, headers);
  else res.writeHead(status, byName(headers));
}

/** The same headers, after which the connection ends. */
function closing(headers: readonly string[]): readonly string[] {
  return headers.includes('connection') ? headers : [...headers, 'connection', 'close'];
}

/** HTTP/2 knows no headers of connections (RFC 9113, 8.2.2). */
function withoutConnection(headers: readonly string[]): readonly string[] {
  if (!headers.includes('connection')) return headers;
  return headers.filter((_, at) => headers[at - (at % 2)] !== 'connection');
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

function endWhole(res: ServerResponse, body: string | Uint8Array): void {
  // As a text, a small body leaves in one write together with the head; latin1 keeps its bytes.
  if (typeof body !== 'string' && body.byteLength <= SMALL_BYTES) {
    res.end(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1'), 'latin1');
  } else res.end(body);
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
  if (!res.writableEnded || res.writableFinished || (res.writableLength ?? 0) === 0) return;
  const timer = setTimeout(() => res.destroy(), STALLED_CLIENT_MS);
  res.on('close', () => clearTimeout(timer));
}

/** An answer in pieces on its way out, no faster than its client takes it. */
class StreamWriter {
  private readonly res: ServerResponse;
  private readonly pieces: AnswerStream;
  private readonly onOver: () => void;
  private stallTimer: NodeJS.Timeout | undefined = undefined;

  constructor(res: ServerResponse, pieces: AnswerStream, onOver: () => void) {
    this.res = res;
    this.pieces = pieces;
    this.onOver = onOver;
  }

  readonly writeNext = (): void => this.pieces.read(this.write, this.fail);

  private readonly write = (piece: string | Uint8Array | undefined): void => {
    if (piece === undefined || this.isEnded()) {
      if (piece !== undefined) this.pieces.leave();
      this.onOver();
    } else if (this.res.write(piece)) this.writeNext();
    else this.awaitDrain();
  };

  private readonly fail = (): void => {
    this.res.destroy();
    this.onOver();
  };

  /** Whether nothing more can be written: nobody is left, or the host has ended what we began. */
  private isEnded(): boolean {
    return isGone(this.res) || this.res.writableEnded;
  }

  /** Waits for `drain` or for the end of the connection, whichever comes. */
  private awaitDrain(): void {
    if (isGone(this.res)) {
      setImmediate(this.writeNext);
      return;
    }
    this.res.on('drain', this.onDrained);
    this.res.on('close', this.onDrained);
    // By a host's `end`, which is no end of the connection while the client takes nothing.
    this.res.on('prefinish', this.onDrained);
    // An answer that waits behind another one on its connection never closes: its wait ends here.
    this.stallTimer = setTimeout(() => {
      this.res.destroy();
      this.onDrained();
    }, STALLED_CLIENT_MS);
  }

  private readonly onDrained = (): void => {
    clearTimeout(this.stallTimer);
    this.res.off('drain', this.onDrained);
    this.res.off('close', this.onDrained);
    this.res.off('prefinish', this.onDrained);
    if (this.res.writableEnded) {
      this.pieces.leave();
      this.onOver();
      return;
    }
    // Not in this turn: a source that never waits would hold back everybody else.
    setImmediate(this.writeNext);
  };
}
