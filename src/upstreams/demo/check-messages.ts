import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { emptyArray, invalidType, invalidValue, missingParameter } from '../../wire/request-errors.js';
import { imageOutsideUserMessage, imagesNotSupported } from './chat-errors.js';
import type { DemoModel } from './demo-models.js';
import { imagesOf } from './message-content.js';

const ROLES = ['system', 'assistant', 'user', 'function', 'tool', 'developer'];
const PART_TYPES = ['text', 'image_url', 'input_audio', 'refusal', 'audio', 'file'];
/** An assistant's message needs no content beside one of these. */
const INSTEAD_OF_CONTENT = ['tool_calls', 'function_call', 'refusal', 'audio'];

/** The messages, each of them looked at as OpenAI does. @throws {GatewayError} 400 */
export function readMessages(messages: Json | undefined, model: DemoModel): readonly JsonObject[] {
  if (!Array.isArray(messages)) throw invalidType('messages', 'an array of objects', messages);
  return messages.map((message, index) => {
    if (!isJsonObject(message)) throw invalidType(`messages[${index}]`, 'an object', message);
    const role = checkRole(message.role, `messages[${index}].role`);
    checkContent(message, role, `messages[${index}].content`);
    checkImages(message, role, index, model);
    if (role === 'assistant') checkToolCalls(message.tool_calls ?? undefined, `messages[${index}].tool_calls`);
    if (role === 'tool') requireString(message.tool_call_id, `messages[${index}].tool_call_id`);
    if (role === 'function') requireString(message.name, `messages[${index}].name`);
    return message;
  });
}

function checkRole(role: Json | undefined, param: string): string {
  const value = requireString(role, param);
  if (!ROLES.includes(value)) throw invalidValue(param, value, ROLES);
  return value;
}

function checkContent(message: JsonObject, role: string, param: string): void {
  const { content } = message;
  if (content === undefined || content === null) {
    if (role === 'assistant' && INSTEAD_OF_CONTENT.some((name) => (message[name] ?? null) !== null)) return;
    if (role === 'function' && content === null) return;
    throw content === undefined ? missingParameter(param) : invalidType(param, 'a string', null);
  }
  if (typeof content === 'string') return;
  if (!Array.isArray(content)) throw invalidType(param, 'one of a string or array of objects', content);
  if (content.length === 0) throw emptyArray(param);
  for (const [index, part] of content.entries()) checkPart(part, `${param}[${index}]`);
}

function checkPart(part: Json, param: string): void {
  if (!isJsonObject(part)) throw invalidType(param, 'an object', part);
  const type = requireString(part.type, `${param}.type`);
  if (!PART_TYPES.includes(type)) throw invalidValue(`${param}.type`, type, PART_TYPES);
  if (type === 'text') requireString(part.text, `${param}.text`);
  if (type !== 'image_url') return;
  if (part.image_url === undefined) throw missingParameter(`${param}.image_url`);
  if (!isJsonObject(part.image_url)) throw invalidType(`${param}.image_url`, 'an object', part.image_url);
  requireString(part.image_url.url, `${param}.image_url.url`);
}

function checkImages(message: JsonObject, role: string, index: number, model: DemoModel): void {
  if (imagesOf(message).length === 0) return;
  if (role !== 'user') throw imageOutsideUserMessage(index, role);
  if (model.vision === false) throw imagesNotSupported(`messages.[${index}].content`);
}

function checkToolCalls(calls: Json | undefined, param: string): void {
  if (calls === undefined) return;
  if (!Array.isArray(calls)) throw invalidType(param, 'an array of objects', calls);
  if (calls.length === 0) throw emptyArray(param);
  for (const [index, call] of calls.entries()) {
    if (!isJsonObject(call)) throw invalidType(`${param}[${index}]`, 'an object', call);
    requireString(call.id, `${param}[${index}].id`);
    const type = requireString(call.type, `${param}[${index}].type`);
    if (type !== 'function' && type !== 'custom') {
      throw invalidValue(`${param}[${index}].type`, type, ['function', 'custom']);
    }
    const called = call[type];
    if (!isJsonObject(called)) throw missingParameter(`${param}[${index}].${type}`);
    requireString(called.name, `${param}[${index}].${type}.name`);
    const text = type === 'function' ? 'arguments' : 'input';
    requireString(called[text], `${param}[${index}].${type}.${text}`);
  }
}

function requireString(value: Json | undefined, param: string): string {
  if (value === undefined) throw missingParameter(param);
  if (typeof value !== 'string') throw invalidType(param, 'a string', value);
  return value;
}
