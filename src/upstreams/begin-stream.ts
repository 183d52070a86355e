import { type Clock, systemClock } from '../base/clock.js';
import {
  type GatewayError,
  upstreamBadResponse,
  upstreamInterrupted,
  upstreamStalled,
  upstreamTimeout,
} from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import { objectInTurns } from '../base/json-turns.js';
import { nextOf, type StepSource } from '../base/steps.js';
import { usageBody } from '../wire/chat/answer.js';
import type { StreamChunk, WatchedStream } from '../wire/watched-stream.js';
import {
  checkNoError,
  collectBytes,
  estimatedUsage,
  type NamedCall,
  namesModelPath,
  type OutgoingCall,
  reportedError,
  shownError,
  shownModelOf,
  sourceOf,
} from './answer.js';
import { type AnswerForm, formOf } from './answer-form.js';
import { chunksOfWhole } from './convert-answer.js';
import { wholeBytes } from './read-whole.js';
import type { StreamPatience, UpstreamReply } from './upstream.js';
import { withUsage } from './upstream-failure.js';

/** A comment of ours, in the form in which other gateways send theirs; no client takes it for an event. */
export const HEARTBEAT = ': keep-alive\n\n';
/** Shortest time between two heartbeats. */
const HEARTBEAT_MS = 10_000;

/** The part of a watched stream that its relay needs. */
export type RelayedStream = Pick<
  WatchedStream,
  | 'watchPiece'
  | 'watchEnd'
  | 'done'
  | 'finished'
  | 'failure'
  | 'usage'
  | 'hasShownUsage'
  | 'serviceTier'
  | 'toolCalls'
  | 'lastChunk'
  | 'keptBytes'
> & {
  /** Output that the client got; `undefined`: unknown, as nobody counted it. */
  deliveredTokens(): number | undefined;
};

/** Largest part of an event that is kept without being counted. */
const COUNTED_BYTES = 65_536;

/** A stream of an upstream, watched on its way. */
export class StreamAnswer<Stream extends RelayedStream = RelayedStream> {
  readonly kind = 'stream';
  readonly source: StepSource<Uint8Array | JsonObject>;
  readonly stream: Stream;
  /** The first chunk for the client; `undefined` where nothing was read yet. */
  first: StreamChunk | undefined = undefined;
  /** Whether the source has come to its end. */
  isEnded = false;
  /** Told once, at the end, what the answer was. */
  onOver: ((stream: RelayedStream) => void) | undefined = undefined;
  /** Waiting for events, where something bounds it or is shown of it. */
  quiet: Quiet | undefined = undefined;
  private readonly maxBytes: number;
  private sizeBytes = 0;
  private isOfBytes = false;
  /** Takes account of what is kept of events that are not whole. */
  private readonly holder: Pick<OutgoingCall, 'holdBytes'> | undefined;
  private heldBytes = 0;

  constructor(
    source: StepSource<Uint8Array | JsonObject>,
    stream: Stream,
    maxBytes: number,
    holder?: Pick<OutgoingCall, 'holdBytes'>,
  ) {
    this.source = source;
    this.stream = stream;
    this.maxBytes = maxBytes;
    this.holder = holder;
  }

  /**
   * Takes a step of the source, `undefined` at its end; gives what may go to the client now.
   * @throws {GatewayError} when the answer is too large.
   */
  takeStep(step: Uint8Array | JsonObject | undefined): StreamChunk | undefined {
    if (step === undefined) {
      this.isEnded = true;
      return this.stream.watchEnd();
    }
    const isBytes = step instanceof Uint8Array;
    this.isOfBytes ||= isBytes;
    const shown = this.stream.watchPiece(step);
    this.grow(isBytes ? step.byteLength : typeof shown === 'string' ? shown.length : 0);
    this.countKept();
    return this.quiet === undefined ? shown : this.quiet.heard(shown, this.stream);
  }

  /** Few bytes are not worth counting: places of calls bound them. */
  private countKept(): void {
    const kept = this.stream.keptBytes ?? 0;
    const held = kept > COUNTED_BYTES ? kept : 0;
    if (held === this.heldBytes) return;
    this.holder?.holdBytes(held - this.heldBytes);
    this.heldBytes = held;
  }

  /** Notes text that a view made of chunks, whose size is known by their bytes already where they came as bytes. */
  growMade(bytes: number): void {
    if (!this.isOfBytes) this.grow(bytes);
  }

