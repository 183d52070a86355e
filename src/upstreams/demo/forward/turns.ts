import { setImmediate as immediate } from 'node:timers/promises';
import { systemClock } from '../../../clock.js';

/** Lets other work have its turn, a sign of abort among it. */
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
