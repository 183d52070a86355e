import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import { type JsonOutline, outlinedText } from '../base/json-document.js';
import { chatTools, responseTools } from './hosted-tools.js';
import {
  type NumberRange,
  optionalArray,
  optionalBoolean,
  optionalDecimal,
  optionalInteger,
  optionalObject,
} from './members.js';
import {
  arrayAboveMaxLength,
  emptyArray,
  invalidType,
  missingModel,
  missingParameter,
  otherModelsNotAllowed,
  streamOptionsWithoutStream,
} from './request-errors.js';

/** The few fields of a call to a model that we act on. Everything else is the upstream's to judge. */
export interface ModelRequest {
  readonly model: string;
  readonly stream: boolean;
  /** Whether the client asked for the usage chunk of a stream. */
  readonly includeUsage: boolean;
  /** Most tokens of one answer; `undefined`: the client named no ceiling. */
  readonly maxOutputTokens: number | undefined;
  /** Answers asked for at once. */
  readonly n: number;
  /** The service tier; `undefined`: none is named, or `auto`. */
  readonly serviceTier?: string | undefined;
  /** Most calls of hosted tools. */
  readonly maxToolCalls?: number | undefined;
  /** Whether the upstream may call tools of its own, which it charges for. */
  readonly hasHostedTools?: boolean;
  /** The types of those tools; `undefined`: nobody can tell. */
  readonly hostedTools?: readonly string[] | undefined;
}

/** Longest name of a model: a longer one is no model's, and has no place in a ledger. */
export const MAX_MODEL_LENGTH = 256;
/** OpenAI's own bound. */
const MAX_N = 128;
/** Keeps sums of tokens far inside the safe integers. */
const MAX_OUTPUT_TOKENS = 1_000_000_000;
/** Tokens that OpenAI generates where a legacy completion names no ceiling; other servers go on without end. */
export const DEFAULT_COMPLETION_TOKENS = 16;
/** OpenAI's own bound of the inputs of one call. */
const MAX_INPUTS = 2_048;
/** The model of a moderation that names none. */
const DEFAULT_MODERATION_MODEL = 'omni-moderation-latest';

/** Ranges of OpenAI's description. */
const TEMPERATURE: NumberRange = { min: 0, max: 2 };
const TOP_P: NumberRange = { min: 0, max: 1 };
const PENALTY: NumberRange = { min: -2, max: 2 };

/**
 * Reads the request of a chat completion. Its ceiling is the larger of `max_completion_tokens` and `max_tokens`, so that
 * neither hides the other.
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
  const maxOutputTokens =
    maxTokens === undefined || maxCompletionTokens === undefined
      ? (maxTokens ?? maxCompletionTokens)
      : Math.max(maxTokens, maxCompletionTokens);
  const serviceTier = readAskedTier(outline);
  const { hasHostedTools, hostedTools } = chatTools(body);
  return { model, stream, includeUsage, maxOutputTokens, n, serviceTier, hasHostedTools, hostedTools };
}

/**
 * Reads the request of a legacy completion, which asks for `n` answers to each prompt.
 * @throws {GatewayError} 400
 */
export function readCompletionRequest(outline: JsonOutline): ModelRequest {
  const { body } = outline;
  const model = readModel(outline);
  const { stream, includeUsage } = readStream(body);
  const prompts = body.prompt === undefined || body.prompt === null ? 1 : inputCount('prompt', body.prompt);
  const maxOutputTokens = readCeiling(body, 'max_tokens', 0);
  const n = Math.max(readN(body), readCeiling(body, 'best_of', 0) ?? 1) * prompts;
  checkDecimals(body);
  return { model, stream, includeUsage, maxOutputTokens, n, serviceTier: readAskedTier(outline) };
}

/**
 * Reads the request of embeddings, which have no output tokens.
 * @throws {GatewayError} 400
 */
export function readEmbeddingRequest(outline: JsonOutline): ModelRequest {
  const model = readModel(outline);
  if (outline.body.input === undefined || outline.body.input === null) throw missingParameter('input');
  inputCount('input', outline.body.input);
  return { ...withoutOutput(model), serviceTier: readAskedTier(outline) };
}

/**
 * Reads the request of a moderation, which has no output tokens and need not name a model.
 * @throws {GatewayError} 400
 */
export function readModerationRequest(outline: JsonOutline): ModelRequest {
  const { model, input } = outline.body;
  const named = model === undefined || model === null ? DEFAULT_MODERATION_MODEL : readModel(outline);
  if (input === undefined || input === null) throw missingParameter('input');
  return withoutOutput(named);
}

/**
 * Reads the request of a response that is passed on as it came.
 * @throws {GatewayError} 400 for what a gateway must not pass on.
 */
