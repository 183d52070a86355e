import type { Json, JsonObject } from '../../base/json.js';
import { optionalObject, withoutNulls } from '../members.js';
import { unsupportedParameter } from '../request-errors.js';
import { responsesJsonModeWithoutTheWord } from './errors.js';
import { conversationOf, type KnownItems } from './items.js';
import { messagesOf } from './messages.js';
import type { ResponsesRequest } from './request.js';
import { chatResponseFormat, chatTools } from './tools.js';

/** What is kept with OpenAI, and cannot be read from elsewhere. */
const KEPT_ELSEWHERE = ['conversation', 'prompt'];

/**
 * What chat completions say in other words or not at all: what the gateway does itself (store, background), what is for
 * tools that OpenAI runs (`max_tool_calls`, `include`), and `metadata`, which it keeps with the response: OpenAI refuses
 * it in a chat completion that is not stored.
 */
const NOT_IN_CHAT = new Set(
  `model input instructions max_output_tokens reasoning text tools tool_choice parallel_tool_calls top_logprobs include
   stream stream_options store background previous_response_id metadata truncation max_tool_calls context_management
   ${KEPT_ELSEWHERE.join(' ')}`.split(/\s+/),
);

/** What the gateway counts by, or has said already: names that mean nothing in a response must not say otherwise. */
const OF_CHAT_ALONE = new Set(
  'messages n max_tokens max_completion_tokens response_format logprobs functions function_call'.split(' '),
);

const LOGPROBS = 'message.output_text.logprobs';

/**
 * The body of the chat completion that answers a call of `/v1/responses`. Members that nobody here knows are passed on.
 * Instructions hold for one call: those of the earlier responses are not among `priorItems`.
 * @throws {GatewayError} 400 for what chat completions cannot do, 404 for a reference to an item that nobody knows.
 */
export function chatBodyOf(request: ResponsesRequest, known: KnownItems): JsonObject {
  const { body, model, stream, maxOutputTokens } = request;
  for (const name of KEPT_ELSEWHERE) {
    if (body[name] !== undefined && body[name] !== null) {
      throw unsupportedParameter(`Unsupported parameter: '${name}' is not supported with this model.`, name);
    }
  }
  const messages = [...instructionsOf(body), ...messagesOf(conversationOf(request, known))];
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
  const further = Object.entries(body).filter(([name]) => !NOT_IN_CHAT.has(name) && !OF_CHAT_ALONE.has(name));
  return withoutNulls(Object.fromEntries(further));
}

function instructionsOf({ instructions }: JsonObject): readonly JsonObject[] {
  return typeof instructions === 'string' && instructions !== '' ? [{ role: 'system', content: instructions }] : [];
}

function logprobsOf({ include, top_logprobs }: JsonObject): JsonObject {
  const asked = Array.isArray(include) && include.some((name: Json) => name === LOGPROBS);
  if (typeof top_logprobs === 'number' && top_logprobs > 0) return { logprobs: true, top_logprobs };
  return asked ? { logprobs: true } : {};
}
