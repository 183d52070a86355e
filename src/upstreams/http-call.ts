import type { Dispatcher } from 'undici';
import { type Cancellation, reasonOf } from '../base/cancellation.js';
import { systemClock } from '../base/clock.js';
import { upstreamBadResponse, upstreamError, upstreamTimeout } from '../base/errors.js';
import { GatheredBytes } from '../base/gathered-bytes.js';
import { iterableOf, type StepSource } from '../base/steps.js';
import { type ContentCoding, contentCoding, Inflater } from './inflate.js';
import { retryAfterMsOf, upstreamFailure } from './upstream-failure.js';

/** Connections to one server. */
export interface HttpConnections {
  readonly pool: Dispatcher;
  /** Sends over a connection that nobody has used before. */
  dispatchFresh(request: HttpRequest, handler: Dispatcher.DispatchHandler): void;
}

/** Bounds of the connections to one server. */
interface PoolBounds {
  readonly connections: number;
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
}

/** Opens connections to one server. undici takes 160 ms to load: in the background, and only where it is used. */
export async function openPool(origin: string, bounds: PoolBounds): Promise<HttpConnections> {
  const undici = await import('undici');
  const connector = undici.buildConnector({ timeout: bounds.connectTimeoutMs });
  const options = {
    pipelining: 1,
    headersTimeout: bounds.headersTimeoutMs,
    bodyTimeout: bounds.bodyTimeoutMs,
    connect: ((given, onConnected) =>
      connector(given, (...result: Parameters<typeof onConnected>) => {
        const [, socket] = result;
        if (socket !== null && socket !== undefined) markUse(socket);
        onConnected(...result);
      })) satisfies typeof connector,
  };
  return {
    pool: new undici.Pool(origin, { ...options, connections: bounds.connections }),
    dispatchFresh(request, handler) {
      const client = new undici.Client(origin, options);
      client.dispatch(request, handler);
      void client.close().catch(() => {});
    },
  };
}

/** Bytes of TLS itself that may come after the handshake, before any answer: tickets for later sessions. */
const MAX_TICKET_BYTES = 4_096;

/** The part of a socket that tells whether it was used. */
interface UsedSocket {
  readonly bytesRead: number;
  /** True of TLS. */
  readonly encrypted?: boolean;
  prependListener(name: 'error', listener: (error: Error) => void): unknown;
}

/** Lets the error of a connection tell whether an answer had come over it before. */
function markUse(socket: UsedSocket): void {
  const unused = socket.encrypted === true ? socket.bytesRead + MAX_TICKET_BYTES : 0;
  socket.prependListener('error', (error) => Reflect.set(error, 'isReused', socket.bytesRead > unused));
}

