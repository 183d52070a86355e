/**
 * A sequence of steps, each asked for and handed over by a call: an iterator without promises. Three iterators deep,
 * their promises cost as much as all other work on a chunk.
 */
export interface StepSource<T> {
  /**
   * Asks for the next step; not to be called again before its answer. Calls `onStep` once with the step, `undefined` at
   * the end, or `onFailure` once with the reason for which the sequence broke off.
   */
  read(onStep: (step: T | undefined) => void, onFailure: (reason: unknown) => void): void;
  /** Tells that the reader wants no more. */
  leave(): void;
}

/** A sequence that can hand its steps over without a copy of their bytes. */
export interface InPlaceSource<T> extends StepSource<T> {
  /** The sequence itself: a proxy of it, or an object that inherits from it, is another one. */
  readonly self: StepSource<T>;
  /** As `read`, but the step that `onStep` gets is good only until that returns. */
  readInPlace(onStep: (step: T | undefined) => void, onFailure: (reason: unknown) => void): void;
}

/** Whether a sequence can hand its steps over so. Not where a wrapper has its own `read`, which would be passed by. */
export function isInPlace<T>(source: StepSource<T>): source is InPlaceSource<T> {
  return 'readInPlace' in source && 'self' in source && source.self === source && !Object.hasOwn(source, 'read');
}

/** A sequence of steps that can be iterated as well. */
export type StepStream<T> = StepSource<T> & AsyncIterable<T>;

/** A sequence that can be iterated. If it is a `StepSource` as well, it is read by calls instead, which cost less. */
export type Pieces<T> = AsyncIterable<T> | StepStream<T>;

/** The next step; `undefined` at the end. */
export function nextOf<T>(source: StepSource<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => source.read(resolve, reject));
}

/** Whether the pieces can be read by calls. `leave` tells: Node's streams have a `read` of another kind. */
export function isStepwise<T>(pieces: Pieces<T>): pieces is StepStream<T> {
  return 'leave' in pieces && typeof pieces.leave === 'function';
}

/** The pieces by calls: by their own, where they have them. */
export function stepsOf<T>(pieces: Pieces<T>): StepSource<T> {
  if (isStepwise(pieces)) return pieces;
  const iterator = pieces[Symbol.asyncIterator]();
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

/**
 * Ends an iteration without waiting for it, as a stuck generator answers only when it comes unstuck. Ignores its
 * errors.
 */
export function leaveIterator(iterator: AsyncIterator<unknown>): void {
  try {
    Promise.resolve(iterator.return?.()).catch(() => {});
  } catch {
    // It threw, and is left all the same.
  }
}

/** Adapts a step source to an async iterable. */
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

/**
 * Wraps a stream so that it is read to its end even when its reader leaves; nobody sees the rest then.
 * @returns the stream, and `over`, which resolves when it has ended or broken off.
 */
export function readToEnd<T>(given: StepSource<T>): { readonly stream: StepStream<T>; readonly over: Promise<void> } {
  let isLeft = false;
  let isReading = false;
  let onOver: () => void;
  const over = new Promise<void>((resolve) => {
    onOver = resolve;
  });

  async function readRest(): Promise<void> {
    try {
      while ((await nextOf(given)) !== undefined);
    } catch {
      // It broke off, with nobody left to be told.
    }
    onOver();
  }

  const source: StepSource<T> = {
    read(onStep, onFailure) {
      isReading = true;
      given.read(
        (step) => {
          isReading = false;
          if (step === undefined) onOver();
          else if (isLeft) void readRest();
          onStep(isLeft ? undefined : step);
        },
        (reason) => {
          isReading = false;
          onOver();
          onFailure(reason);
        },
      );
    },
    leave() {
      if (isLeft) return;
      isLeft = true;
      if (!isReading) void readRest();
    },
  };
  return { stream: Object.assign(source, iterableOf(source)), over };
}
