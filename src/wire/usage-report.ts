import type { JsonObject } from '../json.js';
import type { UsageSum, UsageTotals } from '../usage/usage-store.js';

const NANO = 1_000_000_000;

/** `GET /v1/usage`: what the calling key has used, in the service's field names (service.md §14). Costs in US dollars. */
export function usageReport(totals: UsageTotals): JsonObject {
  return {
    object: 'usage',
    total_requests: totals.requests,
    total_tokens: totals.inputTokens + totals.outputTokens,
    input_tokens: totals.inputTokens,
    output_tokens: totals.outputTokens,
    total_cost: totals.costNanoUsd / NANO,
    currency: 'USD',
    requests_without_cost: totals.requestsWithoutCost,
    requests_by_model: byModel(totals, (sum) => sum.requests),
    tokens_by_model: byModel(totals, (sum) => sum.tokens),
    cost_by_model: byModel(totals, (sum) => sum.costNanoUsd / NANO),
    requests_by_hour: totals.byHour.map((hour) => ({
      hour: new Date(hour.startsAt).toISOString(),
      count: hour.requests,
      tokens: hour.tokens,
      cost: hour.costNanoUsd / NANO,
    })),
  };
}

function byModel(totals: UsageTotals, figure: (sum: UsageSum) => number): JsonObject {
  return Object.fromEntries([...totals.byModel].map(([model, sum]) => [model, figure(sum)]));
}