  /** Notes text that was made of chunks. @throws {GatewayError} when the answer is too large. */
  private grow(bytes: number): void {
    this.sizeBytes += bytes;
    if (this.sizeBytes > this.maxBytes) throw upstreamBadResponse('The upstream answered with too much.');
  }

  /** Whether nothing more is to come, whatever the source still says. */
  get isOver(): boolean {
    return this.isEnded || this.stream.done || this.stream.failure !== undefined;
  }

  /** Leaves a source that still has something to say. */
  leave(): void {
    if (!this.isEnded) this.source.leave();
    this.isEnded = true;
    this.onOver?.(this.stream);
    this.onOver = undefined;
  }
}

/** The times of a stream in which nothing comes but comments, by which upstreams keep a connection open. */
export class Quiet {
  private readonly clock: Pick<Clock, 'steadyMs'>;
  private readonly patience: StreamPatience;
  /** When the first of the comments came, and when we last passed one on. */
  private since: number | undefined = undefined;
  private shownAt = 0;
  /** Whether the client has the head. */
  hasHead = false;

  constructor(patience: StreamPatience, clock: Pick<Clock, 'steadyMs'> = systemClock) {
    this.clock = clock;
    this.patience = patience;
  }

  /** Takes what a step showed. Returns it, or a heartbeat. @throws {GatewayError} 504 for a stream that has said nothing for too long. */
  heard(
    shown: StreamChunk | undefined,
    { done, failure }: Pick<RelayedStream, 'done' | 'failure'>,
  ): StreamChunk | undefined {
    if (shown !== undefined || done || failure !== undefined) {
      this.since = undefined;
      this.hasHead ||= shown !== undefined;
      return shown;
    }
    const now = this.clock.steadyMs();
    if (this.since === undefined) {
      this.since = now;
      this.shownAt = now;
    }
    const { tokenTimeoutMs, openHeadAfterMs } = this.patience;
    if (this.hasHead && tokenTimeoutMs !== undefined && now - this.since > tokenTimeoutMs) throw upstreamStalled();
    if (!this.hasHead && (openHeadAfterMs === undefined || now - this.since < openHeadAfterMs)) return undefined;
    if (this.hasHead && now - this.shownAt < HEARTBEAT_MS) return undefined;
    this.hasHead = true;
    this.shownAt = now;
    return HEARTBEAT;
  }
}

/** Waits for the first event: until then an error is an ordinary one, with a status. A whole answer becomes a stream. */
export async function beginStream(call: OutgoingCall, reply: UpstreamReply): Promise<StreamAnswer<WatchedStream>> {
  if (reply.kind === 'whole') return streamOfWhole(call, reply.body);
  const source = sourceOf(call, reply);
  const head = reply.kind === 'chunks' ? undefined : await readHead(source, reply.contentType);
  if (head?.form === 'json') return streamOfWhole(call, await bytesFrom(call, source, head.step));
  if (head?.form === 'other') {
    source.leave();
    throw upstreamBadResponse('The upstream answered with something other than an event stream.');
  }
  const stream = call.endpoint.watch({
    hideUsage: !call.asks.includeUsage,
    showModel: shownModelOf(call, head?.step !== undefined && namesModelPath(head.step)),
    showError: call.endpoint.operation === 'responses' ? (error) => shownError(call, error) : undefined,
    awaitsUsage: call.asks.includeUsage && reply.kind !== 'chunks',
    n: call.asks.n,
    takes: call.view.takes,
    maxEventBytes: Math.min(call.maxResponseBytes, call.answerBounds.maxBytes),
    bounds: call.answerBounds,
  });
  const answer = new StreamAnswer(source, stream, call.maxResponseBytes, call);
  const { patience = NO_PATIENCE } = call.upstream;
  if (reply.kind === 'bytes') answer.quiet = new Quiet(patience);
  const first = firstChunk(answer, head);
  const { firstTokenTimeoutMs } = patience;
  answer.first = await (firstTokenTimeoutMs === undefined ? first : inTime(first, firstTokenTimeoutMs, answer));
  if (answer.first !== undefined) return answer;
  if (stream.failure?.kind === 'reported') {
    throw withUsage(reportedError(call, stream.failure.error), stream.usage);
  }
  throw upstreamBadResponse('The upstream ended the stream before it began.');
}

const NO_PATIENCE: StreamPatience = {};

