import { type Awaitable, isPending, whenReady } from '../../base/awaitable.js';
import { type GatewayError, toGatewayError, upstreamInterrupted, upstreamStalled } from '../../base/errors.js';
import { iterableOf, type StepSource } from '../../base/steps.js';
import type { Call } from '../../call/call.js';
import { settledAmounts } from '../../call/charge.js';
import { type DebugFacts, debugComment, debugReport } from '../../call/debug.js';
import { type Exchange, reportCause } from '../../call/failure.js';
import type { Config } from '../../config/options.js';
import type { AnswerStream } from '../../http/exchange.js';
import type { Admission } from '../../limits/limiter-store.js';
import type { ModelNames, StreamAnswer } from '../../upstreams/answer.js';
import { streamError } from '../../upstreams/begin-stream.js';
import type { UsageRecord } from '../../usage/usage-store.js';
import type { Presentation } from './answer-view.js';

/** What a stream needs besides itself. */
export interface Relay {
  readonly names: ModelNames;
  readonly presentation: Presentation;
  readonly call: Call;
  readonly exchange: Exchange;
  readonly config: Config;
  readonly facts: DebugFacts;
}

type Piece = string | Uint8Array;

/** A stream on its way to the client. It ends as a good one only if it is complete, else with an error event. */
export function relay(
  { first, rest, stream, missingUsage }: StreamAnswer,
  { names, presentation, call, exchange, config, facts }: Relay,
): AnswerStream {
  let unsent: string | Uint8Array | undefined = first;
  let isOver = false;
  let isReading = false;
  let isDraining = false;
  let drainedBytes = 0;
  let onStep: (step: Piece | undefined) => void;
  call.watch(stream);
  call.onDrain(beginDrain);
  presentation.begin?.(stream);

  /** What a piece, or the want of one, is to the client. */
  function deliver(piece: Piece | undefined): void {
    isReading = false;
    if (isDraining) {
      drained(piece);
      return;
    }
    if (piece === undefined || stream.done || stream.failure !== undefined) {
      finish(piece, streamError(names, stream));
      return;
    }
    whenReady(presentation.piece(piece), show);
  }

  function show(shown: Piece | undefined): void {
    // The client left while it was made: what is still to come is being read already.
    if (isDraining) {
      onStep(undefined);
      return;
    }
    if (shown === undefined) {
      readOn();
      return;
    }
    const noted = call.deliver(stream.deliveredTokens());
    if (isPending(noted)) noted.then(() => give(shown));
    else give(shown);
  }

  function give(shown: Piece): void {
    call.firstByte();
    onStep(shown);
  }

  function readOn(): void {
    isReading = true;
    rest.read(deliver, breakOff);
  }

  /** The client is gone: what is still to come is read for its usage alone. */
  function beginDrain(): void {
    isDraining = true;
    if (isOver) return;
    if (!isReading) readOn();
    // Whoever waits for the next piece is told at once, and not when the upstream has come to its end.
    else onStep(undefined);
  }

  function drained(piece: Piece | undefined): void {
    drainedBytes += piece?.length ?? 0;
    const isEnd = piece === undefined || stream.done || stream.failure !== undefined;
    if (isEnd || drainedBytes > (call.drain?.maxBytes ?? 0)) endDrain();
    else readOn();
  }

  function endDrain(): void {
    leave();
    const { usage } = stream;
    void call.settle({ outcome: 'aborted', usage, deliveredTokens: stream.deliveredTokens() });
    // What is not over by now is for nobody.
    if (!stream.done) call.abort(new Error('The client is gone'));
  }

  function breakOff(reason: unknown): void {
    isReading = false;
    if (isDraining) {
      endDrain();
      return;
    }
    finish(undefined, stream.finished ? undefined : brokenStream(reason));
  }

  function finish(last: Piece | undefined, error: GatewayError | undefined): void {
    leave();
    if (exchange.request.signal.aborted) onStep(undefined);
    else whenReady(ending(last, error), onStep);
  }

  /** A source that still has something to say is left. */
  function leave(): void {
    isOver = true;
    rest.leave();
  }

  /** The last events: usage is settled before the client has the end of its answer. */
  function ending(
    last: string | Uint8Array | undefined,
    error: GatewayError | undefined,
  ): Awaitable<string | Uint8Array> {
    call.firstByte();
    if (error !== undefined) {
      return whenReady(call.settle(call.failed()), (record) => {
        // The upstream may not know that it failed: what it still does for this call is for nobody.
        call.abort(error);
        reportCause(error, config.hooks, facts);
        const debug = exchange.showsDebug ? debugOf(record) : undefined;
        return whenReady(shownOf(last), (shown) =>
          whenReady(presentation.error(error, debug), (end) => joined(shown, end)),
        );
      });
    }
    const settled = call.settle({ outcome: 'ok', usage: stream.usage, deliveredTokens: stream.deliveredTokens() });
    return whenReady(settled, (record) => {
      exchange.phases.mark('stream');
      const usage = missingUsage();
      const shown = shownOf(usage === undefined ? last : joined(last, usage));
      const comment = exchange.showsDebug
        ? debugComment(finishedFacts(facts, call.admission, record), exchange.phases)
        : '';
      return whenReady(shown, (piece) => whenReady(presentation.end(record), (end) => joined(piece, comment + end)));
    });
  }

  function shownOf(last: Piece | undefined): Awaitable<Piece | undefined> {
    return last === undefined ? undefined : presentation.piece(last);
  }

  function debugOf(record: UsageRecord): object {
    return debugReport(finishedFacts(facts, call.admission, record), exchange.phases);
  }

  const source: StepSource<Piece> = {
    leave() {
      if (isOver || isDraining) return;
      leave();
      void call.settle({ outcome: 'aborted', usage: stream.usage, deliveredTokens: stream.deliveredTokens() });
    },
    read(given) {
      onStep = given;
      const piece = unsent;
      unsent = undefined;
      if (isOver || isDraining) onStep(undefined);
      else if (piece !== undefined) deliver(piece);
      else readOn();
    },
  };
  return Object.assign(source, iterableOf(source));
}

function joined(last: string | Uint8Array | undefined, end: string): string | Uint8Array {
  if (last === undefined) return end;
  return typeof last === 'string' ? last + end : Buffer.concat([last, Buffer.from(end)]);
}

/** What broke a stream off, in the words for streams: the client already has a status of 200. */
export function brokenStream(thrown: unknown): GatewayError {
  const error = toGatewayError(thrown);
  if (error.code === 'upstream_timeout') return upstreamStalled(error.cause);
  return error.code === 'upstream_error' || error.code === 'internal_error' ? upstreamInterrupted(error.cause) : error;
}

/** The facts once the call is settled: what was reserved too much is back. */
export function finishedFacts(facts: DebugFacts, admission: Admission, record: UsageRecord): DebugFacts {
  return { ...facts, record, limitsAfter: remainingAfter(admission, record) };
}

/** What the buckets hold once the call is settled, less what others did meanwhile. */
export function remainingAfter(admission: Admission, record: UsageRecord): readonly number[] {
  const { verdict, reservation } = admission;
  const settled = settledAmounts(admission, record);
  return verdict.remaining.map((left, index) => left + (reservation.draws[index]?.amount ?? 0) - (settled[index] ?? 0));
}

/** Tokens set aside for a call; `undefined` when tokens are not limited. */
export function reservedTokens({ ceilings, amounts }: Admission): number | undefined {
  const isLimited = ceilings.some(({ measure }) => measure !== 'requests' && measure !== 'inputTokens');
  return isLimited ? amounts.inputTokens + amounts.outputTokens : undefined;
}
