import { isJsonObject, type Json, type JsonObject } from '../../../base/json.js';
import { invalidStrictSchema } from '../chat-errors.js';

const MAX_DEPTH = 100;

/**
 * What OpenAI's strict mode asks of a schema: every object is closed, and all of its properties are required.
 * @param where the parameter the schema is in. @param what such as `function 'f'`.
 * @throws {GatewayError} 400
 */
export function checkStrictSchema(schema: Json | undefined, where: string, what: string): void {
  check(schema ?? {}, [], true);

  function check(part: Json | undefined, context: readonly string[], isRoot = false): void {
    if (!isJsonObject(part) || context.length > MAX_DEPTH) return;
    if (isRoot || part.type === 'object' || isJsonObject(part.properties)) checkObject(part, context);
    for (const keyword of ['properties', '$defs', 'definitions'])
      checkEach(part[keyword], [...context, `'${keyword}'`]);
    for (const keyword of ['anyOf', 'allOf', 'oneOf']) {
      const alternatives = part[keyword];
      if (!Array.isArray(alternatives)) continue;
      for (const [index, one] of alternatives.entries()) check(one, [...context, `'${keyword}'`, `'${index}'`]);
    }
    check(part.items, [...context, "'items'"]);
  }

  function checkEach(schemas: Json | undefined, context: readonly string[]): void {
    if (!isJsonObject(schemas)) return;
    for (const [name, one] of Object.entries(schemas)) check(one, [...context, `'${name}'`]);
  }

  function checkObject(part: JsonObject, context: readonly string[]): void {
    // A root that only refers to a definition says there what it is.
    if (part.$ref !== undefined || part.anyOf !== undefined) return;
    if (part.additionalProperties !== false) {
      throw refusal(context, "'additionalProperties' is required to be supplied and to be false.");
    }
    const required = new Set(Array.isArray(part.required) ? part.required : []);
    const missing = Object.keys(isJsonObject(part.properties) ? part.properties : {}).find(
      (name) => !required.has(name),
    );
    if (missing === undefined) return;
    throw refusal(
      context,
      `'required' is required to be supplied and to be an array including every key in properties. Missing '${missing}'.`,
    );
  }

  function refusal(context: readonly string[], reason: string): Error {
    return invalidStrictSchema(where, what, `In context=(${context.join(', ')}), ${reason}`);
  }
}
