import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { chatCompletionId } from '../ids.js';
import { objectsAmong } from '../members.js';
import { type ToolKind, toolCallBody } from './tool-calls.js';

/** The reason why a choice ended. OpenAI's list is closed: several SDKs fail at any other reason. */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'function_call';

/** The members that every chunk of an answer repeats, and that a whole answer says once. */
export interface ChatHead {
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly model: string;
  /** Absent: the answer does not tell it. */
  readonly serviceTier?: string;
  /** Absent: the answer does not tell it. */
  readonly systemFingerprint?: string;
}

/** A chat answer without its wire shape: `chatCompletion` writes it whole, `chatChunks` in pieces. */
export interface ChatAnswer {
  readonly head: ChatHead;
  readonly choices: readonly ChatChoice[];
  /** Usage in OpenAI's shape; `undefined`: unknown. */
  readonly usage: JsonObject | undefined;
}

/** One of the answers of a `ChatAnswer`. */
export interface ChatChoice {
  /** Text in the pieces in which it streams; `null` when there is none, as in a bare tool call. */
  readonly text: readonly string[] | null;
  readonly toolCalls: readonly ToolCall[];
  /** The legacy form of a single call. */
  readonly functionCall?: NamedCall;
  /** @default null */
  readonly refusal?: string;
  readonly finishReason: FinishReason;
  /** Log probabilities in OpenAI's shape, one for each piece of text. Absent: the client did not ask for them. */
  readonly logprobs?: readonly Json[];
  /** Further members of the message, such as `annotations` or a vendor's `reasoning_content`. */
  readonly extra?: JsonObject;
}

/** A call that the model wants made. */
export interface NamedCall {
  readonly name: string;
  /** Arguments, or the input of a custom tool, in the pieces in which they stream. */
  readonly text: readonly string[];
}

/** One of the calls of a message. */
export interface ToolCall extends NamedCall {
  readonly kind: ToolKind;
  readonly id: string;
}

/** Token counts of an answer, told by a maker that knows them all. */
export interface TokenCounts {
  readonly inputTokens: number;
  /** @default 0 */
  readonly cachedInputTokens?: number | undefined;
  /** @default 0 */
  readonly inputAudioTokens?: number | undefined;
  /** Output tokens, reasoning included. */
  readonly outputTokens: number;
  /** @default 0 */
  readonly reasoningTokens?: number | undefined;
  /** @default 0 */
  readonly outputAudioTokens?: number | undefined;
}

/** The head of an answer. @param seed source of the id, such as the request id. @param nowMs Unix time. */
export function chatHead(seed: string, model: string, nowMs: number): ChatHead {
  return { id: chatCompletionId(seed), created: Math.floor(nowMs / 1000), model };
}

/** A whole answer, its members in the order in which OpenAI sends them. */
export function chatCompletion(answer: ChatAnswer): JsonObject {
  const { id, created, model, serviceTier, systemFingerprint } = answer.head;
  return {
    id,
    object: 'chat.completion',
    created,
    model,
    choices: answer.choices.map((choice, index) => ({
      index,
      message: messageOf(choice),
      logprobs: choice.logprobs === undefined ? null : { content: choice.logprobs, refusal: null },
      finish_reason: choice.finishReason,
    })),
    ...(answer.usage === undefined ? {} : { usage: answer.usage }),
    ...(serviceTier === undefined ? {} : { service_tier: serviceTier }),
    ...(systemFingerprint === undefined ? {} : { system_fingerprint: systemFingerprint }),
  };
}

