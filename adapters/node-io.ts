import { type IncomingMessage, ServerResponse } from 'node:http';
import {
  type AnswerStream,
  createCancellation,
  type GatewayRequest,
  type GatewayResponse,
  iterableOf,
  type StepSource,
} from '../src/adapter.js';

/** Facts that only the adapter knows about a request. */
export interface RequestContext {
  /** Path and query below the mount point. */
  readonly url: string;
  /** The value that the host's body parser left, if it ran. */
  readonly parsedBody: unknown;
  /** The host framework's own request, for `identify`. */
  readonly native: unknown;
}

/** Longest time in which a client may take nothing before it is cut off: it holds memory and a place in the limits. */
const STALLED_CLIENT_MS = 30_000;

/** Most bytes of a refused upload that are read, and the longest time, before the connection is closed. */
const REFUSED_BYTES = 524_288;
const REFUSED_MS = 1_000;

/** Largest body whose copying costs less than a write of its own. */
const SMALL_BYTES = 65_536;

/** Bytes of a body that may wait to be read before its sender is held back. */
const MAX_WAITING_BYTES = 65_536;

/** Reads a Node request into the form that the core sees. */
export function readRequest(
  req: IncomingMessage,
  res: ServerResponse,
  { url, parsedBody, native }: RequestContext,
): GatewayRequest {
  const signal = createCancellation();
  const onClose = (): void => {
    if (!res.writableFinished) signal.abort(clientGone());
  };
  // `close` of the response, not of the request: that one also fires after a body was read.
  if (res.closed || res.destroyed) onClose();
  else res.on('close', onClose);
  return {
    method: req.method ?? 'GET',
    url,
    headers: req.headers,
    signal,
    // Express 4 leaves `req.body = {}` for bodies that it did not read: the stream itself tells who did.
    // `readableEnded`: an empty body was read to its end without a byte, and `end` will not come a second time.
    body: req.readableDidRead || req.readableEnded ? { parsed: parsedBody } : new IncomingBody(req),
    native,
  };
}

function clientGone(): Error {
  return new Error('The client closed the connection.');
}

/** Writes an answer. Resolves when it is written, or nobody is left to read it. */
export async function writeResponse(
  req: IncomingMessage,
  res: ServerResponse,
  { status, headers, body }: GatewayResponse,
): Promise<void> {
  const isWhole = typeof body === 'string' || body instanceof Uint8Array;
  if (isAnswered(res)) {
    if (!isWhole) body.leave();
    return;
  }
  if (!isWhole) {
    writeHead(res, status, headers);
    return new Promise((resolve) => new StreamWriter(res, body, resolve).writeNext());
  }
  // The end of a small body may stand in the very packet that is being read: a turn later the request is complete.
  if (!req.complete) {
    await new Promise((resolve) => setImmediate(resolve));
    if (isAnswered(res)) return;
  }
  if (req.complete) {
    writeHead(res, status, headers);
    // As a text, a small body leaves in one write together with the head; latin1 keeps its bytes.
    if (typeof body !== 'string' && body.byteLength <= SMALL_BYTES) {
      res.end(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1'), 'latin1');
    } else res.end(body);
    return;
  }
  writeHead(res, status, [...headers, 'connection', 'close']);
  res.write(body);
  await uploadStops(req);
  res.end();
}

/** Whether the host answered in our place, or nobody is left to answer. */
function isAnswered(res: ServerResponse): boolean {
  return res.destroyed || res.headersSent;
}

/** Node takes a flat list fastest; hosts may have put a method in its place that does not know it (on-headers before 1.1). */
function writeHead(res: ServerResponse, status: number, headers: readonly string[]): void {
  const isNodes = res.writeHead === ServerResponse.prototype.writeHead;
  // To Node's types a list is one that may be written to.
  if (isNodes && Array.isArray(headers)) res.writeHead(status, headers);
  else res.writeHead(status, byName(headers));
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
    if (piece === undefined || this.res.destroyed) {
      if (piece === undefined) this.res.end();
      else this.pieces.leave();
      this.onOver();
    } else if (this.res.write(piece)) this.writeNext();
    else this.awaitDrain();
  };

  private readonly fail = (): void => {
    this.res.destroy();
    this.onOver();
  };

  /** Waits for `drain` or for the end of the connection, whichever comes. */
  private awaitDrain(): void {
    if (this.res.destroyed) {
      setImmediate(this.writeNext);
      return;
    }
    this.res.on('drain', this.onDrained);
    this.res.on('close', this.onDrained);
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
    // Not in this turn: a source that never waits would hold back everybody else.
    setImmediate(this.writeNext);
  };
}

