import { errorBody, type GatewayError } from '../../base/errors.js';
import { stepsOf } from '../../base/steps.js';
import { type AnswerPiece, type AnswerView, asWritten } from '../../call/answer-view.js';
import type { Call } from '../../call/call.js';
import type { AnswerStream } from '../../http/exchange.js';
import type { PricedUnits } from '../../models/pricing.js';
import type { AnswerChunk } from '../../upstreams/answer.js';
import { type RelayedStream, StreamAnswer } from '../../upstreams/begin-stream.js';
import { redacted } from '../../upstreams/redact.js';
import type { ForwardReply } from '../../upstreams/upstream.js';
import { WholeEvents } from '../../wire/event-buffer.js';
import { sseEvent } from '../../wire/sse.js';
import { readToldEvents } from '../../wire/told-events.js';
import { DataCounter, SoundLength } from '../../wire/told-pieces.js';
import { type TokenUsage, UsageTail } from '../../wire/usage.js';
import type { StreamFailure } from '../../wire/watched-stream.js';
import { relayForwarded } from '../model/relay.js';
import { OF_MODELS } from './plan.js';

/**
 * An answer's bytes on their way to the client, unread but for the usage at their end. One that breaks off does not look
 * complete: events end with an error, anything else breaks off too.
 */
export function forwardedStream(call: Call, { headers, body }: ForwardReply): AnswerStream {
  const stream = new ForwardedStream(call, headers['content-type'] ?? '');
  call.view = stream;
  call.begin(stream);
  return relayForwarded(call, new StreamAnswer(stepsOf(body), stream, Number.POSITIVE_INFINITY, call));
}

/** Whether a comment, in latin1, has nothing that must be cut out. */
function saysNothing(comment: string): boolean {
  return redacted(comment) === comment;
}

/** A forwarded answer as it is watched, and as it is shown. */
class ForwardedStream implements RelayedStream, AnswerView {
  readonly takes = 'text';
  readonly done = false;
  /** Set once an event was an error, which is told in words for clients. */
  failure: StreamFailure | undefined = undefined;
  readonly lastChunk = undefined;
  /** An answer is complete when it ends. */
  finished = false;
  private readonly call: Call;
  private readonly tail: UsageTail;
  private readonly events: WholeEvents | undefined;
  private readonly pictures: DataCounter | undefined;
  private readonly sound: SoundLength | undefined;
  private isBegun = false;

  constructor(call: Call, contentType: string) {
    this.call = call;
    this.tail = new UsageTail(OF_MODELS.has(call.operation) ? contentType : '');
    const { imageNanoUsd, audioNanoUsdPerMillionMs } = call.model.price ?? {};
    // Pieces are counted where they are paid for.
    this.pictures = imageNanoUsd === undefined || call.operation !== 'images' ? undefined : new DataCounter();
    this.sound =
      audioNanoUsdPerMillionMs === undefined || call.units?.characters !== undefined
        ? undefined
        : new SoundLength(contentType);
    this.events = /^text\/event-stream/i.test(contentType) ? new WholeEvents() : undefined;
  }

  /** A client that leaves once the usage has passed pays for it. */
  get usage(): TokenUsage | undefined {
    return this.tail.findUsage();
  }

  get keptBytes(): number {
    return this.events?.keptBytes ?? 0;
  }

  /** Pictures on the way to the last one are pictures: a client that has seen one may have had enough. */
  deliveredTokens(): number | undefined {
    const isPicture = this.events !== undefined && this.isBegun && !this.finished && this.call.operation === 'images';
    return isPicture ? this.call.start?.reservedOutputTokens : undefined;
  }

  /** Pieces that the whole answer told: no fewer pictures than were asked for. What was asked for is paid for where it broke off. */
  get units(): PricedUnits | undefined {
    if (!this.finished) return undefined;
    const images = this.pictures?.count;
    if (images !== undefined) return { images: Math.max(images, this.call.units?.images ?? 0) };
    const audioMs = this.sound?.findMs();
    return audioMs === undefined ? undefined : { audioMs };
  }

  watchPiece(piece: Uint8Array | object): Uint8Array | undefined {
    this.isBegun = true;
    if (!(piece instanceof Uint8Array)) return undefined;
    this.tail.addPiece(piece);
    this.pictures?.addPiece(piece);
    this.sound?.addPiece(piece);
    const shown = this.events === undefined ? piece : this.shownEvents(this.events, piece);
    return shown.byteLength > 0 ? shown : undefined;
  }

  private shownEvents(events: WholeEvents, piece: Uint8Array): Uint8Array {
    const wasInside = events.separator() !== '';
    const whole = events.passBytes(piece);
    // An event that is too long to be held comes in pieces.
    if (wasInside || events.separator() !== '' || whole.byteLength === 0) return whole;
    return this.shown(whole);
  }

  private shown(events: Uint8Array): Uint8Array {
    const { shown, error } = readToldEvents(events, saysNothing);
    if (error !== undefined) this.failure = { kind: 'reported', error };
    return shown;
  }

  watchEnd(): Uint8Array | undefined {
    this.isBegun = true;
    this.finished = true;
    const { events } = this;
    if (events === undefined) return undefined;
    const rest = events.separator() === '' ? this.shown(events.passRest()) : events.passRest();
    return rest.byteLength === 0 ? undefined : rest;
  }

  whole(body: AnswerChunk): AnswerPiece {
    return asWritten(body);
  }

  piece(chunk: AnswerChunk): AnswerPiece {
    return asWritten(chunk);
  }

  end(): AnswerPiece {
    return '';
  }

  error(error: GatewayError): AnswerPiece | undefined {
    return this.events === undefined ? undefined : this.events.separator() + sseEvent(errorBody(error));
  }
}
