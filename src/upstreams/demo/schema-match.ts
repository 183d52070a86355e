import { isJsonObject, type Json, type JsonObject } from '../../json.js';
import { type Budget, flattened } from './schema-flatten.js';

/**
 * Whether the value satisfies the schema, as far as we can tell: patterns and formats are taken on trust (a stranger's
 * pattern is never run), and so is everything once the budget is spent.
 */
export function matches(schema: Json | undefined, value: Json, root: Json, budget: Budget): boolean {
  if (budget.work < 0 || budget.nesting < 0) return true;
  budget.nesting -= 1;
  const result = matchesFlat(flattened(schema, root, budget), value, root, budget);
  budget.nesting += 1;
  return result;
}

function matchesFlat(flat: JsonObject, value: Json, root: Json, budget: Budget): boolean {
  const holds = (part: Json): boolean => matches(part, value, root, budget);
  const { anyOf, oneOf, not } = flat;
  if (Array.isArray(flat.enum)) budget.work -= flat.enum.length;
  if (!hasType(flat, value) || !hasValue(flat, value)) return false;
  if (Array.isArray(anyOf) && !anyOf.some(holds)) return false;
  if (Array.isArray(oneOf) && oneOf.filter(holds).length !== 1) return false;
  if (not !== undefined && budget.work >= 0 && holds(not)) return false;
  if (typeof value === 'string') return between([...value].length, flat.minLength, flat.maxLength);
  if (typeof value === 'number') return numberMatches(flat, value);
  if (Array.isArray(value)) return arrayMatches(flat, value, root, budget);
  return !isJsonObject(value) || objectMatches(flat, value, root, budget);
}

/** Whether the schema allows values of that JSON type; `integer` stands for whole numbers. */
export function allowsType(schema: JsonObject, type: string): boolean {
  const { type: allowed, nullable } = schema;
  if (allowed === undefined || (type === 'null' && nullable === true)) return true;
  const types = Array.isArray(allowed) ? allowed : [allowed];
  return types.includes(type) || (type === 'integer' && types.includes('number'));
}

function hasType(schema: JsonObject, value: Json): boolean {
  if (value === null) return allowsType(schema, 'null');
  if (Array.isArray(value)) return allowsType(schema, 'array');
  if (typeof value === 'number') return allowsType(schema, Number.isInteger(value) ? 'integer' : 'number');
  return allowsType(schema, typeof value);
}

function hasValue(schema: JsonObject, value: Json): boolean {
  const isSame = (other: Json): boolean => JSON.stringify(other) === JSON.stringify(value);
  if (schema.const !== undefined && !isSame(schema.const)) return false;
  return !Array.isArray(schema.enum) || schema.enum.some(isSame);
}

function numberMatches(schema: JsonObject, value: number): boolean {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema;
  if (!between(value, minimum, maximum)) return false;
  if (exclusiveMinimum === true && value === minimum) return false;
  if (exclusiveMaximum === true && value === maximum) return false;
  if (typeof exclusiveMinimum === 'number' && value <= exclusiveMinimum) return false;
  if (typeof exclusiveMaximum === 'number' && value >= exclusiveMaximum) return false;
  return typeof multipleOf !== 'number' || Number.isInteger(value / multipleOf);
}

function arrayMatches(schema: JsonObject, value: readonly Json[], root: Json, budget: Budget): boolean {
  if (!between(value.length, schema.minItems, schema.maxItems)) return false;
  if (schema.uniqueItems === true && new Set(value.map((item) => JSON.stringify(item))).size < value.length)
    return false;
  return value.every((item, index) => matches(itemSchema(schema, index), item, root, budget));
}

/** The schema of the item at that place of an array. */
export function itemSchema(schema: JsonObject, index: number): Json | undefined {
  const { prefixItems, items, additionalItems } = schema;
  const prefix = Array.isArray(prefixItems) ? prefixItems : Array.isArray(items) ? items : [];
  if (index < prefix.length) return prefix[index];
  return Array.isArray(items) ? additionalItems : items;
}

function objectMatches(schema: JsonObject, value: JsonObject, root: Json, budget: Budget): boolean {
  const names = Object.keys(value);
  if (!between(names.length, schema.minProperties, schema.maxProperties)) return false;
  const required = Array.isArray(schema.required) ? schema.required : [];
  if (required.some((name) => typeof name === 'string' && !Object.hasOwn(value, name))) return false;
  return names.every((name) => matches(propertySchema(schema, name), value[name] ?? null, root, budget));
}

/** The schema of the property of that name, which may be one nobody listed. */
export function propertySchema(schema: JsonObject, name: string): Json | undefined {
  const { properties, additionalProperties, patternProperties } = schema;
  if (isJsonObject(properties) && Object.hasOwn(properties, name)) return properties[name];
  // Which names a pattern means is not known, as it is never run.
  return isJsonObject(patternProperties) && additionalProperties === false ? {} : additionalProperties;
}

function between(value: number, min: Json | undefined, max: Json | undefined): boolean {
  return (typeof min !== 'number' || value >= min) && (typeof max !== 'number' || value <= max);
}
