import type { Model } from '../config/models.js';
import type { Admission } from '../limits/admit.js';
import { type Amounts, amountOf } from '../limits/levels.js';
import { costNanoUsd, type PricedTokens, worstCostNanoUsd } from '../models/pricing.js';
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

/** What tokens cost at the prices of now: a change in the middle of a call is for the next. */
export function priced({ price }: Pick<Model, 'price'>): ((tokens: PricedTokens) => number) | undefined {
  return price && ((tokens) => costNanoUsd(price, tokens));
}

/** The most that output tokens may cost together with so many of input, however they are made up. */
export function worstPriced(
  { price }: Pick<Model, 'price'>,
  inputTokens: number,
): ((outputTokens: number) => number) | undefined {
  return price && ((outputTokens) => worstCostNanoUsd(price, { inputTokens, outputTokens }));
}
