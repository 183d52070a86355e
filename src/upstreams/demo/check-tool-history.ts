import { isJsonObject, type JsonObject, shownValue } from '../../base/json.js';
import { toolCallIdNotFound, toolCallsUnanswered, toolMessageWithoutCall } from './chat-errors.js';

/** Every call of an assistant is answered by the tool messages right after it, and nothing else is. @throws {GatewayError} 400 */
export function checkToolHistory(messages: readonly JsonObject[]): void {
  let asked = new Set<string>();
  let open = new Set<string>();
  for (const [index, message] of messages.entries()) {
    if (message.role === 'tool') {
      const id = shownValue(message.tool_call_id);
      if (asked.size === 0) throw toolMessageWithoutCall(index);
      if (!asked.has(id)) throw toolCallIdNotFound(index, id);
      open.delete(id);
      continue;
    }
    if (open.size > 0) throw toolCallsUnanswered(index, [...open]);
    const calls = message.role === 'assistant' && Array.isArray(message.tool_calls) ? message.tool_calls : [];
    asked = new Set(calls.filter(isJsonObject).map((call) => shownValue(call.id)));
    open = new Set(asked);
  }
  if (open.size > 0) throw toolCallsUnanswered(messages.length - 1, [...open]);
}
