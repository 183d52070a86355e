import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { readUsage, type TokenUsage } from '../usage.js';

/** The usage of a chat completion in the words of responses; `null` where it is not believable. */
export function responsesUsage(usage: Json | undefined): JsonObject | null {
  const counts = readUsage(usage);
  if (counts === undefined || !isJsonObject(usage)) return null;
  const { inputTokens, cachedInputTokens, outputTokens, reasoningTokens } = counts;
  const details = usage.prompt_tokens_details;
  const written =
    isJsonObject(details) && typeof details.cache_write_tokens === 'number' ? details.cache_write_tokens : 0;
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: cachedInputTokens ?? 0, cache_write_tokens: written },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens ?? 0 },
    total_tokens: inputTokens + outputTokens,
  };
}

/** Reads the `usage` of a response; `undefined` when it is absent or not believable. */
export function readResponsesUsage(usage: Json | undefined): TokenUsage | undefined {
  if (!isJsonObject(usage) || usage.input_tokens === undefined) return undefined;
  return readUsage({
    prompt_tokens: usage.input_tokens,
    prompt_tokens_details: usage.input_tokens_details,
    completion_tokens: usage.output_tokens,
    completion_tokens_details: usage.output_tokens_details,
  });
}
