import type { Cancellation } from './cancellation.js';
import { leaveIterator } from './steps.js';

/**
 * The same iteration, which ends with the signal's reason as soon as the signal aborts, even while the source is stuck.
 * One promise a step and one listener in all: racing each step against the signal would pile up reactions on it.
 */
export function abortable<T>(source: AsyncIterable<T>, signal: Cancellation): AsyncIterableIterator<T> {
  const iterator = source[Symbol.asyncIterator]();
  let interrupt: ((reason: unknown) => void) | undefined;
  const onAbort = (): void => {
    interrupt?.(signal.reason);
    leaveIterator(iterator);
  };
  signal.addEventListener('abort', onAbort);
  const release = (): void => signal.removeEventListener('abort', onAbort);
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        interrupt = reject;
        iterator.next().then(
          (step) => {
            if (step.done === true) release();
            resolve(step);
          },
          (error) => {
            release();
            reject(error);
          },
        );
      }),
    async return() {
      release();
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
}

/** The promise, or the signal's reason as soon as the signal aborts. */
export function orAborted<T>(promise: Promise<T>, signal: Cancellation): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
