import { performance } from 'node:perf_hooks';

/** Node computes it anew whenever it is asked. */
const STARTED_AT = performance.timeOrigin;

/** Time as the gateway sees it, injectable so that tests need not wait. */
export interface Clock {
  /** Unix time in milliseconds as the machine tells it. It may step back or leap when somebody sets the clock. */
  wallMs(): number;
  /**
   * Unix time in milliseconds at the start of the process plus the monotonic time since: never steps back, whoever
   * sets the clock. For durations, limits and everything that is compared with an earlier value of itself.
   */
  steadyMs(): number;
  /**
   * Calls `run` once, after `delayMs` milliseconds. The timer alone does not keep the process alive.
   * @returns Cancels. Once `run` was called, or the second time, it does nothing.
   */
  setTimer(run: () => void, delayMs: number): () => void;
}

const MAX_TIMER_MS = 2 ** 31 - 1;

/** Keeps the process alive, which the clock's timers do not, until what it returns is called. */
export function holdProcess(): () => void {
  const timer = setInterval(() => {}, MAX_TIMER_MS);
  return () => clearInterval(timer);
}

/** The machine's own clock. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  steadyMs: () => STARTED_AT + performance.now(),
  setTimer: (run, delayMs) => {
    // Node takes a longer time for none.
    const timer = setTimeout(run, Math.min(delayMs, MAX_TIMER_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};