/** Codes of a connection that the other side closed. */
const CLOSED_CODES = new Set<unknown>(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** Whether a kept-alive connection ended, as servers end those that were idle: the request may never have arrived. */
function isStaleConnection(error: Error): boolean {
  return CLOSED_CODES.has(Reflect.get(error, 'code')) && Reflect.get(error, 'isReused') === true;
}

/** One request as undici takes it. */
export interface HttpRequest {
  readonly method: Dispatcher.HttpMethod;
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
  readonly body: NonNullable<Dispatcher.DispatchOptions['body']> | null;
}

/** The ways in which a request ends, once. */
interface HttpOutcome {
  /** A good answer was read to its end. */
  onWhole(bytes: Buffer): void;
  /** A good answer has begun, and is to be read as it comes. */
  onBegun(reply: HttpReply): void;
  /** There is no good answer; the client should see this error. */
  onFailed(error: unknown): void;
}

/** The head of a good answer, and its body as it comes. */
interface HttpReply {
  readonly status: number;
  readonly headers: HttpHeaders;
  readonly body: ResponseBody;
}

/** The way in which an answer is to be read. */
interface HttpReading {
  /** Largest answer, in bytes, that is read to its end here; what is larger has begun, and is read as it comes. */
  readonly maxWholeBytes: number;
  readonly cancellation: Cancellation;
}

/** Sends one request, and tells once how it ended. One that a stale connection swallowed is sent once more, over a fresh one. */
export function callOverHttp(
  connections: HttpConnections,
  request: HttpRequest,
  reading: HttpReading,
  outcome: HttpOutcome,
): void {
  const { cancellation } = reading;
  if (cancellation.aborted) outcome.onFailed(cancellation.reason);
  else connections.pool.dispatch(request, new HttpCall(connections, request, reading, outcome));
}

/** Headers in undici's own form, looked up one by one without making an object of all. */
class HttpHeaders {
  private readonly raw: readonly Buffer[];

  constructor(raw: readonly Buffer[]) {
    this.raw = raw;
  }

  /** The first value of a name that is given in lower case. */
  get(name: string): string | undefined {
    for (let at = 0; at + 1 < this.raw.length; at += 2) {
      const found = this.raw[at];
      if (found?.length !== name.length || found.toString('latin1').toLowerCase() !== name) continue;
      return this.raw[at + 1]?.toString('latin1');
    }
    return undefined;
  }

  /** Headers that occur once, but for those of a coding that was taken out. The gateway, not the upstream, decides which to pass on. */
  single(): Record<string, string> {
    const single: Record<string, string> = {};
    const repeated = new Set<string>();
    for (let at = 0; at + 1 < this.raw.length; at += 2) {
      const name = this.raw[at]?.toString('latin1').toLowerCase() ?? '';
      if (Object.hasOwn(single, name)) repeated.add(name);
      single[name] = this.raw[at + 1]?.toString('latin1') ?? '';
    }
    for (const name of repeated) delete single[name];
    // A body that was inflated has another length.
    if (contentCoding(single['content-encoding']) !== undefined) delete single['content-length'];
    delete single['content-encoding'];
    return single;
  }
}

/** Most bytes read of an error's body. */
const MAX_ERROR_BYTES = 65_536;

/**
 * One call over undici, from the request to the end of its answer. It is undici's older kind of handler: the newer costs a wrapper
 * and an object of headers for each call.
 */
class HttpCall implements Dispatcher.DispatchHandler {
  private readonly reading: HttpReading;
  private readonly outcome: HttpOutcome;
  private readonly connections: HttpConnections;
  private readonly request: HttpRequest;
  /** Whether the request must not be sent again: it was, or an answer has begun. */
  private isFinal = false;
  private abortRequest: ((error: Error) => void) | undefined = undefined;
  private refusal: ((text: Buffer) => Error) | undefined = undefined;
  private streamed: ResponseBody | undefined = undefined;
  private inflater: Inflater | undefined = undefined;
  private status = 0;
  private headers: HttpHeaders | undefined = undefined;
  private resume: (() => void) | undefined = undefined;
  private readonly gathered = new GatheredBytes();

  constructor(connections: HttpConnections, request: HttpRequest, reading: HttpReading, outcome: HttpOutcome) {
    this.connections = connections;
    this.request = request;
    this.reading = reading;
    this.outcome = outcome;
    reading.cancellation.addEventListener('abort', this.onAbort);
  }

  private readonly onAbort = (): void => {
    const reason = reasonOf(this.reading.cancellation);
    // Not left to undici, which tells nobody before the call has a connection.
    this.outcome.onFailed(reason);
    this.streamed?.fail(reason);
    this.abortRequest?.(reason);
  };

  onConnect(abort: (error?: Error) => void): void {
    this.abortRequest = abort;
    if (this.reading.cancellation.aborted) this.onAbort();
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    this.isFinal = true;
    if (status < 200) return true;
    const headers = new HttpHeaders(raw);
    this.refusal = refusalOf(status, headers);
    const coding = contentCoding(headers.get('content-encoding'));
    if (coding !== undefined) this.inflater = this.inflaterOf(coding, resume);
    if (this.refusal !== undefined) return true;
    this.status = status;
    this.headers = headers;
    this.resume = resume;
    const { maxWholeBytes } = this.reading;
    if (maxWholeBytes === 0 || Number(headers.get('content-length')) > maxWholeBytes) this.begin();
    return true;
  }

  /** The answer is for somebody who reads it as it comes. */
  private begin(): ResponseBody {
    const { status, headers = new HttpHeaders([]), resume } = this;
    const onResume = (): void => {
      this.inflater?.resume();
      resume?.();
    };
    const body = new ResponseBody({ resume: onResume, abort: (error) => this.abortRequest?.(error) });
    this.streamed = body;
    this.outcome.onBegun({ status, headers, body });
    return body;
  }

  onData(piece: Buffer): boolean {
    return this.inflater === undefined ? this.take(piece) : this.inflater.write(piece);
  }

  onComplete(): void {
    this.reading.cancellation.removeEventListener('abort', this.onAbort);
    if (this.inflater === undefined) this.finish();
    else this.inflater.end();
  }

  onError(error: Error): void {
    const { cancellation } = this.reading;
    cancellation.removeEventListener('abort', this.onAbort);
    if (!this.isFinal && !cancellation.aborted && isStaleConnection(error) && isRepeatable(this.request)) {
      this.isFinal = true;
      cancellation.addEventListener('abort', this.onAbort);
      this.connections.dispatchFresh(this.request, this);
      return;
    }
    this.inflater?.leave();
    const thrown = cancellation.aborted ? cancellation.reason : transportError(error);
    this.streamed?.fail(thrown);
    this.outcome.onFailed(this.refusal === undefined ? thrown : this.refusal(Buffer.alloc(0)));
  }

  /** Takes a piece of the body, without its coding. */
  private take(piece: Buffer): boolean {
    if (this.streamed !== undefined) return this.streamed.push(piece);
    const { gathered, refusal } = this;
    gathered.add(piece);
    if (refusal !== undefined) {
      if (gathered.size > MAX_ERROR_BYTES) this.giveUp(refusal(Buffer.alloc(0)));
    } else if (gathered.size > this.reading.maxWholeBytes) return this.begin().push(bufferOf(gathered.take()));
    return true;
  }

  private finish(): void {
    if (this.streamed !== undefined) {
      this.streamed.end();
      return;
    }
    const body = bufferOf(this.gathered.take());
    if (this.refusal === undefined) this.outcome.onWhole(body);
    else this.outcome.onFailed(this.refusal(body));
  }

  private inflaterOf(coding: ContentCoding, resume: () => void): Inflater {
    return new Inflater(coding, {
      onData: (piece) => this.take(piece),
      onEnd: () => this.finish(),
      onBroken: (error) => {
        const failure = upstreamBadResponse('The upstream sent a compressed answer that cannot be read.', error);
        this.streamed?.fail(failure);
        this.giveUp(this.refusal === undefined ? failure : this.refusal(Buffer.alloc(0)));
      },
      onDrain: resume,
    });
  }

  private giveUp(error: Error): void {
    this.inflater?.leave();
    this.outcome.onFailed(error);
    this.abortRequest?.(error);
  }
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** Whether the body can be sent again. */
function isRepeatable({ body }: HttpRequest): boolean {
  return body === null || body instanceof Uint8Array;
}

/** Makes an error of the text of a bad answer; `undefined` for a good answer. */
function refusalOf(status: number, headers: HttpHeaders): ((text: Buffer) => Error) | undefined {
  if (status >= 300 && status < 400) {
    return () => upstreamBadResponse('The upstream answered with a redirect, which is not followed.');
  }
  if (status < 400) return undefined;
  const retryAfterMs = retryAfterMsOf(headers);
  const isText = /^text\/plain/i.test(headers.get('content-type') ?? '');
  return (bytes) => {
    const text = bytes.toString('utf8');
    const json = parsed(text);
    // A text in quotes is as good as one without them.
    const words = typeof json === 'string' ? json : json === undefined && isText ? text : undefined;
    const isMessage = words !== undefined && isSaid(status, words);
    const body = isMessage ? { message: words.trim() } : (json ?? text);
    return upstreamFailure({ status, body, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
  };
}

/** Longest plain text that is taken for the words of an error. */
const MAX_SAID_CHARS = 1_000;

/** Whether a plain text says what is wrong with the request. A page of some proxy, and a 404 of a wrong address, do not. */
function isSaid(status: number, text: string): boolean {
  return status !== 404 && text.length <= MAX_SAID_CHARS && !text.trimStart().startsWith('<');
}

/** Most bytes that wait for a slow client before the socket is paused. */
const MAX_WAITING_BYTES = 65_536;

/** Most bytes, and longest time, of an answer's rest that is read for nobody before its connection is given up. */
const MAX_DRAINED_BYTES = 65_536;
const MAX_DRAIN_MS = 1_000;

/** Runs a callback after this turn; `queueMicrotask` costs several times as much. */
const SETTLED = Promise.resolve();

/** The connection that a body comes from. */
interface BodyConnection {
  resume(): void;
  abort(error: Error): void;
}

/**
 * An answer's body between the parser that pushes and the reader that pulls. One read of the socket comes in many pushes
 * in one turn; a waiting reader gets all of it in one piece.
 */
class ResponseBody implements StepSource<Uint8Array>, AsyncIterable<Uint8Array> {
  private readonly connection: BodyConnection;
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  /** Bytes thrown away since the reader left; `undefined` while it is there. */
  private drainedBytes: number | undefined = undefined;
  private isPaused = false;
  private state: 'open' | 'ended' | 'failed' = 'open';
  private failure: unknown = undefined;
  private cancelDrain: (() => void) | undefined = undefined;
  private onStep: ((step: Uint8Array | undefined) => void) | undefined = undefined;
  private onFailure: ((reason: unknown) => void) | undefined = undefined;

  constructor(connection: BodyConnection) {
    this.connection = connection;
  }

  read(onStep: (step: Uint8Array | undefined) => void, onFailure: (reason: unknown) => void): void {
    this.onStep = onStep;
    this.onFailure = onFailure;
    this.tell();
  }

  /** Reads on for a moment: the end of a good answer is a few bytes away, and its connection can serve the next call. */
  leave(): void {
    this.drainedBytes = 0;
    this.onStep = undefined;
    this.takeAll();
    if (this.state === 'open') this.cancelDrain = systemClock.setTimer(() => this.giveUp(), MAX_DRAIN_MS);
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return iterableOf(this)[Symbol.asyncIterator]();
  }

  /** @returns Whether more may come at once. */
  push(piece: Buffer): boolean {
    if (this.drainedBytes !== undefined) {
      this.drainedBytes += piece.length;
      if (this.drainedBytes > MAX_DRAINED_BYTES) this.giveUp();
      return true;
    }
    this.waiting.push(piece);
    this.waitingBytes += piece.length;
    if (this.onStep !== undefined && this.waiting.length === 1) SETTLED.then(this.tell);
    this.isPaused ||= this.waitingBytes > MAX_WAITING_BYTES;
    return !this.isPaused;
  }

  end(): void {
    if (this.state === 'open') this.state = 'ended';
    this.cancelDrain?.();
    this.tell();
  }

  /** Ends the body with an error, after the pieces that were pushed before. */
  fail(error: unknown): void {
    this.cancelDrain?.();
    if (this.state !== 'open') return;
    this.state = 'failed';
    this.failure = error;
    this.tell();
  }

  /** Hands a waiting reader the bytes or the end that have arrived. */
  private readonly tell = (): void => {
    if (this.onStep === undefined || (this.waiting.length === 0 && this.state === 'open')) return;
    const onStep = this.onStep;
    this.onStep = undefined;
    if (this.waiting.length > 0) onStep(this.takeAll());
    else if (this.state === 'failed') this.onFailure?.(this.failure);
    else onStep(undefined);
  };

  private takeAll(): Buffer {
    const [only] = this.waiting;
    const taken = this.waiting.length === 1 && only !== undefined ? only : Buffer.concat(this.waiting);
    this.waiting = [];
    this.waitingBytes = 0;
    if (this.isPaused) {
      this.isPaused = false;
      this.connection.resume();
    }
    return taken;
  }

  private giveUp(): void {
    this.connection.abort(new Error('The reader has left.'));
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Says undici's errors in our words, as its messages name addresses. */
function transportError(error: Error): Error {
  const code: unknown = Reflect.get(error, 'code');
  switch (code) {
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return upstreamTimeout(error);
    case 'UND_ERR_CONNECT_TIMEOUT':
      return upstreamError('The upstream cannot be reached.', error);
    default:
      return upstreamError('The connection to the upstream failed.', error);
  }
}
