/** @throws {TypeError} when `value` is anything but a positive safe integer. */
export function positiveInteger(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw unexpected(name, 'to be a positive integer', value);
}

/** @throws {TypeError} when `value` is there but has no such method. */
export function withMethod<T>(name: string, value: T | undefined, method: keyof T): T | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'object' && value !== null && typeof value[method] === 'function') return value;
  throw unexpected(name, `to have a method \`${String(method)}\``, value);
}

/** A member of something thrown. Under Jest, Node's own errors are of another realm, and no `instanceof Error`. */
export function memberOf(thrown: unknown, name: string | symbol): unknown {
  if (typeof thrown !== 'object' || thrown === null) return undefined;
  try {
    return Reflect.get(thrown, name);
  } catch {
    // An object that cannot be read has no members.
    return undefined;
  }
}

/** Makes the error for a bad option: its name, the expected form, the given value. */
export function unexpected(name: string, expectation: string, value: unknown): TypeError {
  const shown = typeof value === 'object' || typeof value === 'function' ? '' : ` ${JSON.stringify(value)}`;
  return new TypeError(`Expected \`${name}\` ${expectation}, got${shown} (${value === null ? 'null' : typeof value})`);
}
