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
