import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { badRequest } from '../../wire/request-errors.js';

/** Work that the schemas of one request may still cost. */
export interface SchemaBudget {
  /** Values and tens of characters, alternatives that came to nothing included. */
  left: number;
}

/** A place in the value that is made: the name of the member, and how many values it is in. */
interface Place {
  readonly name: string;
  readonly depth: number;
}

type Made = Json | undefined;

/** Tried one after the other, so that recursive schemas get small values. */
const DEPTHS = [4, 16, 64];
const MAX_WORK = 50_000;
const MAX_ITEMS = 1_000;
const MAX_LENGTH = 10_000;
/** Keywords that cannot be satisfied with certainty. Anything else that is not below says nothing of the value. */
const UNSUPPORTED =
  'pattern allOf oneOf not if dependentRequired patternProperties propertyNames contains prefixItems minProperties'.split(
    ' ',
  );
const FORMATS: ReadonlyMap<unknown, string> = new Map([
  ['date-time', '2025-01-01T12:00:00Z'],
  ['date', '2025-01-01'],
  ['time', '12:00:00Z'],
  ['duration', 'P1D'],
  ['email', 'demo@example.com'],
  ['hostname', 'example.com'],
  ['ipv4', '192.0.2.1'],
  ['ipv6', '2001:db8::1'],
  ['uuid', '00000000-0000-4000-8000-000000000000'],
]);

/** Enough for any request that means well. */
export const schemaBudget = (): SchemaBudget => ({ left: MAX_WORK });

/**
 * A value that satisfies the schema, always the same. It follows the subset of JSON Schema in OpenAI's strict mode.
 * @param param the parameter that is to blame.
 * @throws {GatewayError} 400 for a schema beyond the subset, one that cannot be satisfied, or one with too large values.
 */
export function sampleSchema(schema: JsonObject, param: string, budget: SchemaBudget): Json {
  let why = '';
  for (const maxDepth of DEPTHS) {
    const sampler = new SchemaSampler(schema, maxDepth, budget);
    const value = sampler.make(schema, { name: '', depth: 0 });
    if (value !== undefined) return value;
    why = sampler.why;
    if (!sampler.isTooDeep) break;
  }
  const message = `The demo model cannot make a value for this schema: ${why}. It follows the subset of OpenAI's strict mode, without 'pattern'.`;
  throw badRequest(message, 'invalid_json_schema', param);
}

/** One try to make a value. Whatever cannot be made is `undefined`. */
class SchemaSampler {
  /** The latest reason why a value could not be made. */
  why = 'no value fits it';
  /** Whether depth was a reason, so that more of it may help. */
  isTooDeep = false;
  readonly #root: JsonObject;
  readonly #maxDepth: number;
  readonly #budget: SchemaBudget;

  constructor(root: JsonObject, maxDepth: number, budget: SchemaBudget) {
    this.#root = root;
    this.#maxDepth = maxDepth;
    this.#budget = budget;
  }

