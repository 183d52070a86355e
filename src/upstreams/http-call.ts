import { bufferOf } from '../base/bytes.js';
import { type Cancellation, reasonOf } from '../base/cancellation.js';
import { systemClock } from '../base/clock.js';
import { upstreamBadResponse, upstreamError, upstreamTimeout } from '../base/errors.js';
import { GatheredBytes } from '../base/gathered-bytes.js';
import { type InPlaceSource, iterableOf } from '../base/steps.js';
import { young } from '../base/young.js';
import { type ContentCoding, contentCoding, Inflater } from './inflate.js';
import type {
  AnswerHandler,
  AnswerHead,
  Transport,
  TransportExchange,
  TransportFailure,
  TransportRequest,
} from './transport.js';
import { retryAfterMsOf, upstreamFailure } from './upstream-failure.js';

/** The ways in which a request ends, once. */
export interface HttpOutcome {
  /** A good answer was read to its end. */
  onWhole(bytes: Buffer): void;
  /** A good answer has begun, and is to be read as it comes. */
  onBegun(reply: HttpReply): void;
  /** There is no good answer; the client should see this error. */
  onFailed(error: unknown): void;
}

/** The outcome of a call that was told already. */
const TOLD: HttpOutcome = { onWhole: ignore, onBegun: ignore, onFailed: ignore };

function ignore(): void {}

/** The head of a good answer, and its body as it comes. */
export interface HttpReply {
  readonly head: AnswerHead;
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
  transport: Transport,
  request: TransportRequest,
  reading: HttpReading,
  outcome: HttpOutcome,
): void {
  const { cancellation } = reading;
  if (cancellation.aborted) outcome.onFailed(cancellation.reason);
  else transport.dispatch(request, new HttpCall(transport, request, reading, outcome));
}

/** Fields that occur once, but for those of a coding that was taken out. The gateway, not the upstream, decides which to pass on. */
export function singleFields(head: AnswerHead): Record<string, string> {
  const fields = head.fields();
  const single: Record<string, string> = {};
  const repeated = new Set<string>();
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at] ?? '';
    if (Object.hasOwn(single, name)) repeated.add(name);
    single[name] = fields[at + 1] ?? '';
  }
  for (const name of repeated) delete single[name];
  // A body that was inflated has another length.
  if (contentCoding(single['content-encoding']) !== undefined) delete single['content-length'];
  delete single['content-encoding'];
  return single;
}

const NO_BYTES = Buffer.alloc(0);
/** Most bytes read of an error's body. */
const MAX_ERROR_BYTES = 65_536;

/** One call over a transport, from the request to the end of its answer. */
class HttpCall implements AnswerHandler, BodyConnection {
  private readonly transport: Transport;
  /** `undefined` once an answer has come: it is not sent again, and its body need not stay as long as the answer goes on. */
  private request: TransportRequest | undefined;
  private readonly cancellation: Cancellation;
  private readonly maxWholeBytes: number;
  private outcome: HttpOutcome;
  /** Whether the request must not be sent again: it was, or an answer has begun. */
  private isFinal = false;
  private exchange: TransportExchange | undefined = undefined;
  private refusal: ((text: Buffer) => Error) | undefined = undefined;
  private streamed: ResponseBody | undefined = undefined;
  private inflater: Inflater | undefined = undefined;
  private head: AnswerHead | undefined = undefined;
  /** The first piece of an answer that is read to its end; as a rule all of it. */
  private first: Buffer | undefined = undefined;
  /** All pieces, from the second one on. */
  private gathered: GatheredBytes | undefined = undefined;

  constructor(transport: Transport, request: TransportRequest, reading: HttpReading, outcome: HttpOutcome) {
    this.transport = transport;
    this.request = request;
    this.cancellation = reading.cancellation;
    this.maxWholeBytes = reading.maxWholeBytes;
    this.outcome = outcome;
    this.cancellation.addEventListener('abort', this);
  }

  /** Hears that the call is over. */
  handleEvent(): void {
    const reason = reasonOf(this.cancellation);
    // Not left to the transport, which may tell nobody before the call has a connection.
    this.outcome.onFailed(reason);
    this.streamed?.fail(reason);
    this.exchange?.abort(reason);
  }

  onStart(exchange: TransportExchange): void {
    this.exchange = exchange;
    if (this.cancellation.aborted) this.handleEvent();
  }

