import type { Json } from '../../../base/json.js';
import { satisfies } from './schema-check.js';
import { allOf } from './schema-keywords.js';
import { memberSchema } from './schema-members.js';
import { isRich, isSpent, type Place } from './schema-place.js';
import { type Plain, plainOf } from './schema-plain.js';
import { schemaStrings } from './schema-string.js';

/** How an object is made. */
interface Manner {
  /** With the optional properties too. */
  readonly isRich: boolean;
  /** With so many more members than the schema asks for. */
  readonly more: number;
  readonly variant: number;
  /** Whether the members vary by themselves, instead of all in step. */
  readonly isMixed: boolean;
}

const MANNERS: readonly Manner[] = [0, 1, 2, 3, 4, 5].flatMap((variant) =>
  [true, false].map((isRich) => ({ isRich, more: isRich ? 0 : variant, variant, isMixed: variant > 1 })),
);
const MAX_MEMBERS = 1_000;
const MAX_EXTRA_TRIES = 32;
const VARIANTS = 64;

/** Objects for the schema, those with all properties first. */
export function* schemaObjects(plain: Plain, place: Place): Generator<Json> {
  if (plain.minProperties > MAX_MEMBERS || plain.required.length > plain.maxProperties) return;
  for (const manner of MANNERS) {
    if (manner.isRich && !isRich(place)) continue;
    const minProperties = Math.min(plain.minProperties + manner.more, plain.maxProperties);
    const members = membersOf({ ...plain, minProperties }, place, manner);
    if (members === undefined) return;
    // In the order in which the schema lists them.
    const names = new Set([...Object.keys(plain.properties), ...members.keys()]);
    yield Object.fromEntries(
      [...names].flatMap((name) => (members.has(name) ? [[name, members.get(name) ?? null]] : [])),
    );
  }
}

/** The members, `undefined` when a required one cannot be made. */
function membersOf(plain: Plain, place: Place, manner: Manner): Map<string, Json> | undefined {
  const { budget } = place.scope;
  const members = new Map<string, Json>();
  const add = (name: string): boolean => {
    const variant = variantOf(place.variant + manner.variant, members.size, manner.isMixed);
    const value = place.make(memberSchema(plain, name, place.scope), {
      ...place,
      depth: place.depth + 1,
      name,
      variant,
    });
    budget.chars -= name.length;
    if (value !== undefined) members.set(name, value);
    return value !== undefined;
  };
  // The required ones first, so that `maxProperties` leaves room for them.
  for (const name of plain.required) if (!add(name)) return undefined;
  for (const name of Object.keys(plain.properties)) {
    if (isSpent(budget)) return undefined;
    if (
      members.size >= plain.maxProperties ||
      !(members.size < plain.minProperties || (manner.isRich && isRich(place)))
    )
      break;
    if (!members.has(name) && isNameFine(name, plain, place)) add(name);
  }
  if (members.size >= plain.minProperties) return members;
  for (const name of extraNames(plain, place)) {
    if (!members.has(name)) add(name);
    if (members.size >= plain.minProperties || isSpent(budget)) return members;
  }
  return members;
}

function isNameFine(name: string, { propertyNames }: Plain, { scope }: Place): boolean {
  return propertyNames === undefined || satisfies(propertyNames, name, scope);
}

/** Names that nobody listed. */
function* extraNames(plain: Plain, place: Place): Generator<string> {
  const { scope } = place;
  const { propertyNames } = plain;
  for (let variant = 0; variant < plain.minProperties + MAX_EXTRA_TRIES; variant += 1) {
    if (propertyNames === undefined) yield `extra_${variant + 1}`;
    const name =
      propertyNames && place.make(allOf([{ type: 'string' }, propertyNames]), { ...place, name: '', variant });
    if (typeof name === 'string') yield name;
    for (const pattern of Object.keys(plain.patternProperties)) {
      const [text] = schemaStrings(plainOf({ pattern }), '', variant, scope);
      if (text !== undefined && isNameFine(text, plain, place)) yield text;
    }
  }
}

/** Mixed, each member has its own: all of them in step would make few combinations. */
function variantOf(variant: number, index: number, isMixed: boolean): number {
  return isMixed ? (Math.imul(variant * 31 + index, 2_654_435_761) >>> 8) % VARIANTS : variant;
}
