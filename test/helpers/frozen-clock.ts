import type { GatewayOptions } from 'megallm-middleware';

type Clock = NonNullable<GatewayOptions['clock']>;

export interface FrozenClock extends Clock {
  advance(ms: number): void;
}

/** Time stands still, so that buckets do not refill behind a test's back. Timers run on the machine's own time. */
export function frozenClock(startMs = 1_800_000_000_000): FrozenClock {
  let nowMs = startMs;
  return {
    wallMs: () => nowMs,
    steadyMs: () => nowMs,
    setTimer: (run, delayMs) => {
      const timer = setTimeout(run, delayMs);
      timer.unref();
      return () => clearTimeout(timer);
    },
    advance: (ms) => {
      nowMs += ms;
    },
  };
}
