import { isJsonObject, type Json } from '../../base/json.js';
import type { JsonOutline } from '../../base/json-document.js';
import { optionalArray } from '../members.js';
import { checkDecimals, type ModelRequest, readCeiling, readModel, readN, readStream } from '../model-request.js';
import { invalidType, missingParameter } from '../request-errors.js';

/**
 * What a chat completion asks for. The ceiling is the larger of `max_completion_tokens` and `max_tokens`, so that neither
 * hides the other.
 * @throws {GatewayError} 400 in OpenAI's wording for what a gateway must not pass on.
 */
export function readChatRequest(outline: JsonOutline): ModelRequest {
  const { body } = outline;
  const model = readModel(outline);
  checkMessages(body.messages);
  const { stream, includeUsage } = readStream(body);
  const maxTokens = readCeiling(body, 'max_tokens');
  const maxCompletionTokens = readCeiling(body, 'max_completion_tokens');
  const n = readN(body);
  checkDecimals(body);
  return { model, stream, includeUsage, maxOutputTokens: larger(maxTokens, maxCompletionTokens), n };
}

function larger(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.max(one, other);
}

function checkMessages(value: Json | undefined): void {
  const messages = optionalArray('messages', value, 'objects');
  if (messages === undefined) throw missingParameter('messages');
  const odd = messages.findIndex((message) => !isJsonObject(message));
  if (odd !== -1) throw invalidType(`messages[${odd}]`, 'an object', messages[odd]);
}
