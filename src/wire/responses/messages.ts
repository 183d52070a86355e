import type { Json, JsonObject } from '../../base/json.js';
import { pictureAddress } from '../chat/said-words.js';
import { objectsAmong, objectsIn, optionalString, requiredString, withoutNulls } from '../members.js';
import { invalidRequest, invalidType, invalidValue, missingParameter } from '../request-errors.js';
import { toolCallWithoutOutput, toolOutputWithoutCall } from './errors.js';
import type { KnownItems, PlacedItem } from './items.js';

/** Words and calls of an assistant before anybody else speaks: one message in chat completions. */
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
  'image_generation_call',
  'item_reference',
];

const CALL_KINDS: ReadonlyMap<string, string> = new Map([
  ['function_call', 'function call'],
  ['custom_tool_call', 'custom tool call'],
]);

/**
 * The conversation as messages of chat completions. Words and calls of an assistant in a row become one message, and the
 * outputs of its calls follow it directly, as upstreams demand, wherever they stood.
 * @param openThoughts as `KnownItems` has it.
 * @throws {GatewayError} 400 for an item that chat completions do not have, and for a call without output or the reverse.
 */
export function messagesOf(
  items: readonly PlacedItem[],
  openThoughts: KnownItems['openThoughts'],
): readonly JsonObject[] {
  const outputs = toolOutputs(items);
  const messages: JsonObject[] = [];
  let turn = emptyTurn();
  /** Thoughts that belong to the words or calls that follow them. */
  let reasoning: string[] = [];

  function endTurn(): void {
    const taken = turn.calls.map((call) => outputs.takeOutput(call));
    const shown = taken.flatMap(({ shown }) => shown);
    messages.push(...turnMessages(turn), ...taken.map(({ message }) => message));
    if (shown.length > 0) messages.push({ role: 'user', content: shown });
    turn = emptyTurn();
  }

  for (const placed of items) {
    const { item, param } = placed;
    const type = itemType(item);
    if (type === 'reasoning') {
      reasoning.push(...reasoningTexts(placed, openThoughts));
    } else if (CALL_KINDS.has(type)) {
      turn.reasoning.push(...reasoning.splice(0));
      turn.calls.push(toolCall(param, item));
    } else if (type === 'message' && roleOf(param, item) === 'assistant') {
      if (turn.hasMessage && turn.calls.length === 0) endTurn();
      turn.reasoning.push(...reasoning.splice(0));
      addWords(turn, param, item);
    } else {
      endTurn();
      reasoning = [];
      if (type === 'message') messages.push(heardMessage(param, item));
      else if (type === 'image_generation_call') messages.push(...pictureMessages(item));
      else if (!isOutput(type)) throw invalidValue(`${param}.type`, type, ITEM_TYPES);
    }
  }
  endTurn();
  outputs.assertAllTaken();
  return messages;
}

const emptyTurn = (): Turn => ({ reasoning: [], text: '', refusal: '', hasMessage: false, calls: [] });

const itemType = ({ type }: JsonObject): string => (typeof type === 'string' ? type : 'message');

const isOutput = (type: string): boolean => type === 'function_call_output' || type === 'custom_tool_call_output';

function roleOf(param: string, { role }: JsonObject): string {
  const name = requiredString(`${param}.role`, role);
  if (!ROLES.includes(name)) throw invalidValue(`${param}.role`, name, ROLES);
  return name;
}

/** A message of anybody but the assistant. Few upstreams know the role `developer`, for which OpenAI also takes `system`. */
function heardMessage(param: string, item: JsonObject): JsonObject {
  const role = roleOf(param, item);
  return { role: role === 'developer' ? 'system' : role, content: heardContent(`${param}.content`, item.content) };
}

/** A picture of the assistant, which only a user can show in chat completions. */
function pictureMessages({ result }: JsonObject): readonly JsonObject[] {
  if (typeof result !== 'string' || result === '') return [];
  const introduction = { type: 'text', text: 'The picture that you made:' };
  const picture = { type: 'image_url', image_url: { url: pictureAddress(result) } };
  return [{ role: 'user', content: [introduction, picture] }];
}

