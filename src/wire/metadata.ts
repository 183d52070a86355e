import type { Json, JsonObject } from '../base/json.js';
import { optionalObject, optionalString } from './members.js';
import { invalidType, objectAboveMaxProperties } from './request-errors.js';

/** OpenAI's own bounds: what we store, and give back with each answer, must not grow. */
const PAIRS = { max: 16, maxNameLength: 64, maxValueLength: 512 };

/**
 * The metadata of something stored; absent or null: none.
 * @throws {GatewayError} 400 for anything but an object of a few short texts.
 */
export function readMetadata(value: Json | undefined): JsonObject {
  return pairsIn('metadata', value, { types: ['string'], expected: 'a string' });
}

/**
 * The attributes of a file that is searched; absent or null: none.
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
