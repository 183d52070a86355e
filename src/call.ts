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
  readonly signal: AbortSignal;
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
  readonly metered: Omit<Metered, 'firstByteMs'>;
  readonly clientSignal: AbortSignal;
  /** Calls that are not settled yet. The call takes itself in and out. */
  readonly running: Set<Call>;
}

/**
 * Takes charge of a granted reservation. A client that leaves cancels the upstream at once and is settled at no less than
 * what was delivered: this hangs on the signal, as a generator's `finally` runs late or never.
 */
export function openCall({ config, admission, metered, clientSignal, running }: CallOptions): Call {
  const { clock, hooks } = config;
  const controller = new AbortController();
  let progress: Progress | undefined;
  let firstByteMs: number | undefined;
  let ended: Promise<UsageRecord> | undefined;
  let opened: Promise<void> = Promise.resolve();
  let markSettled: () => void = () => {};
  const settled = new Promise<void>((resolve) => {
    markSettled = resolve;
  });

  /** A store that fails to settle costs the client nothing: its answer goes on. */
  async function reporting(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      hooks.onError(error, { requestId: metered.start.requestId, keyId: metered.start.keyId });
    }
  }

  const cancelTimer = clock.setTimer(() => controller.abort(upstreamTimeout()), config.timeoutMs);
  const onClientGone = (): void => {
    controller.abort(clientSignal.reason);
    void call.settle({ ...call.failed(), outcome: 'aborted' });
  };

  async function record(ending: Ending): Promise<UsageRecord> {
    cancelTimer();
    clientSignal.removeEventListener('abort', onClientGone);
    const made = usageRecord({ ...metered, firstByteMs }, ending, clock);
    const amounts = settledAmounts(admission, tokensToSettle(made, admission));
    await Promise.all([
      reporting(() => config.limiter.settle(admission.reservation, amounts, clock.steadyMs())),
      opened.then(() => reporting(() => config.usage.settle(made))),
    ]);
    running.delete(call);
    hooks.onFinish(made);
    markSettled();
    return made;
  }

  const call: Call = {
    start: metered.start,
    admission,
    settled,
    signal: controller.signal,
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
      firstByteMs ??= clock.steadyMs() - metered.startedSteadyMs;
    },
    settle(ending) {
      ended ??= record(ending);
      return ended;
    },
    failed: () => ({ outcome: 'error', usage: progress?.usage, deliveredTokens: progress?.deliveredTokens }),
    abort: (reason) => controller.abort(reason),
  };
  running.add(call);
  if (clientSignal.aborted) onClientGone();
  else clientSignal.addEventListener('abort', onClientGone, { once: true });
  return call;
}

/** What the upstream said, as it is; what we counted, never more than was reserved. */
function tokensToSettle(record: UsageRecord, { reservation }: Admission): number {
  const tokens = (record.inputTokens ?? 0) + (record.outputTokens ?? 0);
  if (record.counted === 'exact') return tokens;
  return Math.min(tokens, ...reservation.draws.slice(-1).map((draw) => draw.amount));
}
