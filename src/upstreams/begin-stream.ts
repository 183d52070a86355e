import type { Awaitable } from '../base/awaitable.js';
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
import { type InPlaceSource, isInPlace, type StepSource } from '../base/steps.js';
import { young } from '../base/young.js';
import { usageBody } from '../wire/chat/answer.js';
import type { ChunkForms } from '../wire/chat/chunk-template.js';
import type { StreamChunk, WatchedStream } from '../wire/watched-stream.js';
import {
  checkNoError,
  collectBytes,
  estimatedUsage,
  type NamedCall,
  namesModelPath,
  type OutgoingCall,
  reportedError,
  type StreamReply,
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
  | 'takesInPlace'
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
  private readonly inPlace: InPlaceSource<Uint8Array | JsonObject> | undefined;
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
    this.inPlace = stream.takesInPlace === true && isInPlace(source) ? source : undefined;
    this.maxBytes = maxBytes;
    this.holder = holder;
  }

  /** Asks the source for the next step, which is to be taken before `onStep` returns. */
  read(onStep: (step: Uint8Array | JsonObject | undefined) => void, onFailure: (reason: unknown) => void): void {
    if (this.inPlace === undefined) this.source.read(onStep, onFailure);
    else this.inPlace.readInPlace(onStep, onFailure);
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
export function beginStream(
  call: OutgoingCall,
  reply: UpstreamReply,
  forms?: ChunkForms,
): Awaitable<StreamAnswer<WatchedStream>> {
  return reply.kind === 'whole' ? streamOfWhole(call, reply.body) : new Beginning(call, reply, forms).wait();
}

const NO_PATIENCE: StreamPatience = {};

/** Blanks before an answer that are kept, and more than the name of a field among them. */
const MAX_BLANKS = 4_096;
const LONGEST_FIELD = 16;

/**
 * The beginning of a stream. Most come in the read that brought the head of the answer, and are there at once: what a promise
 * for each step would cost is saved.
 */
class Beginning {
  private readonly call: OutgoingCall;
  private readonly reply: StreamReply;
  private readonly forms: ChunkForms | undefined;
  private readonly source: StepSource<Uint8Array | JsonObject>;
  private readonly isCalledEvents: boolean;
  /** Bytes whose form is not known yet. */
  private head: Uint8Array | undefined = undefined;
  /** The answer, once it is known for a stream. */
  private answer: StreamAnswer<WatchedStream> | undefined = undefined;
  private outcome: 'waiting' | 'begun' | 'whole' | 'failed' = 'waiting';
  private whole: Promise<StreamAnswer<WatchedStream>> | undefined = undefined;
  private error: unknown = undefined;
  private onOver: (() => void) | undefined = undefined;
  private cancelTimer: (() => void) | undefined = undefined;
  /** Whether a step is being asked for, and whether it came while it was. */
  private isAsking = false;
  private hasCome = false;
  private come: Uint8Array | JsonObject | undefined = undefined;

  constructor(call: OutgoingCall, reply: StreamReply, forms: ChunkForms | undefined) {
    this.call = call;
    this.reply = reply;
    this.forms = forms;
    this.source = sourceOf(call, reply);
    this.isCalledEvents = reply.kind === 'bytes' && /^text\/event-stream/i.test(reply.contentType);
  }

  /** The answer as soon as it has begun. @throws {GatewayError} where it does not begin well. */
  wait(): Awaitable<StreamAnswer<WatchedStream>> {
    if (this.reply.kind === 'chunks') this.watch(undefined);
    this.readOn();
    if (this.outcome === 'waiting') this.startTimer();
    if (this.outcome !== 'waiting') return this.result();
    return new Promise((resolve, reject) => {
      this.onOver = young(() => {
        try {
          resolve(this.result());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  /** Not from the first bytes on: a server may send the head of a stream and nothing more. */
  private startTimer(): void {
    const { firstTokenTimeoutMs } = this.call.upstream.patience ?? NO_PATIENCE;
    if (firstTokenTimeoutMs === undefined) return;
    this.cancelTimer = systemClock.setTimer(() => {
      if (this.answer === undefined) this.source.leave();
      else this.answer.leave();
      this.over('failed', upstreamTimeout());
    }, firstTokenTimeoutMs);
  }

  private result(): Awaitable<StreamAnswer<WatchedStream>> {
    const result = this.whole ?? this.answer;
    if (this.outcome === 'failed' || result === undefined) throw this.error;
    return result;
  }

  private over(outcome: 'begun' | 'whole' | 'failed', error?: unknown): void {
    if (this.outcome !== 'waiting') return;
    this.outcome = outcome;
    this.error = error;
    this.cancelTimer?.();
    this.onOver?.();
  }

  /** Asks for steps, one after the other, for as long as they are there at once. */
  private readOn(): void {
    while (this.outcome === 'waiting') {
      this.hasCome = false;
      this.isAsking = true;
      this.source.read(this.onStep, this.onBreak);
      this.isAsking = false;
      if (!this.hasCome) return;
      const step = this.come;
      this.come = undefined;
      this.take(step);
    }
  }

  private readonly onStep = young((step: Uint8Array | JsonObject | undefined): void => {
    if (this.isAsking) {
      this.hasCome = true;
      this.come = step;
      return;
    }
    if (this.outcome !== 'waiting') return;
    this.take(step);
    this.readOn();
  });

  private readonly onBreak = young((reason: unknown): void => {
    this.answer?.leave();
    this.over('failed', reason);
  });

  private take(step: Uint8Array | JsonObject | undefined): void {
    try {
      if (this.answer === undefined) this.takeHead(step);
      else this.takeStep(this.answer, step);
    } catch (error) {
      this.answer?.leave();
      this.over('failed', error);
    }
  }

  private takeHead(step: Uint8Array | JsonObject | undefined): void {
    if (!(step instanceof Uint8Array)) this.takeForm(this.isCalledEvents ? 'events' : 'other');
    else {
      this.head = this.head === undefined ? step : Buffer.concat([this.head, step]);
      const form = formOf(this.head);
      if (form !== 'unknown') this.takeForm(form === 'other' && this.isCalledEvents ? 'events' : form);
      // What is called an event stream may begin with a field that nobody knows.
      else if (this.isCalledEvents) this.takeForm('events');
      // Blanks, which say nothing, may go on for ever.
      else if (this.head.byteLength > MAX_BLANKS) this.head = Buffer.from(this.head.subarray(-LONGEST_FIELD));
    }
  }

  private takeForm(form: AnswerForm): void {
    const { call, source, head } = this;
    this.head = undefined;
    if (form === 'json') {
      this.whole = bytesFrom(call, source, head).then((bytes) => streamOfWhole(call, bytes));
      this.over('whole');
    } else if (form === 'other') {
      source.leave();
      throw upstreamBadResponse('The upstream answered with something other than an event stream.');
    } else {
      const answer = this.watch(head);
      this.takeStep(answer, head);
    }
  }

  private watch(head: Uint8Array | undefined): StreamAnswer<WatchedStream> {
    const { call, reply, source } = this;
    const showModel = shownModelOf(call, head !== undefined && namesModelPath(head));
    const stream = call.endpoint.watch({
      hideUsage: !call.asks.includeUsage,
      showModel,
      form: this.forms?.of(formName(call, showModel)),
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
    this.answer = answer;
    return answer;
  }

  /** Comments keep a connection alive and say nothing: with them the answer has not begun. */
  private takeStep(answer: StreamAnswer<WatchedStream>, step: Uint8Array | JsonObject | undefined): void {
    const chunk = answer.takeStep(step);
    const { stream } = answer;
    if (chunk !== undefined && (stream.begun || chunk === HEARTBEAT)) {
      answer.first = chunk;
      this.over('begun');
      return;
    }
    if (!answer.isOver) return;
    if (stream.failure?.kind === 'reported') {
      throw withUsage(reportedError(this.call, stream.failure.error), stream.usage);
    }
    throw upstreamBadResponse('The upstream ended the stream before it began.');
  }
}

/** Name of the form that chunks of such a call have, and are shown in. */
function formName({ endpoint, asks, model, upstream }: OutgoingCall, showModel: string | undefined): string {
  return `${endpoint.operation} ${asks.includeUsage} ${upstream.name}\n${model.upstreamModel}\n${showModel ?? ''}`;
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
