import type { Clock } from '../../base/clock.js';

/** Whether Redis is there. */
export interface Link {
  /** Redis is lost: it is not asked, but for one attempt each second. */
  isDown(): boolean;
  /** Something failed since `trust` was called, after which Redis may be another one, or know less. */
  isSuspect(): boolean;
  trust(): void;
  /** Something is asked of Redis. @returns what to give to `fail`. */
  begin(): number;
  /** Redis answered. */
  succeed(): void;
  /** What fails together counts once: a hundred calls that one pause made late are no hundred failures. */
  fail(error: unknown, begun: number): void;
  /** Asks no more. */
  close(): void;
}

/** So many failures in a row, and Redis is taken for lost. */
const MAX_FAILURES = 5;
const BEAT_MS = 1_000;
/** So many beats in a row, and it is back: until then the other processes can tell it what they granted meanwhile. */
const BEATS_TO_TRUST = 3;

interface LinkOptions {
  readonly clock: Clock;
  /** Says each second that this process lives, and does what was left to do. Redis is back once it resolves. */
  readonly beat: () => Promise<void>;
  readonly onLost: (error: unknown) => void;
  readonly onBack: () => void;
}

/** Asks Redis for as long as it answers, and once a second when it does not. */
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
