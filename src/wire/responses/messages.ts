import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { requiredString } from '../members.js';
import { invalidValue } from '../request-errors.js';
import { toolCallWithoutOutput, toolOutputWithoutCall } from './errors.js';
import type { PlacedItem } from './items.js';
import { heardContent, spokenContent } from './parts.js';

/** What an assistant said and wants called before anybody else speaks: one message in chat completions. */
interface Turn {
  readonly reasoning: string[];
  text: string;
  refusal: string;
  hasMessage: boolean;
  readonly calls: JsonObject[];
}

const ROLES = ['user', 'assistant', 'system', 'developer'];

const ITEM_TYPES = [
  'message',
  'function_call',
  'function_call_output',
  'custom_tool_call',
  'custom_tool_call_output',
  'reasoning',
  'item_reference',
];

const CALL_KINDS: ReadonlyMap<string, string> = new Map([
  ['function_call', 'function call'],
  ['custom_tool_call', 'custom tool call'],
]);

/**
 * The conversation as messages of chat completions. What an assistant says and calls in a row becomes one message, and
 * the outputs of its calls follow it directly, as upstreams demand, wherever they stood.
 * @throws {GatewayError} 400 for an item that chat completions do not have, and for a call without output or the reverse.
 */
export function messagesOf(items: readonly PlacedItem[]): readonly JsonObject[] {
  const outputs = toolOutputs(items);
  const messages: JsonObject[] = [];
  let turn = emptyTurn();
  /** Belongs to what comes after it. */
  let reasoning: string[] = [];

  function endTurn(): void {
    messages.push(...turnMessages(turn), ...turn.calls.map((call) => outputs.take(call)));
    turn = emptyTurn();
  }

  for (const { item, param } of items) {
    const type = typeOf(item);
    if (type === 'reasoning') {
      reasoning.push(...reasoningTexts(item));
    } else if (CALL_KINDS.has(type)) {
      turn.reasoning.push(...reasoning.splice(0));
      turn.calls.push(toolCall(param, item));
    } else if (type === 'message' && roleOf(param, item) === 'assistant') {
      if (turn.hasMessage && turn.calls.length === 0) endTurn();
      turn.reasoning.push(...reasoning.splice(0));
      speak(turn, param, item);
    } else {
      endTurn();
      reasoning = [];
      if (type === 'message') messages.push(heardMessage(param, item));
      else if (!isOutput(type)) throw invalidValue(`${param}.type`, type, ITEM_TYPES);
    }
  }
  endTurn();
  outputs.assertTaken();
  return messages;
}

const emptyTurn = (): Turn => ({ reasoning: [], text: '', refusal: '', hasMessage: false, calls: [] });

const typeOf = ({ type }: JsonObject): string => (typeof type === 'string' ? type : 'message');

const isOutput = (type: string): boolean => type === 'function_call_output' || type === 'custom_tool_call_output';

function roleOf(param: string, { role }: JsonObject): string {
  const name = requiredString(`${param}.role`, role);
  if (!ROLES.includes(name)) throw invalidValue(`${param}.role`, name, ROLES);
  return name;
}

/** `developer` is a name that few upstreams but OpenAI know, and OpenAI takes `system` for it. */
function heardMessage(param: string, item: JsonObject): JsonObject {
  const role = roleOf(param, item);
  return { role: role === 'developer' ? 'system' : role, content: heardContent(`${param}.content`, item.content) };
}

function speak(turn: Turn, param: string, { content }: JsonObject): void {
  const spoken = spokenContent(`${param}.content`, content);
  turn.text += spoken.text;
  turn.refusal += spoken.refusal;
  turn.hasMessage = true;
}

function turnMessages({ reasoning, text, refusal, hasMessage, calls }: Turn): readonly JsonObject[] {
  if (!hasMessage && calls.length === 0) return [];
  // Thoughts in plain text come from upstreams that name them so. Those that call tools need them back to go on thinking;
  // after an answer they are ignored at best, and refused by some. Summaries and ciphers nobody but their maker can read.
  const thoughts = calls.length > 0 && reasoning.length > 0 ? { reasoning_content: reasoning.join('') } : {};
  return [
    {
      role: 'assistant',
      content: text === '' && (calls.length > 0 || refusal !== '') ? null : text,
      ...(refusal === '' ? {} : { refusal }),
      ...thoughts,
      ...(calls.length === 0 ? {} : { tool_calls: calls }),
    },
  ];
}

function reasoningTexts({ content }: JsonObject): readonly string[] {
  return (Array.isArray(content) ? content : []).flatMap((part: Json) =>
    isJsonObject(part) && typeof part.text === 'string' ? [part.text] : [],
  );
}

function toolCall(param: string, item: JsonObject): JsonObject {
  const id = requiredString(`${param}.call_id`, item.call_id);
  const name = requiredString(`${param}.name`, item.name);
  if (item.type === 'custom_tool_call') {
    return { id, type: 'custom', custom: { name, input: requiredString(`${param}.input`, item.input) } };
  }
  return { id, type: 'function', function: { name, arguments: requiredString(`${param}.arguments`, item.arguments) } };
}

/** Outputs by the call they answer. Some upstreams number their calls anew in each turn: each output is taken once. */
function toolOutputs(items: readonly PlacedItem[]): { take(call: JsonObject): JsonObject; assertTaken(): void } {
  const waiting = new Map<string, JsonObject[]>();
  const kinds = new Map<string, string>();
  for (const { item, param } of items) {
    const type = typeOf(item);
    if (!isOutput(type)) continue;
    const id = requiredString(`${param}.call_id`, item.call_id);
    const content = heardContent(`${param}.output`, item.output);
    const earlier = waiting.get(id) ?? [];
    waiting.set(id, [...earlier, { role: 'tool', tool_call_id: id, content }]);
    kinds.set(id, CALL_KINDS.get(type.slice(0, -'_output'.length)) ?? type);
  }
  return {
    take(call) {
      const id = typeof call.id === 'string' ? call.id : '';
      const [output, ...rest] = waiting.get(id) ?? [];
      if (output === undefined) {
        throw toolCallWithoutOutput(call.type === 'custom' ? 'custom tool call' : 'function call', id);
      }
      waiting.set(id, rest);
      return output;
    },
    assertTaken() {
      for (const [id, rest] of waiting) {
        if (rest.length > 0) throw toolOutputWithoutCall(kinds.get(id) ?? 'function call', id);
      }
    },
  };
}
