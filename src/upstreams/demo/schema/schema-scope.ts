import { isJsonObject, type Json, type JsonObject } from '../../../base/json.js';
import type { Flat } from './schema-flatten.js';
import { type Pattern, parsedPattern } from './schema-pattern-parse.js';

/** What may still be spent on the values of one request; whoever wrote the schemas is a stranger. */
export interface Budget {
  /** Schemas looked at, members merged, values compared. */
  work: number;
  /** Values made. */
  nodes: number;
  /** Characters made. */
  chars: number;
}

/** What all parts of one schema share. */
export interface Scope {
  readonly budget: Budget;
  /** What a reference of that object points to, `undefined` when that is not in the schema. */
  readonly target: (holder: JsonObject, reference: string) => Json | undefined;
  /** The regular expression, `undefined` when it has parts that are not known here. */
  readonly pattern: (source: string) => Pattern | undefined;
  /** Schemas that have been flattened already. */
  readonly flats: Map<JsonObject, Flat>;
  /** Schemas for which no value was found, and the least depth at which that was tried. */
  readonly failures: Map<Json, number>;
  /** How deep in references and `allOf` we are: they may go round in circles. */
  nesting: number;
}

/** Keywords that refer to another schema. The dynamic ones mean the same where nothing is overridden. */
export const REFERENCES = ['$ref', '$dynamicRef', '$recursiveRef'] as const;

/** Where a schema without `$id` is. */
const NOWHERE = 'https://schema.invalid/';
/** Keywords that hold schemas by name. */
const BY_NAME = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
  'dependencies',
]);
/** Keywords that hold values, whatever they look like. */
const VALUES = new Set(['const', 'enum', 'default', 'examples']);
const PATTERN_WORK = 300;

/** The scope of a schema that is being looked at. */
export function scopeOf(root: Json, budget: Budget): Scope {
  let index: Index | undefined;
  const patterns = new Map<string, Pattern | undefined>();
  return {
    budget,
    flats: new Map(),
    failures: new Map(),
    nesting: 0,
    target: (holder, reference) => {
      index ??= indexed(root);
      return resolved(reference, index.bases.get(holder) ?? NOWHERE, index);
    },
    pattern: (source) => {
      if (budget.work < 0) return undefined;
      if (!patterns.has(source)) {
        budget.work -= PATTERN_WORK;
        patterns.set(source, parsedPattern(source));
      }
      return patterns.get(source);
    },
  };
}

interface Index {
  /** Schemas by their address, `#anchor` included. `undefined`: which one is meant depends on who asks. */
  readonly places: Map<string, Json | undefined>;
  /** The address that references of an object start from. */
  readonly bases: Map<JsonObject, string>;
}

function indexed(root: Json): Index {
  const index: Index = { places: new Map([[NOWHERE, root]]), bases: new Map() };
  const open: (readonly [Json | undefined, string])[] = [[root, NOWHERE]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [part, outer] = next;
    if (Array.isArray(part)) for (const one of part) open.push([one, outer]);
    if (!isJsonObject(part)) continue;
    const base = enter(part, outer, index);
    for (const [keyword, value] of Object.entries(part)) {
      const isByName = BY_NAME.has(keyword) && isJsonObject(value);
      if (isByName) for (const one of Object.values(value)) open.push([one, base]);
      else if (!VALUES.has(keyword)) open.push([value, base]);
    }
  }
  return index;
}

/** Notes the names of a schema. Returns the address that its references start from. */
function enter(part: JsonObject, outer: string, { places, bases }: Index): string {
  const own = typeof part.$id === 'string' ? absolute(part.$id, outer) : undefined;
  if (own !== undefined) places.set(own, part);
  const base = own?.split('#')[0] ?? outer;
  if (typeof part.$anchor === 'string') places.set(`${base}#${part.$anchor}`, part);
  if (typeof part.$dynamicAnchor === 'string') {
    const name = `#${part.$dynamicAnchor}`;
    places.set(`${base}${name}`, part);
    places.set(name, places.has(name) ? undefined : part);
  }
  if (base !== NOWHERE) bases.set(part, base);
  return base;
}

function absolute(reference: string, base: string): string | undefined {
  return URL.canParse(reference, base) ? new URL(reference, base).href.replace(/#$/, '') : undefined;
}

/** Schemas elsewhere are not fetched. */
function resolved(reference: string, base: string, { places }: Index): Json | undefined {
  const address = absolute(reference, base) ?? '';
  // Two of that name: the outermost one is meant, and which that is depends on the way here.
  if (places.has(reference) && places.get(reference) === undefined) return undefined;
  if (places.has(address)) return places.get(address);
  const [resource = '', pointer = ''] = address.split('#');
  let target = places.get(resource);
  if (!pointer.startsWith('/')) return undefined;
  for (const step of pointer.slice(1).split('/')) {
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
