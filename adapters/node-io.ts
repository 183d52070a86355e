import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GatewayRequest, GatewayResponse } from '../src/index.js';

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

/** The one reader: a Node request as the core sees it. */
export function readRequest(
  req: IncomingMessage,
  res: ServerResponse,
  { url, parsedBody, native }: RequestContext,
): GatewayRequest {
  const controller = new AbortController();
  // `close` of the response, not of the request: that one also fires after a body was read.
  res.once('close', () => {
    if (!res.writableFinished) controller.abort(new Error('The client closed the connection.'));
  });
  return {
    method: req.method ?? 'GET',
    url,
    headers: req.headers,
    signal: controller.signal,
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
  if (res.destroyed || res.headersSent) return;
  const fields = Object.entries(headers).flat();
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) {
    res.writeHead(status, fields);
    return writeStream(res, body);
  }
  fields.push('content-length', String(Buffer.byteLength(body)));
  // The end of a small body may stand in the very packet that is being read: a turn later the request is complete.
  if (!req.complete) await new Promise((resolve) => setImmediate(resolve));
  if (req.complete) {
    res.writeHead(status, fields);
    res.end(body);
    return;
  }
  res.writeHead(status, [...fields, 'connection', 'close']);
  res.write(body);
  await uploadStops(req);
  res.end();
}

async function writeStream(res: ServerResponse, pieces: AsyncIterable<string | Uint8Array>): Promise<void> {
  res.flushHeaders();
  for await (const piece of pieces) {
    if (res.destroyed) break;
    if (!res.write(piece)) await drained(res);
  }
  res.end();
}

/** Waits for `drain` or for the end of the connection, whichever comes. */
function drained(res: ServerResponse): Promise<void> {
  if (res.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => res.destroy(), STALLED_CLIENT_MS);
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
      const waiting: Uint8Array[] = [];
      let ended = false;
      let failure: Error | undefined;
      let wake: (() => void) | undefined;
      const notify = (): void => {
        wake?.();
        wake = undefined;
      };
      const onData = (chunk: Uint8Array): void => {
        waiting.push(chunk);
        req.pause();
        notify();
      };
      const onEnd = (): void => {
        ended = true;
        notify();
      };
      const onClose = (): void => {
        if (!ended) failure = new Error('The client closed the connection.');
        notify();
      };
      req.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
      return {
        async next() {
          for (;;) {
            const chunk = waiting.shift();
            if (chunk !== undefined) return { done: false, value: chunk };
            if (ended) return { done: true, value: undefined };
            if (failure !== undefined) throw failure;
            const woken = new Promise<void>((resolve) => {
              wake = resolve;
            });
            req.resume();
            await woken;
          }
        },
        async return() {
          req.off('data', onData).off('end', onEnd).off('close', onClose);
          req.pause();
          return { done: true, value: undefined };
        },
      };
    },
  };
}
