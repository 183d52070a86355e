import { setImmediate } from 'node:timers/promises';

/** Size from which work on bytes is done in turns, so that others are served in between. */
export const LARGE_BYTES = 1_048_576;

/** Lets everybody else have their turn. */
export function turn(): Promise<void> {
  return setImmediate();
}