  onHead(head: AnswerHead): void {
    this.isFinal = true;
    this.request = undefined;
    this.refusal = refusalOf(head);
    const coding = head.isCoded ? contentCoding(head.get('content-encoding')) : undefined;
    if (coding !== undefined) this.inflater = this.inflaterOf(coding);
    if (this.refusal !== undefined) return;
    this.head = head;
    const { maxWholeBytes } = this;
    if (maxWholeBytes === 0 || (head.contentLength ?? 0) > maxWholeBytes) this.begin(head);
  }

  /** The answer is for somebody who reads it as it comes. */
  private begin(head: AnswerHead): ResponseBody {
    const body = new ResponseBody(this);
    this.streamed = body;
    const { outcome } = this;
    // What it holds, the request among it, need not stay as long as the answer goes on.
    this.outcome = TOLD;
    outcome.onBegun({ head, body });
    return body;
  }

  resume(): void {
    this.inflater?.resume();
    this.exchange?.resume();
  }

  abort(error: Error): void {
    this.exchange?.abort(error);
  }

  onData(piece: Buffer): boolean {
    const { inflater, streamed } = this;
    if (inflater !== undefined) return inflater.write(Buffer.from(piece));
    if (streamed !== undefined && this.exchange?.givesReads === true) return streamed.takeRead(piece);
    // The transport reads the next bytes into the same place.
    return this.take(Buffer.from(piece));
  }

  onEnd(): void {
    this.cancellation.removeEventListener('abort', this);
    if (this.inflater === undefined) this.finish();
    else this.inflater.end();
  }

  onFailed(failure: TransportFailure, error: Error): void {
    const { cancellation } = this;
    cancellation.removeEventListener('abort', this);
    const { request } = this;
    if (
      failure === 'stale' &&
      !this.isFinal &&
      !cancellation.aborted &&
      request !== undefined &&
      isRepeatable(request)
    ) {
      this.isFinal = true;
      cancellation.addEventListener('abort', this);
      this.transport.dispatchFresh(request, this);
      return;
    }
    this.inflater?.leave();
    const thrown = cancellation.aborted ? cancellation.reason : transportError(failure, error);
    this.streamed?.fail(thrown);
    this.outcome.onFailed(this.refusal === undefined ? thrown : this.refusal(NO_BYTES));
  }

  /** Takes a piece of the body, without its coding. */
  private take(piece: Buffer): boolean {
    if (this.streamed !== undefined) return this.streamed.push(piece);
    const { refusal, head } = this;
    const size = this.gather(piece);
    if (refusal !== undefined) {
      if (size > MAX_ERROR_BYTES) this.giveUp(refusal(NO_BYTES));
      return true;
    }
    if (head === undefined || size <= this.maxWholeBytes) return true;
    return this.begin(head).push(this.takeGathered());
  }

  /** @returns The bytes that there are now. */
  private gather(piece: Buffer): number {
    if (this.first === undefined) {
      this.first = piece;
      return piece.length;
    }
    if (this.gathered === undefined) {
      this.gathered = new GatheredBytes();
      this.gathered.add(this.first);
    }
    this.gathered.add(piece);
    return this.gathered.size;
  }

  private takeGathered(): Buffer {
    const { first = NO_BYTES, gathered } = this;
    this.first = undefined;
    this.gathered = undefined;
    return gathered === undefined ? first : bufferOf(gathered.take());
  }

  private finish(): void {
    if (this.streamed !== undefined) {
      this.streamed.end();
      return;
    }
    const body = this.takeGathered();
    if (this.refusal === undefined) this.outcome.onWhole(body);
    else this.outcome.onFailed(this.refusal(body));
  }

  private inflaterOf(coding: ContentCoding): Inflater {
    return new Inflater(coding, {
      onData: (piece) => this.take(piece),
      onEnd: () => this.finish(),
      onBroken: (error) => {
        const failure = upstreamBadResponse('The upstream sent a compressed answer that cannot be read.', error);
        this.streamed?.fail(failure);
        this.giveUp(this.refusal === undefined ? failure : this.refusal(NO_BYTES));
      },
      onDrain: () => this.exchange?.resume(),
    });
  }

  private giveUp(error: Error): void {
    this.inflater?.leave();
    this.outcome.onFailed(error);
    this.abort(error);
  }
}

/** Whether the body can be sent again. */
function isRepeatable({ body }: TransportRequest): boolean {
  return body === undefined || body instanceof Uint8Array;
}