export function readPassedResponse(outline: JsonOutline): ModelRequest {
  const { body } = outline;
  const model = readModel(outline);
  const { stream } = readStream({ stream: body.stream ?? null });
  checkDecimals(body);
  return {
    model,
    stream,
    includeUsage: false,
    maxOutputTokens: readCeiling(body, 'max_output_tokens'),
    n: 1,
    serviceTier: readAskedTier(outline),
    maxToolCalls: readCeiling(body, 'max_tool_calls', 0),
    ...responseTools(body),
  };
}

/** Reads the service tier that is asked for: Anthropic's fast mode is one. @throws {GatewayError} 400 for one that is no text. */
function readAskedTier(outline: JsonOutline): string | undefined {
  const { service_tier: tier, speed } = outline.body;
  if (speed === 'fast') return 'fast';
  if (tier === undefined || tier === null) return undefined;
  if (typeof tier !== 'string') throw invalidType('service_tier', 'a string', tier);
  const name = outlinedText(outline, tier);
  return name === 'auto' ? undefined : name;
}

/** Reads the name of the model. @throws {GatewayError} 400 when there is none. */
export function readModel(outline: JsonOutline): string {
  const { model } = outline.body;
  if (model === undefined || model === null || model === '') throw missingModel();
  if (typeof model !== 'string') throw invalidType('model', 'a string', model);
  if (model.length > MAX_MODEL_LENGTH) throw invalidType('model', 'a shorter string', model);
  return outlinedText(outline, model);
}

/** Reads whether the answer is to be streamed, and with usage. */
export function readStream({ stream, stream_options }: JsonObject): Pick<ModelRequest, 'stream' | 'includeUsage'> {
  const isStream = optionalBoolean('stream', stream) ?? false;
  const options = optionalObject('stream_options', stream_options);
  if (options === undefined) return { stream: isStream, includeUsage: false };
  if (!isStream) throw streamOptionsWithoutStream();
  const includeUsage = optionalBoolean('stream_options.include_usage', options.include_usage) ?? false;
  return { stream: true, includeUsage };
}

/** Reads the output ceiling of that name; `undefined`: the body names none. */
export function readCeiling(body: JsonObject, name: string, min = 1): number | undefined {
  return optionalInteger(name, body[name], { min, max: MAX_OUTPUT_TOKENS });
}

/** Reads the number of answers asked for. */
export function readN({ n }: JsonObject): number {
  return optionalInteger('n', n, { min: 1, max: MAX_N }) ?? 1;
}

/** Checks temperature, penalties and the like. @throws {GatewayError} 400 for one beyond OpenAI's range. */
export function checkDecimals(body: JsonObject): void {
  optionalDecimal('temperature', body.temperature, TEMPERATURE);
  optionalDecimal('top_p', body.top_p, TOP_P);
  optionalDecimal('frequency_penalty', body.frequency_penalty, PENALTY);
  optionalDecimal('presence_penalty', body.presence_penalty, PENALTY);
}

function checkMessages(value: Json | undefined): void {
  const messages = optionalArray('messages', value, 'objects');
  if (messages === undefined) throw missingParameter('messages');
  for (let at = 0; at < messages.length; at += 1) {
    if (!isJsonObject(messages[at])) throw invalidType(`messages[${at}]`, 'an object', messages[at]);
  }
}

function withoutOutput(model: string): ModelRequest {
  return { model, stream: false, includeUsage: false, maxOutputTokens: 0, n: 1 };
}

/** Counts the inputs: a list of texts or token arrays is many, a text or a token array is one. */
function inputCount(name: string, value: Json): number {
  if (typeof value === 'string') return 1;
  if (!Array.isArray(value)) throw invalidType(name, 'one of a string or array', value);
  if (value.length === 0) throw emptyArray(name);
  if (typeof value[0] === 'number') return 1;
  if (value.length > MAX_INPUTS) throw arrayAboveMaxLength(name, MAX_INPUTS, value.length);
  return value.length;
}

/**
 * Members by which other servers are told to ask another model than `model`:
 * OpenRouter, https://openrouter.ai/docs/features/model-routing; LiteLLM, https://docs.litellm.ai/docs/proxy/reliability.
 */
const NAMES_OTHER_MODELS = new Set([
  ...['models', 'route', 'fallbacks', 'fallback_models', 'default_fallbacks', 'model_list'],
  ...['context_window_fallbacks', 'context_window_fallback_dict', 'content_policy_fallbacks', 'mock_testing_fallbacks'],
]);

/**
 * Checks the names of a body's members, in any case, for a key that is held to named models.
 * @throws {GatewayError} 403 for a member that names others.
 */
export function checkNoOtherModels(names: Iterable<string>): void {
  for (const name of names) if (NAMES_OTHER_MODELS.has(name.toLowerCase())) throw otherModelsNotAllowed(name);
}
