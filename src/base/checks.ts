import { isPending } from './awaitable.js';

/** @throws {TypeError} when `value` is anything but a positive safe integer. */
export function positiveInteger(name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  throw unexpected(name, 'to be a positive integer', value);
}

/** Kinds of objects whose contents are no members: with any of them everything would be taken for absent. */
const NO_RECORDS: ReadonlySet<string> = new Set(
  'WeakMap WeakSet WeakRef Date RegExp Error Number Boolean BigInt Symbol ArrayBuffer'
    .split(' ')
    .map((kind) => `[object ${kind}]`),
);

/** Whether a value is an object with members of its own names: no list, no collection, no function, no promise of one. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || isIterable(value) || isPending(value)) return false;
  // By its tag, as one of another realm is no instance of ours.
  return !NO_RECORDS.has(Object.prototype.toString.call(value));
}

/** Not by `in`, as in `isPending`. */
function isIterable({ [Symbol.iterator]: iterator }: { readonly [Symbol.iterator]?: unknown }): boolean {
  return iterator !== undefined;
}

/** @throws {TypeError} for a member that is not known, be it the object's own or inherited. */
export function refuseOthers(name: string, value: object, known: Readonly<Record<string, unknown>>): void {
  for (const field in value) {
    if (!Object.hasOwn(known, field)) {
      throw new TypeError(`Unknown member \`${name}.${field}\`: there are ${Object.keys(known).join(', ')}`);
    }
  }
}

/** @throws {TypeError} for options that are no object, or have a name that is not known. */
export function checkOptionNames(options: unknown, known: Readonly<Record<string, true>>): void {
  if (!isRecord(options)) throw unexpected('options', 'to be an object', options);
  refuseOthers('options', options, known);
}

/** @throws {TypeError} when `value` is there but lacks one of the methods. Arrays have a `find`, and are no store. */
export function withMethod<T>(name: string, value: T | undefined, ...methods: (keyof T & string)[]): T | undefined {
  if (value === undefined) return undefined;
  if (!isRecord(value)) throw unexpected(name, `to have a method \`${methods[0]}\``, value);
  for (const method of methods) {
    if (typeof value[method] !== 'function') throw unexpected(name, `to have a method \`${method}\``, value);
  }
  return value;
}

/** @throws {TypeError} when `value` is there but no boolean. */
export function optionalBoolean(name: string, value: unknown): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  throw unexpected(name, 'to be a boolean', value);
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

/** Longest text of a bad value that is shown. */
const MAX_SHOWN = 100;

/** Makes the error for a bad option: its name, the expected form, the given value. */
export function unexpected(name: string, expectation: string, value: unknown): TypeError {
  const kind = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  return new TypeError(`Expected \`${name}\` ${expectation}, got${shownValue(value)} (${kind})`);
}

function shownValue(value: unknown): string {
  if (typeof value === 'object' || typeof value === 'function') return '';
  if (typeof value === 'string') return ` ${JSON.stringify(value.slice(0, MAX_SHOWN))}`;
  // JSON has no words for NaN, and fails at a bigint.
  return ` ${String(value)}`;
}
