import { isJsonObject, type Json, type JsonObject, shownValue } from '../../base/json.js';
import { optionalObject } from '../../wire/members.js';
import { invalidType, invalidValue, missingParameter } from '../../wire/request-errors.js';
import { jsonModeWithoutTheWord, patternMismatch } from './chat-errors.js';
import { textOf } from './message-content.js';
import { checkStrictSchema } from './schema/strict-schema.js';

/** What `response_format` asks the text of the answer to be. */
export type AnswerFormat =
  | { readonly kind: 'text' }
  | { readonly kind: 'object' }
  | { readonly kind: 'schema'; readonly schema: Json | undefined };

/** Reads `response_format`. @throws {GatewayError} 400 */
export function readFormat(body: JsonObject, messages: readonly JsonObject[]): AnswerFormat {
  const format = optionalObject('response_format', body.response_format);
  if (format === undefined) return { kind: 'text' };
  if (format.type === undefined) throw missingParameter('response_format.type');
  switch (format.type) {
    case 'text':
      return { kind: 'text' };
    case 'json_object':
      if (!messages.some((message) => /json/i.test(textOf(message)))) throw jsonModeWithoutTheWord();
      return { kind: 'object' };
    case 'json_schema':
      return readSchemaFormat(format.json_schema);
    default:
      throw invalidValue('response_format.type', shownValue(format.type), ['json_object', 'json_schema', 'text']);
  }
}

function readSchemaFormat(format: Json | undefined): AnswerFormat {
  if (format === undefined) throw missingParameter('response_format.json_schema');
  if (!isJsonObject(format)) throw invalidType('response_format.json_schema', 'an object', format);
  const { name, schema, strict } = format;
  if (name === undefined) throw missingParameter('response_format.json_schema.name');
  if (typeof name !== 'string') throw invalidType('response_format.json_schema.name', 'a string', name);
  if (!/^[a-zA-Z0-9_-]{1,64}$/.test(name))
    throw patternMismatch('response_format.json_schema.name', '^[a-zA-Z0-9_-]+$');
  if (schema === undefined) throw missingParameter('response_format.json_schema.schema');
  if (!isJsonObject(schema)) throw invalidType('response_format.json_schema.schema', 'an object', schema);
  if (strict === true) checkStrictSchema(schema, 'response_format', `response_format '${name}'`);
  return { kind: 'schema', schema };
}
