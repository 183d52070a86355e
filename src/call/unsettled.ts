import type { Awaitable } from '../base/awaitable.js';
import type { Clock } from '../base/clock.js';
import type { AllHooks } from '../config/hooks.js';

/** An end that a store did not take, to be told again. To tell it twice must do no harm. */
export interface Untold {
  readonly requestId: string;
  readonly keyId: string;
  /** Whether it only gives back what a limiter may hold, which also ends by itself: closing does not wait long for it. */
  readonly isGiveBack?: boolean | undefined;
  /** @throws Anything, while the store fails. */
  tell(): Awaitable<void>;
}

/** The ends of calls that the usage store or the limiter did not take, to be told again until they do. */
export interface Unsettled {
  add(untold: Untold): void;
  /** Resolves when there are none left, or when nothing more can be done in that time. */
  drained(graceMs: number): Promise<void>;
}

/** Most ends that are remembered; above it, the oldest are lost to the store, though not to `hooks.onFinish`. */
const MAX_UNTOLD = 10_000;
const RETRY_MS = 500;
/** Failures that end a round. An end that is always refused goes to the back of the line. */
const MAX_FAILURES = 8;
/** Most ends that are told at once. */
const MAX_TOGETHER = 256;

export function unsettledCalls({ clock, hooks }: { readonly clock: Clock; readonly hooks: AllHooks }): Unsettled {
  const all = new Set<Untold>();
  const waiting: (() => void)[] = [];
  let isTrying = false;

  async function retry(): Promise<void> {
    const ends = [...all];
    let failures = 0;
    let size = 1;
    for (let at = 0; at < ends.length && failures < MAX_FAILURES; ) {
      const batch = ends.slice(at, at + size);
      at += batch.length;
      const told = await Promise.allSettled(batch.map(async (untold) => untold.tell()));
      const before = failures;
      for (const [index, { status }] of told.entries()) {
        const untold = batch[index];
        if (untold === undefined) continue;
        const wasThere = all.delete(untold);
        if (status === 'fulfilled') continue;
        // It was reported when it came. To the end of the line.
        if (wasThere) all.add(untold);
        failures += 1;
      }
      // A store that is back writes many together; one that is away is not to be asked by all of them.
      size = failures === before ? Math.min(2 * size, MAX_TOGETHER) : 1;
    }
    if (all.size > 0) {
      tryLater();
      return;
    }
    isTrying = false;
    for (const run of waiting.splice(0)) run();
  }

  function tryLater(): void {
    clock.setTimer(() => void retry(), RETRY_MS);
  }

  return {
    add(untold) {
      all.add(untold);
      if (all.size > MAX_UNTOLD) {
        const [oldest] = all;
        if (oldest !== undefined) all.delete(oldest);
        hooks.onError(new Error('A store takes no ends of calls: the oldest of them is lost'), {
          requestId: oldest?.requestId,
          keyId: oldest?.keyId,
        });
      }
      if (isTrying) return;
      isTrying = true;
      tryLater();
    },
    drained(graceMs) {
      if (all.size === 0) return Promise.resolve();
      return new Promise((resolve) => {
        const isLittle = [...all].every(({ isGiveBack }) => isGiveBack === true);
        const cancel = clock.setTimer(resolve, isLittle ? Math.min(graceMs, 2 * RETRY_MS) : graceMs);
        waiting.push(() => {
          cancel();
          resolve();
        });
      });
    },
  };
}
