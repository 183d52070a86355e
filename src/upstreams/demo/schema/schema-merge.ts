import type { Json, JsonObject } from '../../../base/json.js';
import { allOf, isSame, propertySchemas } from './schema-keywords.js';
import { textMatches } from './schema-pattern-match.js';
import type { Plain } from './schema-plain.js';
import type { Scope } from './schema-scope.js';

/** Both in one: what satisfies it satisfies each, but for rare cases that a check of the value has to find. */
export function mergedPlain(a: Plain, b: Plain, scope: Scope): Plain {
  return {
    types: commonTypes(a.types, b.types),
    hint: a.hint ?? b.hint,
    values: commonValues(a.values, b.values, scope),
    minimum: Math.max(a.minimum, b.minimum),
    maximum: Math.min(a.maximum, b.maximum),
    exclusiveMinimum: Math.max(a.exclusiveMinimum, b.exclusiveMinimum),
    exclusiveMaximum: Math.min(a.exclusiveMaximum, b.exclusiveMaximum),
    multipleOf: leastCommonMultiple(a.multipleOf, b.multipleOf),
    minLength: Math.max(a.minLength, b.minLength),
    maxLength: Math.min(a.maxLength, b.maxLength),
    patterns: union(a.patterns, b.patterns, scope),
    format: a.format ?? b.format,
    minItems: Math.max(a.minItems, b.minItems),
    maxItems: Math.min(a.maxItems, b.maxItems),
    isUnique: a.isUnique || b.isUnique,
    prefixItems: mergedPrefix(a, b, scope),
    items: both(a.items, b.items),
    unevaluatedItems: both(a.unevaluatedItems, b.unevaluatedItems),
    contains: [...a.contains, ...b.contains],
    minProperties: Math.max(a.minProperties, b.minProperties),
    maxProperties: Math.min(a.maxProperties, b.maxProperties),
    required: union(a.required, b.required, scope),
    properties: mergedProperties(a, b, scope),
    patternProperties: mergedByPattern(a.patternProperties, b.patternProperties, scope),
    additionalProperties: both(a.additionalProperties, b.additionalProperties),
    unevaluatedProperties: both(a.unevaluatedProperties, b.unevaluatedProperties),
    propertyNames: both(a.propertyNames, b.propertyNames),
  };
}

function both(a: Json | undefined, b: Json | undefined): Json | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return allOf([a, b]);
}

function union(a: readonly string[], b: readonly string[], { budget }: Scope): readonly string[] {
  if (a.length === 0 || b.length === 0) return a.length === 0 ? b : a;
  budget.work -= a.length + b.length;
  return budget.work < 0 ? a : [...new Set([...a, ...b])];
}

type Values = Plain['values'];

function commonValues(a: Values, b: Values, { budget }: Scope): Values {
  if (a === undefined || b === undefined) return a ?? b;
  return a.filter((value) => {
    if (budget.work < 0) return false;
    const index = b.findIndex((other) => isSame(value, other));
    budget.work -= index < 0 ? b.length : index + 1;
    return index >= 0;
  });
}

function commonTypes(a: Plain['types'], b: Plain['types']): Plain['types'] {
  if (a === undefined || b === undefined) return a ?? b;
  const common = a.flatMap((type) => {
    if (b.includes(type)) return [type];
    if (type === 'integer' && b.includes('number')) return ['integer'];
    return type === 'number' && b.includes('integer') ? ['integer'] : [];
  });
  return [...new Set(common)];
}

function leastCommonMultiple(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const scale = [1, 10, 100, 1_000, 10_000].find(
    (factor) => Number.isInteger(a * factor) && Number.isInteger(b * factor),
  );
  if (scale === undefined) return Math.max(a, b);
  let [x, y] = [a * scale, b * scale];
  while (y > 0) [x, y] = [y, x % y];
  return (a * scale * b) / x;
}

/** Where one side has no item of its own, what it says of further items holds. */
function mergedPrefix(a: Plain, b: Plain, { budget }: Scope): readonly Json[] {
  const length = Math.max(a.prefixItems.length, b.prefixItems.length);
  budget.work -= length;
  return Array.from({ length }, (_, index) => {
    return both(a.prefixItems[index] ?? a.items, b.prefixItems[index] ?? b.items) ?? true;
  });
}

/** Where one side does not know a property, what it says of further properties holds. */
function mergedProperties(a: Plain, b: Plain, scope: Scope): JsonObject {
  const names = new Set([...Object.keys(a.properties), ...Object.keys(b.properties)]);
  scope.budget.work -= names.size;
  if (scope.budget.work < 0) return {};
  const said = (side: Plain, name: string): Json | undefined => {
    if (Object.hasOwn(side.properties, name)) return side.properties[name];
    if (side.additionalProperties === undefined) return undefined;
    const { patternProperties } = side;
    const schemas = propertySchemas(
      { patternProperties },
      name,
      (pattern) => textMatches(pattern, name, scope) ?? true,
    );
    return schemas.length > 0 ? undefined : side.additionalProperties;
  };
  return Object.fromEntries([...names].map((name) => [name, both(said(a, name), said(b, name)) ?? true]));
}

function mergedByPattern(a: JsonObject, b: JsonObject, { budget }: Scope): JsonObject {
  const patterns = new Set([...Object.keys(a), ...Object.keys(b)]);
  budget.work -= patterns.size;
  return Object.fromEntries([...patterns].map((pattern) => [pattern, both(own(a, pattern), own(b, pattern)) ?? true]));
}

function own(schemas: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(schemas, name) ? schemas[name] : undefined;
}
