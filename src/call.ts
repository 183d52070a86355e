import { type Awaitable, guarded, isPending, whenReady } from './awaitable.js';
import { type Cancellation, createCancellation, reasonOf } from './cancellation.js';
import { upstreamTimeout } from './errors.js';
import { type Admission, settledAmounts } from './limiter/admit.js';
import type { Model } from './models/model-table.js';
import { costNanoUsd, type PricedTokens } from './models/pricing.js';
import type { Config } from './options.js';
import { type Ending, type Metered, usageRecord } from './usage/meter.js';
import type { UsageRecord, UsageStart } from './usage/usage-store.js';
import type { TokenUsage } from './wire/usage.js';

/** One admitted call, from its reservation to its settlement. */
export interface Call {
  readonly start: UsageStart;
  readonly admission: Admission;
  /** Aborts when the client goes away, time is up, or the gateway closes. */
  readonly cancellation: Cancellation;
  /** The call is being written down. It is settled no sooner than that, even when its client leaves in between. */
  opening(written: PromiseLike<void>): void;
  /** Gives back all that was reserved, for a call that was never written down: it leaves no record. */
  withdraw(): Awaitable<void>;
  /** The model is known, and its price, only now that the body passes. */
  nameModel(model: Pick<Model, 'id' | 'price'>): void;
  /** From now on tokens are being used: a client that leaves pays for what it asked. */
  asked(): void;
  /** The answer has begun: what `progress` tells is what a client that leaves now has got. */
  watch(progress: Progress): void;
  /** Notes that the first byte goes to the client. */
  firstByte(): void;
  /** Ends the call: limits and usage become what they truly were. Once; later endings change nothing. */
  settle(ending: Ending): Awaitable<UsageRecord>;
  /** How the call would end if it failed now. */
  failed(): Ending;
  /** Ends the upstream's work; the call then fails with `reason`. */
  abort(reason: Error): void;
  /** The same, and settles the call even if nobody reads its answer any more. */
  giveUp(reason: Error): void;
  /** Calls `run` when the call is settled, at once if it is. */
  onSettled(run: () => void): void;
}

/** How far a stream has come. */
export interface Progress {
  readonly usage: TokenUsage | undefined;
  /** `undefined`: nobody counts them. */
  deliveredTokens(): number | undefined;
}

export interface CallOptions {
  readonly config: Config;
  readonly admission: Admission;
  readonly metered: Metered;
  readonly clientSignal: Cancellation;
  /** Calls that are not settled yet. The call takes itself in and out. */
  readonly running: Set<Call>;
}

/**
 * Takes charge of a granted reservation. A client that leaves cancels the upstream at once and is settled at no less than
 * what was delivered: this hangs on the signal, as a generator's `finally` runs late or never.
 */
export function openCall({ config, admission, metered: given, clientSignal, running }: CallOptions): Call {
  const { clock, hooks } = config;
  const { start } = given;
  let metered = given;
  const startedSteadyMs = clock.steadyMs();
  const cancellation = createCancellation();
  let progress: Progress | undefined;
  let firstByteMs: number | undefined;
  let ended: Awaitable<UsageRecord> | undefined;
  let opened: PromiseLike<void> | undefined;
  let isWithdrawn = false;
  let isSettled = false;
  const waiting: (() => void)[] = [];

  /** A store that fails to settle costs the client nothing: its answer goes on. */
  function report(error: unknown): void {
    hooks.onError(error, { requestId: start.requestId, keyId: start.keyId });
  }

  const cancelDeadline = config.startCallDeadline(() => call.giveUp(upstreamTimeout()));
  const onClientGone = (): void => {
    cancellation.abort(reasonOf(clientSignal));
    void call.settle({ outcome: 'aborted', usage: progress?.usage, deliveredTokens: progress?.deliveredTokens() });
  };

  function end(): void {
    cancelDeadline();
    clientSignal.removeEventListener('abort', onClientGone);
  }

  function record(ending: Ending): Awaitable<UsageRecord> {
    end();
    const { outcome, usage, deliveredTokens } = ending;
    const durationMs = clock.steadyMs() - startedSteadyMs;
    const made = usageRecord(metered, { outcome, usage, deliveredTokens, firstByteMs, durationMs });
    const amounts = settledAmounts(admission, tokensToSettle(made, admission));
    const limits = guarded(() => config.limiter.settle(admission.reservation, amounts, clock.steadyMs()), report);
    const write = (): Awaitable<void> => guarded(() => config.usage.settle(made), report);
    const written = opened === undefined ? write() : opened.then(write);
    if (isPending(limits)) return limits.then(() => whenReady(written, () => finish(made)));
    return whenReady(written, () => finish(made));
  }

  function finish(made: UsageRecord): UsageRecord {
    running.delete(call);
    hooks.onFinish(made);
    release();
    return made;
  }

  function release(): void {
    isSettled = true;
    running.delete(call);
    for (const run of waiting) run();
  }

  const call: Call = {
    start,
    admission,
    cancellation,
    opening(written) {
      // What it fails with is told where it is awaited.
      opened = written.then(undefined, () => {});
    },
    withdraw() {
      if (ended !== undefined) return whenReady(ended, () => {});
      isWithdrawn = true;
      end();
      const { reservation } = admission;
      const nothing = Array<number>(reservation.draws.length).fill(0);
      const given = guarded(() => config.limiter.settle(reservation, nothing, clock.steadyMs()), report);
      return whenReady(given, release);
    },
    nameModel(model) {
      metered = { ...given, start: { ...start, model: model.id }, costNanoUsd: priced(model) };
    },
    asked() {
      progress ??= { usage: undefined, deliveredTokens: () => 0 };
    },
    watch(began) {
      progress = began;
    },
    firstByte() {
      firstByteMs ??= clock.steadyMs() - startedSteadyMs;
    },
    settle(ending) {
      ended ??= record(ending);
      return ended;
    },
    failed: () => ({ outcome: 'error', usage: progress?.usage, deliveredTokens: progress?.deliveredTokens() }),
    abort: cancellation.abort,
    giveUp(reason) {
      cancellation.abort(reason);
      // What was never written down leaves no record either.
      if (!isWithdrawn) void call.settle(call.failed());
    },
    onSettled(run) {
      if (isSettled) run();
      else waiting.push(run);
    },
  };
  running.add(call);
  if (clientSignal.aborted) onClientGone();
  else clientSignal.addEventListener('abort', onClientGone);
  return call;
}

/** What a call is charged: what the upstream said, as it is; what we counted, never more than was reserved. */
export function tokensToSettle(record: UsageRecord, { reservation }: Admission): number {
  const tokens = (record.inputTokens ?? 0) + (record.outputTokens ?? 0);
  if (record.counted === 'exact') return tokens;
  return Math.min(tokens, ...reservation.draws.slice(-1).map((draw) => draw.amount));
}

/** What tokens cost at the prices of now: a change in the middle of a call is for the next. */
export function priced({ price }: Pick<Model, 'price'>): ((tokens: PricedTokens) => number) | undefined {
  return price && ((tokens) => costNanoUsd(price, tokens));
}
