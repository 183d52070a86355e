import { isJsonObject, type Json, type JsonObject } from '../base/json.js';

/** Tokens of one call as the upstream said them; `undefined` parts are those it said nothing of. */
export interface TokenUsage {
  /** All of them; those that follow are parts of it. */
  readonly inputTokens: number;
  readonly cachedInputTokens: number | undefined;
  readonly inputAudioTokens: number | undefined;
  readonly inputImageTokens: number | undefined;
  /** All of them; those that follow are parts of it. */
  readonly outputTokens: number;
  readonly reasoningTokens: number | undefined;
  readonly outputAudioTokens: number | undefined;
}

/** Beyond any model there is: a larger number is garbage. */
const MAX_TOKENS = 1_000_000_000;

/**
 * Reads OpenAI's `usage` object, in the names of chat completions or of Responses, images and audio. `undefined` when it
 * is absent or not believable (negative, fractional, huge, parts larger than their whole): what is not sure is estimated,
 * and never credits the caller. An explicit 0 is a 0.
 */
export function readUsage(usage: Json | undefined): TokenUsage | undefined {
  if (!isJsonObject(usage)) return undefined;
  const inputTokens = tokenCount(usage.prompt_tokens ?? usage.input_tokens);
  const outputTokens = tokenCount(usage.completion_tokens ?? usage.output_tokens ?? 0);
  if (inputTokens === undefined || outputTokens === undefined) return undefined;
  // Transcriptions say `input_token_details`.
  const input = membersOf(usage.prompt_tokens_details ?? usage.input_tokens_details ?? usage.input_token_details);
  const output = membersOf(usage.completion_tokens_details ?? usage.output_tokens_details);
  const tokens = {
    inputTokens,
    cachedInputTokens: partOf(input.cached_tokens),
    inputAudioTokens: partOf(input.audio_tokens),
    inputImageTokens: partOf(input.image_tokens),
    outputTokens,
    reasoningTokens: partOf(output.reasoning_tokens),
    outputAudioTokens: partOf(output.audio_tokens),
  };
  return isBelievable(tokens) ? tokens : undefined;
}

/** What is cached may be of any kind; audio is no image, and reasoning no audio. */
function isBelievable(tokens: TokenUsage): boolean {
  const {
    inputTokens,
    cachedInputTokens: cached = 0,
    inputAudioTokens: audio = 0,
    inputImageTokens: images = 0,
  } = tokens;
  const { outputTokens, reasoningTokens: reasoning = 0, outputAudioTokens: spoken = 0 } = tokens;
  return cached <= inputTokens && audio + images <= inputTokens && reasoning + spoken <= outputTokens;
}

function membersOf(details: Json | undefined): JsonObject {
  return isJsonObject(details) ? details : {};
}

/** Garbage is larger than any whole. */
function partOf(value: Json | undefined): number | undefined {
  return value === undefined || value === null ? undefined : (tokenCount(value) ?? Number.POSITIVE_INFINITY);
}

function tokenCount(value: Json | undefined): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= MAX_TOKENS
    ? value
    : undefined;
}