  make(schema: Json | undefined, place: Place): Made {
    this.#budget.left -= 1;
    if (this.#budget.left < 0) return this.#fail('its values are too large or too many');
    if (place.depth > this.#maxDepth) {
      this.isTooDeep = true;
      return this.#fail(`its values are nested more than ${this.#maxDepth} levels deep`);
    }
    if (schema === true) return textNamed(place.name);
    if (!isJsonObject(schema)) return this.#fail('a schema in it allows nothing');
    const odd = UNSUPPORTED.find((keyword) => schema[keyword] !== undefined);
    if (odd !== undefined) return this.#fail(`the keyword '${odd}' is not supported`);
    if (schema.$ref !== undefined || schema.anyOf !== undefined) {
      if ((schema.enum ?? schema.const) !== undefined) return this.#fail("'enum' and 'const' must stand alone");
      return schema.$ref === undefined ? this.#makeAny(schema, place) : this.#makeReferred(schema, place);
    }
    if (schema.const !== undefined) return this.#firstFitting([schema.const], schema);
    if (Array.isArray(schema.enum)) return this.#firstFitting(schema.enum, schema);
    for (const type of typesOf(schema)) {
      const value = this.#makeOfType(type, schema, place);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  #makeOfType(type: string, schema: JsonObject, place: Place): Made {
    if (type === 'object') return this.#makeObject(schema, place);
    if (type === 'array') return this.#makeArray(schema, place);
    if (type === 'string') return this.#makeString(schema, place);
    if (type === 'integer' || type === 'number') return this.#makeNumber(type, schema);
    if (type === 'boolean') return true;
    return type === 'null' ? null : this.#fail(`the type '${type.slice(0, 64)}' is unknown`);
  }

  /** Follows a pointer into the schema itself. Going deeper bounds references that lead nowhere. */
  #makeReferred(schema: JsonObject, { name, depth }: Place): Made {
    const pointer = String(schema.$ref);
    if (!/^#(?:\/|$)/.test(pointer)) return this.#fail("a '$ref' must point into the schema");
    let target: Json | undefined = this.#root;
    for (const escaped of pointer.split('/').slice(1)) {
      const key = escaped.replaceAll('~1', '/').replaceAll('~0', '~');
      if (Array.isArray(target)) target = target[Number(key)];
      else target = isJsonObject(target) && Object.hasOwn(target, key) ? target[key] : undefined;
    }
    if (target === undefined) return this.#fail(`'${pointer.slice(0, 64)}' is not there`);
    const value = this.make(target, { name, depth: depth + 0.5 });
    return value === undefined ? undefined : this.#firstFitting([value], schema);
  }

  #makeAny(schema: JsonObject, { name, depth }: Place): Made {
    for (const alternative of Array.isArray(schema.anyOf) ? schema.anyOf : []) {
      const value = this.make(alternative, { name, depth: depth + 0.5 });
      if (this.#budget.left < 0) return undefined;
      if (value !== undefined && this.#firstFitting([value], schema) !== undefined) return value;
    }
    return undefined;
  }

  #makeObject(schema: JsonObject, { depth }: Place): Made {
    const properties = isJsonObject(schema.properties) ? schema.properties : {};
    const required = new Set(
      Array.isArray(schema.required) ? schema.required.filter((name) => typeof name === 'string') : [],
    );
    const members = new Map<string, Json>();
    for (const name of new Set([...Object.keys(properties), ...required])) {
      const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
      const value = this.make(known ?? schema.additionalProperties ?? true, { name, depth: depth + 1 });
      if (value !== undefined) members.set(name, value);
      else if (required.has(name) || this.#budget.left < 0) return undefined;
    }
    return Object.fromEntries(members);
  }

  #makeArray(schema: JsonObject, { name, depth }: Place): Made {
    const [min, max] = [numberIn(schema.minItems, 0), numberIn(schema.maxItems, Infinity)];
    if (min > max || min > MAX_ITEMS) return this.#fail(`'minItems' of ${min} is too large`);
    if (schema.uniqueItems === true && min > 1) return this.#fail("'uniqueItems' of several items is not supported");
    const items: Json[] = [];
    while (items.length < Math.max(min, Math.min(1, max))) {
      const item = this.make(schema.items ?? true, { name, depth: depth + 1 });
      if (item === undefined) return items.length >= min && this.#budget.left >= 0 ? items : undefined;
      items.push(item);
    }
    return items;
  }

  #makeString(schema: JsonObject, { name }: Place): Made {
    const min = numberIn(schema.minLength, 0);
    if (min > MAX_LENGTH) return this.#fail(`'minLength' of ${min} is too large`);
    const max = Math.max(0, numberIn(schema.maxLength, MAX_LENGTH));
    const plain = textNamed(name).padEnd(min, '.').slice(0, max);
    this.#budget.left -= plain.length / 10;
    return this.#firstFitting([FORMATS.get(schema.format) ?? plain], schema);
  }

  #makeNumber(type: 'integer' | 'number', schema: JsonObject): Made {
    const low = Math.max(numberIn(schema.minimum, -Infinity), numberIn(schema.exclusiveMinimum, -Infinity));
    const high = Math.min(numberIn(schema.maximum, Infinity), numberIn(schema.exclusiveMaximum, Infinity));
    const step = numberIn(schema.multipleOf, 1);
    const near = [low, high].flatMap((end) => [-2, -1, 0, 1, 2].map((more) => (Math.round(end / step) + more) * step));
    const candidates = [1, 0, low, high, ...near, (low + high) / 2];
    const fitting = candidates.filter((value) => type === 'number' || Number.isInteger(value));
    return this.#firstFitting(fitting, schema);
  }

  /** The first value that a schema's type and bounds allow. */
  #firstFitting(values: readonly Json[], schema: JsonObject): Made {
    const value = values.find((one) => isOfTypes(one, schema) && isWithin(one, schema));
    return value === undefined ? this.#fail('no value fits its bounds') : value;
  }

  #fail(why: string): undefined {
    this.why = why;
  }
}

function isOfTypes(value: Json, schema: JsonObject): boolean {
  return schema.type === undefined || typesOf(schema).some((type) => isOfType(value, type));
}

function isOfType(value: Json, type: string): boolean {
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  if (type === 'null') return value === null;
  return type === 'object' ? isJsonObject(value) : typeof value === type;
}

/** Whether a schema's bounds allow a value. Given objects and lists are not looked into. */
function isWithin(value: Json, schema: JsonObject): boolean {
  if (typeof value === 'object' && value !== null) {
    return !['properties', 'required', 'items', 'minItems', 'maxItems'].some((word) => schema[word] !== undefined);
  }
  if (typeof value === 'string') {
    if (schema.minLength === undefined && schema.maxLength === undefined) return true;
    const { length } = [...value];
    return length >= numberIn(schema.minLength, 0) && length <= numberIn(schema.maxLength, Infinity);
  }
  if (typeof value !== 'number') return true;
  if (value < numberIn(schema.minimum, value) || value > numberIn(schema.maximum, value)) return false;
  if (value <= numberIn(schema.exclusiveMinimum, -Infinity)) return false;
  if (value >= numberIn(schema.exclusiveMaximum, Infinity)) return false;
  return (
    Number.isFinite(value) &&
    (schema.multipleOf === undefined || Number.isInteger(value / numberIn(schema.multipleOf, 0)))
  );
}

/** The types that a schema names. Where it names none, an object is made if members are spoken of, else a text. */
function typesOf({ type, properties, required }: JsonObject): readonly string[] {
  if (typeof type === 'string') return [type];
  // There are seven types.
  if (Array.isArray(type)) return type.slice(0, 7).map(String);
  return [(properties ?? required) === undefined ? 'string' : 'object'];
}

const textNamed = (name: string): string => (/^\w{1,40}$/.test(name) ? `demo ${name}` : 'demo');
const numberIn = (value: Json | undefined, otherwise: number): number =>
  typeof value === 'number' ? value : otherwise;