/** Adds what the assistant says in a message to its turn. */
function addWords(turn: Turn, param: string, { content }: JsonObject): void {
  const spoken = spokenContent(`${param}.content`, content);
  turn.text += spoken.text;
  turn.refusal += spoken.refusal;
  turn.hasMessage = true;
}

function turnMessages({ reasoning, text, refusal, hasMessage, calls }: Turn): readonly JsonObject[] {
  if (!hasMessage && calls.length === 0) return [];
  // Thoughts in plain text come from upstreams that call them `reasoning_content`. Beside calls of tools they are needed
  // back, for the model to go on thinking; after an answer they are ignored at best, and some upstreams refuse them.
  // Summaries and ciphers can be read by their maker alone.
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

/** The thoughts of an item: as they were sealed, or as they stand there. */
function reasoningTexts(
  { item, isKept = false }: PlacedItem,
  openThoughts: KnownItems['openThoughts'],
): readonly string[] {
  const { encrypted_content: sealed, content, summary } = item;
  const opened = typeof sealed === 'string' ? openThoughts?.(sealed) : undefined;
  if (opened !== undefined) return [opened];
  const parts = objectsAmong(content);
  const texts = parts.length === 0 && isKept ? objectsAmong(summary) : parts;
  return texts.flatMap(({ text }) => (typeof text === 'string' ? [text] : []));
}

function toolCall(param: string, item: JsonObject): JsonObject {
  const id = requiredString(`${param}.call_id`, item.call_id);
  const name = requiredString(`${param}.name`, item.name);
  if (item.type === 'custom_tool_call') {
    return { id, type: 'custom', custom: { name, input: requiredString(`${param}.input`, item.input) } };
  }
  return { id, type: 'function', function: { name, arguments: requiredString(`${param}.arguments`, item.arguments) } };
}

/** The output of a call: a message of the tool, in text, and parts that only a user may show. */
interface ToolOutput {
  readonly message: JsonObject;
  readonly shown: readonly JsonObject[];
}

const SEE_BELOW = 'The output follows in a message of the user.';

/** Chat completions take nothing but text of a tool. */
function toolOutput(id: string, content: Json): ToolOutput {
  const parts = objectsAmong(content);
  const shown = parts.filter(({ type }) => type !== 'text');
  if (shown.length === 0) return { message: { role: 'tool', tool_call_id: id, content }, shown };
  const texts = parts.flatMap(({ text }) => (typeof text === 'string' ? [text] : []));
  const said = texts.length === 0 ? SEE_BELOW : texts.join('\n');
  const introduction = { type: 'text', text: `Output of the tool call ${id}:` };
  return { message: { role: 'tool', tool_call_id: id, content: said }, shown: [introduction, ...shown] };
}

/** The outputs of calls, each to be taken once: some upstreams number their calls anew in each turn. */
function toolOutputs(items: readonly PlacedItem[]): {
  takeOutput(call: JsonObject): ToolOutput;
  assertAllTaken(): void;
} {
  const waiting = new Map<string, ToolOutput[]>();
  const kinds = new Map<string, string>();
  for (const { item, param } of items) {
    const type = itemType(item);
    if (!isOutput(type)) continue;
    const id = requiredString(`${param}.call_id`, item.call_id);
    const content = heardContent(`${param}.output`, item.output);
    const earlier = waiting.get(id) ?? [];
    waiting.set(id, [...earlier, toolOutput(id, content)]);
    kinds.set(id, CALL_KINDS.get(type.slice(0, -'_output'.length)) ?? type);
  }
  return {
    takeOutput(call) {
      const id = typeof call.id === 'string' ? call.id : '';
      const [output, ...rest] = waiting.get(id) ?? [];
      if (output === undefined) {
        throw toolCallWithoutOutput(call.type === 'custom' ? 'custom tool call' : 'function call', id);
      }
      waiting.set(id, rest);
      return output;
    },
    assertAllTaken() {
      for (const [id, rest] of waiting) {
        if (rest.length > 0) throw toolOutputWithoutCall(kinds.get(id) ?? 'function call', id);
      }
    },
  };
}

const INPUT_PARTS = ['input_text', 'input_image', 'input_file', 'input_audio', 'output_text'];

/** Content of an assistant's message, in the two texts in which chat completions take it. */
interface SpokenContent {
  readonly text: string;
  readonly refusal: string;
}

/**
 * The content of a tool's output, or of a message that no assistant wrote, as chat completions take it. A single text
 * becomes a string, which every upstream accepts; other parts, and their roles, are for the upstream to judge.
 * @param param how errors name it.
 * @throws {GatewayError} 400 for a part that chat completions do not have.
 */
function heardContent(param: string, content: Json | undefined): Json {
  const parts = partsOf(param, content);
  if (typeof parts === 'string') return parts;
  const heard = parts.map((part, index) => heardPart(`${param}[${index}]`, part));
  const [only] = heard;
  if (heard.length > 1 || only === undefined) return only === undefined ? '' : heard;
  return only.type === 'text' && typeof only.text === 'string' && Object.keys(only).length === 2 ? only.text : heard;
}

/**
 * The content of an assistant's message, its texts joined to one: many upstreams accept nothing else.
 * @param param how errors name it.
 * @throws {GatewayError} 400 for a part that an assistant cannot say.
 */
function spokenContent(param: string, content: Json | undefined): SpokenContent {
  const parts = partsOf(param, content);
  if (typeof parts === 'string') return { text: parts, refusal: '' };
  let text = '';
  let refusal = '';
  for (const [index, part] of parts.entries()) {
    const at = `${param}[${index}]`;
    const type = requiredString(`${at}.type`, part.type);
    if (type === 'refusal') refusal += requiredString(`${at}.refusal`, part.refusal);
    else if (type === 'output_text' || type === 'input_text') text += requiredString(`${at}.text`, part.text);
    else throw invalidValue(`${at}.type`, type, ['output_text', 'refusal']);
  }
  return { text, refusal };
}

function partsOf(param: string, content: Json | undefined): string | readonly JsonObject[] {
  if (typeof content === 'string') return content;
  if (content === undefined || content === null) throw missingParameter(param);
  if (!Array.isArray(content)) throw invalidType(param, 'one of a string or array of objects', content);
  return objectsIn(param, content);
}

function heardPart(param: string, part: JsonObject): JsonObject {
  const type = requiredString(`${param}.type`, part.type);
  switch (type) {
    case 'input_text':
    case 'output_text': {
      const { annotations: _, logprobs: __, ...rest } = withoutNulls(part);
      return { ...rest, type: 'text', text: requiredString(`${param}.text`, part.text) };
    }
    case 'input_image':
      return imagePart(param, part);
    case 'input_file':
      return filePart(param, part);
    case 'input_audio':
      if (part.input_audio === undefined) throw missingParameter(`${param}.input_audio`);
      return part;
    default:
      throw invalidValue(`${param}.type`, type, INPUT_PARTS);
  }
}

function imagePart(param: string, part: JsonObject): JsonObject {
  const { type: _, image_url, detail, file_id, ...rest } = withoutNulls(part);
  if (file_id !== undefined) {
    throw invalidRequest(
      "Images by 'file_id' are not supported with this model. Please send the image as an 'image_url'.",
      `${param}.file_id`,
    );
  }
  const url = requiredString(`${param}.image_url`, image_url);
  const size = optionalString(`${param}.detail`, detail);
  // Chat completions do not know the size `original`: an image as large as it is.
  const shown = size === 'original' ? 'high' : size;
  return { ...rest, type: 'image_url', image_url: { url, ...(shown === undefined ? {} : { detail: shown }) } };
}

function filePart(param: string, part: JsonObject): JsonObject {
  const { type: _, filename, file_data, file_id, file_url, detail: __, ...rest } = withoutNulls(part);
  if (file_url !== undefined) {
    throw invalidRequest(
      "Files by 'file_url' are not supported with this model. Please send the file as 'file_data'.",
      `${param}.file_url`,
    );
  }
  if (file_data === undefined && file_id === undefined) throw missingParameter(`${param}.file_data`);
  return { ...rest, type: 'file', file: withoutNulls({ filename, file_data, file_id }) };
}
