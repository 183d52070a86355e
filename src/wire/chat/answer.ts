import type { Json, JsonObject } from '../../base/json.js';
import { chatCompletionId } from './ids.js';
import { type ToolKind, toolCallBody } from './tool-calls.js';

/** Why a choice ended; OpenAI's closed list, which several SDKs refuse to read anything else from. */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'function_call';

/** What every chunk of an answer repeats, and a whole answer says once. */
export interface ChatHead {
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly model: string;
  /** Absent: the answer does not say. */
  readonly serviceTier?: string;
  /** Absent: the answer does not say. */
  readonly systemFingerprint?: string;
}

/** A chat answer free of its wire shape: `chatCompletion` writes it whole, `chatChunks` in pieces. */
export interface ChatAnswer {
  readonly head: ChatHead;
  readonly choices: readonly ChatChoice[];
  /** In OpenAI's shape. `undefined`: nobody said. */
  readonly usage: JsonObject | undefined;
}

/** One of the answers of a `ChatAnswer`. */
export interface ChatChoice {
  /** The pieces in which the text streams; `null` when there is no text, as in a bare tool call. */
  readonly text: readonly string[] | null;
  readonly toolCalls: readonly ToolCall[];
  /** The legacy form of a single call. */
  readonly functionCall?: NamedCall;
  /** @default null */
  readonly refusal?: string;
  readonly finishReason: FinishReason;
  /** Log probabilities in OpenAI's shape, one for each piece of text. Absent: not asked for. */
  readonly logprobs?: readonly Json[];
  /** Further members of the message, such as `annotations` or a vendor's `reasoning_content`. */
  readonly extra?: JsonObject;
}

/** A call the model wants made. */
export interface NamedCall {
  readonly name: string;
  /** The pieces in which its arguments stream, or the input of a custom tool. */
  readonly text: readonly string[];
}

/** One of any number of calls. */
export interface ToolCall extends NamedCall {
  readonly kind: ToolKind;
  readonly id: string;
}

/** Token counts of an answer whose maker knows them all. */
export interface TokenCounts {
  readonly inputTokens: number;
  /** @default 0 */
  readonly cachedInputTokens?: number | undefined;
  /** @default 0 */
  readonly inputAudioTokens?: number | undefined;
  /** Reasoning included. */
  readonly outputTokens: number;
  /** @default 0 */
  readonly reasoningTokens?: number | undefined;
  /** @default 0 */
  readonly outputAudioTokens?: number | undefined;
}

/** The head of an answer. @param seed what the id is derived from, such as the request id. @param nowMs Unix time. */
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

/** Usage in OpenAI's shape with both of its details. */
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

/** The finish reason in `value`, or `undefined` when it is none of OpenAI's. */
export function readFinishReason(value: Json | undefined): FinishReason | undefined {
  switch (value) {
    case 'stop':
    case 'length':
    case 'tool_calls':
    case 'content_filter':
    case 'function_call':
      return value;
    default:
      return undefined;
  }
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
