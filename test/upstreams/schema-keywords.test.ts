// biome-ignore-all lint/suspicious/noThenProperty: a keyword of JSON Schema.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { GatewayError } from '../../src/base/errors.js';
import type { Json, JsonObject } from '../../src/base/json.js';
import { schemaValue } from '../../src/upstreams/demo/schema/schema-value.js';

const options = { strict: false, validateFormats: false, allErrors: true };

function made(schema: JsonObject): Json {
  return JSON.parse(JSON.stringify(schemaValue(schema)));
}

function assertMade(schema: JsonObject, ajv: Ajv = new Ajv2020(options)): void {
  const value = made(schema);
  const validate = ajv.compile(schema);
  assert.ok(validate(value), `${JSON.stringify(value)}: ${ajv.errorsText(validate.errors)}`);
}

const shape = (kind: string, more: JsonObject = {}): JsonObject => ({
  type: 'object',
  properties: { kind: { const: kind }, ...more },
  required: ['kind', ...Object.keys(more)],
});

describe('a value satisfies', () => {
  const schemas: Record<string, JsonObject> = {
    contains: { type: 'array', items: { type: ['integer', 'string'] }, contains: { type: 'string', minLength: 3 } },
    minContains: { type: 'array', contains: { const: 7 }, minContains: 3, uniqueItems: false },
    maxContains: { type: 'array', items: { type: 'integer' }, minItems: 5, contains: { maximum: 2 }, maxContains: 2 },
    'minContains of none': { type: 'array', contains: { type: 'string' }, minContains: 0, maxItems: 0 },
    'contains behind a tuple': {
      prefixItems: [{ type: 'string' }],
      items: { type: 'number' },
      contains: { minimum: 50 },
    },
    'several contains in one place': {
      prefixItems: [{}],
      items: false,
      allOf: [{ contains: { type: 'integer' } }, { contains: { minimum: 40 } }],
    },
    'if and then': {
      type: 'object',
      properties: { country: { enum: ['US', 'NL'] }, code: { type: 'string' } },
      required: ['country', 'code'],
      if: { properties: { country: { const: 'US' } } },
      then: { properties: { code: { pattern: '^\\d{5}$' } } },
      else: { properties: { code: { pattern: '^\\d{4} [A-Z]{2}$' } } },
    },
    'else when then cannot be': { type: 'integer', if: { maximum: 100 }, then: false, else: { multipleOf: 7 } },
    'many ifs': {
      ...shape('k7'),
      properties: { kind: { enum: Array.from({ length: 60 }, (_, index) => `k${index}`) } },
      allOf: Array.from({ length: 60 }, (_, index) => ({
        if: { properties: { kind: { const: `k${index}` } }, required: ['kind'] },
        then: { required: [`of_${index}`] },
      })),
    },
    dependentRequired: {
      type: 'object',
      properties: { card: { type: 'string' }, name: { type: 'string' } },
      dependentRequired: { card: ['address'], address: ['zip'] },
    },
    dependentSchemas: {
      type: 'object',
      properties: { card: { type: 'string' } },
      required: ['card'],
      dependentSchemas: { card: { properties: { zip: { type: 'integer', minimum: 10_000 } }, required: ['zip'] } },
    },
    'dependentSchemas that forbid': {
      type: 'object',
      properties: { a: {}, b: {} },
      dependentSchemas: { a: { not: { required: ['b'] } } },
      minProperties: 1,
    },
    propertyNames: { type: 'object', propertyNames: { pattern: '^[A-Z]{3}$' }, minProperties: 3 },
    'propertyNames beside properties': {
      type: 'object',
      properties: { good: {}, Bad: {} },
      propertyNames: { pattern: '^[a-z]+$' },
      minProperties: 2,
    },
    'propertyNames of a list': { type: 'object', propertyNames: { enum: ['x', 'y', 'z'] }, minProperties: 3 },
    patternProperties: {
      type: 'object',
      required: ['n_one', 's_two'],
      patternProperties: {
        '^n_': { type: 'integer' },
        '^s_': { type: 'string', maxLength: 2 },
        _two$: { minLength: 2 },
      },
      additionalProperties: false,
    },
    'patternProperties that have to be found': {
      type: 'object',
      patternProperties: { '^x-[a-z]{2,4}$': { type: 'boolean' } },
      additionalProperties: false,
      minProperties: 3,
    },
    'not a type': { not: { type: ['string', 'object', 'number'] } },
    'not a value': { type: 'integer', not: { enum: Array.from({ length: 50 }, (_, index) => index) } },
    'not a range': { type: 'number', not: { maximum: 1_000 } },
    'not a property': { type: 'object', properties: { a: {}, b: {} }, not: { required: ['a'] } },
    'not a value of a property': {
      ...shape('a'),
      properties: { kind: { enum: ['a', 'b', 'c'] } },
      not: { properties: { kind: { enum: ['a', 'b'] } } },
    },
    'not empty': { type: 'object', not: { maxProperties: 0 } },
    'not a pattern': { type: 'string', not: { pattern: '^d' } },
    'neither of two': { type: 'string', not: { anyOf: [{ pattern: 'demo' }, { maxLength: 3 }] } },
    'exactly one of what may both hold': {
      type: 'object',
      properties: { a: { type: 'string' }, b: { type: 'string' } },
      oneOf: [{ required: ['a'] }, { required: ['b'] }],
    },
    'exactly one of nested ranges': { type: 'integer', oneOf: [{ minimum: 0 }, { minimum: 0, maximum: 500 }] },
    'exactly one of multiples': { type: 'integer', minimum: 1, oneOf: [{ multipleOf: 1 }, { maximum: 20 }, false] },
    'one of each of two': {
      ...shape('x'),
      properties: { kind: { enum: ['x', 'y'] }, mode: { enum: [1, 2] } },
      required: ['kind', 'mode'],
      allOf: [
        { oneOf: [shape('y', { y: {} }), shape('x', { x: {} })] },
        { anyOf: [{ properties: { mode: { const: 2 } } }, { required: ['q'] }] },
      ],
    },
    $anchor: { $defs: { a: { $anchor: 'point', type: 'integer', minimum: 90 } }, $ref: '#point' },
    '$id and what is relative to it': {
      $id: 'https://example.com/root.json',
      $defs: {
        item: {
          $id: 'items/one.json',
          type: 'object',
          required: ['at', 'up'],
          properties: { at: { $ref: '#/$defs/x' }, up: { $ref: '../root.json#/$defs/y' } },
          $defs: { x: { const: 'inner' } },
        },
        x: { const: 'outer' },
        y: { type: 'boolean' },
      },
      $ref: 'items/one.json',
    },
    '$dynamicRef that nothing overrides': {
      $dynamicAnchor: 'node',
      type: 'object',
      properties: { next: { $dynamicRef: '#node' }, value: { type: 'integer' } },
      required: ['value'],
    },
    'names that look like keywords': {
      type: 'object',
      properties: { $id: { type: 'string' }, $ref: { type: 'integer' }, enum: { $ref: '#/properties/$ref' } },
      required: ['$id', '$ref', 'enum'],
    },
    'a pattern beside an enum': { enum: ['Aa', 'b', 'cc', 4], type: 'string', pattern: '^[a-z]{2}$' },
    'a pattern beside a format': { type: 'string', format: 'email', pattern: '@corp\\.test$' },
    'two patterns': { type: 'string', allOf: [{ pattern: '[A-Z]' }, { pattern: '\\d{2}$' }] },
    'a pattern without anchors in a long text': { type: 'string', pattern: 'abc', minLength: 20, maxLength: 20 },
    'look-aheads': {
      type: 'string',
      pattern: '^(?=.*[a-z])(?=.*[A-Z])(?=.*\\d)(?=.*[@$!%*?&])[A-Za-z\\d@$!%*?&]{8,}$',
    },
    'look-aheads of a fixed length': { type: 'string', pattern: '^(?=.*\\d)(?=.*[a-z])[a-z\\d]{8}$' },
    'negative look-aheads': { type: 'string', pattern: '^(?!a)(?!.*--)[a-z-]{3}$' },
    'look-behinds': { type: 'string', pattern: '^\\w+(?<!a)(?<=[x-z])$' },
    'back-references': { type: 'string', pattern: '^(?<q>[\'"])(\\w)\\2{2}\\k<q>$' },
    'classes far from ASCII': { type: 'string', pattern: '^[\\u4e00-\\u9fa5]{2}\\p{Script=Cyrillic}[^\\x00-\\x7f]$' },
    'prefixItems of two sides': {
      allOf: [
        { prefixItems: [{ type: 'string' }] },
        { prefixItems: [{ minLength: 9 }, { type: 'null' }], minItems: 2 },
      ],
      items: { type: 'boolean' },
      minItems: 3,
    },
    'unevaluatedProperties: false': {
      type: 'object',
      allOf: [{ properties: { a: { type: 'integer' } }, required: ['a'] }],
      anyOf: [{ properties: { b: { const: 1 } }, required: ['b'] }, { properties: { c: {} } }],
      properties: { d: { type: 'string' } },
      unevaluatedProperties: false,
    },
    'unevaluatedProperties of a cousin': {
      allOf: [
        { type: 'object', properties: { a: {} }, required: ['a'] },
        { properties: { a: {}, b: {} }, unevaluatedProperties: false },
      ],
    },
    'unevaluatedItems: false': {
      type: 'array',
      allOf: [{ prefixItems: [{ type: 'string' }] }],
      prefixItems: [true, { type: 'integer' }],
      unevaluatedItems: false,
      minItems: 2,
    },
    'uniqueItems of pairs': {
      type: 'array',
      minItems: 4,
      uniqueItems: true,
      items: { type: 'object', properties: { a: { type: 'boolean' }, b: { type: 'boolean' } }, required: ['a', 'b'] },
    },
    'uniqueItems of many': {
      type: 'array',
      minItems: 150,
      uniqueItems: true,
      items: { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] },
    },
    'no more properties than there may be': {
      type: 'object',
      properties: { a: {}, b: {}, c: {} },
      minProperties: 2,
      maxProperties: 2,
      required: ['c'],
    },
    'multipleOf of two sides': { type: 'number', allOf: [{ multipleOf: 0.5 }, { multipleOf: 0.75 }], minimum: 100 },
    'multipleOf an integer that is divided': { type: 'integer', multipleOf: 1.5, not: { multipleOf: 2 } },
    'additionalProperties of the other side': {
      allOf: [
        { type: 'object', properties: { a: {} }, required: ['a'], additionalProperties: { type: 'integer' } },
        { properties: { b: { minimum: 8 } }, required: ['b'], additionalProperties: { type: 'string' } },
      ],
    },
    'an enum of objects in any order': { enum: [{ a: 1, b: 2 }], const: { b: 2, a: 1 } },
    'all of it together': {
      type: 'object',
      properties: {
        id: { type: 'string', pattern: '^(?!0)\\d{6}$' },
        tags: { type: 'array', contains: { const: 'new' }, uniqueItems: true, minItems: 2, items: { type: 'string' } },
        pay: { oneOf: [shape('card', { number: { minLength: 16 } }), shape('cash')] },
      },
      required: ['id', 'tags', 'pay'],
      patternProperties: { '^x_': { type: 'null' } },
      if: { properties: { pay: { properties: { kind: { const: 'card' } } } } },
      then: { required: ['x_card'] },
      dependentRequired: { x_card: ['x_valid'] },
      not: { required: ['x_never'] },
      minProperties: 5,
      unevaluatedProperties: false,
    },
  };
  for (const [name, schema] of Object.entries(schemas)) {
    it(name, () => {
      assertMade(schema);
    });
  }

  const ofDraft7: Record<string, JsonObject> = {
    'a tuple': { type: 'array', items: [{ type: 'string' }, { type: 'integer' }], additionalItems: false, minItems: 2 },
    'what is behind a tuple': { type: 'array', items: [{}], additionalItems: { type: 'null' }, minItems: 3 },
    dependencies: {
      type: 'object',
      properties: { a: {}, b: { type: 'integer' } },
      required: ['a'],
      dependencies: { a: ['c'], b: { required: ['d'] } },
    },
    'an $id that is an anchor': {
      definitions: { x: { $id: '#x', type: 'integer' } },
      items: { $ref: '#x' },
      minItems: 1,
    },
  };
  for (const [name, schema] of Object.entries(ofDraft7)) {
    it(`${name}, as draft 7 writes it`, () => {
      assertMade(schema, new Ajv(options));
    });
  }
});

