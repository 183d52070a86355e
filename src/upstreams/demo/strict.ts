import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { badRequest } from '../../wire/request-errors.js';

const MAX_DEPTH = 100;

/**
 * Checks OpenAI's rules for strict schemas: every object is closed, and all of its properties are required.
 * @param where the parameter the schema is in. @param what such as `function 'f'`.
 * @throws {GatewayError} 400
 */
export function checkStrictSchema(schema: JsonObject, where: string, what: string): void {
  const refuse = (context: readonly string[], reason: string): never => {
    const code = where === 'response_format' ? 'invalid_json_schema' : 'invalid_function_parameters';
    const place = context.map((name) => `'${name}'`).join(', ');
    throw badRequest(`Invalid schema for ${what}: In context=(${place}), ${reason}`, code, where);
  };
  const check = (part: Json | undefined, context: readonly string[]): void => {
    if (!isJsonObject(part) || context.length > MAX_DEPTH) return;
    const isObject = context.length === 0 || part.type === 'object' || isJsonObject(part.properties);
    // A root that only refers to a definition says there what it is.
    if (isObject && part.$ref === undefined && part.anyOf === undefined) {
      if (part.additionalProperties !== false)
        refuse(context, "'additionalProperties' is required to be supplied and to be false.");
      const required = new Set(Array.isArray(part.required) ? part.required : []);
      const missing = Object.keys(isJsonObject(part.properties) ? part.properties : {}).find(
        (name) => !required.has(name),
      );
      if (missing !== undefined)
        refuse(
          context,
          `'required' is required to be supplied and to be an array including every key in properties. Missing '${missing}'.`,
        );
    }
    for (const keyword of ['properties', '$defs', 'definitions', 'anyOf']) {
      const inner = part[keyword];
      if (typeof inner !== 'object' || inner === null) continue;
      for (const [name, one] of Object.entries(inner)) check(one, [...context, keyword, name]);
    }
    check(part.items, [...context, 'items']);
  };
  check(schema, []);
}
