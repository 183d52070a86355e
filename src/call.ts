import { type Cancellation, createCancellation } from './cancellation.js';
import { upstreamTimeout } from './errors.js';
import { type Admission, settledAmounts } from './limiter/admit.js';
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
  opening(written: Promise<void>): void;
  /** From now on tokens are being used: a client that leaves pays for what it asked. */
  asked(): void;
  /** The answer has begun: what `progress` tells is what a client that leaves now has got. */
  watch(progress: Progress): void;
  /** Notes that the first byte goes to the client. */
  firstByte(): void;
  /** Ends the call: limits and usage become what they truly were. Once; later endings change nothing. */
  settle(ending: Ending): Promise<UsageRecord>;
  /** How the call would end if it failed now. */
  failed(): Ending;
  /** Ends the upstream's work; the call then fails with `reason`. */
  abort(reason: Error): void;
  /** Resolves when the call is settled. */
  readonly settled: Promise<void>;
}

/** How far a stream has come. */
export interface Progress {
  readonly usage: TokenUsage | undefined;
  readonly deliveredTokens: number;
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
export function openCall({ config, admission, metered, clientSignal, running }: CallOptions): Call {
  const { clock, hooks } = config;
  const { start } = metered;
  const startedSteadyMs = clock.steadyMs();
  const cancellation = createCancellation();
  let progress: Progress | undefined;
  let firstByteMs: number | undefined;
  let ended: Promise<UsageRecord> | undefined;
  let opened: Promise<void> | undefined;
  let markSettled: () => void = () => {};
  const settled = new Promise<void>((resolve) => {
    markSettled = resolve;
  });

  /** A store that fails to settle costs the client nothing: its answer goes on. */
  async function reporting(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      hooks.onError(error, { requestId: start.requestId, keyId: start.keyId });
    }
  }

  const cancelTimer = clock.setTimer(() => cancellation.abort(upstreamTimeout()), config.timeoutMs);
  const onClientGone = (): void => {
    cancellation.abort(clientSignal.reason);
    void call.settle({ outcome: 'aborted', usage: progress?.usage, deliveredTokens: progress?.deliveredTokens });
  };

  async function record(ending: Ending): Promise<UsageRecord> {
    cancelTimer();
    clientSignal.removeEventListener('abort', onClientGone);
    const { outcome, usage, deliveredTokens } = ending;
    const durationMs = clock.steadyMs() - startedSteadyMs;
    const made = usageRecord(metered, { outcome, usage, deliveredTokens, firstByteMs, durationMs });
    const amounts = settledAmounts(admission, tokensToSettle(made, admission));
    const limits = reporting(() => config.limiter.settle(admission.reservation, amounts, clock.steadyMs()));
    if (opened !== undefined) await opened;
    await reporting(() => config.usage.settle(made));
    await limits;
    running.delete(call);
    hooks.onFinish(made);
    markSettled();
    return made;
  }

  const call: Call = {
    start,
    admission,
    settled,
    cancellation,
    opening(written) {
      // What it fails with is told where it is awaited.
      opened = written.catch(() => {});
    },
    asked() {
      progress ??= { usage: undefined, deliveredTokens: 0 };
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
    failed: () => ({ outcome: 'error', usage: progress?.usage, deliveredTokens: progress?.deliveredTokens }),
    abort: cancellation.abort,
  };
  running.add(call);
  if (clientSignal.aborted) onClientGone();
  else clientSignal.addEventListener('abort', onClientGone);
  return call;
}

/** What the upstream said, as it is; what we counted, never more than was reserved. */
function tokensToSettle(record: UsageRecord, { reservation }: Admission): number {
  const tokens = (record.inputTokens ?? 0) + (record.outputTokens ?? 0);
  if (record.counted === 'exact') return tokens;
  return Math.min(tokens, ...reservation.draws.slice(-1).map((draw) => draw.amount));
}
