import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import {
  arrayAboveMaxLength,
  emptyArray,
  invalidType,
  invalidValue,
  missingParameter,
  numberAboveMax,
  numberBelowMin,
  objectAboveMaxProperties,
  stringAboveMaxLength,
} from './request-errors.js';

// Readers of single members of a JSON body, with OpenAI's 400 for a value of another type. `null` is as good as absent.

/** Bounds of a number, both included. */
export interface NumberRange {
  readonly min: number;
  readonly max: number;
}

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

/** The text of a member that may be absent or null, among given choices. @param param how errors name it. */
export function optionalChoice<T extends string>(
  param: string,
  value: Json | undefined,
  choices: readonly T[],
): T | undefined {
  const text = optionalString(param, value);
  const choice = choices.find((name) => name === text);
  if (text !== undefined && choice === undefined) throw invalidValue(param, text, choices);
  return choice;
}

/** The boolean of a member that may be absent or null. @param param how errors name it. */
export function optionalBoolean(param: string, value: Json | undefined): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'boolean') throw invalidType(param, 'a boolean', value);
  return value;
}

/**
 * The whole number of a member that may be absent or null. JSON has no NaN, but `1e400` is read as Infinity, which is above
 * any maximum.
 * @param param how errors name it.
 */
export function optionalInteger(param: string, value: Json | undefined, { min, max }: NumberRange): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || (Number.isFinite(value) && !Number.isInteger(value))) {
    throw invalidType(param, 'an integer', value);
  }
  if (value < min) throw numberBelowMin(param, 'integer', min, value);
  if (value > max) throw numberAboveMax(param, 'integer', max, value);
  return value;
}

/** The number of a member that may be absent or null. @param param how errors name it. */
export function optionalDecimal(param: string, value: Json | undefined, { min, max }: NumberRange): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number') throw invalidType(param, 'a decimal', value);
  if (value < min) throw numberBelowMin(param, 'decimal', min, value);
  if (value > max) throw numberAboveMax(param, 'decimal', max, value);
  return value;
}

/** The object of a member that may be absent or null. @param param how errors name it. */
export function optionalObject(param: string, value: Json | undefined): JsonObject | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isJsonObject(value)) throw invalidType(param, 'an object', value);
  return value;
}

/** The array of a member that may be absent or null, but not empty. @param of name of its items, such as `objects`. */
export function optionalArray(param: string, value: Json | undefined, of: string): readonly Json[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw invalidType(param, `an array of ${of}`, value);
  if (value.length === 0) throw emptyArray(param);
  return value;
}

/** The objects in an array that may be absent or null; then there are none. @param param how errors name it. */
export function objectsIn(param: string, value: Json | undefined, maxLength?: number): readonly JsonObject[] {
  return itemsIn(param, value, { is: isJsonObject, what: 'object', maxLength });
}

/** The texts in an array that may be absent or null; then there are none. @param param how errors name it. */
export function stringsIn(param: string, value: Json | undefined, maxLength?: number): readonly string[] {
  return itemsIn(param, value, { is: (item) => typeof item === 'string', what: 'string', maxLength });
}

interface ItemRule<T extends Json> {
  readonly is: (item: Json) => item is T;
  readonly what: 'object' | 'string';
  readonly maxLength: number | undefined;
}

function itemsIn<T extends Json>(
  param: string,
  value: Json | undefined,
  { is, what, maxLength }: ItemRule<T>,
): readonly T[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalidType(param, `an array of ${what}s`, value);
  if (maxLength !== undefined && value.length > maxLength) throw arrayAboveMaxLength(param, maxLength, value.length);
  return value.map((item: Json, index) => {
    if (!is(item)) throw invalidType(`${param}[${index}]`, what === 'object' ? 'an object' : 'a string', item);
    return item;
  });
}

/** The objects in an answer's array, for whoever must not fail: other items are skipped, and other values have none. */
export function objectsAmong(value: Json | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

/** A copy without the members that are null or absent. */
export function withoutNulls(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null && value !== undefined));
}

/** OpenAI's own bounds: stored pairs, which return with each answer, must not grow. */
const PAIRS = { max: 16, maxNameLength: 64, maxValueLength: 512 };

/**
 * The metadata of a stored object; `{}` when absent or null.
 * @throws {GatewayError} 400 for anything but an object of a few short texts.
 */
export function readMetadata(value: Json | undefined): JsonObject {
  return pairsIn('metadata', value, { types: ['string'], expected: 'a string' });
}

/**
 * The attributes of a file in a vector store; `{}` when absent or null.
 * @throws {GatewayError} 400 for anything but an object of a few short texts, numbers and booleans.
 */
export function readAttributes(value: Json | undefined): JsonObject {
  const types = ['string', 'number', 'boolean'];
  return pairsIn('attributes', value, { types, expected: 'a string, number or boolean' });
}

interface PairRule {
  readonly types: readonly string[];
  readonly expected: string;
}

function pairsIn(param: string, value: Json | undefined, { types, expected }: PairRule): JsonObject {
  const object = optionalObject(param, value) ?? {};
  const pairs = Object.entries(object);
  if (pairs.length > PAIRS.max) throw objectAboveMaxProperties(param, PAIRS.max, pairs.length);
  for (const [name, member] of pairs) {
    optionalString(param, name, PAIRS.maxNameLength);
    if (!types.includes(typeof member)) throw invalidType(`${param}.${name}`, expected, member);
    if (typeof member === 'string') optionalString(`${param}.${name}`, member, PAIRS.maxValueLength);
  }
  return object;
}
