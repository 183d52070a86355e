import { type Awaitable, isPending } from '../../base/awaitable.js';
import { type GatewayError, toGatewayError } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import { iterableOf } from '../../base/steps.js';
import { young } from '../../base/young.js';
import { type AnswerPiece, asWritten } from '../../call/answer-view.js';
import type { Call, CallEnd } from '../../call/call.js';
import { debugComment, debugFacts, debugReport } from '../../call/debug.js';
import { brokenStream, reportCause } from '../../call/failure.js';
import type { AnswerStream } from '../../http/exchange.js';
import { HEARTBEAT, missingUsage, type StreamAnswer, streamError } from '../../upstreams/begin-stream.js';
import type { UsageRecord } from '../../usage/usage-store.js';
import type { StreamChunk } from '../../wire/watched-stream.js';

type OnStep = (step: AnswerPiece | undefined) => void;
type OnFailure = (reason: unknown) => void;

/** Largest piece that is not counted while its client does not take it. */
const UNCOUNTED_BYTES = 65_536;

/** Hands a stream on to the client. It ends as a good one only if it is complete, else with an error event. */
export function relay(call: Call, answer: StreamAnswer): AnswerStream {
  return new Relay(call, answer, false);
}

/**
 * Hands a forwarded answer on. It is not read on for a client that has left, its delivery is not noted on the way, and one that
 * breaks off before its first byte has given nothing.
 */
export function relayForwarded(call: Call, answer: StreamAnswer): AnswerStream {
  return new Relay(call, answer, true);
}

/** A stream on its way to the client, read by the client's asking. Every chunk passes it by calls, not by promises. */
class Relay implements AnswerStream {
  private readonly call: Call;
  private readonly answer: StreamAnswer;
  private readonly isForwarded: boolean;
  isLast = false;
  private unsent: StreamChunk | undefined;
  private isOver = false;
  private isReading = false;
  /** Whether the client is gone, and the stream is read for its usage alone. */
  private isDraining = false;
  private drainedBytes = 0;
  /** Size of the piece that the client was given last, where that is large: until it asks for more, it waits to be read. */
  private shownBytes = 0;
  private onStep: OnStep = ignore;
  private onFailure: OnFailure = ignore;
  // Made once: the source is handed the same two with each chunk.
  private readonly onSource = young((step: Uint8Array | JsonObject | undefined): void =>
    this.call.exchange.context.runInAsyncScope(this.takeStep, this, step),
  );
  private readonly onBreak = young((reason: unknown): void =>
    this.call.exchange.context.runInAsyncScope(this.breakOff, this, reason),
  );
  private readonly onUnshown = young((reason: unknown): void => {
    // The client left while it was made: the rest is being read already.
    if (this.isDraining) this.onStep(undefined);
    else this.finish(undefined, brokenStream(reason));
  });

  constructor(call: Call, answer: StreamAnswer, isForwarded: boolean) {
    this.call = call;
    this.answer = answer;
    this.isForwarded = isForwarded;
    this.unsent = answer.first;
    if (!isForwarded) call.onDrain(() => this.beginDrain());
    call.view.begin?.(answer.stream);
  }

  read(onStep: OnStep, onFailure: OnFailure): void {
    if (this.shownBytes > 0) this.countShown(0);
    this.onStep = onStep;
    this.onFailure = onFailure;
    const chunk = this.unsent;
    this.unsent = undefined;
    if (this.isOver || this.isDraining) onStep(undefined);
    else if (chunk !== undefined) this.takeChunk(chunk);
    else this.readOn();
  }

  leave(): void {
    if (this.shownBytes > 0) this.countShown(0);
    if (this.isOver || this.isDraining) return;
    void this.end('left');
    // What the upstream still does for it, inside a step, is for nobody.
    this.call.abort(new Error('The client is gone'));
  }

  [Symbol.asyncIterator](): AsyncIterator<AnswerPiece> {
    return iterableOf(this)[Symbol.asyncIterator]();
  }

