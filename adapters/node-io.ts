import { type IncomingMessage, ServerResponse } from 'node:http';
import { type AnswerStream, createCancellation, type GatewayRequest, type GatewayResponse } from '../src/index.js';

/** What an adapter knows about a request besides the request itself. */
export interface RequestContext {
  /** Path and query below the mount point. */
  readonly url: string;
  /** What the host's body parser left, if it ran. */
  readonly parsedBody: unknown;
  /** The host framework's own request, for `identify`. */
  readonly native: unknown;
}

/** A client that takes nothing for this long is cut off: it holds memory and a place in the limits. */
const STALLED_CLIENT_MS = 30_000;

/** How much of a refused upload is read, and for how long, before the connection is closed. */
const REFUSED_BYTES = 524_288;
const REFUSED_MS = 1_000;

/** Up to here copying a body costs less than a write of its own. */
const SMALL_BYTES = 65_536;

/** So much of a body waits to be read before its sender is held back. */
const MAX_WAITING_BYTES = 65_536;

/** The one reader: a Node request as the core sees it. */
export function readRequest(
  req: IncomingMessage,
  res: ServerResponse,
  { url, parsedBody, native }: RequestContext,
): GatewayRequest {
  const signal = createCancellation();
  const onClose = (): void => {
    if (!res.writableFinished) signal.abort(new Error('The client closed the connection.'));
  };
  // `close` of the response, not of the request: that one also fires after a body was read.
  if (res.closed || res.destroyed) onClose();
  else res.once('close', onClose);
  return {
    method: req.method ?? 'GET',
    url,
    headers: req.headers,
    signal,
    // Express 4 leaves `req.body = {}` for bodies that it did not read: the stream itself tells who did.
    // `readableEnded`: an empty body was read to its end without a byte, and `end` will not come a second time.
    body: req.readableDidRead || req.readableEnded ? { parsed: parsedBody } : bodyChunks(req),
    native,
  };
}

/** The one writer. Resolves when the answer is written, or nobody is left to read it. */
export async function writeResponse(
  req: IncomingMessage,
  res: ServerResponse,
  { status, headers, body }: GatewayResponse,
): Promise<void> {
  if (isAnswered(res)) return leave(body);
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) {
    writeHead(res, status, headers);
    return writeStream(res, body);
  }
  const sized = { ...headers, 'content-length': String(Buffer.byteLength(body)) };
  // The end of a small body may stand in the very packet that is being read: a turn later the request is complete.
  if (!req.complete) {
    await new Promise((resolve) => setImmediate(resolve));
    if (isAnswered(res)) return;
  }
  if (req.complete) {
    writeHead(res, status, sized);
    // As a text, a small body leaves in one write together with the head; latin1 keeps its bytes.
    if (typeof body !== 'string' && body.byteLength <= SMALL_BYTES) res.end(latin1(body), 'latin1');
    else res.end(body);
    return;
  }
  writeHead(res, status, { ...sized, connection: 'close' });
  res.write(body);
  await uploadStops(req);
  res.end();
}

/** The host answered in our place, or nobody is left. */
function isAnswered(res: ServerResponse): boolean {
  return res.destroyed || res.headersSent;
}

/** Node takes a flat array fastest; what hosts put in place of its method may not know it (on-headers before 1.1). */
function writeHead(res: ServerResponse, status: number, headers: Readonly<Record<string, string>>): void {
  if (res.writeHead !== ServerResponse.prototype.writeHead) {
    res.writeHead(status, headers);
    return;
  }
  const fields: string[] = [];
  for (const name in headers) fields.push(name, headers[name] ?? '');
  res.writeHead(status, fields);
}

function leave(body: GatewayResponse['body']): void {
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) body.leave();
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function writeStream(res: ServerResponse, pieces: AnswerStream): Promise<void> {
  return new Promise((resolve) => {
    const fail = (): void => {
      res.destroy();
      resolve();
    };
    function write(piece: string | Uint8Array | undefined): void {
      if (piece !== undefined && !res.destroyed) {
        if (res.write(piece)) next();
        // Not in this turn: a source that never waits would hold back everybody else.
        else void drained(res).then(() => setImmediate(next));
        return;
      }
      if (piece === undefined) res.end();
      else pieces.leave();
      resolve();
    }
    const next = (): void => pieces.read(write, fail);
    next();
  });
}

/** Waits for `drain` or for the end of the connection, whichever comes. */
function drained(res: ServerResponse): Promise<void> {
  if (res.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    // An answer that waits behind another one on its connection never closes: its wait ends here.
    const timer = setTimeout(() => {
      res.destroy();
      done();
    }, STALLED_CLIENT_MS);
    const done = (): void => {
      clearTimeout(timer);
      res.off('drain', done);
      res.off('close', done);
      resolve();
    };
    res.on('drain', done);
    res.on('close', done);
  });
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
 * The body by its events: Node's own iterator costs more than the rest of a request, and destroys the request when it
 * is left early. Nothing is read before the first `next`.
 */
function bodyChunks(req: IncomingMessage): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      let waiting: Uint8Array[] = [];
      let waitingBytes = 0;
      let ended = false;
      let failure: Error | undefined;
      let reader: { resolve(step: IteratorResult<Uint8Array>): void; reject(error: Error): void } | undefined;

      function answer(): void {
        if (reader === undefined) return;
        const { resolve, reject } = reader;
        const [first] = waiting;
        if (first !== undefined) {
          // A body that is there in full goes in one piece: its end is an event of this very turn.
          if (req.complete && !ended && failure === undefined) return;
          const value = waiting.length === 1 ? first : Buffer.concat(waiting);
          waiting = [];
          waitingBytes = 0;
          resolve({ done: false, value });
        } else if (ended) resolve({ done: true, value: undefined });
        else if (failure !== undefined) reject(failure);
        else return;
        reader = undefined;
      }
      const onData = (given: Uint8Array | string): void => {
        // Strings, where the host has set an encoding.
        const chunk = typeof given === 'string' ? Buffer.from(given, req.readableEncoding ?? 'utf8') : given;
        waiting.push(chunk);
        waitingBytes += chunk.byteLength;
        if (waitingBytes > MAX_WAITING_BYTES && reader === undefined) req.pause();
        answer();
      };
      const onEnd = (): void => {
        ended = true;
        answer();
      };
      const onClose = (): void => {
        if (!ended) failure = new Error('The client closed the connection.');
        answer();
      };
      req.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
      return {
        next: () =>
          new Promise((resolve, reject) => {
            reader = { resolve, reject };
            answer();
            if (reader !== undefined && (req.isPaused() || !req.readableFlowing)) req.resume();
          }),
        async return() {
          req.off('data', onData).off('end', onEnd).off('close', onClose);
          req.pause();
          return { done: true, value: undefined };
        },
      };
    },
  };
}
