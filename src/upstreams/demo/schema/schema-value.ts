import type { Json } from '../../../base/json.js';
import { invalidRequest } from '../../../wire/request-errors.js';
import { schemaArrays } from './schema-array.js';
import { satisfies } from './schema-check.js';
import { type Choice, type Condition, type Flat, flattened, merged } from './schema-flatten.js';
import { shallowestFirst } from './schema-height.js';
import { allOf } from './schema-keywords.js';
import { typesToMake } from './schema-members.js';
import { schemaNumber } from './schema-number.js';
import { schemaObjects } from './schema-object.js';
import { isRich, isSpent, type Place } from './schema-place.js';
import type { Plain } from './schema-plain.js';
import { type Budget, type Scope, scopeOf } from './schema-scope.js';
import { schemaStrings } from './schema-string.js';

const MAX_DEPTH = 48;
/** Choices made for one value. */
const MAX_CHOICES = 40;
const MAX_ALTERNATIVES = 64;
/** Values held against one schema. */
const MAX_PROPOSALS = 1_000;
/** How many of them are of one type; how many where the schema names no type and another one is likelier. */
const PROPOSALS_PER_TYPE = 12;
const PROPOSALS_PER_GUESS = 2;
/** How many come of a value that falls short, and how many are looked at for that. */
const PROPOSALS_PER_REMEDY = 12;
const MAX_REMEDIED = 40;

/** What may be spent on the schemas of one request, all together. */
export const schemaBudget = (): Budget => ({ work: 200_000, nodes: 20_000, chars: 200_000 });

/**
 * A value that satisfies the JSON schema, always the same for the same schema. Optional properties are filled in too, a
 * few levels deep. Every value is checked before it is given away.
 * @throws {GatewayError} 400 when none is found with bounded depth, size and effort
 */
export function schemaValue(schema: Json | undefined, budget: Budget = schemaBudget()): Json {
  const root = schema ?? true;
  const value = made(root, { scope: scopeOf(root, budget), depth: 0, name: '', variant: 0, make: made });
  if (value !== undefined) return value;
  throw invalidRequest(
    'The demo model found no value for a JSON schema of this request. The schema contradicts itself, refers to a schema that is not in it, or asks for more than the demo model makes.',
  );
}

function made(schema: Json, place: Place, isWelcome = (_: Json): boolean => true): Json | undefined {
  const { scope, depth } = place;
  scope.budget.nodes -= 1;
  if (depth > Math.min(MAX_DEPTH, (scope.failures.get(schema) ?? Infinity) - 1)) return undefined;
  let unwelcome = 0;
  for (const value of upTo(MAX_PROPOSALS, proposals(flattened(schema, scope), place, 0))) {
    if (isSpent(scope.budget)) return undefined;
    if (!isWelcome(value)) unwelcome += 1;
    else if (satisfies(schema, value, scope)) return value;
  }
  if (unwelcome === 0) scope.failures.set(schema, depth);
  return undefined;
}

/** Values that may well satisfy the schema. */
function* proposals(flat: Flat, place: Place, level: number): Generator<Json> {
  const { plain, choices } = flat;
  const { budget } = place.scope;
  budget.work -= 2;
  if (isSpent(budget) || level > MAX_CHOICES) return;
  const [choice, ...rest] = choices;
  if (plain.values !== undefined) yield* givenValues(plain.values, place);
  else if (choice !== undefined) yield* chosenValues({ ...flat, choices: rest }, choice, place, level);
  else yield* typedValues(flat, place, level);
}

/** Values out of the schema itself, which may be large and asked for often. */
function* givenValues(values: readonly Json[], { scope, variant }: Place): Generator<Json> {
  for (let index = 0; index < values.length; index += 1) {
    const value = values[(index + variant) % values.length] ?? null;
    scope.budget.chars -= JSON.stringify(value).length;
    yield value;
  }
}

