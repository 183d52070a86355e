import { isJsonObject, type JsonObject } from '../../../json.js';
import { invalidType, missingParameter } from '../../../request-errors.js';
import { optionalChoice, optionalInteger, optionalObject, optionalString } from '../read-parameter.js';
import { refused } from './forward-errors.js';

// Each reads what several endpoints take in the same form.

/** A text that must be there and not be empty. */
export function requiredString(body: JsonObject, param: string, maxLength = 1_000): string {
  const text = optionalString(body, param);
  if (text === undefined || text === '') throw missingParameter(param);
  return atMost(param, text, maxLength);
}

/** The text. @throws {GatewayError} 400 when it is longer. */
export function atMost(param: string, text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  throw refused(
    `Invalid '${param}': string too long. Expected a string with maximum length ${maxLength}, but got a string with length ${text.length} instead.`,
    param,
    'string_above_max_length',
  );
}

/** Up to 16 texts by name; `undefined`: none are given. */
export function optionalMetadata(body: JsonObject): JsonObject | undefined {
  return pairsOf(body, 'metadata', 'a string', (value) => typeof value === 'string');
}

/** Up to 16 texts, numbers or booleans by name; `undefined`: none are given. */
export function optionalAttributes(body: JsonObject): JsonObject | undefined {
  const types = ['string', 'number', 'boolean'];
  return pairsOf(body, 'attributes', 'a string, number or boolean', (value) => types.includes(typeof value));
}

function pairsOf(
  body: JsonObject,
  param: string,
  expected: string,
  isValue: (value: unknown) => boolean,
): JsonObject | undefined {
  const pairs = optionalObject(body, param);
  if (pairs === undefined) return undefined;
  const entries = Object.entries(pairs);
  if (entries.length > 16) throw refused(`Invalid '${param}': too many properties. At most 16 are allowed.`, param);
  for (const [name, value] of entries) {
    if (!isValue(value)) throw invalidType(`${param}.${name.slice(0, 64)}`, expected, value);
    atMost(`${param} key`, name, 64);
    if (typeof value === 'string') atMost(`${param}.${name}`, value, 512);
  }
  return pairs;
}

/** When `expires_after` lets a file end that is created now, in Unix seconds. @param fallbackSeconds when it is not given. */
export function expiryOf(
  fields: JsonObject,
  nowSeconds: number,
  { param = 'expires_after', fallbackSeconds }: { readonly param?: string; readonly fallbackSeconds?: number } = {},
): number | undefined {
  const after = optionalObject(fields, param);
  if (after === undefined) return fallbackSeconds === undefined ? undefined : nowSeconds + fallbackSeconds;
  if (optionalChoice(after, 'anchor', ['created_at']) === undefined) throw missingParameter(`${param}.anchor`);
  const seconds = optionalInteger(after, 'seconds', [3_600, 2_592_000]);
  if (seconds === undefined) throw missingParameter(`${param}.seconds`);
  return nowSeconds + seconds;
}

/** The strings of an array. @param max how many there may be. */
export function stringsOf(value: unknown, param: string, max: number): readonly string[] {
  if (value === undefined) throw missingParameter(param);
  if (!Array.isArray(value)) throw invalidType(param, 'an array of strings', value);
  if (value.length > max)
    throw refused(
      `Invalid '${param}': array too long. At most ${max} items are allowed.`,
      param,
      'array_above_max_length',
    );
  return value.map((item: unknown, index) => {
    if (typeof item !== 'string') throw invalidType(`${param}[${index}]`, 'a string', item);
    return item;
  });
}

/** The objects of an array. @param max how many there may be. */
export function objectsOf(value: unknown, param: string, max: number): readonly JsonObject[] {
  if (value === undefined) throw missingParameter(param);
  if (!Array.isArray(value)) throw invalidType(param, 'an array of objects', value);
  if (value.length > max)
    throw refused(
      `Invalid '${param}': array too long. At most ${max} items are allowed.`,
      param,
      'array_above_max_length',
    );
  return value.map((item: unknown, index) => {
    if (!isJsonObject(item)) throw invalidType(`${param}[${index}]`, 'an object', item);
    return item;
  });
}
