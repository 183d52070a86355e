import { isJsonObject, type Json, type JsonObject } from '../../../base/json.js';
import { numberOr, textsOf, typesOf } from './schema-keywords.js';

/** What a schema says beside the choices it leaves, in one form for all drafts. No bound on a side: an infinite one. */
export interface Plain {
  readonly types: readonly string[] | undefined;
  /** The type that its keywords are about. */
  readonly hint: string | undefined;
  /** Of `enum` and `const`. */
  readonly values: readonly Json[] | undefined;
  readonly minimum: number;
  readonly maximum: number;
  readonly exclusiveMinimum: number;
  readonly exclusiveMaximum: number;
  readonly multipleOf: number | undefined;
  readonly minLength: number;
  readonly maxLength: number;
  readonly patterns: readonly string[];
  readonly format: string | undefined;
  readonly minItems: number;
  readonly maxItems: number;
  readonly isUnique: boolean;
  readonly prefixItems: readonly Json[];
  /** Of the items behind the prefix; `undefined` where nothing is said. */
  readonly items: Json | undefined;
  readonly unevaluatedItems: Json | undefined;
  readonly contains: readonly Contains[];
  readonly minProperties: number;
  readonly maxProperties: number;
  readonly required: readonly string[];
  readonly properties: JsonObject;
  readonly patternProperties: JsonObject;
  readonly additionalProperties: Json | undefined;
  readonly unevaluatedProperties: Json | undefined;
  readonly propertyNames: Json | undefined;
}

/** Items of which there have to be so many. */
export interface Contains {
  readonly schema: Json;
  readonly min: number;
  readonly max: number;
}

const HINTS: readonly (readonly [string, RegExp])[] = [
  [
    'object',
    /^(?:properties|required|min\w*Properties|max\w*Properties|(?:additional|pattern|unevaluated)Properties|propertyNames)$/,
  ],
  ['array', /^(?:items|prefixItems|contains|uniqueItems|unevaluatedItems|minItems|maxItems)$/],
  ['number', /^(?:minimum|maximum|exclusiveMinimum|exclusiveMaximum|multipleOf)$/],
  ['string', /^(?:minLength|maxLength|pattern|format)$/],
];

/** Reads the keywords of a schema. What is malformed counts as absent. */
export function plainOf(schema: JsonObject): Plain {
  const keywords = Object.keys(schema);
  return {
    types: typesOf(schema),
    hint: HINTS.find(([, names]) => keywords.some((keyword) => names.test(keyword)))?.[0],
    values: valuesOf(schema),
    ...boundsOf(schema),
    minLength: numberOr(0, schema.minLength),
    maxLength: numberOr(Infinity, schema.maxLength),
    patterns: typeof schema.pattern === 'string' ? [schema.pattern] : [],
    format: typeof schema.format === 'string' ? schema.format : undefined,
    ...itemsOf(schema),
    minProperties: numberOr(0, schema.minProperties),
    maxProperties: numberOr(Infinity, schema.maxProperties),
    required: textsOf(schema.required),
    properties: isJsonObject(schema.properties) ? schema.properties : {},
    patternProperties: isJsonObject(schema.patternProperties) ? schema.patternProperties : {},
    additionalProperties: schema.additionalProperties,
    unevaluatedProperties: schema.unevaluatedProperties,
    propertyNames: schema.propertyNames,
  };
}

function valuesOf({ enum: values, const: only }: JsonObject): readonly Json[] | undefined {
  if (only !== undefined) return [only];
  return Array.isArray(values) ? values : undefined;
}

/** Draft 4 and OpenAPI 3.0 write `exclusiveMinimum: true` beside `minimum`. */
export function boundsOf(
  schema: JsonObject,
): Pick<Plain, 'minimum' | 'maximum' | 'exclusiveMinimum' | 'exclusiveMaximum' | 'multipleOf'> {
  const minimum = numberOr(-Infinity, schema.minimum);
  const maximum = numberOr(Infinity, schema.maximum);
  const { exclusiveMinimum, exclusiveMaximum, multipleOf } = schema;
  return {
    minimum,
    maximum,
    exclusiveMinimum: exclusiveMinimum === true ? minimum : numberOr(-Infinity, exclusiveMinimum),
    exclusiveMaximum: exclusiveMaximum === true ? maximum : numberOr(Infinity, exclusiveMaximum),
    multipleOf: typeof multipleOf === 'number' && multipleOf > 0 ? multipleOf : undefined,
  };
}

type ItemKeywords = 'minItems' | 'maxItems' | 'isUnique' | 'prefixItems' | 'items' | 'unevaluatedItems' | 'contains';

/** Drafts before 2020-12 write a tuple as a list of `items`, and `additionalItems` behind it. */
export function itemsOf(schema: JsonObject): Pick<Plain, ItemKeywords> {
  const { prefixItems, items, additionalItems, contains, minContains, maxContains } = schema;
  const listed = Array.isArray(items) ? items : undefined;
  return {
    minItems: numberOr(0, schema.minItems),
    maxItems: numberOr(Infinity, schema.maxItems),
    isUnique: schema.uniqueItems === true,
    prefixItems: listed ?? (Array.isArray(prefixItems) ? prefixItems : []),
    items: listed === undefined ? items : additionalItems,
    unevaluatedItems: schema.unevaluatedItems,
    contains:
      contains === undefined
        ? []
        : [{ schema: contains, min: numberOr(1, minContains), max: numberOr(Infinity, maxContains) }],
  };
}
