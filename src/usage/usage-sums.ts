import { turn } from '../base/turns.js';
import type { UsageDimension, UsageGroup, UsageRecord, UsageSums } from './usage-store.js';

/** The sums of no calls. */
export const NO_USAGE: UsageSums = {
  requests: 0,
  inputTokens: 0,
  cachedInputTokens: 0,
  cacheWriteTokens: 0,
  cacheWriteLongTokens: 0,
  inputAudioTokens: 0,
  inputImageTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  outputAudioTokens: 0,
  costNanoUsd: 0,
  requestsWithoutCost: 0,
  upstreamCostNanoUsd: 0,
};

/** Sums that can be added to. */
export type GrowingSums = { -readonly [Sum in keyof UsageSums]: UsageSums[Sum] };

/** Adds one call in place, as an object for each call would be garbage. */
export function addCall(sums: GrowingSums, record: UsageRecord): void {
  sums.requests += 1;
  sums.inputTokens += record.inputTokens ?? 0;
  sums.cachedInputTokens += record.cachedInputTokens ?? 0;
  sums.cacheWriteTokens += record.cacheWriteTokens ?? 0;
  sums.cacheWriteLongTokens += record.cacheWriteLongTokens ?? 0;
  sums.inputAudioTokens += record.inputAudioTokens ?? 0;
  sums.inputImageTokens += record.inputImageTokens ?? 0;
  sums.outputTokens += record.outputTokens ?? 0;
  sums.reasoningTokens += record.reasoningTokens ?? 0;
  sums.outputAudioTokens += record.outputAudioTokens ?? 0;
  sums.costNanoUsd += record.costNanoUsd ?? 0;
  sums.requestsWithoutCost += record.costNanoUsd === undefined ? 1 : 0;
  sums.upstreamCostNanoUsd += record.upstreamCostNanoUsd ?? 0;
}

/** Adds up two sums, of which the first may be absent. */
export function addedSums(one: UsageSums | undefined, other: UsageSums): UsageSums {
  if (one === undefined) return other;
  return {
    requests: one.requests + other.requests,
    inputTokens: one.inputTokens + other.inputTokens,
    cachedInputTokens: one.cachedInputTokens + other.cachedInputTokens,
    cacheWriteTokens: one.cacheWriteTokens + other.cacheWriteTokens,
    cacheWriteLongTokens: one.cacheWriteLongTokens + other.cacheWriteLongTokens,
    inputAudioTokens: one.inputAudioTokens + other.inputAudioTokens,
    inputImageTokens: one.inputImageTokens + other.inputImageTokens,
    outputTokens: one.outputTokens + other.outputTokens,
    reasoningTokens: one.reasoningTokens + other.reasoningTokens,
    outputAudioTokens: one.outputAudioTokens + other.outputAudioTokens,
    costNanoUsd: one.costNanoUsd + other.costNanoUsd,
    requestsWithoutCost: one.requestsWithoutCost + other.requestsWithoutCost,
    upstreamCostNanoUsd: one.upstreamCostNanoUsd + other.upstreamCostNanoUsd,
  };
}

/** Sums that are read, and groups that are put in order, in one turn: a few milliseconds. */
export const CELLS_PER_TURN = 2_000;

/** Groups by time, and then by their names. */
export async function sortedInTurns(
  groups: readonly UsageGroup[],
  by: readonly UsageDimension[],
): Promise<UsageGroup[]> {
  const byTime = new Map<number, UsageGroup[]>();
  for (const group of groups) {
    const known = byTime.get(group.startsAt);
    if (known === undefined) byTime.set(group.startsAt, [group]);
    else known.push(group);
  }
  const sorted: UsageGroup[] = [];
  let inTurn = 0;
  for (const [, ofTime] of [...byTime].sort(([one], [other]) => one - other)) {
    for (const group of ofTime.sort(inOrderOf(by))) sorted.push(group);
    inTurn += ofTime.length;
    if (inTurn < CELLS_PER_TURN) continue;
    inTurn = 0;
    await turn();
  }
  return sorted;
}

/** By the code units of the names. */
function inOrderOf(by: readonly UsageDimension[]): (one: UsageGroup, other: UsageGroup) => number {
  return (one, other) => {
    for (const dimension of by) {
      const [name = '', otherName = ''] = [one.of[dimension], other.of[dimension]];
      if (name !== otherName) return name < otherName ? -1 : 1;
    }
    return 0;
  };
}
