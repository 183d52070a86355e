import type { Cancellation } from './cancellation.js';

/**
 * An async function without its promises. It yields what it waits for, by `yield* there(…)`, and goes on when that calls; what is
 * there already costs nothing. `async` makes a promise for each function and another one for each `await`: fifteen of them for
 * a call whose work has two waits, its request's and its answer's.
 */
export type Work<T> = Generator<Wait, T, undefined>;

/** A wait of work. */
export interface Wait {
  /** Calls `goOn` once, when there is something to go on with. */
  begin(goOn: () => void): void;
}

/**
 * The value of a promise, as soon as it is there.
 * @param cancellation ends the wait with its reason; it must call in the asynchronous context of whoever waits.
 */
export function* there<T>(value: PromiseLike<T>, cancellation?: Cancellation): Work<T> {
  const wait = new Waiting<T>();
  value.then(wait.onValue, wait.onFailure);
  if (cancellation === undefined) yield wait;
  else {
    const onAbort = (): void => {
      // A turn of promises later, as any other failure: whoever aborts is not to find the work done before it goes on itself.
      ABORTED.then(() => wait.onFailure(cancellation.reason));
    };
    if (cancellation.aborted) onAbort();
    else cancellation.addEventListener('abort', onAbort);
    yield wait;
    cancellation.removeEventListener('abort', onAbort);
  }
  return wait.result();
}

const ABORTED = Promise.resolve();

/** A wait for one of two calls. Later ones change nothing: a host's thenable may call more than once. */
export class Waiting<T> implements Wait {
  private state: 'open' | 'there' | 'failed' = 'open';
  private goOn: (() => void) | undefined = undefined;
  private reason: unknown = undefined;
  declare private value: T;

  begin(goOn: () => void): void {
    if (this.state === 'open') this.goOn = goOn;
    else goOn();
  }

  /** The value that came. @throws the reason for which none did */
  result(): T {
    if (this.state === 'there') return this.value;
    throw this.reason;
  }

  readonly onValue = (value: T): void => {
    if (this.state !== 'open') return;
    this.value = value;
    this.end('there');
  };

  readonly onFailure = (reason: unknown): void => {
    if (this.state !== 'open') return;
    this.reason = reason;
    this.end('failed');
  };

  private end(state: 'there' | 'failed'): void {
    this.state = state;
    this.goOn?.();
  }
}

/** Does work to its end; it begins at once. */
export function done<T>(work: Work<T>): Promise<T> {
  return new Promise((resolve, reject) => new Worker(work, resolve, reject).goOn());
}

class Worker<T> {
  private readonly work: Work<T>;
  private readonly resolve: (value: T) => void;
  private readonly reject: (reason: unknown) => void;

  constructor(work: Work<T>, resolve: (value: T) => void, reject: (reason: unknown) => void) {
    this.work = work;
    this.resolve = resolve;
    this.reject = reject;
  }

  readonly goOn = (): void => {
    try {
      const step = this.work.next();
      if (step.done === true) this.resolve(step.value);
      else step.value.begin(this.goOn);
    } catch (error) {
      this.reject(error);
    }
  };
}
