import type { Json } from '../../../base/json.js';
import { type Flat, flattened } from './schema-flatten.js';
import { itemSchema, memberSchema, typesToMake } from './schema-members.js';
import type { Scope } from './schema-scope.js';

/** What may be spent on finding out how deep one alternative is. */
const HEIGHT_WORK = 1_000;
const MAX_DEPTH = 8;
const MAX_ALTERNATIVES = 64;

/** The alternatives, those with the shallowest values first: a schema that refers to itself ends there. */
export function shallowestFirst(alternatives: readonly Json[], scope: Scope): readonly Json[] {
  const heights = alternatives.slice(0, MAX_ALTERNATIVES).map((schema) => {
    const least = Math.max(0, scope.budget.work - HEIGHT_WORK);
    return { schema, height: heightOf(flattened(schema, scope), scope, 0, least) };
  });
  return heights.sort((a, b) => a.height - b.height).map(({ schema }) => schema);
}

/** How deep the smallest value of the schema is; `Infinity` when that is not to be found out. */
function heightOf({ plain, choices }: Flat, scope: Scope, depth: number, leastWork: number): number {
  scope.budget.work -= 2;
  if (scope.budget.work < leastWork || depth > MAX_DEPTH) return Number.POSITIVE_INFINITY;
  if (plain.values !== undefined) return 0;
  const below = (part: Json): number => heightOf(flattened(part, scope), scope, depth + 1, leastWork);
  const chosen = choices.map(({ alternatives }) => Math.min(...alternatives.slice(0, MAX_ALTERNATIVES).map(below)));
  return Math.max(ownHeight(plain, scope, below), ...chosen);
}

function ownHeight(plain: Flat['plain'], scope: Scope, below: (part: Json) => number): number {
  const [type] = typesToMake(plain, false);
  if (type === undefined) return Number.POSITIVE_INFINITY;
  if (type === 'object')
    return 1 + Math.max(0, ...plain.required.map((name) => below(memberSchema(plain, name, scope))));
  if (type === 'array') return plain.minItems > 0 ? 1 + below(itemSchema(plain, 0)) : 1;
  return 0;
}
