import { isJsonObject, type Json, type JsonObject } from '../../json.js';
import { emptyArray, invalidType, invalidValue, numberAboveMax, numberBelowMin } from '../../request-errors.js';

// Each reads an optional parameter: `null` is absent, as for OpenAI, and what is of another type is a 400.

export function optionalBoolean(body: JsonObject, param: string): boolean | undefined {
  const value = body[param] ?? undefined;
  if (value === undefined || typeof value === 'boolean') return value;
  throw invalidType(param, 'a boolean', value);
}

export function optionalString(body: JsonObject, param: string): string | undefined {
  const value = body[param] ?? undefined;
  if (value === undefined || typeof value === 'string') return value;
  throw invalidType(param, 'a string', value);
}

export function optionalInteger(
  body: JsonObject,
  param: string,
  [min, max]: readonly [number, number],
): number | undefined {
  const value = body[param] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value)) throw invalidType(param, 'an integer', value);
  if (value < min) throw numberBelowMin(param, 'integer', min, value);
  if (value > max) throw numberAboveMax(param, 'integer', max, value);
  return value;
}

export function optionalChoice<T extends string>(
  body: JsonObject,
  param: string,
  choices: readonly T[],
): T | undefined {
  const value = optionalString(body, param);
  const choice = choices.find((name) => name === value);
  if (value !== undefined && choice === undefined) throw invalidValue(param, value, choices);
  return choice;
}

export function optionalObject(body: JsonObject, param: string): JsonObject | undefined {
  const value = body[param] ?? undefined;
  if (value === undefined || isJsonObject(value)) return value;
  throw invalidType(param, 'an object', value);
}

/** An array that is not empty. @param of such as `objects`. */
export function optionalArray(body: JsonObject, param: string, of: string): readonly Json[] | undefined {
  const value = body[param] ?? undefined;
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw invalidType(param, `an array of ${of}`, value);
  if (value.length === 0) throw emptyArray(param);
  return value;
}