/** The first chunk, if it comes in that time; else the stream is left. */
async function inTime<T>(first: Promise<T>, timeoutMs: number, answer: StreamAnswer): Promise<T> {
  let cancel = (): void => {};
  const late = new Promise<never>((_, reject) => {
    cancel = systemClock.setTimer(() => {
      answer.leave();
      reject(upstreamTimeout());
    }, timeoutMs);
  });
  try {
    return await Promise.race([first, late]);
  } finally {
    cancel();
  }
}

/** The first bytes of an answer, as far as its form takes them; no step at the end of it. */
interface AnswerHead {
  readonly step: Uint8Array | undefined;
  readonly form: AnswerForm;
}

/** Blanks before an answer that are kept, and more than the name of a field among them. */
const MAX_BLANKS = 4_096;
const LONGEST_FIELD = 16;

async function readHead(source: StepSource<Uint8Array | JsonObject>, contentType: string): Promise<AnswerHead> {
  const isCalledEvents = /^text\/event-stream/i.test(contentType);
  let bytes: Uint8Array | undefined;
  for (;;) {
    const step = await nextOf(source);
    if (!(step instanceof Uint8Array)) return { step: bytes, form: isCalledEvents ? 'events' : 'other' };
    bytes = bytes === undefined ? step : Buffer.concat([bytes, step]);
    const form = formOf(bytes);
    if (form === 'json' || form === 'events') return { step: bytes, form };
    // What is called an event stream may begin with a field that nobody knows.
    if (isCalledEvents) return { step: bytes, form: 'events' };
    if (form === 'other') return { step: bytes, form };
    // Blanks, which say nothing, may go on for ever.
    if (bytes.byteLength > MAX_BLANKS) bytes = Buffer.from(bytes.subarray(-LONGEST_FIELD));
  }
}

/** The bytes of an answer of which the first were read. */
async function bytesFrom(
  call: OutgoingCall,
  source: StepSource<Uint8Array | JsonObject>,
  first: Uint8Array | undefined,
): Promise<Uint8Array> {
  const rest = await collectBytes(source, call);
  return first === undefined ? rest : Buffer.concat([first, rest]);
}

/** Shows a whole answer as the stream that was asked for. */
async function streamOfWhole(call: OutgoingCall, body: JsonObject | Uint8Array): Promise<StreamAnswer<WatchedStream>> {
  if (body instanceof Uint8Array) await wholeBytes(call, body);
  const whole = body instanceof Uint8Array ? await objectInTurns(body, call.answerBounds) : body;
  if (whole === undefined) throw upstreamBadResponse('The upstream answered with more than can be read.');
  if (whole.output === undefined) checkNoError(call, whole.error);
  const chunks = chunksOfWhole(call.endpoint.operation, whole);
  return beginStream(call, { kind: 'chunks', chunks: each(chunks) });
}

async function* each(chunks: readonly JsonObject[]): AsyncGenerator<JsonObject> {
  yield* chunks;
}

/** Comments keep a connection alive and say nothing: with them the answer has not begun. */
async function firstChunk(
  answer: StreamAnswer<WatchedStream>,
  head: AnswerHead | undefined,
): Promise<StreamChunk | undefined> {
  try {
    let step = head === undefined ? await nextOf(answer.source) : head.step;
    for (;;) {
      const chunk = answer.takeStep(step);
      if (chunk !== undefined && (answer.stream.begun || chunk === HEARTBEAT)) return chunk;
      if (answer.isOver) {
        answer.leave();
        return undefined;
      }
      step = await nextOf(answer.source);
    }
  } catch (error) {
    answer.leave();
    throw error;
  }
}

/** A chunk with usage for a client that asked and was shown none: what the upstream told in a place of its own, else estimated. */
export function missingUsage(call: OutgoingCall, stream: RelayedStream): readonly JsonObject[] | undefined {
  if (!call.asks.includeUsage || stream.hasShownUsage === true || stream.lastChunk === undefined) return undefined;
  const { usage: _, ...chunk } = stream.lastChunk;
  const told = stream.usage;
  const usage = told === undefined ? estimatedUsage(call, stream.deliveredTokens() ?? 0) : usageBody(told);
  return [{ ...chunk, choices: [], usage }];
}

/** How a stream that did not end well is told to the client. */
export function streamError(call: NamedCall, stream: RelayedStream): GatewayError | undefined {
  if (stream.failure?.kind === 'reported') return reportedError(call, stream.failure.error);
  if (stream.failure !== undefined) return upstreamBadResponse('The upstream sent what is not a chunk.');
  return stream.done || stream.finished ? undefined : upstreamInterrupted();
}
