import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { GatewayError } from '../../src/base/errors.js';
import type { Json, JsonObject } from '../../src/base/json.js';
import { schemaBudget, schemaValue } from '../../src/upstreams/demo/schema/schema-value.js';

const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });

function assertValid(schema: JsonObject | boolean): Json {
  const value = schemaValue(schema);
  const plain: Json = JSON.parse(JSON.stringify(value));
  const validate = ajv.compile(schema);
  assert.ok(
    validate(plain),
    `${JSON.stringify(schema)} gave ${JSON.stringify(plain)}: ${ajv.errorsText(validate.errors)}`,
  );
  return plain;
}

describe('a value for a schema', () => {
  const schemas: Record<string, JsonObject> = {
    'nothing said': {},
    'an object with all kinds of members': {
      type: 'object',
      properties: {
        city: { type: 'string' },
        days: { type: 'integer', minimum: 2, maximum: 5 },
        share: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 0.25 },
        unit: { type: 'string', enum: ['celsius', 'fahrenheit'] },
        exact: { const: { a: [1] } },
        sure: { type: 'boolean' },
        nothing: { type: 'null' },
        note: { type: ['null', 'string'] },
        tags: { type: 'array', items: { type: 'string', minLength: 12 }, minItems: 2, maxItems: 3, uniqueItems: true },
      },
      required: ['city', 'unlisted'],
    },
    'names that every object has': {
      type: 'object',
      properties: { constructor: { type: 'integer' }, toString: { type: 'boolean' }, hasOwnProperty: { type: 'null' } },
      required: ['constructor', 'toString', 'valueOf'],
      additionalProperties: { type: 'string' },
    },
    'a closed object': {
      type: 'object',
      properties: { a: { type: 'string' } },
      required: ['a'],
      additionalProperties: false,
    },
    'a multiple that is odd in binary': { type: 'number', multipleOf: 0.1, minimum: 0.25 },
    'a whole multiple of a fraction': { type: 'integer', multipleOf: 2.5, minimum: 3 },
    'only below zero': { type: 'integer', maximum: -7 },
    'more than anything so far': { type: 'integer', minimum: 9_000_000_000 },
    'no room for the usual text': { type: 'string', maxLength: 3 },
    'a long text of surrogate pairs': { type: 'string', minLength: 40 },
    'unique things of a small set': { type: 'array', items: { enum: ['a', 'b', 'c'] }, minItems: 3, uniqueItems: true },
    'unique numbers in a narrow range': {
      type: 'array',
      items: { type: 'integer', minimum: 3, maximum: 6 },
      minItems: 4,
      uniqueItems: true,
    },
    'unique texts of one letter': {
      type: 'array',
      items: { type: 'string', minLength: 1, maxLength: 1 },
      minItems: 20,
      uniqueItems: true,
    },
    'unique objects': {
      type: 'array',
      items: { type: 'object', properties: { id: { type: 'string', maxLength: 2 } }, required: ['id'] },
      minItems: 5,
      uniqueItems: true,
    },
    'a tuple': { type: 'array', prefixItems: [{ type: 'string' }, { type: 'number' }], items: false, minItems: 2 },
    'parts of allOf': {
      allOf: [
        { type: 'object', properties: { a: { type: 'integer', minimum: 5 } }, required: ['a'] },
        { properties: { a: { type: 'number', maximum: 6 }, b: { type: 'string' } }, required: ['b'] },
      ],
    },
    'exactly one of overlapping types': { oneOf: [{ type: 'integer' }, { type: 'number' }] },
    'one of told apart by a constant': {
      oneOf: ['circle', 'square'].map((kind) => ({
        type: 'object',
        properties: { kind: { const: kind }, size: { type: 'number' } },
        required: ['kind', 'size'],
        additionalProperties: false,
      })),
    },
    'not what comes first': { type: 'string', enum: ['a', 'b'], not: { const: 'a' } },
    'an alternative that cannot be': { anyOf: [false, { type: 'integer' }] },
    'a reference': {
      $defs: { point: { type: 'object', properties: { x: { type: 'number' } }, required: ['x'] } },
      type: 'array',
      items: { $ref: '#/$defs/point' },
      minItems: 2,
    },
    'a reference through an odd name': {
      $defs: { 'a/b~c d': { type: 'integer' } },
      $ref: '#/$defs/a~1b~0c%20d',
    },
    'a tree': {
      $defs: {
        node: {
          type: 'object',
          properties: { value: { type: 'integer' }, children: { type: 'array', items: { $ref: '#/$defs/node' } } },
          required: ['value', 'children'],
          additionalProperties: false,
        },
      },
      $ref: '#/$defs/node',
    },
    'a linked list with strict members': {
      type: 'object',
      properties: { value: { type: 'string' }, next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } },
      required: ['value', 'next'],
      additionalProperties: false,
    },
    'mutual recursion between objects': {
      $defs: {
        more: {
          type: 'object',
          properties: { kind: { const: 'more' }, rest: { anyOf: [{ $ref: '#/$defs/more' }, { $ref: '#/$defs/end' }] } },
          required: ['kind', 'rest'],
        },
        end: { type: 'object', properties: { kind: { const: 'end' } }, required: ['kind'] },
      },
      $ref: '#/$defs/more',
    },
    'at least so many properties': { type: 'object', minProperties: 4, additionalProperties: { type: 'integer' } },
    'at most so many properties': {
      type: 'object',
      properties: { a: {}, b: {}, c: {} },
      required: ['c'],
      maxProperties: 2,
    },
    'an optional property that cannot be': { type: 'object', properties: { a: false, b: { type: 'string' } } },
  };
  for (const [name, schema] of Object.entries(schemas)) {
    it(`satisfies ${name}`, () => {
      const text = JSON.stringify(assertValid(schema));
      // What refers to itself comes to an end before its bound.
      assert.ok(text.length < 1_000, `${text.length} characters`);
    });
  }

  const patterns = [
    '^[A-Z]{3}$',
    '\\d{4}-\\d{2}-\\d{2}',
    '^(?:GET|POST)$',
    '^[a-z0-9._%+-]+@[a-z0-9.-]+\\.[a-z]{2,}$',
    '^\\+?[1-9]\\d{1,14}$',
    '^#(?:[0-9a-fA-F]{3}){1,2}$',
    '^[^\\s,;]+$',
    '^(?<year>\\d{4})/(0[1-9]|1[0-2])$',
    '^\\p{Lu}\\p{L}*$',
    '^\\u0041\\x42[\\]\\-^]$',
    '^.{5}$',
    '^sk-[\\w-]{8,}?$',
    '^a*$',
  ];
  for (const pattern of patterns) {
    it(`follows the pattern ${pattern}`, () => {
      assertValid({ type: 'string', pattern, minLength: 1 });
      assertValid({ type: 'array', items: { type: 'string', pattern }, minItems: 1 });
    });
  }

  it('repeats what a pattern repeats until the text is long enough', () => {
    assertValid({ type: 'string', pattern: '^[a-z]+(?:-[a-z]+)*$', minLength: 30, maxLength: 60 });
    for (const [minLength, maxLength] of [
      [10, 12],
      [12, 16],
      [20, 30],
      [34, 64],
      [40, 60],
      [17, 17],
    ] as const) {
      assertValid({ type: 'string', pattern: '^[A-Za-z0-9]+$', minLength, maxLength });
    }
  });

  it('fills formats with samples of them', () => {
    const formats: Record<string, RegExp> = {
      date: /^\d{4}-\d\d-\d\d$/,
      'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
      time: /^\d\d:\d\d:\d\dZ$/,
      email: /^[^@ ]+@[^@ ]+\.[a-z]+$/,
      uri: /^https:\/\/\S+$/,
      uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      ipv4: /^(?:\d{1,3}\.){3}\d{1,3}$/,
      hostname: /^[a-z0-9.-]+$/,
    };
    for (const [format, shape] of Object.entries(formats)) {
      const values = schemaValue({ type: 'array', items: { type: 'string', format }, minItems: 3, uniqueItems: true });
      assert.ok(Array.isArray(values) && values.length === 3, format);
      for (const value of values) assert.match(String(value), shape);
    }
  });

  it('fills in optional properties, in the order of the schema', () => {
    const schema = { type: 'object', properties: { b: { type: 'integer' }, a: { type: 'boolean' } }, required: ['a'] };
    assert.equal(JSON.stringify(schemaValue(schema)), '{"b":1,"a":true}');
  });

  it('knows a property named __proto__', () => {
    const schema: Json = JSON.parse(
      '{"type":"object","properties":{"__proto__":{"type":"integer"}},"required":["__proto__"],"additionalProperties":false}',
    );
    assert.equal(JSON.stringify(schemaValue(schema)), '{"__proto__":1}');
  });

  it('gives the OpenAPI 3.0 dialect what it means', () => {
    assert.equal(typeof schemaValue({ type: 'number', minimum: 1, exclusiveMinimum: true, maximum: 1.5 }), 'number');
    assert.equal(schemaValue({ type: 'integer', minimum: 1, exclusiveMinimum: true }), 2);
    assert.equal(typeof schemaValue({ type: 'string', nullable: true }), 'string');
  });
});

