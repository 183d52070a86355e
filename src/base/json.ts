import { bufferOf } from './bytes.js';

/** Any JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;

/** A JSON object. A member that may be absent is `undefined` when read. */
export interface JsonObject {
  readonly [name: string]: Json | undefined;
}

/** Whether `value` is a plain JSON object: not `null`, not an array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Shows a value in a message. `String` would throw for an object that has a `toString` of its own. */
export function shownValue(value: Json | undefined): string {
  return typeof value === 'string' ? value : String(JSON.stringify(value));
}

/** The same object, of which no part can be written to any more. */
export function deeplyFrozen(root: JsonObject): JsonObject {
  const pending: unknown[] = [root];
  // A stack of our own, so that depth cannot overflow the real one.
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    for (const inner of Object.values(Object.freeze(value))) if (typeof inner === 'object') pending.push(inner);
  }
  return root;
}

/**
 * Parses a JSON object; any other value gives `{}`. Only for text that was checked before, as nothing bounds it here.
 * @throws {SyntaxError} when it is no JSON.
 */
export function objectOf(json: string | Uint8Array): JsonObject {
  const text = typeof json === 'string' ? json : bufferOf(json).toString();
  const value: unknown = JSON.parse(text);
  return isJsonObject(value) ? value : {};
}

/** Number of members of all objects in a value. Its depth is bounded, as is this. */
export function memberCount(value: Json): number {
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + memberCount(item), 0);
  if (!isJsonObject(value)) return 0;
  return Object.values(value).reduce<number>((sum, inner) => sum + 1 + memberCount(inner ?? null), 0);
}
