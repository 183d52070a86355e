import { isJsonObject, type Json, type JsonObject } from '../../../base/json.js';

/** The types that tell values apart; `integer` is a kind of `number`. */
export const TYPES = ['string', 'object', 'array', 'number', 'boolean', 'null'] as const;

/** The types that the schema allows, `undefined` where it says nothing of types. */
export function typesOf({ type, nullable }: JsonObject): readonly string[] | undefined {
  if (type === undefined) return undefined;
  const types = textsOf(Array.isArray(type) ? type : [type]);
  return nullable === true ? [...types, 'null'] : types;
}

/** Whether a value is of one of the types. */
export function hasType(types: readonly string[] | undefined, value: Json): boolean {
  if (types === undefined) return true;
  if (value === null) return types.includes('null');
  if (Array.isArray(value)) return types.includes('array');
  return types.includes(typeof value) || (Number.isInteger(value) && types.includes('integer'));
}

interface PropertyKeywords {
  readonly properties?: Json | undefined;
  readonly patternProperties?: Json | undefined;
}

/**
 * The schemas that are there for a property of that name.
 * @param isMatch whether the name has what a pattern looks for.
 */
export function propertySchemas(
  { properties, patternProperties }: PropertyKeywords,
  name: string,
  isMatch: (pattern: string, name: string) => boolean,
): readonly Json[] {
  const own = isJsonObject(properties) && Object.hasOwn(properties, name) ? [properties[name] ?? true] : [];
  if (!isJsonObject(patternProperties)) return own;
  const patterns = Object.keys(patternProperties).filter((pattern) => isMatch(pattern, name));
  return [...own, ...patterns.map((pattern) => patternProperties[pattern] ?? true)];
}

/** The schemas that are there for objects that have a property of that name. */
export function dependentsOf(schema: JsonObject): readonly (readonly [string, Json])[] {
  return [schema.dependentRequired, schema.dependentSchemas, schema.dependencies].flatMap((dependents) =>
    Object.entries(isJsonObject(dependents) ? dependents : {}).map(([name, dependent]) => {
      return [name, Array.isArray(dependent) ? { required: dependent } : (dependent ?? true)] as const;
    }),
  );
}

/** A schema for what satisfies all of them. */
export function allOf(schemas: readonly Json[]): Json {
  if (schemas.includes(false)) return false;
  const parts = schemas.filter((schema) => schema !== true);
  return parts.length > 1 ? { allOf: parts } : (parts[0] ?? true);
}

/** The list, empty where there is none. */
export function listOf(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? value : [];
}

/** The texts of a list such as `required`. */
export function textsOf(value: Json | undefined): readonly string[] {
  return listOf(value).filter((text) => typeof text === 'string');
}

/** The number, `otherwise` where there is none. */
export function numberOr(otherwise: number, value: Json | undefined): number {
  return typeof value === 'number' ? value : otherwise;
}

/** Whether both are the same JSON value; members may be in any order. */
export function isSame(a: Json, b: Json): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, index) => isSame(item, b[index] ?? null));
  }
  if (!isJsonObject(a) || !isJsonObject(b)) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => Object.hasOwn(b, name) && isSame(a[name] ?? null, b[name] ?? null));
}
