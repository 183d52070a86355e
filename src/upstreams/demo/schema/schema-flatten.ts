import { isJsonObject, type Json, type JsonObject } from '../../../base/json.js';
import { allOf, dependentsOf, listOf } from './schema-keywords.js';
import { mergedPlain } from './schema-merge.js';
import { negations } from './schema-negation.js';
import { type Plain, plainOf } from './schema-plain.js';
import { REFERENCES, type Scope } from './schema-scope.js';

/** A schema with its references followed and its `allOf` merged, and what it leaves to choose. */
export interface Flat {
  readonly plain: Plain;
  readonly choices: readonly Choice[];
  readonly conditions: readonly Condition[];
}

/** One of the alternatives has to be satisfied. */
export interface Choice {
  readonly alternatives: readonly Json[];
  /** Whether the others must not be. */
  readonly isExclusive: boolean;
}

/** What depends on the value itself, and is looked at when there is one. */
export interface Condition {
  readonly test: Json;
  /** What a value that passes the test has to satisfy besides. */
  readonly demand: Json;
  /** What any other value has to satisfy. */
  readonly otherDemand: Json;
  /** What to add to the schema when a value passes the test and fails there. One of them will do. */
  readonly remedies: readonly Json[];
  /** The same for a value that does not pass it. */
  readonly otherRemedies: readonly Json[];
}

const MAX_NESTING = 200;
const ANYTHING: Flat = { plain: plainOf({}), choices: [], conditions: [] };
const NOTHING: Flat = { plain: plainOf({ type: [] }), choices: [], conditions: [] };

/** The schema in the form in which values are made of it. Nothing satisfies what refers to nothing or to itself. */
export function flattened(schema: Json | undefined, scope: Scope): Flat {
  if (schema === false || (isJsonObject(schema) && isAnything(schema.not))) return NOTHING;
  if (!isJsonObject(schema)) return ANYTHING;
  const known = scope.flats.get(schema);
  if (known !== undefined) return known;
  scope.budget.work -= 2;
  if (scope.nesting > MAX_NESTING || scope.budget.work < 0) return NOTHING;
  scope.nesting += 1;
  const own = { plain: plainOf(schema), choices: choicesOf(schema), conditions: conditionsOf(schema, scope) };
  const targets = REFERENCES.flatMap((keyword) => {
    const reference = schema[keyword];
    return typeof reference === 'string' ? [scope.target(schema, reference) ?? false] : [];
  });
  const parts = [...targets, ...listOf(schema.allOf)].map((part) => flattened(part, scope));
  const flat = merged([own, ...parts], scope);
  scope.nesting -= 1;
  scope.flats.set(schema, flat);
  return flat;
}

function isAnything(schema: Json | undefined): boolean {
  return schema === true || (isJsonObject(schema) && Object.keys(schema).length === 0);
}

/** All in one. */
export function merged([first = ANYTHING, ...others]: readonly Flat[], scope: Scope): Flat {
  const { budget } = scope;
  const all = [first, ...others];
  let { plain } = first;
  for (const other of others) {
    budget.work -= 4 + other.choices.length + other.conditions.length;
    if (budget.work < 0) return NOTHING;
    plain = mergedPlain(plain, other.plain, scope);
  }
  return {
    plain,
    choices: all.flatMap(({ choices }) => choices),
    conditions: all.flatMap(({ conditions }) => conditions),
  };
}

function choicesOf({ anyOf, oneOf }: JsonObject): readonly Choice[] {
  return [
    { alternatives: listOf(anyOf), isExclusive: false },
    { alternatives: listOf(oneOf), isExclusive: true },
  ].filter(({ alternatives }) => alternatives.length > 0);
}

function conditionsOf(schema: JsonObject, scope: Scope): readonly Condition[] {
  const { not, if: test, then: demand = true, else: otherDemand = true } = schema;
  const conditions: Condition[] = dependentsOf(schema).map(([name, dependent]) => ({
    test: { type: 'object', required: [name] },
    demand: dependent,
    otherDemand: true,
    remedies: [allOf([{ required: [name] }, dependent]), { properties: { [name]: false } }],
    otherRemedies: [],
  }));
  if (not !== undefined) {
    const remedies = negations(not, scope);
    conditions.push({ test: not, demand: false, otherDemand: true, remedies, otherRemedies: [] });
  }
  if (test !== undefined) {
    const passed = allOf([test, demand]);
    const failed = allOf([{ not: test }, otherDemand]);
    conditions.push({ test, demand, otherDemand, remedies: [passed, failed], otherRemedies: [failed, passed] });
  }
  return conditions;
}
