/**
 * What the core needs of an `AbortSignal`; every `AbortSignal` is one. Node takes 4 µs to make one and 1.5 µs for each
 * listener, a tenth of what a whole call costs: where nobody else's code looks on, `createCancellation` does.
 */
export interface Cancellation {
  readonly aborted: boolean;
  /** An `Error` once aborted. */
  readonly reason: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** A cancellation and the way to cause it. */
export interface CancellationSource extends Cancellation {
  /** Tells every listener, once; later calls do nothing. */
  abort(reason: Error): void;
}

/** Listeners are called once, in the order in which they came, and must not throw. */
export function createCancellation(): CancellationSource {
  const listeners: (() => void)[] = [];
  const source = {
    aborted: false,
    reason: undefined as Error | undefined,
    addEventListener(_type: 'abort', listener: () => void) {
      listeners.push(listener);
    },
    removeEventListener(_type: 'abort', listener: () => void) {
      const at = listeners.indexOf(listener);
      if (at !== -1) listeners.splice(at, 1);
    },
    abort(reason: Error) {
      if (source.aborted) return;
      source.aborted = true;
      source.reason = reason;
      for (const listener of listeners.splice(0)) listener();
    },
  };
  return source;
}

/** Why it was cancelled, as an `Error` even where a host's own signal gives none. */
export function reasonOf({ reason }: Cancellation): Error {
  return reason instanceof Error ? reason : new Error('The call was cancelled.', { cause: reason });
}

/** The same as an `AbortSignal`, for code that wants a real one. */
export function abortSignalOf(cancellation: Cancellation): AbortSignal {
  if (cancellation instanceof AbortSignal) return cancellation;
  const controller = new AbortController();
  if (cancellation.aborted) controller.abort(cancellation.reason);
  else cancellation.addEventListener('abort', () => controller.abort(cancellation.reason));
  return controller.signal;
}