  private readOn(): void {
    if (this.answer.isEnded) {
      this.takeChunk(undefined);
      return;
    }
    this.isReading = true;
    this.answer.read(this.onSource, this.onBreak);
  }

  private takeStep(step: Uint8Array | JsonObject | undefined): void {
    this.isReading = false;
    let chunk: StreamChunk | undefined;
    try {
      chunk = this.answer.takeStep(step);
    } catch (error) {
      this.breakOff(error);
      return;
    }
    if (chunk === undefined && !this.answer.isOver) this.readOn();
    else this.takeChunk(chunk);
  }

  /** Shows a chunk, or the end where there is none. */
  private takeChunk(chunk: StreamChunk | undefined): void {
    if (this.isDraining) {
      this.drain(chunk);
      return;
    }
    const { stream } = this.answer;
    if (chunk === undefined || stream.done || stream.failure !== undefined) {
      this.finish(chunk, streamError(this.call, stream));
      return;
    }
    // It says nothing, whatever a view makes of the answer.
    if (chunk === HEARTBEAT) {
      this.give(chunk);
      return;
    }
    let shown: Awaitable<AnswerPiece | undefined>;
    try {
      shown = this.call.view.piece(chunk);
    } catch (error) {
      this.onUnshown(error);
      return;
    }
    if (isPending(shown)) shown.then((piece) => this.show(piece), this.onUnshown);
    else if (typeof chunk !== 'object' || chunk instanceof Uint8Array) this.show(shown);
    else this.showMade(shown);
  }

  /** Shows text that was made of objects, whose size nobody knew before. */
  private showMade(shown: AnswerPiece | undefined): void {
    try {
      this.answer.growMade(shown?.length ?? 0);
    } catch (error) {
      this.breakOff(error);
      return;
    }
    this.show(shown);
  }

  private show(shown: AnswerPiece | undefined): void {
    // The client left while it was made: the rest is being read already.
    if (this.isDraining) {
      this.onStep(undefined);
      return;
    }
    if (shown === undefined) {
      this.readOn();
      return;
    }
    const noted = this.isForwarded ? undefined : this.call.deliver(this.answer.stream.deliveredTokens());
    if (isPending(noted)) noted.then(() => this.give(shown));
    else this.give(shown);
  }

  private give(shown: AnswerPiece): void {
    this.call.firstByte();
    this.hand(shown);
  }

  private hand(piece: AnswerPiece | undefined): void {
    if (piece !== undefined && piece.length > UNCOUNTED_BYTES) this.countShown(piece.length);
    this.onStep(piece);
  }

  private handLast(piece: AnswerPiece | undefined): void {
    this.isLast = true;
    this.hand(piece);
  }

  /** It is there, whether there is room or not. */
  private countShown(bytes: number): void {
    const { keyId, exchange } = this.call;
    const { held } = exchange.state;
    if (this.shownBytes > 0) held.remove(keyId, this.shownBytes);
    if (bytes > 0) held.add(keyId, bytes);
    this.shownBytes = bytes;
  }

  private beginDrain(): void {
    this.isDraining = true;
    if (this.isOver) return;
    if (!this.isReading) this.readOn();
    // A reader that waits for the next piece is told at once, and not when the upstream has come to its end.
    else this.onStep(undefined);
  }

  private drain(chunk: StreamChunk | undefined): void {
    this.drainedBytes += chunk === undefined ? 0 : asWritten(chunk).length;
    if (chunk === undefined || this.answer.isOver || this.drainedBytes > (this.call.drain?.maxBytes ?? 0))
      this.endDrain();
    else this.readOn();
  }

  private endDrain(): void {
    void this.end('left');
    // A rest that has not come by now is for nobody.
    if (!this.answer.stream.done) this.call.abort(new Error('The client is gone'));
  }

  private breakOff(reason: unknown): void {
    this.isReading = false;
    if (this.isDraining) this.endDrain();
    else this.finish(undefined, this.answer.stream.finished ? undefined : brokenStream(reason));
  }

  /** The one end of the stream, and of its call. */
  private end(how: CallEnd): Awaitable<UsageRecord> {
    this.isOver = true;
    this.answer.leave();
    return this.call.end(how);
  }

