import { isJsonObject, type Json } from '../json.js';
import { type JsonOutline, outlinedText } from '../json-document.js';
import {
  emptyArray,
  invalidType,
  missingModel,
  missingParameter,
  numberAboveMax,
  numberBelowMin,
  streamOptionsWithoutStream,
} from '../request-errors.js';

/** The few fields of a chat completion request that we act on. Everything else is the upstream's to judge. */
export interface ChatRequest {
  readonly model: string;
  readonly stream: boolean;
  /** Whether the client asked for the usage chunk of a stream. */
  readonly includeUsage: boolean;
  /** The larger of `max_completion_tokens` and `max_tokens`, so that neither hides the other; `undefined`: none named. */
  readonly maxOutputTokens: number | undefined;
  /** Answers asked for at once. */
  readonly n: number;
}

const MAX_MODEL_LENGTH = 256;
/** OpenAI's own bound. */
const MAX_N = 128;
/** Keeps sums of tokens far inside the safe integers. */
const MAX_OUTPUT_TOKENS = 1_000_000_000;

/** Ranges of OpenAI's description; JSON has no NaN, but `1e400` is read as Infinity. */
const DECIMALS = [
  ['temperature', 0, 2],
  ['top_p', 0, 1],
  ['frequency_penalty', -2, 2],
  ['presence_penalty', -2, 2],
] as const;

/**
 * @throws {GatewayError} 400 in OpenAI's wording for what a gateway must not pass on.
 */
export function readChatRequest(outline: JsonOutline): ChatRequest {
  const { body } = outline;
  const model = outlinedText(outline, readModel(body.model));
  checkMessages(body.messages);
  const stream = optionalBoolean('stream', body.stream) ?? false;
  const includeUsage = readIncludeUsage(body.stream_options, stream);
  const maxTokens = optionalInteger('max_tokens', body.max_tokens, 1, MAX_OUTPUT_TOKENS);
  const maxCompletionTokens = optionalInteger(
    'max_completion_tokens',
    body.max_completion_tokens,
    1,
    MAX_OUTPUT_TOKENS,
  );
  const n = optionalInteger('n', body.n, 1, MAX_N) ?? 1;
  for (const [name, min, max] of DECIMALS) checkDecimal(name, body[name], min, max);
  return { model, stream, includeUsage, maxOutputTokens: larger(maxTokens, maxCompletionTokens), n };
}

function larger(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.max(one, other);
}

function readModel(model: Json | undefined): string {
  if (model === undefined || model === null || model === '') throw missingModel();
  if (typeof model !== 'string') throw invalidType('model', 'a string', model);
  if (model.length > MAX_MODEL_LENGTH) throw invalidType('model', 'a shorter string', model);
  return model;
}

function checkMessages(messages: Json | undefined): void {
  if (messages === undefined || messages === null) throw missingParameter('messages');
  if (!Array.isArray(messages)) throw invalidType('messages', 'an array of objects', messages);
  if (messages.length === 0) throw emptyArray('messages');
  const odd = messages.findIndex((message) => !isJsonObject(message));
  if (odd !== -1) throw invalidType(`messages[${odd}]`, 'an object', messages[odd]);
}

function readIncludeUsage(options: Json | undefined, stream: boolean): boolean {
  if (options === undefined || options === null) return false;
  if (!isJsonObject(options)) throw invalidType('stream_options', 'an object', options);
  if (!stream) throw streamOptionsWithoutStream();
  return optionalBoolean('stream_options.include_usage', options.include_usage) ?? false;
}

function optionalBoolean(param: string, value: Json | undefined): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'boolean') throw invalidType(param, 'a boolean', value);
  return value;
}

function optionalInteger(param: string, value: Json | undefined, min: number, max: number): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || (Number.isFinite(value) && !Number.isInteger(value))) {
    throw invalidType(param, 'an integer', value);
  }
  if (value < min) throw numberBelowMin(param, 'integer', min, value);
  if (value > max) throw numberAboveMax(param, 'integer', max, value);
  return value;
}

function checkDecimal(param: string, value: Json | undefined, min: number, max: number): void {
  if (value === undefined || value === null) return;
  if (typeof value !== 'number') throw invalidType(param, 'a decimal', value);
  if (value < min) throw numberBelowMin(param, 'decimal', min, value);
  if (value > max) throw numberAboveMax(param, 'decimal', max, value);
}
