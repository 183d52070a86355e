// biome-ignore-all lint/suspicious/noThenProperty: a keyword of JSON Schema.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { GatewayError } from '../../src/base/errors.js';
import { isJsonObject, type Json, type JsonObject } from '../../src/base/json.js';
import { schemaValue } from '../../src/upstreams/demo/schema/schema-value.js';

/** What decides: below so many. */
type Pick = (count: number) => number;

const NAMES = ['a', 'b', 'c', 'ab'];
const { value: anyValue } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<Json>(0, 1, 7, -3, 2.5, 'a', 'ab', 'b-7', 'XY', '2025', true, false, null),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 3 }),
  ),
}));
/** A value and a schema that it satisfies. */
const satisfiable = (depth: number): fc.Arbitrary<{ value: Json; schema: JsonObject }> =>
  fc.tuple(anyValue, fc.array(fc.nat(1_000), { minLength: 40, maxLength: 40 })).map(([generated, decisions]) => {
    let at = 0;
    const pick: Pick = (count) => {
      at += 1;
      return (decisions[at % decisions.length] ?? 0) % count;
    };
    const value: Json = JSON.parse(JSON.stringify(generated));
    return { value, schema: { allOf: [{ type: typeOf(value) }, schemaOf(value, pick, depth)] } };
  });

/** The value made, `undefined` when the schema is refused. */
function madeFor(schema: JsonObject | boolean): Json | undefined {
  try {
    return JSON.parse(JSON.stringify(schemaValue(schema)));
  } catch (error) {
    assert.ok(error instanceof GatewayError && error.status === 400, String(error));
    return undefined;
  }
}

function validatorOf(schema: JsonObject | boolean): (value: Json) => string {
  const validate = new Ajv2020({ strict: false, allErrors: true }).compile(schema);
  return (value) => (validate(value) ? '' : `${JSON.stringify(schema)} and ${JSON.stringify(value)}`);
}

describe('a value for a schema that is true of something', () => {
  it('is found', () => {
    // Always the same schemas: no search of bounded length finds a value for each of all that there could be.
    fc.assert(
      fc.property(satisfiable(1), ({ value, schema }) => {
        const fails = validatorOf(schema);
        assert.equal(fails(value), '');
        const made = madeFor(schema);
        assert.ok(made !== undefined, `${JSON.stringify(schema)} has ${JSON.stringify(value)}`);
        assert.equal(fails(made), '');
      }),
      { numRuns: 400, seed: 1 },
    );
  });

  it('satisfies it however deep the schema is', () => {
    fc.assert(
      fc.property(satisfiable(3), ({ schema }) => {
        const made = madeFor(schema);
        if (made !== undefined) assert.equal(validatorOf(schema)(made), '');
      }),
      { numRuns: 150 },
    );
  });
});

describe('a value for any schema', () => {
  const bound = fc.nat(3);
  const { schema } = fc.letrec<{ schema: JsonObject | boolean }>((tie) => {
    const part = tie('schema');
    const parts = fc.array(part, { minLength: 1, maxLength: 3 });
    const byName = fc.dictionary(fc.constantFrom(...NAMES), part, { maxKeys: 3 });
    const keywords: Record<string, fc.Arbitrary<Json>> = {
      type: fc.constantFrom<Json>('string', 'number', 'object', 'array', ['array', 'object'], ['integer', 'string']),
      enum: fc.array(anyValue, { minLength: 1, maxLength: 3 }),
      minimum: bound,
      exclusiveMaximum: bound,
      multipleOf: fc.constantFrom(1, 2, 0.5),
      minLength: bound,
      maxLength: bound,
      pattern: fc.constantFrom('^a', 'b$', '^(?=.*b)', '^(a|b)\\1?$', '[^a]'),
      minItems: bound,
      maxItems: bound,
      uniqueItems: fc.boolean(),
      prefixItems: parts,
      items: part,
      minProperties: bound,
      maxProperties: bound,
      required: fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 2 }),
      properties: byName,
      patternProperties: fc.dictionary(fc.constantFrom('^a', 'b', '^.$'), part, { maxKeys: 2 }),
      additionalProperties: part,
      propertyNames: part,
      allOf: parts,
      anyOf: parts,
      oneOf: parts,
      not: part,
      if: part,
      then: part,
      else: part,
      dependentSchemas: byName,
    };
    return {
      schema: fc.oneof(
        { maxDepth: 3, depthSize: 'medium' },
        fc.boolean(),
        fc
          .subarray(Object.keys(keywords), { minLength: 1, maxLength: 4 })
          .chain((names) => fc.record(Object.fromEntries(names.map((name) => [name, keywords[name] ?? part])))),
      ),
    };
  });

  it('satisfies it, or there is none', () => {
    fc.assert(
      fc.property(schema, (generated) => {
        const plain = JSON.parse(JSON.stringify(generated));
        const made = madeFor(plain);
        if (made !== undefined) assert.equal(validatorOf(plain)(made), '');
      }),
      { numRuns: 250 },
    );
  });
});

function typeOf(value: Json): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

/** A schema that is true of the value, by two or three keywords. */
function schemaOf(value: Json, pick: Pick, depth: number): JsonObject {
  const facts = [...factsOf(value, pick, depth), ...(depth > 0 ? branchesOf(value, pick, depth - 1) : [])];
  const chosen = Array.from({ length: 1 + pick(3) }, () => facts[pick(facts.length)]?.() ?? {});
  return { allOf: chosen };
}

type Fact = () => JsonObject;

