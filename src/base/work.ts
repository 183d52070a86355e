import type { Cancellation } from './cancellation.js';

/**
 * An async function without its promises. It yields what it waits for, by `yield* there(…)`, and goes on when that calls; what is
 * there already costs nothing. `async` makes a promise for each function and another one for each `await`: fifteen of them for
 * a call whose work has two waits, its request's and its answer's.
 */
export interface Work<T> extends Iterator<Wait, T, undefined> {
  [Symbol.iterator](): Work<T>;
}

/** A wait of work. */
export interface Wait {
  /** Has the worker go on once, when there is something to go on with. */
  begin(worker: Resumable): void;
}

/** One that waits. */
export interface Resumable {
  goOn(): void;
}

/**
 * The value of a promise, as soon as it is there.
 * @param cancellation ends the wait with its reason; it must call in the asynchronous context of whoever waits.
 */
export function there<T>(promise: PromiseLike<T>, cancellation?: Cancellation): Waiting<T> {
  const wait = new Waiting<T>(cancellation);
  // A host's own thenable may call at once, twice, or with another one.
  const sure = promise instanceof Promise ? promise : Promise.resolve(promise);
  sure.then(
    (value) => wait.onValue(value),
    (reason) => wait.onFailure(reason),
  );
  return wait;
}

const ABORTED = Promise.resolve();

/** Work that is a wait for one of two calls; an iterator of its own, it needs no generator around it. Later calls change nothing. */
export class Waiting<T> implements Work<T>, Wait {
  private isOver = false;
  private came: IteratorReturnResult<T> | undefined = undefined;
  private reason: unknown = undefined;
  private worker: Resumable | undefined = undefined;
  private cancellation: Cancellation | undefined;

  constructor(cancellation?: Cancellation) {
    this.cancellation = cancellation;
    if (cancellation === undefined) return;
    if (cancellation.aborted) this.handleEvent();
    else cancellation.addEventListener('abort', this);
  }

  /** A turn of promises later, as any other failure: whoever aborts is not to find the work done before it goes on itself. */
  handleEvent(): void {
    const { cancellation } = this;
    if (cancellation !== undefined) ABORTED.then(() => this.onFailure(cancellation.reason));
  }

  onValue(value: T): void {
    if (this.isOver) return;
    this.came = { done: true, value };
    this.end();
  }

  onFailure(reason: unknown): void {
    if (this.isOver) return;
    this.reason = reason;
    this.end();
  }

  begin(worker: Resumable): void {
    this.worker = worker;
  }

  [Symbol.iterator](): this {
    return this;
  }

  /** The value once, so that a large one does not live on here. */
  next(): IteratorResult<Wait, T> {
    if (!this.isOver) return { done: false, value: this };
    const { came } = this;
    if (came === undefined) throw this.reason;
    this.came = undefined;
    return came;
  }

  private end(): void {
    const { worker, cancellation } = this;
    this.isOver = true;
    cancellation?.removeEventListener('abort', this);
    // A promise that never comes must not keep the work, nor its call, in memory.
    this.worker = undefined;
    this.cancellation = undefined;
    worker?.goOn();
  }
}

/** Does work to its end; it begins at once. */
export function done<T>(work: Work<T>): Promise<T> {
  return new Promise((resolve, reject) => new Worker(work, resolve, reject).goOn());
}

class Worker<T> implements Resumable {
  private readonly work: Work<T>;
  private readonly resolve: (value: T) => void;
  private readonly reject: (reason: unknown) => void;

  constructor(work: Work<T>, resolve: (value: T) => void, reject: (reason: unknown) => void) {
    this.work = work;
    this.resolve = resolve;
    this.reject = reject;
  }

  goOn(): void {
    try {
      const step = this.work.next();
      if (step.done === true) this.resolve(step.value);
      else step.value.begin(this);
    } catch (error) {
      this.reject(error);
    }
  }
}
