import type { UsageRecord, UsageSums } from './usage-store.js';

/** The sums of no calls. */
export const NO_USAGE: UsageSums = {
  requests: 0,
  inputTokens: 0,
  cachedInputTokens: 0,
  inputAudioTokens: 0,
  inputImageTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  outputAudioTokens: 0,
  costNanoUsd: 0,
  requestsWithoutCost: 0,
};

/** The sums of one call. */
export function sumsOf(record: UsageRecord): UsageSums {
  return {
    requests: 1,
    inputTokens: record.inputTokens ?? 0,
    cachedInputTokens: record.cachedInputTokens ?? 0,
    inputAudioTokens: record.inputAudioTokens ?? 0,
    inputImageTokens: record.inputImageTokens ?? 0,
    outputTokens: record.outputTokens ?? 0,
    reasoningTokens: record.reasoningTokens ?? 0,
    outputAudioTokens: record.outputAudioTokens ?? 0,
    costNanoUsd: record.costNanoUsd ?? 0,
    requestsWithoutCost: record.costNanoUsd === undefined ? 1 : 0,
  };
}

/** Both together; one alone where there is no other. */
export function addedSums(one: UsageSums | undefined, other: UsageSums): UsageSums {
  if (one === undefined) return other;
  return {
    requests: one.requests + other.requests,
    inputTokens: one.inputTokens + other.inputTokens,
    cachedInputTokens: one.cachedInputTokens + other.cachedInputTokens,
    inputAudioTokens: one.inputAudioTokens + other.inputAudioTokens,
    inputImageTokens: one.inputImageTokens + other.inputImageTokens,
    outputTokens: one.outputTokens + other.outputTokens,
    reasoningTokens: one.reasoningTokens + other.reasoningTokens,
    outputAudioTokens: one.outputAudioTokens + other.outputAudioTokens,
    costNanoUsd: one.costNanoUsd + other.costNanoUsd,
    requestsWithoutCost: one.requestsWithoutCost + other.requestsWithoutCost,
  };
}
