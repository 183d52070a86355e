import { isJsonObject, type Json, type JsonObject } from '../json.js';
import { invalidType, missingParameter, numberAboveMax, numberBelowMin } from '../request-errors.js';
import { stringAboveMaxLength } from './responses-errors.js';

/** The text of a member that may be absent or null. @param param how errors name it. */
export function optionalString(param: string, value: Json | undefined, maxLength?: number): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw invalidType(param, 'a string', value);
  if (maxLength !== undefined && value.length > maxLength) throw stringAboveMaxLength(param, maxLength, value.length);
  return value;
}

/** The text of a member that must be there. @param param how errors name it. */
export function requiredString(param: string, value: Json | undefined): string {
  const text = optionalString(param, value);
  if (text === undefined) throw missingParameter(param);
  return text;
}

/** The truth of a member that may be absent or null. @param param how errors name it. */
export function optionalBoolean(param: string, value: Json | undefined): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'boolean') throw invalidType(param, 'a boolean', value);
  return value;
}

/** The whole number of a member that may be absent or null. @param param how errors name it. */
export function optionalInteger(
  param: string,
  value: Json | undefined,
  { min, max }: { readonly min: number; readonly max: number },
): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || (Number.isFinite(value) && !Number.isInteger(value))) {
    throw invalidType(param, 'an integer', value);
  }
  if (value < min) throw numberBelowMin(param, 'integer', min, value);
  if (value > max) throw numberAboveMax(param, 'integer', max, value);
  return value;
}

/** The object of a member that may be absent or null. @param param how errors name it. */
export function optionalObject(param: string, value: Json | undefined): JsonObject | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isJsonObject(value)) throw invalidType(param, 'an object', value);
  return value;
}

/** The objects of a member that may be absent or null: none, then. @param param how errors name it. */
export function objectsIn(param: string, value: Json | undefined): readonly JsonObject[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalidType(param, 'an array of objects', value);
  return value.map((entry: Json, index) => {
    if (!isJsonObject(entry)) throw invalidType(`${param}[${index}]`, 'an object', entry);
    return entry;
  });
}

/** The same object without the members that are null or absent. */
export function withoutNulls(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null && value !== undefined));
}