describe('a schema is refused with a 400', () => {
  const schemas: Record<string, JsonObject> = {
    'that contradicts itself': { type: 'integer', minimum: 5, maximum: 4 },
    'that requires what it forbids': { type: 'object', required: ['a'], properties: { a: false } },
    'that wants more different values than there are': {
      type: 'array',
      items: { type: 'null' },
      minItems: 2,
      uniqueItems: true,
    },
    'that is not anything': { not: {} },
    'of an unknown type': { type: 'strin' },
    'that refers to elsewhere': { $ref: 'https://example.com/other.json' },
    'that refers to nothing': { $ref: '#/$defs/none' },
    'whose pattern does not parse': { type: 'string', pattern: '(' },
    'whose text is too long': { type: 'string', minLength: 1_000_000 },
    'with too many items': { type: 'array', minItems: 1_000_000 },
    'that never ends': { type: 'object', properties: { next: { $ref: '#' } }, required: ['next'] },
    'whose dynamic reference could mean either of two': {
      $defs: {
        a: { $id: 'a.json', $dynamicAnchor: 'node' },
        b: { $id: 'b.json', $dynamicAnchor: 'node', type: 'null' },
      },
      $dynamicRef: '#node',
    },
  };
  for (const [name, schema] of Object.entries(schemas)) {
    it(name, () => {
      assert.throws(
        () => schemaValue(schema),
        (error) =>
          error instanceof GatewayError && error.status === 400 && /no value for a JSON schema/.test(error.message),
      );
    });
  }

  it('unless what cannot be is optional', () => {
    assert.deepEqual(made({ type: 'object', properties: { a: { $ref: '#/none' }, b: { type: 'null' } } }), { b: null });
  });
});
