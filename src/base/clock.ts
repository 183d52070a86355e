import { performance } from 'node:perf_hooks';
import { AgeOrder, type InAgeOrder } from './age-order.js';

/** Read once: each access to `timeOrigin` computes it. */
const STARTED_AT = performance.timeOrigin;

/** Time as the gateway sees it, injectable so that tests need not wait. */
export interface Clock {
  /** Unix time in milliseconds as the machine tells it. It may step back or leap when somebody sets the clock. */
  wallMs(): number;
  /**
   * Unix time in milliseconds at the start of the process plus the monotonic time since: never steps back, whoever
   * sets the clock. For durations, limits and every comparison with an earlier reading.
   */
  steadyMs(): number;
  /**
   * Calls `run` once, after `delayMs` milliseconds. The timer alone does not keep the process alive.
   * @returns a function that cancels. Once `run` was called, or the second time, it does nothing.
   */
  setTimer(run: () => void, delayMs: number): () => void;
}

const MAX_TIMER_MS = 2 ** 31 - 1;

/** A timer that does nothing but keep the process alive, as the clock's timers do not, while it is referenced and not cleared. */
export function holdingTimer(): NodeJS.Timeout {
  return setInterval(() => {}, MAX_TIMER_MS);
}

/** Keeps the process alive until the function that it returns is called. */
export function holdProcess(): () => void {
  const timer = holdingTimer();
  return () => clearInterval(timer);
}

/** The machine's own clock. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  steadyMs: () => STARTED_AT + performance.now(),
  setTimer: (run, delayMs) => {
    // Node would fire at once after a delay above 2³¹ - 1 ms.
    const timer = setTimeout(run, Math.min(delayMs, MAX_TIMER_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Something whose time is up at some moment, and its place among others. Both are kept by `Deadlines`. */
export interface Timed extends InAgeOrder<Timed> {
  dueAt: number;
  /** Called when its time is up. */
  ring(): void;
}

/** Timers that all take the same time. */
export interface Deadlines {
  /**
   * Starts the time of one that is not running. It rings when the time is up, unless it is cancelled before.
   * @param now by the steady clock. @default as the clock tells
   */
  start(one: Timed, now?: number): void;
  /** Does nothing for one that is not running. */
  cancel(one: Timed): void;
}

/**
 * Makes timers that all take the same time and that hardly ever ring: one real timer, set to the oldest, stands for all
 * of them. Starting and cancelling a real timer for each call costs several µs; these cost the links of a list.
 */
export function deadlines(clock: Clock, afterMs: number): Deadlines {
  const running = new AgeOrder<Timed>();
  let isTicking = false;

  function tick(from: number): void {
    const { oldest } = running;
    if (oldest === undefined || isTicking) return;
    isTicking = true;
    clock.setTimer(ring, Math.max(0, oldest.dueAt - from));
  }

  function ring(): void {
    isTicking = false;
    const now = clock.steadyMs();
    for (let due = running.oldest; due !== undefined && due.dueAt <= now; due = running.oldest) {
      running.remove(due);
      due.ring();
    }
    tick(now);
  }

  return {
    start(one, now = clock.steadyMs()) {
      one.dueAt = now + afterMs;
      running.add(one);
      if (!isTicking) tick(now);
    },
    cancel: (one) => running.remove(one),
  };
}

/**
 * Settles as the promise does, or rejects with `late` when the time is up: the host's promises may never settle.
 * @param tooLate told of a value that comes after that.
 */
export function inTime<T>(
  pending: PromiseLike<T>,
  times: Deadlines,
  late: () => Error,
  tooLate?: (value: T) => unknown,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let isLate = false;
    const timed: Timed = {
      dueAt: 0,
      older: undefined,
      newer: undefined,
      ring() {
        isLate = true;
        reject(late());
      },
    };
    times.start(timed);
    pending.then(
      (value) => {
        if (isLate) {
          tooLate?.(value);
          return;
        }
        times.cancel(timed);
        resolve(value);
      },
      (error) => {
        times.cancel(timed);
        reject(error);
      },
    );
  });
}
