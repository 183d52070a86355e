import type { Json } from '../../../base/json.js';
import { canonical, satisfies } from './schema-check.js';
import { allOf } from './schema-keywords.js';
import { itemSchema } from './schema-members.js';
import { isRich, isSpent, type Place } from './schema-place.js';
import type { Plain } from './schema-plain.js';

const MAX_ITEMS = 1_000;
const VARIANTS = 4;

/** Arrays for the schema, those with something in every place first. */
export function* schemaArrays(plain: Plain, place: Place): Generator<Json> {
  const { minItems, maxItems, prefixItems } = plain;
  if (minItems > Math.min(maxItems, MAX_ITEMS)) return;
  for (let variant = 0; variant < VARIANTS; variant += 1) {
    const rich = isRich(place) ? [Math.max(minItems, prefixItems.length, 1)] : [];
    let count = 0;
    for (const length of new Set([...rich, minItems, minItems + variant])) {
      const wanted = Math.min(length, maxItems, MAX_ITEMS);
      const items = itemsOf(plain, { ...place, variant: place.variant + variant }, wanted);
      if (items === undefined) continue;
      count += 1;
      yield items;
    }
    if (count === 0) return;
  }
}

/** So many items, more where `contains` asks for them; `undefined` when the required ones cannot be made. */
function itemsOf(plain: Plain, place: Place, wanted: number): readonly Json[] | undefined {
  const { scope } = place;
  const items: Json[] = [];
  const seen = new Set<string>();
  const counts = plain.contains.map(() => 0);
  const isNew = (value: Json): boolean => !plain.isUnique || !seen.has(canonical(value));
  const isMissing = (): boolean => plain.contains.some(({ min }, index) => (counts[index] ?? 0) < min);
  while (items.length < wanted || (isMissing() && items.length < Math.min(plain.maxItems, MAX_ITEMS))) {
    const variant = place.variant + (plain.isUnique ? items.length : 0);
    const inside = { ...place, depth: place.depth + 1, variant };
    const value = nextItem(plain, counts, items.length, (schema) => place.make(schema, inside, isNew));
    if (isSpent(scope.budget)) return undefined;
    if (value === undefined) break;
    if (plain.isUnique) seen.add(canonical(value));
    for (const [index, { schema }] of plain.contains.entries()) {
      if (satisfies(schema, value, scope)) counts[index] = (counts[index] ?? 0) + 1;
    }
    items.push(value);
  }
  return items.length < plain.minItems || isMissing() ? undefined : items;
}

type MakeItem = (schema: Json) => Json | undefined;

/** An item that is asked for if one still is, else none of which there are enough. */
function nextItem(plain: Plain, counts: readonly number[], index: number, make: MakeItem): Json | undefined {
  const own = itemSchema(plain, index);
  const missing = plain.contains.filter(({ min }, which) => (counts[which] ?? 0) < min);
  const enough = plain.contains.filter(({ max }, which) => (counts[which] ?? 0) >= max);
  const barred = enough.map(({ schema }) => ({ not: schema }));
  const wanted = missing.map(({ schema }) => schema);
  for (const schema of new Set([allOf(wanted), ...wanted])) {
    const value = missing.length > 0 ? make(allOf([own, schema, ...barred])) : undefined;
    if (value !== undefined) return value;
  }
  // Behind the prefix all places are alike: what cannot be there will not be farther on either.
  if (missing.length > 0 && index >= Math.max(plain.prefixItems.length, plain.minItems)) return undefined;
  return make(allOf([own, ...barred]));
}
