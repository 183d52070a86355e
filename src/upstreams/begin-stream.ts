import { type GatewayError, upstreamBadResponse, upstreamInterrupted } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import { ANSWER_BOUNDS, memberValue, scanDocument } from '../base/json-document.js';
import { nextOf, type StepSource } from '../base/steps.js';
import type { StreamChunk, WatchedStream } from '../wire/watched-stream.js';
import {
  checkNoError,
  collectBytes,
  estimatedUsage,
  type NamedCall,
  type OutgoingCall,
  reportedError,
  shownModel,
  sourceOf,
} from './answer.js';
import type { UpstreamReply } from './upstream.js';

/** Longest event of a stream. */
const MAX_EVENT_BYTES = 4_194_304;

/** The part of a watched stream that its relay needs. */
export type RelayedStream = Pick<
  WatchedStream,
  'watchPiece' | 'watchEnd' | 'done' | 'finished' | 'failure' | 'usage' | 'lastChunk'
> & {
  /** Output that the client got; `undefined`: unknown, as nobody counted it. */
  deliveredTokens(): number | undefined;
};

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
  private readonly maxBytes: number;
  private sizeBytes = 0;
  private isOfBytes = false;

  constructor(source: StepSource<Uint8Array | JsonObject>, stream: Stream, maxBytes: number) {
    this.source = source;
    this.stream = stream;
    this.maxBytes = maxBytes;
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
    if (step instanceof Uint8Array) {
      this.isOfBytes = true;
      this.sizeBytes += step.byteLength;
    }
    const shown = this.stream.watchPiece(step);
    this.grow(typeof shown === 'string' ? shown.length : 0);
    return shown;
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

/** Waits for the first event: until then an error is an ordinary one, with a status. */
export async function beginStream(
  call: OutgoingCall,
  reply: UpstreamReply,
  hideUsage: boolean,
): Promise<StreamAnswer<WatchedStream>> {
  if (reply.kind === 'whole') {
    throw upstreamBadResponse('The upstream answered whole where a stream was asked for.');
  }
  const source = sourceOf(call, reply);
  if (reply.kind !== 'chunks' && !/^text\/event-stream/i.test(reply.contentType)) {
    await refuseWholeAnswer(call, source);
  }
  const stream = call.endpoint.watch({
    hideUsage,
    showModel: shownModel(call),
    awaitsUsage: call.asks.includeUsage && reply.kind !== 'chunks',
    n: call.asks.n,
    takes: call.view.takes,
    maxEventBytes: Math.min(MAX_EVENT_BYTES, call.maxResponseBytes),
  });
  const answer = new StreamAnswer(source, stream, call.maxResponseBytes);
  answer.first = await firstChunk(answer);
  if (answer.first !== undefined) return answer;
  if (stream.failure?.kind === 'reported') throw reportedError(call, stream.failure.error);
  throw upstreamBadResponse('The upstream ended the stream before it began.');
}

/** Comments keep a connection alive and say nothing: with them the answer has not begun. */
async function firstChunk(answer: StreamAnswer<WatchedStream>): Promise<StreamChunk | undefined> {
  try {
    for (;;) {
      const chunk = answer.takeStep(await nextOf(answer.source));
      if (chunk !== undefined && answer.stream.begun) return chunk;
      if (!answer.isOver) continue;
      answer.leave();
      return undefined;
    }
  } catch (error) {
    answer.leave();
    throw error;
  }
}

/** A 200 that is no stream: an error in disguise, if it is one. */
async function refuseWholeAnswer(call: OutgoingCall, source: StepSource<Uint8Array | JsonObject>): Promise<never> {
  const document = scanDocument(await collectBytes(source, call), ANSWER_BOUNDS);
  if (!('kind' in document)) checkNoError(call, memberValue(document, 'error'));
  throw upstreamBadResponse('The upstream answered with something other than an event stream.');
}

/** A chunk with estimated usage, for a client that asked and an upstream that counts nothing. */
export function missingUsage(call: OutgoingCall, stream: RelayedStream): readonly JsonObject[] | undefined {
  if (!call.asks.includeUsage || stream.usage !== undefined || stream.lastChunk === undefined) return undefined;
  const { usage: _, ...chunk } = stream.lastChunk;
  return [{ ...chunk, choices: [], usage: estimatedUsage(call, stream.deliveredTokens() ?? 0) }];
}

/** How a stream that did not end well is told to the client. */
export function streamError(call: NamedCall, stream: RelayedStream): GatewayError | undefined {
  if (stream.failure?.kind === 'reported') return reportedError(call, stream.failure.error);
  if (stream.failure !== undefined) return upstreamBadResponse('The upstream sent what is not a chunk.');
  return stream.done || stream.finished ? undefined : upstreamInterrupted();
}