function branchesOf(value: Json, pick: Pick, depth: number): readonly Fact[] {
  const own = (): JsonObject => schemaOf(value, pick, depth);
  const other = typeOf(value) === 'boolean' ? 'null' : 'boolean';
  const wrong = (): JsonObject => ({ not: own() });
  return [
    () => ({ not: { type: other } }),
    () => ({ not: wrong() }),
    () => ({ anyOf: [wrong(), own()] }),
    () => ({ anyOf: [{ type: other }, own(), true] }),
    () => ({ oneOf: [wrong(), { type: other }, own()] }),
    () => ({ oneOf: [{ type: other }, { type: typeOf(value) }] }),
    () => ({ if: own(), then: own(), else: false }),
    () => ({ if: wrong(), then: { type: other }, else: own() }),
    () => ({ $defs: { x: false }, allOf: [own(), true] }),
  ];
}

function factsOf(value: Json, pick: Pick, depth: number): readonly Fact[] {
  const deeper = (part: Json | undefined): JsonObject => (depth > 0 ? schemaOf(part ?? null, pick, depth - 1) : {});
  const common: readonly Fact[] = [
    () => ({ type: typeOf(value) }),
    () => ({ type: ['string', typeOf(value)].filter((type, index, all) => all.indexOf(type) === index) }),
    () => ({ enum: ['z', value, [value]] }),
    () => ({
      not: { enum: ['demo', [], {}, 1, [value]].filter((one) => JSON.stringify(one) !== JSON.stringify(value)) },
    }),
  ];
  if (typeof value === 'number') return [...common, ...numberFacts(value)];
  if (typeof value === 'string') return [...common, ...stringFacts(value)];
  if (Array.isArray(value)) return [...common, ...arrayFacts(value, deeper)];
  return isJsonObject(value) ? [...common, ...objectFacts(value, deeper)] : common;
}

function numberFacts(value: number): readonly Fact[] {
  return [
    () => ({ minimum: value }),
    () => ({ maximum: value }),
    () => ({ exclusiveMinimum: value - 1 }),
    () => ({ exclusiveMaximum: value + 1 }),
    () => ({ multipleOf: Number.isInteger(value) ? 1 : 0.5 }),
    () => ({ not: { minimum: value + 1 } }),
  ];
}

function stringFacts(value: string): readonly Fact[] {
  const patterns = [
    '^a',
    '^(?!a)',
    '^\\w',
    '^(?=.*\\d)',
    '[A-Z]',
    '^[a-z]+$',
    '-',
    '^\\d{4}$',
    '^.{2}$',
    '^(?!.*(.)\\1)',
  ];
  return [
    () => ({ minLength: value.length }),
    () => ({ maxLength: value.length }),
    ...patterns.map(
      (pattern): Fact =>
        () =>
          new RegExp(pattern, 'u').test(value) ? { pattern } : { not: { pattern } },
    ),
  ];
}

function arrayFacts(value: readonly Json[], deeper: (part: Json | undefined) => JsonObject): readonly Fact[] {
  const isUnique = new Set(value.map((item) => JSON.stringify(item))).size === value.length;
  const items = (): JsonObject => ({ anyOf: [...value.map(deeper), { type: 'boolean' }] });
  return [
    () => ({ minItems: value.length }),
    () => ({ maxItems: value.length }),
    () => ({ items: items() }),
    () => (value.length > 0 ? { prefixItems: value.map(deeper), items: false } : {}),
    () => (value.length > 0 ? { prefixItems: [deeper(value[0])] } : { items: false }),
    () => (value.length > 0 ? { contains: deeper(value.at(-1)) } : { not: { contains: true } }),
    () => ({ contains: { type: typeOf(value[0] ?? null) }, minContains: value.length > 0 ? 1 : 0 }),
    () => ({ contains: { enum: [value[0] ?? 'none'] }, minContains: 0, maxContains: value.length }),
    () => (isUnique ? { uniqueItems: true } : { not: { uniqueItems: true } }),
  ];
}

function objectFacts(value: JsonObject, deeper: (part: Json | undefined) => JsonObject): readonly Fact[] {
  const names = Object.keys(value);
  const absent = NAMES.filter((name) => !names.includes(name));
  const [first] = names;
  const properties = (): JsonObject => Object.fromEntries(names.map((name) => [name, deeper(value[name])]));
  return [
    () => ({ required: names }),
    () => ({ properties: properties() }),
    () => ({ properties: properties(), additionalProperties: false }),
    () => ({ allOf: [{ properties: properties() }], unevaluatedProperties: false }),
    () => ({ minProperties: names.length, additionalProperties: { anyOf: [true, { type: 'string' }] } }),
    () => ({ maxProperties: names.length }),
    () => ({ propertyNames: { enum: [...names, 'z'] } }),
    () => ({ propertyNames: { maxLength: 2 } }),
    () => ({ patternProperties: { '^z': false, '^[abc]': {} }, additionalProperties: false }),
    () => ({ dependentRequired: Object.fromEntries(names.map((name) => [name, names])) }),
    () => ({ dependentSchemas: Object.fromEntries(absent.map((name) => [name, false])) }),
    () => (first === undefined ? { maxProperties: 0 } : { dependentSchemas: { [first]: { required: [first] } } }),
    () => (absent.length === 0 ? {} : { not: { required: absent.slice(0, 1) } }),
    () => (first === undefined ? {} : { properties: { [first]: { not: { not: deeper(value[first]) } } } }),
  ];
}
