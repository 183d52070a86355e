import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';

/** What OpenAI keeps of a request beside the completion it led to. */
const KEPT = [
  'tool_choice',
  'seed',
  'top_p',
  'temperature',
  'presence_penalty',
  'frequency_penalty',
  'tools',
  'response_format',
];

/** A completion as it is listed: what was answered, and what of the request is kept with it. */
export function storedCompletion(request: JsonObject, completion: JsonObject, requestId: string): JsonObject {
  const kept = Object.fromEntries(KEPT.map((name) => [name, request[name] ?? null]));
  return {
    ...completion,
    ...kept,
    request_id: requestId,
    input_user: request.user ?? null,
    metadata: isJsonObject(request.metadata) ? request.metadata : {},
  };
}

/** The messages of a request as they are listed, with ids of their own. */
export function storedMessages({ messages }: JsonObject, completionId: string): JsonObject[] {
  return (Array.isArray(messages) ? messages : []).filter(isJsonObject).map((message, index) => ({
    ...message,
    id: `${completionId}-${index}`,
    content: textOf(message.content),
    content_parts: Array.isArray(message.content) ? message.content : null,
    name: message.name ?? null,
  }));
}

function textOf(content: Json | undefined): string | null {
  return typeof content === 'string' ? content : null;
}
