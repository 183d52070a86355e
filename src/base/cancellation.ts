import { leaveIterator } from './steps.js';

/**
 * The part of an `AbortSignal` that the core needs; every `AbortSignal` is one. Node takes 4 µs to make an
 * `AbortSignal` and 1.5 µs for each listener, a tenth of the cost of a whole call: inside the gateway
 * `createCancellation` serves instead.
 */
export interface Cancellation {
  readonly aborted: boolean;
  /** An `Error` once aborted. */
  readonly reason: unknown;
  addEventListener(type: 'abort', listener: AbortListener): void;
  removeEventListener(type: 'abort', listener: AbortListener): void;
}

/** One that is told of an abort: a function or an object, as with every `EventTarget`. An object of a call listens itself and needs no function of its own. */
export type AbortListener = (() => void) | { handleEvent(): void };

/** A cancellation and the way to cause it. */
export interface CancellationSource extends Cancellation {
  /** Tells every listener, once; later calls do nothing. */
  abort(reason: Error): void;
}

/** Makes a cancellation. Its listeners are called once, in the order in which they were added, and must not throw. */
export function createCancellation(): CancellationSource {
  return new PlainCancellation();
}

/** Listeners to one abort. A call has one or two at a time, for which an array would grow to seventeen places. */
export class AbortListeners {
  private first: AbortListener | undefined = undefined;
  private second: AbortListener | undefined = undefined;
  /** Those that came while both places were taken. */
  private others: AbortListener[] | undefined = undefined;

  add(listener: AbortListener): void {
    if (this.first === undefined) this.first = listener;
    else if (this.second === undefined) this.second = listener;
    else {
      this.others ??= [];
      this.others.push(listener);
    }
  }

  /** Takes one away; the others keep their order. */
  remove(listener: AbortListener): void {
    const { others } = this;
    if (this.first === listener) {
      this.first = this.second;
      this.second = others?.shift();
    } else if (this.second === listener) this.second = others?.shift();
    else if (others?.includes(listener)) others.splice(others.indexOf(listener), 1);
  }

  /** Calls each in the order in which they were added, and forgets them. */
  tell(): void {
    const { first, second, others } = this;
    this.first = undefined;
    this.second = undefined;
    this.others = undefined;
    if (first !== undefined) tell(first);
    if (second !== undefined) tell(second);
    if (others !== undefined) for (const listener of others) tell(listener);
  }
}

function tell(listener: AbortListener): void {
  if (typeof listener === 'function') listener();
  else listener.handleEvent();
}

class PlainCancellation implements CancellationSource {
  aborted = false;
  reason: Error | undefined = undefined;
  private readonly listeners = new AbortListeners();

  addEventListener(_type: 'abort', listener: AbortListener): void {
    this.listeners.add(listener);
  }

  removeEventListener(_type: 'abort', listener: AbortListener): void {
    this.listeners.remove(listener);
  }

  abort(reason: Error): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    this.listeners.tell();
  }
}

/** The reason of a cancellation, as an `Error` even where a host's own signal gives none. */
export function reasonOf({ reason }: Cancellation): Error {
  return reason instanceof Error ? reason : new Error('The call was cancelled.', { cause: reason });
}

/** Turns a cancellation into a real `AbortSignal`, for code that insists on one. */
export function abortSignalOf(cancellation: Cancellation): AbortSignal {
  if (cancellation instanceof AbortSignal) return cancellation;
  const controller = new AbortController();
  if (cancellation.aborted) controller.abort(cancellation.reason);
  else cancellation.addEventListener('abort', () => controller.abort(cancellation.reason));
  return controller.signal;
}

/**
 * Iterates over `source`, and fails with the signal's reason as soon as the signal aborts, even while the source is
 * stuck. One promise for each step and one listener in all: racing each step against the signal would pile up reactions
 * on it.
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

/** Settles as `promise` does, or rejects with the signal's reason as soon as the signal aborts. */
export function orAborted<T>(promise: Promise<T>, signal: Cancellation): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort);
    promise.then(
      (value) => {
        signal.removeEventListener('abort', onAbort);
        resolve(value);
      },
      (error) => {
        signal.removeEventListener('abort', onAbort);
        reject(error);
      },
    );
  });
}
