/** What a model costs, in integers: billionths of a US dollar for a million tokens. */
export interface Price {
  readonly inputNanoUsdPerMillion: number;
  readonly cachedInputNanoUsdPerMillion: number;
  readonly outputNanoUsdPerMillion: number;
}

/** Prices as people write them: US dollars for a million tokens. */
export interface Pricing {
  readonly inputUsdPerMillion: number;
  /** @default inputUsdPerMillion */
  readonly cachedInputUsdPerMillion?: number;
  readonly outputUsdPerMillion: number;
}

/** Tokens to be priced; `undefined` cached tokens are none. */
export interface PricedTokens {
  readonly inputTokens: number;
  readonly cachedInputTokens: number | undefined;
  readonly outputTokens: number;
}

const NANO = 1_000_000_000;
const MILLION = 1_000_000n;
/** Below this a double division by a million never rounds up to a whole number. */
const MAX_EXACT = 2 ** 52;

export function toPrice(pricing: Pricing): Price {
  return {
    inputNanoUsdPerMillion: Math.round(pricing.inputUsdPerMillion * NANO),
    cachedInputNanoUsdPerMillion: Math.round((pricing.cachedInputUsdPerMillion ?? pricing.inputUsdPerMillion) * NANO),
    outputNanoUsdPerMillion: Math.round(pricing.outputUsdPerMillion * NANO),
  };
}

/** Billionths of a US dollar, rounded half up once. Exact: where the sum overflows a double it is made of BigInts. */
export function costNanoUsd(price: Price, tokens: PricedTokens): number {
  const cached = tokens.cachedInputTokens ?? 0;
  // Whole numbers, none of them below 0: where their sum is small, so are they, and doubles are exact.
  const sum =
    (tokens.inputTokens - cached) * price.inputNanoUsdPerMillion +
    cached * price.cachedInputNanoUsdPerMillion +
    tokens.outputTokens * price.outputNanoUsdPerMillion;
  if (sum < MAX_EXACT) return Math.floor((sum + 500_000) / 1_000_000);
  const total =
    BigInt(tokens.inputTokens - cached) * BigInt(price.inputNanoUsdPerMillion) +
    BigInt(cached) * BigInt(price.cachedInputNanoUsdPerMillion) +
    BigInt(tokens.outputTokens) * BigInt(price.outputNanoUsdPerMillion);
  return Number((total + MILLION / 2n) / MILLION);
}