/** Usage in OpenAI's shape, with the details of input and output. */
export function usageBody({
  inputTokens,
  cachedInputTokens = 0,
  inputAudioTokens = 0,
  outputTokens,
  reasoningTokens = 0,
  outputAudioTokens = 0,
}: TokenCounts): JsonObject {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { cached_tokens: cachedInputTokens, audio_tokens: inputAudioTokens },
    completion_tokens_details: {
      reasoning_tokens: reasoningTokens,
      audio_tokens: outputAudioTokens,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}

/**
 * Finish reasons of OpenAI and of other vendors, in lower case, by what they mean: Anthropic, Bedrock, Gemini, Cohere, Mistral, TGI,
 * Together, watsonx, Zhipu, Vercel, Ollama (`load`: it was asked for nothing).
 */
const REASONS: readonly (readonly [FinishReason, string])[] = [
  [
    'stop',
    'stop end_turn stop_sequence eos eos_token end complete completed finish finished pause_turn stop_token other unknown load unload',
  ],
  [
    'length',
    `length max_tokens max_output_tokens model_length max_length token_limit model_context_window_exceeded context_length_exceeded
     error_limit time_limit`,
  ],
  ['tool_calls', 'tool_calls tool_use tool_call function_calls'],
  [
    'content_filter',
    `content_filter safety recitation blocklist prohibited_content spii refusal content_filtered image_safety error_toxic
     guardrail_intervened sensitive moderation`,
  ],
  ['function_call', 'function_call'],
];
const MEANINGS: ReadonlyMap<string, FinishReason> = new Map(
  REASONS.flatMap(([reason, names]) => names.split(/\s+/).map((name) => [name, reason] as const)),
);

/**
 * Finish reasons that say that the answer failed: Mistral's and OpenRouter's `error`, DeepSeek's `insufficient_system_resource`,
 * Zhipu's `network_error`, SGLang's `abort`, Cohere's `USER_CANCEL`, Gemini's `MALFORMED_FUNCTION_CALL`.
 */
const FAILURES: ReadonlySet<string> = new Set(
  `error network_error insufficient_system_resource abort aborted cancelled canceled user_cancel failed
   malformed_function_call unexpected_tool_call`.split(/\s+/),
);

/** The finish reason in `value`, another vendor's as what it means; `undefined` when it is none. */
export function readFinishReason(value: Json | undefined): FinishReason | undefined {
  const name = reasonName(value);
  return name === undefined ? undefined : MEANINGS.get(name);
}

/** Whether a choice has come to its end, for whatever reason: some servers write '' or `"null"` until then. */
export function isFinished({ finish_reason: reason }: JsonObject): boolean {
  return typeof reason === 'string' && reason !== '' && reason.toLowerCase() !== 'null';
}

/** The error of the first choice that bears one (OpenRouter), or whose finish reason says that it failed; `undefined` where none does. */
export function failureIn(choices: Json | undefined): JsonObject | undefined {
  if (!Array.isArray(choices)) return undefined;
  for (const choice of choices) {
    if (!isJsonObject(choice)) continue;
    const { finish_reason: reason, error } = choice;
    if (isJsonObject(error) && Object.keys(error).length > 0) return error;
    const name = reasonName(reason);
    if (name === undefined || !FAILURES.has(name)) continue;
    const message = typeof error === 'string' && error !== '' ? error : `The model's answer ended with: ${name}.`;
    return { message };
  }
  return undefined;
}

/** The words by which Groq tells in a chunk why its stream stopped early; `undefined` where there are none. */
export function toldByGroq(member: Json | undefined): JsonObject | undefined {
  const error = isJsonObject(member) ? member.error : undefined;
  if (isJsonObject(error)) return error;
  return typeof error === 'string' && error !== '' ? { message: error } : undefined;
}

function reasonName(value: Json | undefined): string | undefined {
  if (typeof value !== 'string' || value.length >= 64) return undefined;
  return MEANINGS.has(value) ? value : value.toLowerCase().replaceAll('-', '_');
}

function messageOf({ text, toolCalls, functionCall, refusal, extra }: ChatChoice): JsonObject {
  return {
    role: 'assistant',
    content: text === null ? null : text.join(''),
    ...(toolCalls.length === 0
      ? {}
      : { tool_calls: toolCalls.map((call) => toolCallBody({ ...call, text: call.text.join('') })) }),
    ...(functionCall === undefined
      ? {}
      : { function_call: { name: functionCall.name, arguments: functionCall.text.join('') } }),
    refusal: refusal ?? null,
    annotations: [],
    ...extra,
  };
}

/** Members of a request that OpenAI keeps beside its completion. */
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

/** A stored completion as it is listed: the answer, and the members of the request that are kept with it. */
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

/** The messages of a stored request as they are listed, with ids of their own. */
export function storedMessages({ messages }: JsonObject, completionId: string): JsonObject[] {
  return objectsAmong(messages).map((message, index) => ({
    ...message,
    id: `${completionId}-${index}`,
    content: typeof message.content === 'string' ? message.content : null,
    content_parts: Array.isArray(message.content) ? message.content : null,
    name: message.name ?? null,
  }));
}
