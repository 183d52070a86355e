import { isJsonObject, type Json, type JsonObject } from '../../../base/json.js';
import {
  dependentsOf,
  hasType,
  isSame,
  listOf,
  numberOr,
  propertySchemas,
  textsOf,
  typesOf,
} from './schema-keywords.js';
import { textMatches } from './schema-pattern-match.js';
import { boundsOf, itemsOf } from './schema-plain.js';
import { REFERENCES, type Scope } from './schema-scope.js';

/** What has been looked at of a value, for `unevaluatedProperties` and `unevaluatedItems`. */
interface Seen {
  readonly names: Set<string>;
  readonly items: Set<number>;
}

interface Run {
  readonly scope: Scope;
  depth: number;
  /** Whether something was not to be found out. Then the rest does not matter. */
  isUnsure: boolean;
}

const MAX_DEPTH = 250;
/** Of a value that has no parts. */
const NOTHING_SEEN: Seen = { names: new Set(), items: new Set() };

/** Whether the value is sure to satisfy the schema. Formats are taken on trust: to JSON Schema they are notes. */
export function satisfies(schema: Json | undefined, value: Json, scope: Scope): boolean {
  const run: Run = { scope, depth: 0, isUnsure: false };
  return evaluated(schema, value, run) !== undefined && !run.isUnsure;
}

/** What has been looked at, `undefined` when the value does not satisfy the schema. */
function evaluated(schema: Json | undefined, value: Json, run: Run): Seen | undefined {
  run.scope.budget.work -= 1;
  if (run.scope.budget.work < 0 || run.depth > MAX_DEPTH) run.isUnsure = true;
  if (run.isUnsure || schema === false) return undefined;
  const isScalar = typeof value !== 'object' || value === null;
  const seen: Seen = isScalar ? NOTHING_SEEN : { names: new Set(), items: new Set() };
  if (!isJsonObject(schema)) return seen;
  run.depth += 1;
  const holds =
    valueHolds(schema, value, run) &&
    partsHold(schema, value, seen, run) &&
    branchesHold(schema, value, seen, run) &&
    restHolds(schema, value, seen, run);
  run.depth -= 1;
  return holds ? seen : undefined;
}

/** Keywords that look at the value as a whole. */
function valueHolds(schema: JsonObject, value: Json, run: Run): boolean {
  if (!hasType(typesOf(schema), value)) return false;
  if (schema.const !== undefined && !isSame(schema.const, value)) return false;
  if (Array.isArray(schema.enum)) {
    const index = schema.enum.findIndex((one) => isSame(one, value));
    run.scope.budget.work -= index < 0 ? schema.enum.length : index;
    if (index < 0) return false;
  }
  if (typeof value === 'number') return numberHolds(schema, value);
  if (typeof value !== 'string') return true;
  if (schema.minLength !== undefined || schema.maxLength !== undefined) {
    if (!isBetween([...value].length, schema.minLength, schema.maxLength)) return false;
  }
  return typeof schema.pattern !== 'string' || isMatch(schema.pattern, value, run);
}

function isMatch(pattern: string, text: string, run: Run): boolean {
  const result = textMatches(pattern, text, run.scope);
  if (result === undefined) run.isUnsure = true;
  return result ?? false;
}

function isBetween(value: number, min: Json | undefined, max: Json | undefined): boolean {
  return value >= numberOr(-Infinity, min) && value <= numberOr(Infinity, max);
}

function numberHolds(schema: JsonObject, value: number): boolean {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = boundsOf(schema);
  if (value < minimum || value > maximum || value <= exclusiveMinimum || value >= exclusiveMaximum) return false;
  return multipleOf === undefined || Number.isInteger(value / multipleOf);
}

/** Keywords that look at the members of the value, or at its items. */
function partsHold(schema: JsonObject, value: Json, seen: Seen, run: Run): boolean {
  if (Array.isArray(value)) return itemsHold(schema, value, seen, run) && containsHolds(schema, value, seen, run);
  return !isJsonObject(value) || membersHold(schema, value, seen, run);
}

