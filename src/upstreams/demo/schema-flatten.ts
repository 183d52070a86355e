import { isJsonObject, type Json, type JsonObject } from '../../json.js';

/** What may still be spent on one value; whoever wrote the schema is a stranger. */
export interface Budget {
  /** Schemas looked at and members merged. */
  work: number;
  /** Values made. */
  nodes: number;
  /** Characters made. */
  chars: number;
  /** Calls within calls: references may go round in circles. */
  nesting: number;
}

/** Nothing satisfies it. */
const NEVER: JsonObject = { not: {} };
const MAX_COMBINATIONS = 64;

/** The schema with its references followed and its `allOf` merged into it; what holds for `true` is `{}`. */
export function flattened(schema: Json | undefined, root: Json, budget: Budget): JsonObject {
  budget.work -= 1;
  if (schema === false) return NEVER;
  if (!isJsonObject(schema) || budget.work < 0 || budget.nesting < 0) return {};
  const { $ref, allOf, ...own } = schema;
  let result: JsonObject = own;
  budget.nesting -= 1;
  if (typeof $ref === 'string') result = merged(flattened(resolved($ref, root), root, budget), result, budget);
  for (const part of Array.isArray(allOf) ? allOf : []) {
    result = merged(result, flattened(part, root, budget), budget);
  }
  budget.nesting += 1;
  return result;
}

/** Both schemas in one. Neither has `$ref` or `allOf` of its own. */
export function merged(a: JsonObject, b: JsonObject, budget: Budget): JsonObject {
  if (budget.work < 0) return a;
  const result = new Map<string, Json | undefined>(Object.entries(a));
  budget.work -= result.size;
  for (const [keyword, value] of Object.entries(b)) {
    budget.work -= 1;
    const before = Object.hasOwn(a, keyword) ? a[keyword] : undefined;
    result.set(keyword, before === undefined ? value : both(keyword, before, value, budget));
  }
  const properties = closedProperties(a, b, result.get('properties'));
  if (properties !== undefined) result.set('properties', properties);
  return Object.fromEntries(result);
}

/** What the keyword says when two schemas say something. */
function both(keyword: string, a: Json, b: Json | undefined, budget: Budget): Json | undefined {
  if (b === undefined) return a;
  if (Array.isArray(a)) budget.work -= a.length;
  switch (keyword) {
    case 'minimum':
    case 'exclusiveMinimum':
    case 'minLength':
    case 'minItems':
    case 'minProperties':
      return typeof a === 'number' && typeof b === 'number' ? Math.max(a, b) : b;
    case 'maximum':
    case 'exclusiveMaximum':
    case 'maxLength':
    case 'maxItems':
    case 'maxProperties':
      return typeof a === 'number' && typeof b === 'number' ? Math.min(a, b) : b;
    case 'required':
      return [...new Set([...listOf(a), ...listOf(b)])];
    case 'enum':
      return commonValues(listOf(a), listOf(b));
    case 'type':
      return commonTypes(a, b);
    case 'multipleOf':
      return leastCommonMultiple(a, b);
    case 'properties':
    case '$defs':
    case 'definitions':
      return mergedProperties(a, b, budget);
    case 'items':
    case 'additionalProperties':
      return a === false || b === false ? false : { allOf: [a, b] };
    case 'anyOf':
    case 'oneOf':
      return listOf(a)
        .flatMap((one) => listOf(b).map((other) => ({ allOf: [one, other] })))
        .slice(0, MAX_COMBINATIONS);
    case 'not':
      return { anyOf: [a, b] };
    default:
      return a;
  }
}

function mergedProperties(a: Json, b: Json, budget: Budget): Json {
  if (!isJsonObject(a) || !isJsonObject(b)) return b;
  const result = new Map<string, Json | undefined>(Object.entries(a));
  budget.work -= result.size;
  for (const [name, schema] of Object.entries(b)) {
    budget.work -= 1;
    const before = Object.hasOwn(a, name) ? a[name] : undefined;
    result.set(name, before === undefined || schema === undefined ? schema : { allOf: [before, schema] });
  }
  return Object.fromEntries(result);
}

/** Properties only one side knows are forbidden where the other side allows no further ones. */
function closedProperties(a: JsonObject, b: JsonObject, properties: Json | undefined): JsonObject | undefined {
  const closed = [a, b].filter((schema) => schema.additionalProperties === false);
  if (closed.length === 0 || !isJsonObject(properties)) return undefined;
  const allowed = ([name]: readonly [string, unknown]): boolean =>
    closed.every((schema) => isJsonObject(schema.properties) && Object.hasOwn(schema.properties, name));
  return Object.fromEntries(Object.entries(properties).filter(allowed));
}

function commonValues(a: readonly Json[], b: readonly Json[]): Json {
  const texts = new Set(b.map((value) => JSON.stringify(value)));
  return a.filter((value) => texts.has(JSON.stringify(value)));
}

function commonTypes(a: Json, b: Json): Json {
  const others = Array.isArray(b) ? b : [b];
  const common = (Array.isArray(a) ? a : [a]).flatMap((type) => {
    if (others.includes(type)) return [type];
    if (type === 'integer' && others.includes('number')) return ['integer'];
    return type === 'number' && others.includes('integer') ? ['integer'] : [];
  });
  return [...new Set(common)];
}

function leastCommonMultiple(a: Json, b: Json): Json {
  if (typeof a !== 'number' || typeof b !== 'number' || !Number.isInteger(a) || !Number.isInteger(b)) return a;
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return x > 0 ? (a / x) * b : a;
}

const listOf = (value: Json): readonly Json[] => (Array.isArray(value) ? value : []);

/** What a JSON pointer such as `#/$defs/node` points to. Schemas elsewhere are not fetched. */
function resolved(reference: string, root: Json): Json | undefined {
  if (!reference.startsWith('#')) return undefined;
  let target: Json | undefined = root;
  for (const step of reference.slice(1).split('/').slice(1, 100)) {
    const name = decoded(step);
    if (Array.isArray(target)) target = /^\d{1,6}$/.test(name) ? target[Number(name)] : undefined;
    else target = isJsonObject(target) && Object.hasOwn(target, name) ? target[name] : undefined;
  }
  return target;
}

function decoded(step: string): string {
  try {
    return decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~');
  } catch {
    return step;
  }
}