describe('a value for a generated schema', () => {
  const bound = fc.integer({ min: -50, max: 50 });
  // Ajv takes no notice of a schema's property of that name and finds it additional.
  const name = fc.string().filter((text) => text !== '__proto__');
  const leaf: fc.Arbitrary<JsonObject> = fc.oneof(
    fc.tuple(bound, fc.nat(20)).map(([minimum, room]) => ({ type: 'integer', minimum, maximum: minimum + room })),
    fc
      .tuple(bound, fc.nat(9))
      .map(([low, room]) => ({ type: 'number', exclusiveMinimum: low, maximum: low + room + 1 })),
    fc
      .tuple(fc.nat(12), fc.nat(12))
      .map(([least, room]) => ({ type: 'string', minLength: least, maxLength: least + room })),
    fc
      .uniqueArray(fc.oneof(fc.string(), fc.integer(), fc.boolean()), { minLength: 1 })
      .map((values) => ({ enum: values })),
    fc.constantFrom<JsonObject>({ type: 'boolean' }, { type: 'null' }, { type: ['integer', 'null'] }, { const: 'x' }),
    fc.integer({ min: 1, max: 9 }).map((multipleOf) => ({ type: 'integer', multipleOf })),
  );
  const { schema } = fc.letrec<{ schema: JsonObject; leaf: JsonObject }>((tie) => ({
    leaf,
    schema: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      tie('leaf'),
      fc
        .tuple(fc.dictionary(name, tie('schema'), { maxKeys: 4 }), fc.boolean(), fc.nat())
        .map(([properties, closed, pick]) => ({
          type: 'object',
          properties,
          required: Object.keys(properties).filter((_, index) => ((pick >> index) & 1) === 1),
          ...(closed ? { additionalProperties: false } : {}),
        })),
      fc
        .tuple(tie('schema'), fc.nat(3), fc.nat(3))
        .map(([items, minItems, room]) => ({ type: 'array', items, minItems, maxItems: minItems + room })),
      fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
      tie('schema').map((part) => ({ allOf: [part, {}] })),
      tie('schema').map((part) => ({ $defs: { part }, type: 'array', items: part, minItems: 1 })),
    ),
  }));

  it('satisfies it', () => {
    fc.assert(
      fc.property(schema, (generated) => {
        assertValid(generated);
      }),
      { numRuns: 300 },
    );
  });

  it('is the same for the same schema', () => {
    fc.assert(
      fc.property(schema, (generated) => assert.deepEqual(schemaValue(generated), schemaValue(generated))),
      { numRuns: 50 },
    );
  });
});

