import { amountOf } from '../limits/levels.js';
import type { Admission, Amounts } from '../limits/limiter-store.js';
import type { UsageRecord } from '../usage/usage-store.js';

/** What was truly used, in the order of the draws, for `settle`. */
export function settledAmounts({ ceilings, amounts: reserved }: Admission, record: UsageRecord): number[] {
  const { inputTokens, outputTokens, costNanoUsd: cost } = record;
  const isUnused = inputTokens === undefined && outputTokens === undefined && cost === undefined;
  const amounts: Amounts = {
    requests: reserved.requests,
    inputTokens: inputTokens ?? 0,
    outputTokens: outputTokens ?? 0,
    // What is used at an unknown price must not be for nothing.
    nanoUsd: cost ?? (isUnused ? 0 : reserved.nanoUsd),
  };
  return ceilings.map((ceiling) => amountOf(ceiling, amounts));
}
