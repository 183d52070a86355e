import { type Awaitable, whenReady } from './awaitable.js';
import { type Call, tokensToSettle } from './call.js';
import { type GatewayError, toGatewayError, upstreamInterrupted, upstreamStalled } from './errors.js';
import { type Exchange, reportCause } from './failure.js';
import { type DebugFacts, debugComment, debugReport } from './http/debug.js';
import type { AnswerStream } from './http/exchange.js';
import type { Admission } from './limiter/admit.js';
import type { Config } from './options.js';
import type { Presentation } from './presentation.js';
import { iterableOf, type StepSource } from './step-source.js';
import type { ModelNames, StreamAnswer } from './upstreams/answer.js';
import { streamError } from './upstreams/begin-stream.js';
import type { UsageRecord } from './usage/usage-store.js';

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
  let onStep: (step: Piece | undefined) => void;
  call.watch(stream);
  presentation.begin?.(stream);

  /** What a piece, or the want of one, is to the client. */
  function deliver(piece: Piece | undefined): void {
    if (piece === undefined || stream.done || stream.failure !== undefined) {
      finish(piece, streamError(names, stream));
      return;
    }
    whenReady(presentation.piece(piece), show);
  }

  function show(shown: Piece | undefined): void {
    if (shown === undefined) {
      rest.read(deliver, breakOff);
      return;
    }
    call.firstByte();
    onStep(shown);
  }

  function breakOff(reason: unknown): void {
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
      if (isOver) return;
      leave();
      void call.settle({ outcome: 'aborted', usage: stream.usage, deliveredTokens: stream.deliveredTokens() });
    },
    read(given) {
      onStep = given;
      const piece = unsent;
      unsent = undefined;
      if (isOver) onStep(undefined);
      else if (piece !== undefined) deliver(piece);
      else rest.read(deliver, breakOff);
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
  const { remaining } = admission.verdict;
  const reserved = reservedTokens(admission);
  if (reserved === undefined) return remaining;
  return [...remaining.slice(0, -1), (remaining.at(-1) ?? 0) + reserved - tokensToSettle(record, admission)];
}

/** Tokens set aside for a call; `undefined` when tokens are not limited. */
export function reservedTokens({ limits, reservation }: Admission): number | undefined {
  return limits.tokensPerMinute === undefined ? undefined : reservation.draws.at(-1)?.amount;
}
