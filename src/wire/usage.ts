import { isJsonObject, type Json } from '../json.js';

/** Tokens of one call as the upstream said them. */
export interface TokenUsage {
  readonly inputTokens: number;
  readonly cachedInputTokens: number | undefined;
  readonly outputTokens: number;
  readonly reasoningTokens: number | undefined;
}

/** Beyond any model there is: a larger number is garbage. */
const MAX_TOKENS = 1_000_000_000;

/**
 * Reads OpenAI's `usage` object, in the names of chat completions or of Responses, images and audio. `undefined` when it is absent or not believable (negative, fractional, huge, more
 * cached than there was): what is not sure is estimated, and never credits the caller. An explicit 0 is a 0.
 */
export function readUsage(usage: Json | undefined): TokenUsage | undefined {
  if (!isJsonObject(usage)) return undefined;
  const inputTokens = tokenCount(usage.prompt_tokens ?? usage.input_tokens);
  const outputTokens = tokenCount(usage.completion_tokens ?? usage.output_tokens ?? 0);
  if (inputTokens === undefined || outputTokens === undefined) return undefined;
  const cachedInputTokens = detail(usage.prompt_tokens_details ?? usage.input_tokens_details, 'cached_tokens');
  const reasoningTokens = detail(usage.completion_tokens_details ?? usage.output_tokens_details, 'reasoning_tokens');
  if (cachedInputTokens !== undefined && cachedInputTokens > inputTokens) return undefined;
  return { inputTokens, cachedInputTokens, outputTokens, reasoningTokens };
}

function detail(details: Json | undefined, name: string): number | undefined {
  return isJsonObject(details) ? tokenCount(details[name]) : undefined;
}

function tokenCount(value: Json | undefined): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= MAX_TOKENS
    ? value
    : undefined;
}
