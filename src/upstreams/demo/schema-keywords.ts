import type { Json, JsonObject } from '../../json.js';
import { allowsType } from './schema-match.js';

/** The type of value to make; what only a keyword hints at is that keyword's type. */
export function typeOf(flat: JsonObject, rich: boolean): string {
  const types = Array.isArray(flat.type) ? flat.type : [flat.type];
  if (!rich && types.includes('null')) return 'null';
  const type = types.find((name) => typeof name === 'string' && name !== 'null') ?? types[0];
  if (typeof type === 'string') return type;
  const hints: readonly (readonly [string, readonly string[]])[] = [
    ['object', ['properties', 'required', 'additionalProperties', 'patternProperties', 'minProperties']],
    ['array', ['items', 'prefixItems', 'minItems', 'maxItems', 'uniqueItems']],
    ['number', ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf']],
  ];
  const hinted = hints.find(([, keywords]) => keywords.some((keyword) => Object.hasOwn(flat, keyword)));
  return hinted !== undefined && allowsType(flat, hinted[0]) ? hinted[0] : 'string';
}

/** The names in `required`. */
export function requiredOf({ required }: JsonObject): readonly string[] {
  return Array.isArray(required) ? required.filter((name) => typeof name === 'string') : [];
}

/** A least number of things, 0 where none is said. */
export function minimumOf(value: Json | undefined): number {
  return typeof value === 'number' && value > 0 ? Math.floor(value) : 0;
}
