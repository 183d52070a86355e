import { isJsonObject, type Json, type JsonObject } from '../../../base/json.js';
import { dependentsOf, listOf, numberOr, TYPES, textsOf, typesOf } from './schema-keywords.js';
import { REFERENCES, type Scope } from './schema-scope.js';

/** A name that schemas hardly list. */
const UNLISTED = 'extra_1';

type Negate = (value: Json, schema: JsonObject) => readonly Json[];

const number =
  (bound: string): Negate =>
  (value) => [{ type: 'number', [bound]: value }];
const size =
  (type: string, bound: string, step: 1 | -1): Negate =>
  (value) => [{ type, [bound]: numberOr(0, value) + step }];
const unlisted: Negate = (value) => [
  { type: 'object', required: [UNLISTED], properties: { [UNLISTED]: { not: value } } },
];
const notEach = (schemas: readonly Json[]): readonly Json[] => schemas.map((schema) => ({ not: schema }));
/** Other texts come by chance, but a range of numbers may be ruled out as a whole. */
function beyond(values: readonly Json[]): readonly Json[] {
  const numbers = values.filter((value) => typeof value === 'number');
  const highest = numbers.reduce((high, value) => Math.max(high, value), -Infinity);
  return numbers.length === 0 ? [] : [{ type: 'number', exclusiveMinimum: highest }];
}

/** Patterns of texts of all kinds, in the hope that one of them does not have what is looked for. */
function unlike(pattern: string): readonly string[] {
  const forbidden = /^\^\(\?!(.*)\)/s.exec(pattern)?.[1];
  return [
    ...(forbidden === undefined ? [] : [`^(?:${forbidden})`]),
    '',
    '^[a-z]+$',
    '^[A-Z]+$',
    '^\\d+$',
    '^\\W+$',
    '^$',
  ];
}

/** What breaks a keyword. Those that are absent are broken by chance, if at all. */
const NEGATIONS: Readonly<Record<string, Negate>> = {
  type: (_, schema) => [{ type: TYPES.filter((type) => !typesOf(schema)?.includes(type)) }],
  const: (value) => beyond([value]),
  enum: (value) => beyond(listOf(value)),
  minimum: number('exclusiveMaximum'),
  maximum: number('exclusiveMinimum'),
  exclusiveMinimum: number('maximum'),
  exclusiveMaximum: number('minimum'),
  minLength: size('string', 'maxLength', -1),
  maxLength: size('string', 'minLength', 1),
  minItems: size('array', 'maxItems', -1),
  maxItems: size('array', 'minItems', 1),
  minProperties: size('object', 'maxProperties', -1),
  maxProperties: size('object', 'minProperties', 1),
  required: (value) => textsOf(value).map((name) => ({ type: 'object', properties: { [name]: false } })),
  properties: (value) =>
    Object.entries(isJsonObject(value) ? value : {}).map(([name, schema]) => ({
      type: 'object',
      required: [name],
      properties: { [name]: { not: schema ?? true } },
    })),
  prefixItems: (value) =>
    listOf(value).map((schema, index) => ({
      type: 'array',
      minItems: index + 1,
      prefixItems: [...Array.from({ length: index }, () => true), { not: schema }],
    })),
  items: (value) => [{ type: 'array', contains: { not: value } }],
  // Where nothing else is asked for, the items made are all the same.
  uniqueItems: () => [{ type: 'array', minItems: 2 }],
  unevaluatedItems: (value) => [{ type: 'array', contains: { not: value } }],
  additionalProperties: unlisted,
  unevaluatedProperties: unlisted,
  propertyNames: (value) => [{ type: 'object', minProperties: 1, propertyNames: { not: value } }],
  contains: (value) => [{ type: 'array', items: { not: value } }],
  anyOf: (value) => [{ allOf: notEach(listOf(value)) }],
  oneOf: (value) => [{ allOf: notEach(listOf(value)) }],
  allOf: (value) => notEach(listOf(value)),
  not: (value) => [value],
  if: (value, { then = true, else: otherwise = true }) => [
    { allOf: [value, { not: then }] },
    { allOf: [{ not: value }, { not: otherwise }] },
  ],
  pattern: (value) => unlike(String(value)).map((pattern) => ({ type: 'string', pattern })),
};

/** Schemas each of which has values that do not satisfy this one, as far as that can be said beforehand. */
export function negations(schema: Json, scope: Scope): readonly Json[] {
  if (!isJsonObject(schema)) return [];
  const broken = Object.entries(NEGATIONS).flatMap(([keyword, negate]) => {
    const value = schema[keyword];
    return value === undefined ? [] : negate(value, schema);
  });
  const targets = REFERENCES.flatMap((keyword) => {
    const reference = schema[keyword];
    return typeof reference === 'string' ? [scope.target(schema, reference) ?? true] : [];
  });
  const dependents = dependentsOf(schema).map(([name, dependent]) => ({
    allOf: [{ type: 'object', required: [name] }, { not: dependent }],
  }));
  return [...broken, ...dependents, ...notEach(targets)];
}
