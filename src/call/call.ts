import { type Awaitable, guarded, isPending, whenReady } from '../base/awaitable.js';
import { type Cancellation, createCancellation, reasonOf } from '../base/cancellation.js';
import { upstreamTimeout } from '../base/errors.js';
import type { Model } from '../config/models.js';
import type { Config } from '../config/options.js';
import type { Admission } from '../limits/limiter-store.js';
import { priced } from '../models/pricing.js';
import type { DrainBounds } from '../upstreams/upstream.js';
import { usageRecord } from '../usage/record.js';
import type { Ending, Metered, UsageRecord, UsageStart } from '../usage/usage-store.js';
import type { TokenUsage } from '../wire/usage.js';
import { settledAmounts } from './charge.js';
import type { Unsettled } from './unsettled.js';

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
  /** From now on tokens are being used: a client that leaves pays for what it asked. @param progress default: none yet */
  asked(progress?: Progress): void;
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
  /** Calls `run` when the call is settled, at once if it is: with its record, or without one when it was withdrawn. */
  onSettled(run: (record?: UsageRecord) => void): void;
  /**
   * To be awaited before the client gets more than ever: resolves when the ledger knows that it may have been given that
   * much.
   */
  deliver(outputTokens: number): Awaitable<void>;
  /**
   * How much longer the upstream is read for the sake of its usage now that the client is gone; `undefined`: it is cancelled.
   */
  readonly drain: DrainBounds | undefined;
  /** Calls `run` when the client goes away and the upstream is to be read on, at once if it is so already. */
  onDrain(run: () => void): void;
}

/** Calls whose clients are gone and whose upstreams are still read. */
export interface Drains {
  count: number;
}

/** Most of them at once; more are cancelled. */
const MAX_DRAINS = 50;
/** Output tokens between two notes in the ledger of what was delivered. */
const TOKENS_PER_CHECKPOINT = 256;

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
  /** What the upstream is read on for when the client leaves. */
  readonly drain: DrainBounds | undefined;
  readonly drains: Drains;
  readonly unsettled: Unsettled;
}

/**
 * Takes charge of a granted reservation. A client that leaves cancels the upstream at once and is settled at no less than
 * what was delivered: this hangs on the signal, as a generator's `finally` runs late or never.
 */
export function openCall(options: CallOptions): Call {
  const { config, admission, metered: given, clientSignal, running, drains } = options;
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
  let settled: { readonly record: UsageRecord | undefined } | undefined;
  let isDraining = false;
  let startDrain: (() => void) | undefined;
  let checkpointed = 0;
  const waiting: ((record?: UsageRecord) => void)[] = [];

  /** A store that fails to settle costs the client nothing: its answer goes on. */
  function report(error: unknown): void {
    hooks.onError(error, { requestId: start.requestId, keyId: start.keyId });
  }

  const cancelDeadline = config.startCallDeadline(() => call.giveUp(upstreamTimeout()));
  const onClientGone = (): void => {
    if (begunDrain()) return;
    cancellation.abort(reasonOf(clientSignal));
    void call.settle({ outcome: 'aborted', usage: progress?.usage, deliveredTokens: progress?.deliveredTokens() });
  };

  /** Only what has been asked and can be read on is drained, and not by too many at once. */
  function begunDrain(): boolean {
    const { drain } = options;
    if (drain === undefined || startDrain === undefined || drains.count >= MAX_DRAINS) return false;
    isDraining = true;
    drains.count += 1;
    const cancel = clock.setTimer(() => call.giveUp(upstreamTimeout()), drain.maxMs);
    call.onSettled(() => {
      drains.count -= 1;
      cancel();
    });
    startDrain();
    return true;
  }

  function end(): void {
    cancelDeadline();
    clientSignal.removeEventListener('abort', onClientGone);
  }

  /** Tells a store of the end. What it does not take now it is told again. */
  function tell(run: () => Awaitable<void>): Awaitable<void> {
    return guarded(run, (error) => {
      report(error);
      options.unsettled.add({ requestId: start.requestId, keyId: start.keyId, tell: run });
    });
  }

  function record(ending: Ending): Awaitable<UsageRecord> {
    end();
    const { outcome, usage, deliveredTokens, isGivenUp } = ending;
    const durationMs = clock.steadyMs() - startedSteadyMs;
    const chargesUnknown = metered.chargesUnknown && progress !== undefined;
    const ended = { outcome, usage, deliveredTokens, isGivenUp, firstByteMs, durationMs };
    const charged = usageRecord({ ...metered, chargesUnknown }, ended);
    // Whatever became of the answer, its client was gone.
    const made: UsageRecord = isDraining ? { ...charged, outcome: 'aborted' } : charged;
    const amounts = settledAmounts(admission, made);
    learn(made);
    const limits = tell(() => config.limiter.settle(admission.reservation, amounts, clock.steadyMs()));
    const write = (): Awaitable<void> => tell(() => config.usage.settle(made));
    const written = opened === undefined ? write() : opened.then(write);
    if (isPending(limits)) return limits.then(() => whenReady(written, () => finish(made)));
    return whenReady(written, () => finish(made));
  }

  function learn({ outcome, counted, outputTokens }: UsageRecord): void {
    const { answersToLearnFrom, outputCeiling } = admission;
    if (answersToLearnFrom === 0 || outcome !== 'ok' || counted !== 'exact' || outputTokens === undefined) return;
    config.learned.observe(start.owner, start.model, Math.ceil(outputTokens / answersToLearnFrom), outputCeiling);
  }

  function finish(made: UsageRecord): UsageRecord {
    running.delete(call);
    hooks.onFinish(made);
    release(made);
    return made;
  }

  function release(made?: UsageRecord): void {
    settled = { record: made };
    running.delete(call);
    for (const run of waiting) run(made);
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
      const told = tell(() => config.limiter.settle(reservation, nothing, clock.steadyMs()));
      return whenReady(told, () => release());
    },
    nameModel(model) {
      metered = { ...given, start: { ...start, model: model.id, price: model.price }, costNanoUsd: priced(model) };
    },
    asked(made = { usage: undefined, deliveredTokens: () => 0 }) {
      progress ??= made;
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
      if (!isWithdrawn) void call.settle({ ...call.failed(), isGivenUp: true });
    },
    onSettled(run) {
      if (settled !== undefined) run(settled.record);
      else waiting.push(run);
    },
    deliver(outputTokens) {
      if (outputTokens <= checkpointed || config.usage.checkpoint === undefined) return;
      checkpointed = outputTokens + TOKENS_PER_CHECKPOINT;
      return guarded(() => config.usage.checkpoint?.(start.requestId, checkpointed), report);
    },
    get drain() {
      return isDraining ? options.drain : undefined;
    },
    onDrain(run) {
      startDrain = run;
      if (isDraining) run();
    },
  };
  running.add(call);
  if (clientSignal.aborted) onClientGone();
  else clientSignal.addEventListener('abort', onClientGone);
  return call;
}
