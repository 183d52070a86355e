import type { Clock } from './clock.js';

/** Starts a timer: `run` is called when its time is up, unless what is returned is called before. */
export type StartDeadline = (run: () => void) => () => void;

interface Deadline {
  readonly run: () => void;
  readonly at: number;
  older: Deadline | undefined;
  newer: Deadline | undefined;
}

/**
 * Timers that all take the same time, of which hardly any is ever up: one real timer, set to the oldest, stands for all
 * of them. To start and cancel a real one for each call costs several µs; this costs the links of a list.
 */
export function deadlines(clock: Clock, afterMs: number): StartDeadline {
  let oldest: Deadline | undefined;
  let newest: Deadline | undefined;
  let isTicking = false;

  function tick(from: number): void {
    if (oldest === undefined || isTicking) return;
    isTicking = true;
    clock.setTimer(ring, Math.max(0, oldest.at - from));
  }

  function ring(): void {
    isTicking = false;
    const now = clock.steadyMs();
    while (oldest !== undefined && oldest.at <= now) {
      const due = oldest;
      remove(due);
      due.run();
    }
    tick(now);
  }

  function remove(one: Deadline): void {
    if (one.older === undefined && oldest !== one) return;
    if (one.older === undefined) oldest = one.newer;
    else one.older.newer = one.newer;
    if (one.newer === undefined) newest = one.older;
    else one.newer.older = one.older;
    // Links of what is over would keep its neighbours alive for the garbage collector.
    one.older = undefined;
    one.newer = undefined;
  }

  return (run) => {
    const now = clock.steadyMs();
    const one: Deadline = { run, at: now + afterMs, older: newest, newer: undefined };
    if (newest === undefined) oldest = one;
    else newest.newer = one;
    newest = one;
    tick(now);
    return () => remove(one);
  };
}
