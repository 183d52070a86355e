import type { Clock } from '../../base/clock.js';

/** State of the connection to Redis, as far as its answers tell. */
export interface Link {
  /** Whether Redis is lost: then it is asked once a second and no more. */
  isDown(): boolean;
  /** Whether anything failed since `trust` was called: Redis may be another one since, or know less. */
  isSuspect(): boolean;
  /** Ends the suspicion. */
  trust(): void;
  /** Notes that Redis is asked. @returns a number to give to `fail`. */
  begin(): number;
  /** Notes that Redis answered. */
  succeed(): void;
  /** Notes a failure. Failures of calls under way together count once: one pause makes a hundred calls late. */
  fail(error: unknown, begun: number): void;
  /** Stops asking. */
  close(): void;
}

/** Failures in a row after which Redis counts as lost. */
const MAX_FAILURES = 5;
const BEAT_MS = 1_000;
/** Beats in a row after which Redis is back. Meanwhile the other processes can tell it of their grants. */
const BEATS_TO_TRUST = 3;

interface LinkOptions {
  readonly clock: Clock;
  /** Tells Redis each second that this process lives, and of all that it missed. */
  readonly beat: () => Promise<void>;
  readonly onLost: (error: unknown) => void;
  readonly onBack: () => void;
}

/** Watches Redis with a beat each second. */
export function redisLink({ clock, beat, onLost, onBack }: LinkOptions): Link {
  let failures = 0;
  let failuresEver = 0;
  let beats = 0;
  let isDown = false;
  let isSuspect = false;
  let isClosed = false;
  let cancel = (): void => {};

  function fail(error: unknown, begun: number): void {
    isSuspect = true;
    if (begun !== failuresEver) return;
    failuresEver += 1;
    failures += 1;
    beats = 0;
    if (isDown || failures < MAX_FAILURES) return;
    isDown = true;
    onLost(error);
  }

  async function tick(): Promise<void> {
    const begun = failuresEver;
    try {
      await beat();
      failures = 0;
      beats += 1;
      if (isDown && beats >= BEATS_TO_TRUST) {
        isDown = false;
        onBack();
      }
    } catch (error) {
      fail(error, begun);
    }
    if (!isClosed) cancel = clock.setTimer(tick, BEAT_MS);
  }

  void tick();
  return {
    isDown: () => isDown,
    isSuspect: () => isSuspect,
    trust() {
      isSuspect = false;
    },
    begin: () => failuresEver,
    succeed() {
      failures = 0;
    },
    fail,
    close() {
      isClosed = true;
      cancel();
    },
  };
}
