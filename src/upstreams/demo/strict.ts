import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { badRequest } from '../../wire/request-errors.js';

const MAX_DEPTH = 100;

/**
 * Checks OpenAI's rules for strict schemas: every object is closed, and all of its properties are required.
 * @param param the parameter the schema is in. @param what such as `function 'f'`.
 * @throws {GatewayError} 400
 */
export function checkStrictSchema(schema: JsonObject, param: string, what: string): void {
  const breach = breachIn(schema, []);
  if (breach === undefined) return;
  const code = param === 'response_format' ? 'invalid_json_schema' : 'invalid_function_parameters';
  throw badRequest(`Invalid schema for ${what}: ${breach}`, code, param);
}

/** The first breach of the rules in OpenAI's words; `undefined`: there is none. @param context the way to this part. */
function breachIn(part: Json | undefined, context: readonly string[]): string | undefined {
  if (!isJsonObject(part) || context.length > MAX_DEPTH) return undefined;
  const properties = isJsonObject(part.properties) ? part.properties : {};
  const isObject = context.length === 0 || part.type === 'object' || part.properties !== undefined;
  // A root that only refers to a definition says there what it is.
  if (isObject && part.$ref === undefined && part.anyOf === undefined) {
    const place = `In context=(${context.map((name) => `'${name}'`).join(', ')})`;
    if (part.additionalProperties !== false)
      return `${place}, 'additionalProperties' is required to be supplied and to be false.`;
    const required = new Set(Array.isArray(part.required) ? part.required : []);
    const missing = Object.keys(properties).find((name) => !required.has(name));
    if (missing !== undefined)
      return `${place}, 'required' is required to be supplied and to be an array including every key in properties. Missing '${missing}'.`;
  }
  for (const keyword of ['properties', '$defs', 'anyOf']) {
    for (const [name, inner] of Object.entries(part[keyword] ?? {})) {
      const breach = breachIn(inner, [...context, keyword, name]);
      if (breach !== undefined) return breach;
    }
  }
  return breachIn(part.items, [...context, 'items']);
}
