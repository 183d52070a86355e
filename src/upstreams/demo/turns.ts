import { setImmediate as immediate } from 'node:timers/promises';
import { systemClock } from '../../base/clock.js';

// How long work of the demo lets other work have its turn.

/** Work after which others get their turn: characters looked at, some ten milliseconds of them. */
const WORK_PER_TURN = 64_000;

/** Lets other work have its turn, a sign of abort among it. @throws the signal's reason once it is aborted */
export async function nextTurn(signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await immediate();
  signal.throwIfAborted();
}

/**
 * The same for work that nobody waits for: it does not keep the process alive. A timer, since an immediate that does not
 * either would wait in an idle process until something else happens.
 */
export async function nextIdleTurn(signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve) => {
    systemClock.setTimer(resolve, 0);
  });
  signal.throwIfAborted();
}

/**
 * Splits long work: awaited after each part with the part's size, in characters, it gives `nextTurn` now and then.
 * @throws the signal's reason once it is aborted
 */
export function fairTurns(signal: AbortSignal): (work: number) => Promise<void> {
  let since = 0;
  return async (work) => {
    since += work;
    if (since < WORK_PER_TURN) return;
    since = 0;
    await nextTurn(signal);
  };
}
