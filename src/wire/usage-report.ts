import type { JsonObject } from '../json.js';
import type { UsageSum, UsageTotals } from '../usage/usage-store.js';

const NANO = 1_000_000_000;

/** `GET /v1/usage`: what the calling key has used, in the service's field names (service.md §14). Costs in US dollars, of the calls whose cost is known. */
export function usageReport(totals: UsageTotals): JsonObject {
  return {
    object: 'usage',
    total_requests: totals.requests,
    total_tokens: totals.inputTokens + totals.outputTokens,
    input_tokens: totals.inputTokens,
    output_tokens: totals.outputTokens,
    total_cost: costUsd(totals),
    currency: 'USD',
    requests_without_cost: totals.requestsWithoutCost,
    requests_by_model: byModel(totals, (sum) => sum.requests),
    tokens_by_model: byModel(totals, (sum) => sum.tokens),
    cost_by_model: byModel(totals, costUsd),
    requests_by_hour: totals.byHour.map((hour) => ({
      hour: new Date(hour.startsAt).toISOString(),
      count: hour.requests,
      tokens: hour.tokens,
      cost: costUsd(hour),
    })),
  };
}

/** US dollars; `null` when nobody knows what any of the calls cost: that is not nothing. */
function costUsd(sum: Pick<UsageSum, 'requests' | 'costNanoUsd' | 'requestsWithoutCost'>): number | null {
  return sum.requests > 0 && sum.requestsWithoutCost === sum.requests ? null : sum.costNanoUsd / NANO;
}

function byModel(totals: UsageTotals, figure: (sum: UsageSum) => number | null): JsonObject {
  return Object.fromEntries([...totals.byModel].map(([model, sum]) => [model, figure(sum)]));
}
