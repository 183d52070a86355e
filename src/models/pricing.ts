import { unexpected } from '../base/checks.js';
import { NANO_PER_USD } from '../base/money.js';

/** The price of a model in integers: billionths of a US dollar for a million tokens. */
export interface Price {
  readonly inputNanoUsdPerMillion: number;
  readonly cachedInputNanoUsdPerMillion: number;
  readonly inputAudioNanoUsdPerMillion: number;
  readonly inputImageNanoUsdPerMillion: number;
  readonly outputNanoUsdPerMillion: number;
  readonly reasoningNanoUsdPerMillion: number;
  readonly outputAudioNanoUsdPerMillion: number;
}

/** Prices as people write them: US dollars for a million tokens, each at most 4,500. */
export interface Pricing {
  readonly inputUsdPerMillion: number;
  /** @default inputUsdPerMillion */
  readonly cachedInputUsdPerMillion?: number | undefined;
  /** @default inputUsdPerMillion */
  readonly inputAudioUsdPerMillion?: number | undefined;
  /** @default inputUsdPerMillion */
  readonly inputImageUsdPerMillion?: number | undefined;
  readonly outputUsdPerMillion: number;
  /** @default outputUsdPerMillion */
  readonly reasoningUsdPerMillion?: number | undefined;
  /** @default outputUsdPerMillion */
  readonly outputAudioUsdPerMillion?: number | undefined;
}

/** Tokens to be priced: at most a billion of input and of output. A part that is `undefined` counts as none. */
export interface PricedTokens {
  readonly inputTokens: number;
  readonly cachedInputTokens: number | undefined;
  readonly inputAudioTokens: number | undefined;
  readonly inputImageTokens: number | undefined;
  readonly outputTokens: number;
  readonly reasoningTokens: number | undefined;
  readonly outputAudioTokens: number | undefined;
}

const MILLION = 1_000_000;
/** A billion tokens of input and as many of output still cost a safe integer of billionths. */
const MAX_USD_PER_MILLION = 4_500;

/**
 * The price in integers, with its defaults filled in.
 * @param name of the option, for errors.
 * @throws {TypeError} for a number that is negative, not finite, or too large for exact sums.
 */
export function toPrice(pricing: Pricing, name = 'pricing'): Price {
  const read = (field: keyof Pricing, usual?: number): number => {
    const usd = pricing[field];
    if (usd === undefined && usual !== undefined) return usual;
    if (typeof usd === 'number' && usd >= 0 && usd <= MAX_USD_PER_MILLION) return Math.round(usd * NANO_PER_USD);
    throw unexpected(`${name}.${field}`, `to be US dollars, at least 0 and at most ${MAX_USD_PER_MILLION}`, usd);
  };
  const input = read('inputUsdPerMillion');
  const output = read('outputUsdPerMillion');
  return {
    inputNanoUsdPerMillion: input,
    cachedInputNanoUsdPerMillion: read('cachedInputUsdPerMillion', input),
    inputAudioNanoUsdPerMillion: read('inputAudioUsdPerMillion', input),
    inputImageNanoUsdPerMillion: read('inputImageUsdPerMillion', input),
    outputNanoUsdPerMillion: output,
    reasoningNanoUsdPerMillion: read('reasoningUsdPerMillion', output),
    outputAudioNanoUsdPerMillion: read('outputAudioUsdPerMillion', output),
  };
}

/**
 * The cost of tokens in billionths of a US dollar, exact and rounded half up once. Parts may overlap, and no token is paid for twice: of the input, cached tokens count first, then audio, then images; of
 * the output, reasoning and then audio. Each is at most the rest of the whole, and the remainder is text.
 */
export function costNanoUsd(price: Price, tokens: PricedTokens): number {
  const { inputTokens, outputTokens } = tokens;
  const cached = Math.min(tokens.cachedInputTokens ?? 0, inputTokens);
  const audio = Math.min(tokens.inputAudioTokens ?? 0, inputTokens - cached);
  const images = Math.min(tokens.inputImageTokens ?? 0, inputTokens - cached - audio);
  const reasoning = Math.min(tokens.reasoningTokens ?? 0, outputTokens);
  const spoken = Math.min(tokens.outputAudioTokens ?? 0, outputTokens - reasoning);
  const cost = new Cost();
  cost.add(inputTokens - cached - audio - images, price.inputNanoUsdPerMillion);
  cost.add(cached, price.cachedInputNanoUsdPerMillion);
  cost.add(audio, price.inputAudioNanoUsdPerMillion);
  cost.add(images, price.inputImageNanoUsdPerMillion);
  cost.add(outputTokens - reasoning - spoken, price.outputNanoUsdPerMillion);
  cost.add(reasoning, price.reasoningNanoUsdPerMillion);
  cost.add(spoken, price.outputAudioNanoUsdPerMillion);
  return cost.rounded();
}

/** The highest possible cost of so many tokens: all of them at the dearest price of any part. */
export function worstCostNanoUsd(
  price: Price,
  { inputTokens, outputTokens }: { readonly inputTokens: number; readonly outputTokens: number },
): number {
  const input = Math.max(
    price.inputNanoUsdPerMillion,
    price.cachedInputNanoUsdPerMillion,
    price.inputAudioNanoUsdPerMillion,
    price.inputImageNanoUsdPerMillion,
  );
  const output = Math.max(
    price.outputNanoUsdPerMillion,
    price.reasoningNanoUsdPerMillion,
    price.outputAudioNanoUsdPerMillion,
  );
  const cost = new Cost();
  cost.add(inputTokens, input);
  cost.add(outputTokens, output);
  return cost.rounded();
}

/**
 * A sum of costs that stays exact in doubles: whole billionths of a dollar are added up apart from the millionths of them.
 * Two billion tokens at the dearest price make 9e15 of the one, and 2e15 of the other.
 */
class Cost {
  private nanoUsd = 0;
  private millionths = 0;

  add(tokens: number, nanoUsdPerMillion: number): void {
    const rest = nanoUsdPerMillion % MILLION;
    this.nanoUsd += tokens * ((nanoUsdPerMillion - rest) / MILLION);
    this.millionths += tokens * rest;
  }

  /** The sum, rounded half up. Below 2 ** 52 a division by a million never rounds up to a whole number. */
  rounded(): number {
    return this.nanoUsd + Math.floor((this.millionths + MILLION / 2) / MILLION);
  }
}