/** Of each alternative in turn; deep down those with the shallowest values first, so that it ends. */
function* chosenValues(base: Flat, choice: Choice, place: Place, level: number): Generator<Json> {
  const { alternatives, isExclusive } = choice;
  const inOrder = isRich(place) ? alternatives : shallowestFirst(alternatives, place.scope);
  let open = inOrder.slice(0, MAX_ALTERNATIVES).map((alternative) => {
    const others = isExclusive ? alternatives.filter((one) => one !== alternative) : [];
    return alternativeValues(base, alternative, others, place, level);
  });
  // One that leads nowhere must not keep the others from having their turn.
  while (open.length > 0) {
    const left: Generator<Json>[] = [];
    for (const values of open) {
      const next = values.next();
      if (next.done === true) continue;
      yield next.value;
      left.push(values);
    }
    open = left;
  }
}

function* alternativeValues(
  base: Flat,
  alternative: Json,
  others: readonly Json[],
  place: Place,
  level: number,
): Generator<Json> {
  const { scope } = place;
  const schema = others.length === 0 ? alternative : allOf([alternative, { not: { anyOf: others } }]);
  yield* proposals(merged([base, flattened(schema, scope)], scope), place, level + 1);
}

function* typedValues(flat: Flat, place: Place, level: number): Generator<Json> {
  const { plain } = flat;
  const remedied = new Set<string>();
  for (const [index, type] of typesToMake(plain, isRich(place)).entries()) {
    const isGuess = plain.types === undefined && index > 0;
    const seen = new Set<string>();
    for (const value of upTo(isGuess ? PROPOSALS_PER_GUESS : PROPOSALS_PER_TYPE, valuesOfType(type, plain, place))) {
      const text = JSON.stringify(value);
      if (seen.has(text)) continue;
      seen.add(text);
      yield value;
      yield* upTo(PROPOSALS_PER_REMEDY, remediedValues(flat, value, place, level, remedied));
    }
  }
}

function* upTo(count: number, values: Iterable<Json>): Generator<Json> {
  let left = count;
  for (const value of values) {
    yield value;
    left -= 1;
    if (left === 0) return;
  }
}

function* valuesOfType(type: string, plain: Plain, place: Place): Generator<Json> {
  const { name, variant, scope } = place;
  switch (type) {
    case 'object':
      return yield* schemaObjects(plain, place);
    case 'array':
      return yield* schemaArrays(plain, place);
    case 'integer':
    case 'number':
      for (let further = 0; further < PROPOSALS_PER_TYPE; further += 1) {
        const value = schemaNumber(plain, type === 'integer', variant + further);
        if (value !== undefined) yield value;
      }
      return;
    case 'boolean':
      return yield* [variant % 2 === 0, variant % 2 !== 0];
    case 'null':
      return yield null;
    case 'string':
      yield* schemaStrings(plain, name, variant, scope);
  }
}

/**
 * What comes of adding to the schema what a value fell short of.
 * @param known the shortcomings that have had their turn: what is added depends on nothing else.
 */
function* remediedValues(flat: Flat, value: Json, place: Place, level: number, known: Set<string>): Generator<Json> {
  const { scope } = place;
  if (isSpent(scope.budget)) return;
  const failures = flat.conditions.map((condition) => failureOf(condition, value, scope));
  const key = failures.join();
  if (known.has(key)) return;
  known.add(key);
  const choices = flat.conditions.flatMap(({ remedies, otherRemedies }, index) => {
    const failure = failures[index];
    if (failure === 'none') return [];
    return [{ alternatives: failure === 'passed' ? remedies : otherRemedies, isExclusive: false }];
  });
  if (choices.length === 0) return;
  const conditions = flat.conditions.filter((_, index) => failures[index] === 'none');
  const failed = flat.conditions.filter((_, index) => failures[index] !== 'none');
  for (const remedied of upTo(MAX_REMEDIED, proposals({ ...flat, choices, conditions }, place, level + 1))) {
    if (failed.every((condition) => failureOf(condition, remedied, scope) === 'none')) yield remedied;
  }
}

/** On which side of its test the value falls short of the condition. */
function failureOf({ test, demand, otherDemand }: Condition, value: Json, scope: Scope): 'passed' | 'other' | 'none' {
  const passes = satisfies(test, value, scope);
  if (satisfies(passes ? demand : otherDemand, value, scope)) return 'none';
  return passes ? 'passed' : 'other';
}