  private endBroken(error: GatewayError): Awaitable<UsageRecord> {
    this.isOver = true;
    this.answer.leave();
    return this.call.endBroken('failed', error);
  }

  /** Ends the stream; where its end cannot be shown, it breaks off. */
  private finish(last: StreamChunk | undefined, error: GatewayError | undefined): void {
    try {
      const giving = this.giveEnd(last, error);
      if (isPending(giving)) giving.then(undefined, this.onEndless);
    } catch (reason) {
      this.onEndless(reason);
    }
  }

  private readonly onEndless = young((reason: unknown): void => {
    const { call } = this;
    const failure = toGatewayError(reason);
    call.abort(failure);
    reportCause(failure, call.exchange.state.config.hooks, call);
    this.onFailure(reason);
  });

  /** Gives the last events. Usage is settled before the client has the end of its answer. */
  private giveEnd(last: StreamChunk | undefined, error: GatewayError | undefined): Awaitable<void> {
    const { call } = this;
    const isGone = call.client.aborted;
    if (!isGone && (error === undefined || !this.isForwarded)) call.firstByte();
    const settling = error === undefined ? this.end('ok') : this.endBroken(error);
    if (isGone) {
      this.onStep(undefined);
      return;
    }
    const show = (record: UsageRecord): Awaitable<void> =>
      error === undefined ? this.goodEnd(last, record) : this.badEnd(last, record, error);
    return isPending(settling) ? settling.then(show) : show(settling);
  }

  private goodEnd(last: StreamChunk | undefined, record: UsageRecord): Awaitable<void> {
    const { call } = this;
    call.exchange.phases?.mark('stream');
    const usage = missingUsage(call, this.answer.stream);
    const shown = this.shownOf(last);
    if (usage !== undefined || isPending(shown)) return this.goodEndLater(shown, usage, record);
    const end = this.viewEnd(record);
    if (isPending(end)) return end.then((piece) => this.handLast(joined(shown, piece)));
    this.handLast(joined(shown, end));
  }

  private async goodEndLater(
    shown: Awaitable<AnswerPiece | undefined>,
    usage: StreamChunk | undefined,
    record: UsageRecord,
  ): Promise<void> {
    const first = await shown;
    const counted = usage === undefined ? undefined : await this.shownOf(usage);
    this.handLast(joined(joined(first, counted), await this.viewEnd(record)));
  }

  private viewEnd(record: UsageRecord): Awaitable<AnswerPiece> {
    const { exchange, view } = this.call;
    return view.end(record, exchange.showsDebug ? debugComment(debugFacts(this.call, record), exchange.phases) : '');
  }

  private async badEnd(last: StreamChunk | undefined, record: UsageRecord, error: GatewayError): Promise<void> {
    const { call } = this;
    const { exchange, view } = call;
    // The upstream may not know that it failed: anything it still does for this call is for nobody.
    call.abort(error);
    reportCause(error, exchange.state.config.hooks, call);
    const debug = exchange.showsDebug ? debugReport(debugFacts(call, record), exchange.phases) : undefined;
    const shown = await this.shownOf(last);
    const end = await view.error(error, debug);
    if (end === undefined) this.onFailure(error);
    else this.handLast(joined(shown, end));
  }

  private shownOf(last: StreamChunk | undefined): Awaitable<AnswerPiece | undefined> {
    return last === undefined ? undefined : this.call.view.piece(last);
  }
}

function ignore(): void {}

function joined(first: AnswerPiece | undefined, second: AnswerPiece | undefined): AnswerPiece | undefined {
  if (first === undefined || first.length === 0) return second?.length === 0 ? undefined : second;
  if (second === undefined || second.length === 0) return first;
  if (typeof first === 'string' && typeof second === 'string') return first + second;
  return Buffer.concat([bytesOf(first), bytesOf(second)]);
}

function bytesOf(piece: AnswerPiece): Uint8Array {
  return typeof piece === 'string' ? Buffer.from(piece) : piece;
}
