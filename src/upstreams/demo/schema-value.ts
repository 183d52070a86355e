import { isJsonObject, type Json, type JsonObject } from '../../json.js';
import { type Budget, flattened, merged } from './schema-flatten.js';
import { shallowestFirst } from './schema-height.js';
import { minimumOf, requiredOf, typeOf } from './schema-keywords.js';
import { itemSchema, matches, propertySchema } from './schema-match.js';
import { schemaNumber } from './schema-number.js';
import { schemaString } from './schema-string.js';

/** Where in the value we are. */
interface Place {
  readonly root: Json;
  readonly budget: Budget;
  readonly depth: number;
  /** Name of the property that is being filled; '' where there is none. */
  readonly name: string;
  /** Asks for another value of the same schema, for sets of unique items. */
  readonly variant: number;
}

/** From here on only what is required is made, so that schemas that refer to themselves come to an end. */
const RICH_DEPTH = 5;
const RICH_NODES = 10_000;
/** Here everything is `null`: the schema asks for more than anyone could send. */
const MAX_DEPTH = 48;
const MAX_ITEMS = 1_000;
const MAX_ALTERNATIVES = 16;
const MAX_NESTING = 200;

/** What may be spent on the schemas of one request, all together. */
export const schemaBudget = (): Budget => ({ work: 200_000, nodes: 20_000, chars: 200_000, nesting: MAX_NESTING });

/**
 * A value that satisfies the JSON schema, always the same for the same schema. Optional properties are filled in too, a
 * few levels deep. Depth, size and effort are bounded; where a schema asks for more, or for what cannot be, the value
 * falls short of it.
 */
export function schemaValue(schema: Json | undefined, budget: Budget = schemaBudget()): Json {
  return madeValue(schema, { root: schema ?? {}, budget, depth: 0, name: '', variant: 0 });
}

function madeValue(schema: Json | undefined, place: Place): Json {
  const { budget, depth, root } = place;
  budget.nodes -= 1;
  if (depth > MAX_DEPTH || isSpent(budget)) return null;
  budget.nesting -= 1;
  const { not, ...flat } = flattened(schema, root, budget);
  let value = madeFlat(flat, place);
  for (let variant = 1; not !== undefined && variant < 4 && matches(not, value, root, budget); variant += 1) {
    value = madeFlat(flat, { ...place, variant: place.variant + variant });
  }
  budget.nesting += 1;
  return value;
}

function isSpent({ nodes, work, chars, nesting }: Budget): boolean {
  return nodes < 0 || work < 0 || chars < 0 || nesting < 0;
}

function madeFlat(flat: JsonObject, place: Place): Json {
  if (flat.const !== undefined) return given(flat.const, place);
  if (Array.isArray(flat.enum)) {
    const { enum: values, ...rest } = flat;
    const fitting = values.filter((value) => matches(rest, value, place.root, place.budget));
    return given(fitting[place.variant % fitting.length] ?? values[0] ?? null, place);
  }
  for (const keyword of ['anyOf', 'oneOf'] as const) {
    const alternatives = flat[keyword];
    if (Array.isArray(alternatives) && alternatives.length > 0) return chosen(flat, keyword, alternatives, place);
  }
  return typedValue(flat, place);
}

/** A value out of the schema itself, which may be large and asked for often. */
function given(value: Json, { budget }: Place): Json {
  budget.chars -= JSON.stringify(value).length;
  return value;
}

/** The first alternative whose value is one for the whole schema; deep down the shallowest one, so that it ends. */
function chosen(flat: JsonObject, keyword: 'anyOf' | 'oneOf', alternatives: readonly Json[], place: Place): Json {
  const { root, budget } = place;
  const { [keyword]: _, ...base } = flat;
  const inOrder = isRich(place) ? alternatives : shallowestFirst(alternatives, root, budget);
  let first: Json | undefined;
  for (const alternative of inOrder.slice(0, MAX_ALTERNATIVES)) {
    const value = madeValue(merged(base, flattened(alternative, root, budget), budget), place);
    if (matches(flat, value, root, budget)) return value;
    first ??= value;
  }
  return first ?? null;
}

function typedValue(flat: JsonObject, place: Place): Json {
  const { budget, name, variant } = place;
  switch (typeOf(flat, isRich(place))) {
    case 'object':
      return objectValue(flat, place);
    case 'array':
      return arrayValue(flat, place);
    case 'integer':
      return schemaNumber(flat, true, variant);
    case 'number':
      return schemaNumber(flat, false, variant);
    case 'boolean':
      return variant % 2 === 0;
    case 'null':
      return null;
    default:
      return schemaString(flat, name, variant, budget);
  }
}

function objectValue(flat: JsonObject, place: Place): Json {
  const { root, budget } = place;
  const required = new Set(requiredOf(flat));
  const listed = isJsonObject(flat.properties) ? Object.keys(flat.properties) : [];
  const least = Math.min(minimumOf(flat.minProperties), MAX_ITEMS);
  const most = typeof flat.maxProperties === 'number' ? flat.maxProperties : Number.POSITIVE_INFINITY;
  const members = new Map<string, Json>();
  // The required ones first, so that `maxProperties` leaves room for them.
  for (const name of new Set([...required, ...listed])) {
    if (isSpent(budget)) break;
    const optional = !required.has(name);
    if (optional && (members.size >= most || !(isRich(place) || members.size < least))) continue;
    const schema = propertySchema(flat, name);
    const value = madeValue(schema, { ...place, depth: place.depth + 1, name });
    budget.chars -= name.length;
    if (!optional || matches(schema, value, root, budget)) members.set(name, value);
  }
  for (let extra = 1; members.size < least && flat.additionalProperties !== false && !isSpent(budget); extra += 1) {
    const name = `extra_${extra}`;
    members.set(name, madeValue(flat.additionalProperties, { ...place, depth: place.depth + 1, name }));
  }
  // In the order in which the schema lists them.
  return Object.fromEntries(
    [...new Set([...listed, ...members.keys()])].flatMap((name) => {
      const value = members.get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function arrayValue(flat: JsonObject, place: Place): Json {
  const { root, budget } = place;
  const prefix = [flat.prefixItems, flat.items].find(Array.isArray)?.length ?? 0;
  const least = Math.min(minimumOf(flat.minItems), MAX_ITEMS);
  const most = typeof flat.maxItems === 'number' ? flat.maxItems : Number.POSITIVE_INFINITY;
  const wanted = isRich(place) ? Math.max(least, prefix, 1) : least;
  const items: Json[] = [];
  const seen = new Set<string>();
  for (let tries = 0; items.length < Math.min(wanted, most) && tries < wanted + MAX_ALTERNATIVES; tries += 1) {
    const variant = flat.uniqueItems === true ? tries : place.variant;
    const schema = itemSchema(flat, items.length);
    const value = madeValue(schema, { ...place, depth: place.depth + 1, variant });
    if (isSpent(budget)) break;
    const text = flat.uniqueItems === true ? JSON.stringify(value) : '';
    if (text !== '' && seen.has(text)) continue;
    if (items.length >= least && !matches(schema, value, root, budget)) break;
    seen.add(text);
    items.push(value);
  }
  return items;
}

function isRich({ depth, budget }: Place): boolean {
  return depth < RICH_DEPTH && budget.nodes > RICH_NODES;
}