describe('a hostile schema', () => {
  const doubling = Object.fromEntries(
    Array.from({ length: 40 }, (_, index) => [
      `n${index}`,
      {
        type: 'object',
        properties: { x: { $ref: `#/$defs/n${index + 1}` }, y: { $ref: `#/$defs/n${index + 1}` } },
        required: ['x', 'y'],
      },
    ]),
  );
  const hostile: Record<string, JsonObject> = {
    'refers to itself': { $ref: '#' },
    'chooses between itself and itself': { anyOf: [{ $ref: '#' }, { $ref: '#' }] },
    'is all of itself': { allOf: [{ $ref: '#' }, { $ref: '#' }] },
    'is not itself': { not: { $ref: '#' } },
    'requires itself': { type: 'object', properties: { a: { $ref: '#' }, b: { $ref: '#' } }, required: ['a', 'b'] },
    'doubles forty times': { $defs: doubling, $ref: '#/$defs/n0' },
    'wants a million items': { type: 'array', minItems: 1e6, items: { type: 'array', minItems: 1e6 } },
    'wants a long text': { type: 'array', minItems: 1000, items: { type: 'string', minLength: 1e9 } },
    'nests quantifiers': { type: 'string', pattern: '(((((a{1000}){1000}){1000}){1000}){1000})', minLength: 1e9 },
    'repeats nothing': { type: 'array', minItems: 1000, items: { type: 'string', pattern: '(){1000000000}' } },
    'has a pattern that never ends': { type: 'string', pattern: '(((((((((((((((' },
    backtracks: { type: 'string', pattern: '^(a+)+$', not: { pattern: '^(a+)+b$' } },
    'merges many': {
      allOf: Array.from({ length: 20_000 }, (_, index) => ({ [`k${index}`]: 1, required: [`r${index}`] })),
    },
    'intersects long lists': { allOf: [{ enum: numbers(20_000) }, { enum: numbers(20_000).map((n) => n + 19_000) }] },
    'repeats a large constant': { type: 'array', minItems: 1000, items: { const: 'x'.repeat(100_000) } },
    'has a long chain of references': {
      $defs: Object.fromEntries(numbers(50_000).map((n) => [`n${n}`, { $ref: `#/$defs/n${n + 1}` }])),
      $ref: '#/$defs/n0',
    },
    'has many alternatives': {
      oneOf: numbers(5_000).map((n) => ({ type: 'object', properties: { a: { const: n } } })),
    },
    'has a pattern for each of many names': {
      properties: Object.fromEntries(numbers(3_000).map((n) => [`n${n}`, {}])),
      patternProperties: Object.fromEntries(numbers(3_000).map((n) => [`(x+x+)+${n}`, {}])),
    },
    'backtracks on its own enum': { enum: [`${'a'.repeat(50)}!`], pattern: '^((a+)+)+$' },
    'looks ahead often': { type: 'string', pattern: `^${'(?=.*a)'.repeat(140)}(?!.*a).*$` },
    'chooses between many that cannot be': choosing(14),
    'forbids many values one by one': { type: 'integer', allOf: numbers(3_000).map((n) => ({ not: { const: n } })) },
    'is unevaluated all the way down': numbers(60).reduce<JsonObject>(
      (inner) => ({ anyOf: [inner, inner], unevaluatedProperties: false }),
      {},
    ),
    'refers to elsewhere': { $ref: 'https://example.com/schema.json' },
    'refers to the prototype': { $ref: '#/constructor/prototype' },
    'wants what cannot be': { type: 'integer', minimum: 5, maximum: 4, multipleOf: 1e-300 },
  };
  for (const [name, schema] of Object.entries(hostile)) {
    it(`that ${name} is answered or refused, in bounds`, () => {
      const budget = schemaBudget();
      let made: Json | undefined;
      try {
        made = schemaValue(schema, budget);
      } catch (error) {
        assert.ok(error instanceof GatewayError && error.status === 400, String(error));
      }
      // What is spent is what it took, but for the last step.
      assert.ok(budget.work > -100_000, `${budget.work} of the work is left`);
      // A larger one is too much for ajv.
      if (made !== undefined && JSON.stringify(schema).length < 20_000) assertValid(schema);
      assert.ok(JSON.stringify(made ?? null).length < 1_000_000);
    });
  }

  it('of a name such as __proto__ leaves prototypes alone', () => {
    const value = schemaValue(
      JSON.parse(
        '{"type":"object","properties":{"__proto__":{"type":"object","properties":{"polluted":{"const":1}}}}}',
      ),
    );
    assert.equal(JSON.stringify(value), '{"__proto__":{"polluted":1}}');
    assert.equal(Object.hasOwn(Object.prototype, 'polluted'), false);
  });
});

/** A tree of alternatives none of which has a value. */
function choosing(depth: number): JsonObject {
  if (depth === 0) return { type: 'integer', minimum: 5, maximum: 4 };
  return { anyOf: [choosing(depth - 1), choosing(depth - 1)] };
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
