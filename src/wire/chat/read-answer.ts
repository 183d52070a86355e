import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { toolCallId } from '../ids.js';
import { readUsage } from '../usage.js';
import { type ChatAnswer, type ChatChoice, type ChatHead, readFinishReason } from './answer.js';
import { picturesMember, saidPictures, saidWords } from './said-words.js';
import { readToolCall, type SaidCall } from './tool-calls.js';

/** Whether the object is a chat completion, a chunk, or an error in place of one; otherwise it is a message or a delta. */
export function isCompletionOrError(body: JsonObject): boolean {
  return Array.isArray(body.choices) || isJsonObject(body.error);
}

/** Whether each choice of a whole chat completion has all members that clients rely on. */
export function isFullCompletion({ choices }: JsonObject): boolean {
  if (!Array.isArray(choices)) return false;
  return choices.every((choice) => {
    if (!isJsonObject(choice) || !isJsonObject(choice.message)) return false;
    const { finish_reason: reason } = choice;
    return typeof choice.message.role === 'string' && reason !== undefined && readFinishReason(reason) === reason;
  });
}

/**
 * Reads a whole chat completion, or an assistant message with `finish_reason` and `usage` beside its own members.
 * Completes missing ids, finish reasons and the sum of the usage.
 * @throws {TypeError} when the answer says nothing at all, or says it in no known form.
 */
export function readAnswer(body: JsonObject, head: ChatHead): ChatAnswer {
  const choices = Array.isArray(body.choices) ? body.choices : [body];
  return {
    head: { ...head, ...readHead(body) },
    choices: choices.map((choice, index) => readChoice(choice, `${head.id}/${index}`)),
    usage: completedUsage(body.usage),
  };
}

/** The same usage with its sum; `undefined` when it is not believable, so that nobody takes it for exact. */
export function completedUsage(usage: Json | undefined): JsonObject | undefined {
  const counts = readUsage(usage);
  if (counts === undefined || !isJsonObject(usage)) return undefined;
  const { inputTokens, outputTokens } = counts;
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    ...usage,
  };
}

/** The members of an answer's head that a completion or a chunk has. */
export function readHead(body: JsonObject): Partial<ChatHead> {
  return {
    ...(typeof body.id === 'string' && body.id !== '' ? { id: body.id } : {}),
    ...(typeof body.created === 'number' && Number.isSafeInteger(body.created) ? { created: body.created } : {}),
    ...(typeof body.model === 'string' ? { model: body.model } : {}),
    ...(typeof body.service_tier === 'string' ? { serviceTier: body.service_tier } : {}),
    ...(typeof body.system_fingerprint === 'string' ? { systemFingerprint: body.system_fingerprint } : {}),
  };
}

const MESSAGE_MEMBERS = ['content', 'tool_calls', 'function_call', 'refusal', 'audio', 'reasoning_content'];

function readChoice(choice: Json, seed: string): ChatChoice {
  if (!isJsonObject(choice)) throw new TypeError('Expected each choice of an answer to be an object.');
  const message = isJsonObject(choice.message) ? choice.message : choice;
  if (!MESSAGE_MEMBERS.some((name) => Object.hasOwn(message, name))) {
    throw new TypeError('Expected an answer to have `choices`, or `content` or `tool_calls` as an assistant message.');
  }
  const { content, tool_calls, function_call, refusal, ...rest } = plainMessage(message);
  const toolCalls = (Array.isArray(tool_calls) ? tool_calls : []).map((given, index) => {
    const { kind, id, name, text } = readNamedCall(given);
    return { kind, id: id === '' ? toolCallId(`${seed}/${index}`) : id, name, text: [text] };
  });
  const functionCall = isJsonObject(function_call) ? readNamedCall({ function: function_call }) : undefined;
  const logprobContent = readLogprobs(choice.logprobs);
  const isCall = toolCalls.length > 0 || functionCall !== undefined;
  return {
    text: readText(content, logprobContent, isCall || typeof refusal === 'string'),
    toolCalls,
    ...(functionCall === undefined ? {} : { functionCall: { name: functionCall.name, text: [functionCall.text] } }),
    ...(typeof refusal === 'string' ? { refusal } : {}),
    finishReason:
      readFinishReason(choice.finish_reason) ?? defaultFinishReason(toolCalls.length > 0, functionCall !== undefined),
    ...(logprobContent === undefined ? {} : { logprobs: logprobContent }),
    extra: extraMembers(rest),
  };
}

/** A message whose content is a text: a vendor's list of parts is a text, and thoughts beside it. */
function plainMessage(message: JsonObject): JsonObject {
  if (!Array.isArray(message.content)) return message;
  const { text, thoughts, refusal } = saidWords(message);
  const pictures = picturesMember(saidPictures(message));
  if (text + thoughts + refusal === '' && pictures.images === undefined) return message;
  return {
    ...message,
    content: text,
    ...pictures,
    ...(thoughts === '' ? {} : { reasoning_content: thoughts }),
    ...(refusal === '' ? {} : { refusal }),
  };
}

/** The finish reason of a choice that names none: its calls, or its own end. */
export function defaultFinishReason(hasToolCalls: boolean, hasFunctionCall: boolean): ChatChoice['finishReason'] {
  if (hasToolCalls) return 'tool_calls';
  return hasFunctionCall ? 'function_call' : 'stop';
}

function readNamedCall(call: Json): SaidCall {
  const said = readToolCall(isJsonObject(call) ? call : {});
  if (said.name !== '') return said;
  throw new TypeError('Expected each tool call of an answer to have a `function` or a `custom` with a `name`.');
}

/** The text in pieces: the tokens of its log probabilities, provided that they make up the text. */
function readText(
  content: Json | undefined,
  logprobs: readonly Json[] | undefined,
  mayBeAbsent: boolean,
): readonly string[] | null {
  if (content === undefined || content === null) return mayBeAbsent ? null : [];
  if (typeof content !== 'string') throw new TypeError('Expected the `content` of an answer to be a string or null.');
  if (content === '') return [];
  const tokens = logprobs?.map((entry) => (isJsonObject(entry) && typeof entry.token === 'string' ? entry.token : ''));
  return tokens?.join('') === content ? tokens : [content];
}

function readLogprobs(logprobs: Json | undefined): readonly Json[] | undefined {
  return isJsonObject(logprobs) && Array.isArray(logprobs.content) ? logprobs.content : undefined;
}

/** Members that stand beside a message, or are written anew for every answer. */
const NOT_EXTRA = new Set(
  'role index finish_reason logprobs message usage id object created model service_tier system_fingerprint'.split(' '),
);

/** Further members of a message. A whole message always has `annotations`; in a delta the empty list would be noise. */
function extraMembers(rest: JsonObject): JsonObject {
  const isEmpty = (value: Json | undefined): boolean => value == null || (Array.isArray(value) && value.length === 0);
  return Object.fromEntries(Object.entries(rest).filter(([name, value]) => !NOT_EXTRA.has(name) && !isEmpty(value)));
}
