import type { Json } from '../../json.js';
import { type Budget, flattened } from './schema-flatten.js';
import { minimumOf, requiredOf, typeOf } from './schema-keywords.js';
import { itemSchema, propertySchema } from './schema-match.js';

/** Alternatives looked at. */
const MAX_ALTERNATIVES = 64;
/** What may be spent on finding out how deep one alternative is. */
const HEIGHT_WORK = 2_000;

/** The alternatives, those with the shallowest values first: a schema that refers to itself ends there. */
export function shallowestFirst(alternatives: readonly Json[], root: Json, budget: Budget): readonly Json[] {
  const heights = alternatives.slice(0, MAX_ALTERNATIVES).map((schema) => {
    const local = { ...budget, work: Math.min(HEIGHT_WORK, budget.work) };
    const height = heightOf(schema, root, local, 0);
    budget.work -= Math.ceil((HEIGHT_WORK - local.work) / 8);
    return { schema, height };
  });
  return heights.sort((a, b) => a.height - b.height).map(({ schema }) => schema);
}

/** How deep the smallest value of the schema is; `Infinity` when that is not to be found out. */
function heightOf(schema: Json | undefined, root: Json, budget: Budget, depth: number): number {
  budget.work -= 10;
  if (budget.work < 0 || depth > 8) return Number.POSITIVE_INFINITY;
  const flat = flattened(schema, root, budget);
  if (flat.const !== undefined || flat.enum !== undefined || flat.nullable === true) return 0;
  const below = (part: Json | undefined): number => heightOf(part, root, budget, depth + 1);
  const alternatives = Array.isArray(flat.anyOf) ? flat.anyOf : flat.oneOf;
  if (Array.isArray(alternatives)) return Math.min(...alternatives.slice(0, MAX_ALTERNATIVES).map(below));
  const type = typeOf(flat, false);
  if (type === 'object') return 1 + Math.max(0, ...requiredOf(flat).map((name) => below(propertySchema(flat, name))));
  if (type === 'array') return minimumOf(flat.minItems) === 0 ? 1 : 1 + below(itemSchema(flat, 0));
  return 0;
}
