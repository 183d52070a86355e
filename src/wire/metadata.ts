import type { Json, JsonObject } from '../json.js';
import { invalidType } from '../request-errors.js';
import { objectAboveMaxProperties } from './responses-errors.js';
import { optionalObject, optionalString } from './responses-fields.js';

/** OpenAI's own bounds: what we store, and give back with each answer, must not grow. */
const METADATA = { maxPairs: 16, maxNameLength: 64, maxValueLength: 512 };

/**
 * The metadata of something stored; absent or null: none.
 * @throws {GatewayError} 400 for anything but an object of a few short texts.
 */
export function readMetadata(value: Json | undefined): JsonObject {
  const metadata = optionalObject('metadata', value) ?? {};
  const pairs = Object.entries(metadata);
  if (pairs.length > METADATA.maxPairs) throw objectAboveMaxProperties('metadata', METADATA.maxPairs, pairs.length);
  for (const [name, text] of pairs) {
    optionalString('metadata', name, METADATA.maxNameLength);
    if (typeof text !== 'string') throw invalidType(`metadata.${name}`, 'a string', text);
    optionalString(`metadata.${name}`, text, METADATA.maxValueLength);
  }
  return metadata;
}
