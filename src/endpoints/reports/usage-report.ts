import type { JsonObject } from '../../base/json.js';
import { NANO_PER_USD } from '../../base/money.js';
import type { UsageGroup, UsageSums } from '../../usage/usage-store.js';
import { choicesParameter, secondsParameter } from '../../wire/list-page.js';
import { invalidRequest } from '../../wire/request-errors.js';

const DAY_SECONDS = 86_400;
const DEFAULT_DAYS = 31;
/** A report by the hour has so many rows for each of its groups. */
const MAX_DAYS = 366;

/** Groups that `GET /v1/usage` knows. */
const USAGE_LABELS = ['model', 'key', 'hour', 'day'] as const;
type UsageLabel = (typeof USAGE_LABELS)[number];

/** The question of a client of `GET /v1/usage`. */
export interface UsageAsked {
  /** Unix time in seconds, half open. */
  readonly startTime: number;
  readonly endTime: number;
  /** Empty: the report has the service's own shape. */
  readonly groupBy: readonly UsageLabel[];
}

/**
 * Reads the query of `GET /v1/usage`: `start_time` and `end_time`, by default the last 31 days up to now, and `group_by`.
 * @throws {GatewayError} 400
 */
export function readUsageQuery(query: URLSearchParams, nowMs: number): UsageAsked {
  const groupBy = choicesParameter(query, 'group_by', USAGE_LABELS);
  const endTime = secondsParameter(query, 'end_time') ?? Math.floor(nowMs / 1_000) + 1;
  const startTime = secondsParameter(query, 'start_time') ?? Math.max(0, endTime - DEFAULT_DAYS * DAY_SECONDS);
  checkOrder(startTime, endTime);
  if (endTime - startTime > MAX_DAYS * DAY_SECONDS) {
    throw invalidRequest(`Invalid 'start_time': usage is reported for at most ${MAX_DAYS} days at once.`, 'start_time');
  }
  return { startTime, endTime, groupBy };
}

/** @throws {GatewayError} 400 for a period that ends before it has begun. */
export function checkOrder(startTime: number, endTime: number): void {
  if (endTime <= startTime) throw invalidRequest("Invalid 'end_time': it must be after 'start_time'.", 'end_time');
}

/** The sums that a report without groups is made of. */
export interface UsageTotals {
  readonly all: UsageSums;
  readonly byModel: ReadonlyMap<string, UsageSums>;
  /** By the hour's beginning, Unix time in milliseconds; oldest first. */
  readonly byHour: ReadonlyMap<number, UsageSums>;
}

/** `GET /v1/usage`: an owner's usage, in MegaLLM's field names. Costs are in US dollars, of the calls whose cost is known. */
export function usageReport({ all, byModel, byHour }: UsageTotals): JsonObject {
  const ofModels = (figure: (sums: UsageSums) => number | null): JsonObject =>
    Object.fromEntries([...byModel].map(([model, sums]) => [model, figure(sums)]));
  return {
    object: 'usage',
    total_requests: all.requests,
    total_tokens: tokensOf(all),
    input_tokens: all.inputTokens,
    output_tokens: all.outputTokens,
    total_cost: costUsd(all),
    currency: 'USD',
    requests_without_cost: all.requestsWithoutCost,
    requests_by_model: ofModels(({ requests }) => requests),
    tokens_by_model: ofModels(tokensOf),
    cost_by_model: ofModels(costUsd),
    requests_by_hour: [...byHour].map(([startsAt, sums]) => ({
      hour: new Date(startsAt).toISOString(),
      count: sums.requests,
      tokens: tokensOf(sums),
      cost: costUsd(sums),
    })),
  };
}

/** `GET /v1/usage?group_by=…`: a row for each group that has calls, by time and then in the order of the groups. */
export function usageList({ startTime, endTime, groupBy }: UsageAsked, groups: readonly UsageGroup[]): JsonObject {
  return {
    object: 'list',
    start_time: startTime,
    end_time: endTime,
    currency: 'USD',
    data: groups.map(({ startsAt, of, sums }) => {
      const time = new Date(startsAt).toISOString();
      const labels = {
        model: of.model ?? '',
        key: of.keyId ?? '',
        hour: time,
        day: time.slice(0, 'yyyy-mm-dd'.length),
      };
      return {
        object: 'usage.group',
        ...Object.fromEntries(groupBy.map((label) => [label, labels[label]])),
        total_requests: sums.requests,
        total_tokens: tokensOf(sums),
        input_tokens: sums.inputTokens,
        cached_input_tokens: sums.cachedInputTokens,
        cache_write_tokens: sums.cacheWriteTokens,
        output_tokens: sums.outputTokens,
        reasoning_tokens: sums.reasoningTokens,
        total_cost: costUsd(sums),
        requests_without_cost: sums.requestsWithoutCost,
      };
    }),
  };
}

/** US dollars; `null` when nobody knows what any of the calls cost: that is not nothing. */
export function costUsd({ requests, costNanoUsd, requestsWithoutCost }: UsageSums): number | null {
  return requests > 0 && requestsWithoutCost === requests ? null : costNanoUsd / NANO_PER_USD;
}

function tokensOf({ inputTokens, outputTokens }: UsageSums): number {
  return inputTokens + outputTokens;
}
