import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { type Cancellation, type CancellationSource, createCancellation, type GatewayRequest } from '../src/adapter.js';
import { clientGone, IncomingBody } from './incoming-body.js';

/** Facts that only the adapter knows about a request. */
export interface RequestContext {
  /** Path and query below the mount point. */
  readonly url: string;
  /** Path and query as the client sent them, where the framework keeps both. @default url */
  readonly originalUrl?: string | undefined;
  /** The value that the host's body parser left, if it ran. */
  readonly parsedBody: unknown;
  /** The host framework's own request, for `identify`. */
  readonly native: unknown;
  /** Tells the client's address as the framework knows it. @default the socket's */
  readonly address?: (() => string | undefined) | undefined;
}

/** Place on a response for the request that it answers. */
const REQUEST = Symbol('megallm.request');
/** Place on a socket for the requests whose answers wait behind another. */
const QUEUE = Symbol('megallm.queue');

/** A response that knows the request it answers. The place is written to as any other: by `Reflect.set` it takes 1.4 µs. */
type Answer = ServerResponse & { [REQUEST]?: IncomingRequest };

/** A request that came over HTTP/2, through Node's compatible API. */
interface Http2Message {
  readonly stream: ServerHttp2Stream;
}

/** Requests of one connection whose answers wait for their turn: Node tells their responses nothing of its end. */
class Queue {
  readonly requests = new Set<IncomingRequest>();

  constructor(socket: IncomingMessage['socket']) {
    socket.once('close', () => {
      for (const request of this.requests) request.onClose();
    });
  }
}

/** A Node request as the core sees it, which knows how its answer ended. */
export class IncomingRequest implements GatewayRequest {
  readonly method: string;
  readonly url: string;
  readonly mountPath: string;
  readonly headers: GatewayRequest['headers'];
  readonly signal: Cancellation;
  readonly body: IncomingBody | { readonly parsed: unknown };
  readonly native: unknown;
  /** Whether the answer is out of our hands: we wrote its end, or the host has the request. */
  isOver = false;
  /** Whether nobody is left to answer. */
  isClosed = false;
  private readonly req: IncomingMessage;
  private readonly given: RequestContext;
  private queue: Queue | undefined = undefined;
  private readonly source: CancellationSource = createCancellation();

  constructor(req: IncomingMessage, res: ServerResponse, given: RequestContext) {
    this.method = req.method ?? 'GET';
    this.url = given.url;
    this.mountPath = mountOf(given);
    this.headers = headersOf(req);
    this.signal = this.source;
    // Express 4 leaves `req.body = {}` for bodies that it did not read: the stream itself tells who did.
    // `readableEnded`: an empty body was read to its end without a byte, and `end` will not come a second time.
    const isRead = req.readableDidRead || req.readableEnded;
    this.body = isRead ? { parsed: given.parsedBody } : new IncomingBody(req, continuing(req, res));
    this.native = given.native;
    this.req = req;
    this.given = given;
    // `close` of the response, not of the request: that one also fires after a body was read.
    if (res.destroyed || res.closed) this.onClose();
    else res.on('close', () => this.onClose());
    if (res.socket === null && !isHttp2(req)) this.wait(req);
  }

  /** The client's address; looked up when asked for, as frameworks read headers for it. */
  get address(): string | undefined {
    return this.given.address === undefined ? this.req.socket?.remoteAddress : this.given.address();
  }

  /** Tells that the end is written, or somebody else's to write. */
  end(): void {
    this.isOver = true;
  }

  /** Lets the host have the request. */
  handBack(): void {
    this.end();
    if (!('parsed' in this.body)) this.body.handBack();
  }

  /** Tells that the connection is gone. */
  onClose(): void {
    this.isClosed = true;
    this.queue?.requests.delete(this);
    // Whoever wrote the end, if we did not: nobody waits for ours any more.
    if (!this.isOver) this.source.abort(clientGone());
  }

  private wait({ socket }: IncomingMessage): void {
    if (typeof socket?.once !== 'function') return;
    const known: unknown = Reflect.get(socket, QUEUE);
    this.queue = known instanceof Queue ? known : new Queue(socket);
    if (this.queue !== known) Reflect.set(socket, QUEUE, this.queue);
    this.queue.requests.add(this);
  }
}

/** Lets `requestOf` find the request by its response, for callers that keep nothing but that. */
export function markRequest(res: Answer, request: IncomingRequest): void {
  res[REQUEST] = request;
}

/** The request that the response answers, if it was read here. */
export function requestOf(res: Answer): IncomingRequest | undefined {
  return res[REQUEST];
}

/** Whether the message came over HTTP/2, where answers and bodies end otherwise. */
export function isHttp2<T extends IncomingMessage>(req: T): req is T & Http2Message {
  return req.httpVersionMajor >= 2 && 'stream' in req;
}

/** Whether all of the request has arrived. */
export function isComplete(req: IncomingMessage): boolean {
  if (req.complete || !isHttp2(req)) return req.complete;
  const { stream } = req;
  return stream.endAfterHeaders || stream.state.remoteClose === 1;
}

/** The part of the path that the framework cut off. */
function mountOf({ url, originalUrl = url }: RequestContext): string {
  if (originalUrl.length <= url.length || !originalUrl.endsWith(url)) return '';
  return originalUrl.slice(0, originalUrl.length - url.length);
}

/** The headers; credentials that Node has dropped as doubled are there again, in a list. */
function headersOf({ headers, rawHeaders }: IncomingMessage): GatewayRequest['headers'] {
  let first: string | undefined;
  let others: string[] | undefined;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length !== 13 || name.toLowerCase() !== 'authorization') continue;
    const value = rawHeaders[at + 1] ?? '';
    if (first === undefined) first = value;
    else if (value !== first) others = [...(others ?? [first]), value];
  }
  return others === undefined ? headers : { ...headers, authorization: others };
}

/** Tells a client that asked (`Expect: 100-continue`) to send its body, on servers that leave it to their listeners. */
function continuing(req: IncomingMessage, res: ServerResponse): (() => void) | undefined {
  if (req.headers.expect?.toLowerCase() !== '100-continue' || Reflect.get(res, '_sent100') === true) return undefined;
  return () => {
    if (!res.headersSent && !res.destroyed) res.writeContinue();
  };
}
