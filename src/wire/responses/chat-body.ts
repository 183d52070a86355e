import type { Json, JsonObject } from '../../base/json.js';
import { objectsIn, optionalObject, requiredString, stringsIn, withoutNulls } from '../members.js';
import { invalidValue, unsupportedParameter } from '../request-errors.js';
import {
  hostedToolNotSupported,
  responsesJsonModeWithoutTheWord,
  toolChoiceNotAmongTools,
  toolChoiceWithoutTools,
} from './errors.js';
import { conversationOf, type KnownItems } from './items.js';
import { messagesOf } from './messages.js';
import type { ResponsesRequest } from './request.js';

/** Members that refer to things kept with OpenAI, which nobody else can read. */
const KEPT_ELSEWHERE = ['conversation', 'prompt'];

/** Members of a response that a chat completion has, too. Others, such as Codex's `client_metadata`, strict servers refuse. */
const IN_CHAT = `temperature top_p frequency_penalty presence_penalty stop seed logit_bias user safety_identifier
   prompt_cache_key prompt_cache_retention service_tier`.split(/\s+/);

/** OpenAI's `IncludeEnum`. */
const INCLUDES = [
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
  'reasoning.encrypted_content',
  'message.output_text.logprobs',
];

const LOGPROBS = 'message.output_text.logprobs';

/**
 * The body of the chat completion that answers a call of `/v1/responses`: nothing that chat does not know. Instructions hold
 * for one call: those of earlier responses are not among `priorItems`.
 * @throws {GatewayError} 400 for anything that chat completions cannot do, 404 for a reference to an unknown item.
 */
export function chatBodyOf(request: ResponsesRequest, known: KnownItems): JsonObject {
  const { body, model, stream, maxOutputTokens } = request;
  for (const name of KEPT_ELSEWHERE) {
    if (body[name] !== undefined && body[name] !== null) {
      throw unsupportedParameter(`Unsupported parameter: '${name}' is not supported with this model.`, name);
    }
  }
  checkIncludes(body);
  const messages = [...instructionsOf(body), ...messagesOf(conversationOf(request, known), known.openThoughts)];
  const responseFormat = chatResponseFormat(request);
  if (responseFormat?.type === 'json_object' && !/json/i.test(JSON.stringify(messages))) {
    throw responsesJsonModeWithoutTheWord();
  }
  return {
    model,
    messages,
    ...furtherMembers(body),
    ...chatTools(request),
    ...withoutNulls({
      max_completion_tokens: maxOutputTokens,
      response_format: responseFormat,
      reasoning_effort: optionalObject('reasoning', body.reasoning)?.effort,
      verbosity: optionalObject('text', body.text)?.verbosity,
    }),
    ...logprobsOf(body),
    ...(stream ? { stream, stream_options: { include_usage: true } } : {}),
  };
}

function furtherMembers(body: JsonObject): JsonObject {
  return withoutNulls(Object.fromEntries(IN_CHAT.map((name) => [name, body[name] ?? null])));
}

function checkIncludes({ include }: JsonObject): void {
  for (const [index, name] of stringsIn('include', include).entries()) {
    if (!INCLUDES.includes(name)) throw invalidValue(`include[${index}]`, name.slice(0, 64), INCLUDES);
  }
}

function instructionsOf({ instructions }: JsonObject): readonly JsonObject[] {
  return typeof instructions === 'string' && instructions !== '' ? [{ role: 'system', content: instructions }] : [];
}

function logprobsOf({ include, top_logprobs }: JsonObject): JsonObject {
  const asked = Array.isArray(include) && include.some((name: Json) => name === LOGPROBS);
  if (typeof top_logprobs === 'number' && top_logprobs > 0) return { logprobs: true, top_logprobs };
  return asked ? { logprobs: true } : {};
}

/**
 * Tools and the choice among them, as chat completions take them.
 * @throws {GatewayError} 400 for a tool that OpenAI runs itself: the upstream runs none.
 */
