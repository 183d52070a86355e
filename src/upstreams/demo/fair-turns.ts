import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CallContext } from '../upstream.js';

/** Work after which others get their turn: characters looked at, some ten milliseconds of them. */
const WORK_PER_TURN = 64_000;

/**
 * Splits long work: awaited after each part with the part's size, in characters, it lets other work have its turn now
 * and then. @throws the signal's reason once it is aborted
 */
export function fairTurns(signal: CallContext['signal']): (work: number) => Promise<void> {
  let since = 0;
  return async (work) => {
    since += work;
    if (since < WORK_PER_TURN) return;
    since = 0;
    await nextTurn();
    signal.throwIfAborted();
  };
}