function itemsHold(schema: JsonObject, value: readonly Json[], seen: Seen, run: Run): boolean {
  if (!isBetween(value.length, schema.minItems, schema.maxItems)) return false;
  if (schema.uniqueItems === true && !areUnique(value, run)) return false;
  const { prefixItems, items } = itemsOf(schema);
  return value.every((item, index) => {
    const part = index < prefixItems.length ? prefixItems[index] : items;
    if (part === undefined) return true;
    seen.items.add(index);
    return evaluated(part, item, run) !== undefined;
  });
}

function areUnique(items: readonly Json[], { scope }: Run): boolean {
  const texts = new Set<string>();
  return items.every((item, index) => {
    const text = canonical(item);
    scope.budget.work -= Math.ceil(text.length / 32);
    texts.add(text);
    return texts.size > index;
  });
}

/** The value as a text that does not depend on the order of members. */
export function canonical(value: Json): string {
  return JSON.stringify(value, (_, part) =>
    isJsonObject(part) ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1))) : part,
  );
}

function containsHolds(schema: JsonObject, value: readonly Json[], seen: Seen, run: Run): boolean {
  if (schema.contains === undefined) return true;
  let count = 0;
  for (const [index, item] of value.entries()) {
    if (evaluated(schema.contains, item, run) === undefined) continue;
    seen.items.add(index);
    count += 1;
  }
  return isBetween(count, numberOr(1, schema.minContains), schema.maxContains);
}

function membersHold(schema: JsonObject, value: JsonObject, seen: Seen, run: Run): boolean {
  const names = Object.keys(value);
  const required = textsOf(schema.required);
  run.scope.budget.work -= required.length;
  if (!isBetween(names.length, schema.minProperties, schema.maxProperties)) return false;
  if (!required.every((name) => Object.hasOwn(value, name))) return false;
  return names.every((name) => {
    if (schema.propertyNames !== undefined && evaluated(schema.propertyNames, name, run) === undefined) return false;
    const own = propertySchemas(schema, name, (pattern) => isMatch(pattern, name, run));
    const parts = own.length > 0 || schema.additionalProperties === undefined ? own : [schema.additionalProperties];
    if (parts.length > 0) seen.names.add(name);
    return parts.every((part) => evaluated(part, value[name] ?? null, run) !== undefined);
  });
}

/** Keywords that hold the value against other schemas. */
function branchesHold(schema: JsonObject, value: Json, seen: Seen, run: Run): boolean {
  const holds = (part: Json | undefined): boolean => {
    const inner = evaluated(part, value, run);
    for (const name of inner?.names ?? []) seen.names.add(name);
    for (const index of inner?.items ?? []) seen.items.add(index);
    return inner !== undefined;
  };
  const isReferred = (keyword: string): boolean => {
    const reference = schema[keyword];
    if (typeof reference !== 'string') return true;
    const target = run.scope.target(schema, reference);
    if (target === undefined) run.isUnsure = true;
    return holds(target);
  };
  const { not, if: test, then, else: otherwise } = schema;
  const [allOf, anyOf, oneOf] = [listOf(schema.allOf), listOf(schema.anyOf), listOf(schema.oneOf)];
  // All of them, even when one is enough: each may look at other members.
  if (!REFERENCES.every(isReferred) || !allOf.every(holds)) return false;
  if (anyOf.length > 0 && anyOf.filter(holds).length === 0) return false;
  if (oneOf.length > 0 && oneOf.filter(holds).length !== 1) return false;
  if (not !== undefined && evaluated(not, value, run) !== undefined) return false;
  if (test !== undefined && !holds(holds(test) ? then : otherwise)) return false;
  if (!isJsonObject(value)) return true;
  return dependentsOf(schema).every(([name, dependent]) => !Object.hasOwn(value, name) || holds(dependent));
}

/** What nothing has looked at so far. */
function restHolds(schema: JsonObject, value: Json, seen: Seen, run: Run): boolean {
  const { unevaluatedItems, unevaluatedProperties } = schema;
  if (Array.isArray(value) && unevaluatedItems !== undefined) {
    return value.every((item, index) => {
      if (seen.items.has(index)) return true;
      seen.items.add(index);
      return evaluated(unevaluatedItems, item, run) !== undefined;
    });
  }
  if (!isJsonObject(value) || unevaluatedProperties === undefined) return true;
  return Object.entries(value).every(([name, member]) => {
    if (seen.names.has(name)) return true;
    seen.names.add(name);
    return evaluated(unevaluatedProperties, member ?? null, run) !== undefined;
  });
}