function chatTools({ body, model }: ResponsesRequest): JsonObject {
  const tools = objectsIn('tools', body.tools).map((tool, index) => chatTool(`tools[${index}]`, tool, model));
  const choice = chatToolChoice(body.tool_choice, model);
  if (tools.length === 0) {
    // Responses accept these choices without tools, chat completions do not.
    if (choice === undefined || choice === 'auto' || choice === 'none') return {};
    throw toolChoiceWithoutTools(typeof choice === 'string' ? choice : String(choice.type));
  }
  for (const name of chosenNames(choice)) {
    if (!tools.some((tool) => nameOf(tool) === name)) throw toolChoiceNotAmongTools(name);
  }
  const { parallel_tool_calls } = body;
  return withoutNulls({ tools, tool_choice: choice, parallel_tool_calls });
}

/** The text format as a `response_format`; `undefined` when the request names none. */
function chatResponseFormat({ body }: ResponsesRequest): JsonObject | undefined {
  const format = optionalObject('text.format', optionalObject('text', body.text)?.format);
  if (format?.type !== 'json_schema') return format;
  const { type, ...schema } = withoutNulls(format);
  return { type: 'json_schema', json_schema: schema };
}

function chatTool(param: string, tool: JsonObject, model: string): JsonObject {
  const type = requiredString(`${param}.type`, tool.type);
  if (type !== 'function' && type !== 'custom') throw hostedToolNotSupported(type, model, 'tools');
  requiredString(`${param}.name`, tool.name);
  // The last three are about tools that OpenAI runs or looks for.
  const { type: _, output_schema, defer_loading, allowed_callers, ...flat } = withoutNulls(tool);
  const { name, description, parameters, strict, format, ...rest } = flat;
  if (type === 'function') {
    return { ...rest, type, function: withoutNulls({ name, description, parameters, strict }) };
  }
  return { ...rest, type, custom: withoutNulls({ name, description, format: customFormat(param, format) }) };
}

function customFormat(param: string, value: Json | undefined): JsonObject | undefined {
  const format = optionalObject(`${param}.format`, value);
  if (format?.type !== 'grammar') return format;
  const { type, ...grammar } = format;
  return { type: 'grammar', grammar };
}

function chatToolChoice(choice: Json | undefined, model: string): string | JsonObject | undefined {
  if (choice === undefined || choice === null) return undefined;
  if (typeof choice === 'string') {
    const modes = ['none', 'auto', 'required'];
    if (!modes.includes(choice)) throw invalidValue('tool_choice', choice, modes);
    return choice;
  }
  const given = optionalObject('tool_choice', choice) ?? {};
  if (given.type !== 'allowed_tools') return namedTool('tool_choice', given, model);
  const mode = requiredString('tool_choice.mode', given.mode);
  if (mode !== 'auto' && mode !== 'required') throw invalidValue('tool_choice.mode', mode, ['auto', 'required']);
  const tools = objectsIn('tool_choice.tools', given.tools).map((tool, index) =>
    namedTool(`tool_choice.tools[${index}]`, tool, model),
  );
  return { type: 'allowed_tools', allowed_tools: { mode, tools } };
}

function namedTool(param: string, choice: JsonObject, model: string): JsonObject {
  const type = requiredString(`${param}.type`, choice.type);
  if (type !== 'function' && type !== 'custom') throw hostedToolNotSupported(type, model, 'tool_choice');
  return { type, [type]: { name: requiredString(`${param}.name`, choice.name) } };
}

function chosenNames(choice: string | JsonObject | undefined): readonly string[] {
  if (choice === undefined || typeof choice === 'string') return [];
  const allowed = optionalObject('tool_choice', choice.allowed_tools);
  return allowed === undefined ? [nameOf(choice)] : objectsIn('tool_choice.tools', allowed.tools).map(nameOf);
}

function nameOf(tool: JsonObject): string {
  const named = optionalObject('tools', tool.function ?? tool.custom);
  return typeof named?.name === 'string' ? named.name : '';
}