/**
 * Waits a little for an upload that was refused unread to end. Closing at once would reset the connection and the client
 * would lose the answer; reading on would swallow gigabytes for nothing.
 */
function uploadStops(req: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let drained = 0;
    const done = (): void => {
      clearTimeout(timer);
      req.off('data', onData).off('end', done).off('close', done);
      req.pause();
      resolve();
    };
    const onData = (chunk: Uint8Array): void => {
      drained += chunk.byteLength;
      if (drained > REFUSED_BYTES) done();
    };
    const timer = setTimeout(done, REFUSED_MS);
    req.on('data', onData).on('end', done).on('close', done);
    req.resume();
  });
}

/**
 * The body by the request's events: Node's own iterator costs more than the rest of a request, and destroys the request
 * when it is left early. Nothing is read before the first `read`.
 */
class IncomingBody implements StepSource<Uint8Array>, AsyncIterable<Uint8Array> {
  private readonly req: IncomingMessage;
  private waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  private state: 'unread' | 'open' | 'ended' | 'failed' | 'left' = 'unread';
  private onStep: ((piece: Uint8Array | undefined) => void) | undefined = undefined;
  private onFailure: ((reason: unknown) => void) | undefined = undefined;

  constructor(req: IncomingMessage) {
    this.req = req;
  }

  read(onStep: (piece: Uint8Array | undefined) => void, onFailure: (reason: unknown) => void): void {
    this.onStep = onStep;
    this.onFailure = onFailure;
    if (this.state === 'unread') {
      this.state = 'open';
      this.req.on('data', this.onData).on('end', this.onEnd).on('close', this.onClose).on('error', this.onClose);
    }
    this.tell();
    if (this.onStep !== undefined && !this.req.readableFlowing) this.req.resume();
  }

  leave(): void {
    const wasOpen = this.state === 'open';
    this.state = 'left';
    this.onStep = undefined;
    this.waiting = [];
    if (!wasOpen) return;
    this.req.off('data', this.onData).off('end', this.onEnd).off('close', this.onClose);
    this.req.pause();
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return iterableOf(this)[Symbol.asyncIterator]();
  }

  /** Hands a waiting reader the bytes or the end that have arrived. */
  private tell(): void {
    const onStep = this.onStep;
    if (onStep === undefined) return;
    const [first] = this.waiting;
    if (first === undefined) {
      if (this.state === 'open') return;
      this.onStep = undefined;
      if (this.state === 'failed') this.onFailure?.(clientGone());
      else onStep(undefined);
      return;
    }
    // A body that is there in full goes in one piece: its end is an event of this very turn.
    if (this.req.complete && this.state === 'open') return;
    const piece = this.waiting.length === 1 ? first : Buffer.concat(this.waiting);
    this.waiting = [];
    this.waitingBytes = 0;
    this.onStep = undefined;
    onStep(piece);
  }

  private readonly onData = (given: Uint8Array | string): void => {
    // Strings, where the host has set an encoding.
    const piece = typeof given === 'string' ? Buffer.from(given, this.req.readableEncoding ?? 'utf8') : given;
    this.waiting.push(piece);
    this.waitingBytes += piece.byteLength;
    if (this.waitingBytes > MAX_WAITING_BYTES && this.onStep === undefined) this.req.pause();
    this.tell();
  };

  private readonly onEnd = (): void => {
    if (this.state === 'open') this.state = 'ended';
    this.tell();
  };

  private readonly onClose = (): void => {
    if (this.state === 'open') this.state = 'failed';
    this.tell();
  };
}
