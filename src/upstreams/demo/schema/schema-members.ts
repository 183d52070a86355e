import type { Json } from '../../../base/json.js';
import { allOf, propertySchemas, TYPES } from './schema-keywords.js';
import { textMatches } from './schema-pattern-match.js';
import type { Plain } from './schema-plain.js';
import type { Scope } from './schema-scope.js';

/** The schema of the property of that name, which may be one nobody listed. */
export function memberSchema(plain: Plain, name: string, scope: Scope): Json {
  const own = propertySchemas(plain, name, (pattern) => textMatches(pattern, name, scope) ?? false);
  return own.length > 0 ? allOf(own) : (plain.additionalProperties ?? plain.unevaluatedProperties ?? true);
}

/** The schema of the item at that place of an array. */
export function itemSchema(plain: Plain, index: number): Json {
  return plain.prefixItems[index] ?? plain.items ?? plain.unevaluatedItems ?? true;
}

/** The types to make values of, the likeliest one first. @param isRich whether there is room for more than need be. */
export function typesToMake({ types, hint = 'string' }: Plain, isRich: boolean): readonly string[] {
  if (types === undefined) return [...new Set([hint, ...TYPES])];
  const nullFirst = isRich ? 1 : -1;
  return [...types].sort((a, b) => nullFirst * (Number(a === 'null') - Number(b === 'null')));
}
