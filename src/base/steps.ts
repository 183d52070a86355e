/**
 * What comes in steps, asked for one at a time and told by a call: an iterator without a promise for each step, of which
 * three deep cost as much as all else that is done to a chunk.
 */
export interface StepSource<T> {
  /** Calls one of these, once: with the next step, `undefined` for the end, or what broke it off. Not again before that. */
  read(onStep: (step: T | undefined) => void, onFailure: (reason: unknown) => void): void;
  /** The reader wants no more. */
  leave(): void;
}

export function stepsOf<T>(iterable: AsyncIterable<T>): StepSource<T> {
  const iterator = iterable[Symbol.asyncIterator]();
  return {
    read(onStep, onFailure) {
      iterator.next().then((step) => {
        if (step.done === true) return onStep(undefined);
        if (step.value !== undefined) return onStep(step.value);
        leaveIterator(iterator);
        onFailure(new TypeError('Expected every step to be something, got undefined'));
      }, onFailure);
    },
    leave: () => leaveIterator(iterator),
  };
}

/** Not awaited: a generator that is stuck answers only when it comes unstuck. Whatever else it does is its own affair. */
export function leaveIterator(iterator: AsyncIterator<unknown>): void {
  try {
    Promise.resolve(iterator.return?.()).catch(() => {});
  } catch {
    // It throws, and is left all the same.
  }
}

/** The same for who iterates. */
export function iterableOf<T>(source: StepSource<T>): AsyncIterable<T> {
  const end: IteratorReturnResult<undefined> = { done: true, value: undefined };
  return {
    [Symbol.asyncIterator]: () => ({
      next: () =>
        new Promise<IteratorResult<T, undefined>>((resolve, reject) => {
          source.read((value) => resolve(value === undefined ? end : { done: false, value }), reject);
        }),
      async return() {
        source.leave();
        return end;
      },
    }),
  };
}
