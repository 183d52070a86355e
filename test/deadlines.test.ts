import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Clock, deadlines, type Timed } from '../src/base/clock.js';
import { runs } from './helpers/depth.js';

/** A clock that stands still until it is told to go on. */
function virtualClock() {
  let now = 1_000;
  const timers = new Set<{ readonly at: number; readonly run: () => void }>();
  const clock: Clock = {
    wallMs: () => now,
    steadyMs: () => now,
    setTimer(run, delayMs) {
      const timer = { at: now + delayMs, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
  };
  function goOn(ms: number): void {
    const until = now + ms;
    for (;;) {
      const [next] = [...timers].filter(({ at }) => at <= until).sort((one, other) => one.at - other.at);
      if (next === undefined) break;
      timers.delete(next);
      now = Math.max(now, next.at);
      next.run();
    }
    now = until;
  }
  return { clock, goOn, timers };
}

/** Starts timers of 100 ms, each with a function that cancels it. */
function starter(clock: Clock) {
  const running = deadlines(clock, 100);
  return (ring: () => void) => {
    const one: Timed = { dueAt: 0, older: undefined, newer: undefined, ring };
    running.start(one);
    return () => running.cancel(one);
  };
}

describe('deadlines', () => {
  it('rings for each that was not cancelled, exactly when its time is up, in their order', () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant('start' as const) }),
        fc.record({ kind: fc.constant('cancel' as const), which: fc.nat(20) }),
        fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(70) }),
      ),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (list) => {
        const { clock, goOn } = virtualClock();
        const start = starter(clock);
        const rung: string[] = [];
        const expected = new Map<number, number>();
        const cancels: (() => void)[] = [];
        for (const step of list) {
          if (step.kind === 'wait') {
            goOn(step.ms);
            continue;
          }
          if (step.kind === 'start') {
            const id = cancels.length;
            expected.set(id, clock.steadyMs() + 100);
            cancels.push(start(() => rung.push(`${id} at ${clock.steadyMs()}`)));
            continue;
          }
          const id = step.which % Math.max(1, cancels.length);
          cancels[id]?.();
          if ((expected.get(id) ?? 0) > clock.steadyMs()) expected.delete(id);
        }
        goOn(1_000);
        assert.deepEqual(
          rung,
          [...expected].map(([id, at]) => `${id} at ${at}`),
        );
      }),
      runs(200),
    );
  });

  it('holds one timer for all', () => {
    const { clock, goOn, timers } = virtualClock();
    const start = starter(clock);
    const cancels = Array.from({ length: 1_000 }, () => start(() => assert.fail('was cancelled')));
    assert.equal(timers.size, 1);
    for (const cancel of cancels) cancel();
    goOn(1_000);
    assert.equal(timers.size, 0);
  });

  it('goes on when what it calls starts another or cancels its neighbour', () => {
    const { clock, goOn } = virtualClock();
    const start = starter(clock);
    const rung: string[] = [];
    start(() => {
      rung.push('first');
      cancelSecond();
      start(() => rung.push('third'));
    });
    const cancelSecond = start(() => rung.push('second'));
    goOn(500);
    assert.deepEqual(rung, ['first', 'third']);
  });
});