/** Makes an error of the text of a bad answer; `undefined` for a good answer. */
function refusalOf(head: AnswerHead): ((text: Buffer) => Error) | undefined {
  const { status } = head;
  if (status >= 300 && status < 400) {
    return () => upstreamBadResponse('The upstream answered with a redirect, which is not followed.');
  }
  if (status < 400) return undefined;
  const retryAfterMs = retryAfterMsOf(head);
  const isText = /^text\/plain/i.test(head.get('content-type') ?? '');
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

type OnPiece = (piece: Uint8Array | undefined) => void;
type OnBreak = (reason: unknown) => void;

/** The connection that a body comes from. */
interface BodyConnection {
  resume(): void;
  abort(error: Error): void;
}

/**
 * An answer's body between the parser that pushes and the reader that pulls. What comes in many pushes in one turn, a waiting
 * reader gets in one piece.
 */
class ResponseBody implements InPlaceSource<Uint8Array>, AsyncIterable<Uint8Array> {
  readonly self = this;
  private readonly connection: BodyConnection;
  /** The first piece that nobody has read yet, and those after it: as a rule there are none. */
  private first: Buffer | undefined = undefined;
  private more: Buffer[] | undefined = undefined;
  private waitingBytes = 0;
  /** Bytes thrown away since the reader left; `undefined` while it is there. */
  private drainedBytes: number | undefined = undefined;
  private isPaused = false;
  /** Whether the waiting reader is done with what it gets when it returns. */
  private isInPlace = false;
  private state: 'open' | 'ended' | 'failed' = 'open';
  private failure: unknown = undefined;
  private cancelDrain: (() => void) | undefined = undefined;
  private onStep: OnPiece | undefined = undefined;
  private onFailure: OnBreak | undefined = undefined;

  constructor(connection: BodyConnection) {
    this.connection = connection;
  }

  read(onStep: OnPiece, onFailure: OnBreak): void {
    this.isInPlace = false;
    this.ask(onStep, onFailure);
  }

  readInPlace(onStep: OnPiece, onFailure: OnBreak): void {
    this.isInPlace = true;
    this.ask(onStep, onFailure);
  }

  private ask(onStep: OnPiece, onFailure: OnBreak): void {
    this.onStep = onStep;
    this.onFailure = onFailure;
    this.tell();
  }

  /** Reads on for a moment: the end of a good answer is a few bytes away, and its connection can serve the next call. */
  leave(): void {
    this.drainedBytes = 0;
    this.onStep = undefined;
    if (this.first !== undefined) this.takeAll(this.first);
    if (this.state === 'open') this.cancelDrain = systemClock.setTimer(() => this.giveUp(), MAX_DRAIN_MS);
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return iterableOf(this)[Symbol.asyncIterator]();
  }

  /**
   * Takes all that one read has brought, which is good until this returns. A waiting reader has it in this turn.
   * @returns Whether more may come at once.
   */
  takeRead(read: Buffer): boolean {
    const { onStep } = this;
    if (onStep === undefined || this.first !== undefined) return this.push(Buffer.from(read));
    this.onStep = undefined;
    onStep(this.isInPlace ? read : Buffer.from(read));
    return true;
  }

  /** @returns Whether more may come at once. */
  push(piece: Buffer): boolean {
    if (this.drainedBytes !== undefined) {
      this.drainedBytes += piece.length;
      if (this.drainedBytes > MAX_DRAINED_BYTES) this.giveUp();
      return true;
    }
    this.waitingBytes += piece.length;
    if (this.first !== undefined) {
      this.more ??= [];
      this.more.push(piece);
    } else {
      this.first = piece;
      // By a tick and not a promise: it comes as soon, and leaves less behind.
      if (this.onStep !== undefined) process.nextTick(this.tell);
    }
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
  private readonly tell = young((): void => {
    if (this.onStep === undefined || (this.first === undefined && this.state === 'open')) return;
    const onStep = this.onStep;
    this.onStep = undefined;
    if (this.first !== undefined) onStep(this.takeAll(this.first));
    else if (this.state === 'failed') this.onFailure?.(this.failure);
    else onStep(undefined);
  });

  private takeAll(first: Buffer): Buffer {
    const taken = this.more === undefined ? first : Buffer.concat([first, ...this.more]);
    this.first = undefined;
    this.more = undefined;
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

/** Says a transport's failures in our words, as its messages name addresses. */
function transportError(failure: TransportFailure, error: Error): Error {
  switch (failure) {
    case 'silent':
      return upstreamTimeout(error);
    case 'unreachable':
      return upstreamError('The upstream cannot be reached.', error);
    default:
      return upstreamError('The connection to the upstream failed.', error);
  }
}
