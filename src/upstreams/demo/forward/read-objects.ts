import type { Json, JsonObject } from '../../../base/json.js';
import {
  objectsIn,
  optionalChoice,
  optionalInteger,
  optionalObject,
  optionalString,
  stringsIn,
} from '../../../wire/members.js';
import { missingParameter } from '../../../wire/request-errors.js';

// Each reads what several endpoints take in the same form.

/** A text that must be there and not be empty. */
export function filledString(body: JsonObject, param: string, maxLength = 1_000): string {
  const text = optionalString(param, body[param], maxLength);
  if (text === undefined || text === '') throw missingParameter(param);
  return text;
}

/** When `expires_after` lets a file end that is created now, in Unix seconds. @param fallbackSeconds when it is not given. */
export function expiryOf(
  fields: JsonObject,
  nowSeconds: number,
  { param = 'expires_after', fallbackSeconds }: { readonly param?: string; readonly fallbackSeconds?: number } = {},
): number | undefined {
  const after = optionalObject(param, fields[param]);
  if (after === undefined) return fallbackSeconds === undefined ? undefined : nowSeconds + fallbackSeconds;
  if (optionalChoice('anchor', after.anchor, ['created_at']) === undefined) throw missingParameter(`${param}.anchor`);
  const seconds = optionalInteger('seconds', after.seconds, { min: 3_600, max: 2_592_000 });
  if (seconds === undefined) throw missingParameter(`${param}.seconds`);
  return nowSeconds + seconds;
}

/** The strings of an array that must be there. */
export function requiredStrings(body: JsonObject, param: string, maxLength: number): readonly string[] {
  return stringsIn(param, present(body, param), maxLength);
}

/** The objects of an array that must be there. */
export function requiredObjects(body: JsonObject, param: string, maxLength: number): readonly JsonObject[] {
  return objectsIn(param, present(body, param), maxLength);
}

function present(body: JsonObject, param: string): Json {
  const value = body[param];
  if (value === undefined || value === null) throw missingParameter(param);
  return value;
}
