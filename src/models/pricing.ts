import { isRecord, refuseOthers, unexpected } from '../base/checks.js';
import { NANO_PER_USD } from '../base/money.js';

/** The price of a model in integers: billionths of a US dollar for a million tokens, and millionths of factors. */
export interface Price {
  readonly inputNanoUsdPerMillion: number;
  readonly cachedInputNanoUsdPerMillion: number;
  readonly cacheWriteNanoUsdPerMillion: number;
  readonly cacheWriteLongNanoUsdPerMillion: number;
  readonly inputAudioNanoUsdPerMillion: number;
  readonly inputImageNanoUsdPerMillion: number;
  readonly outputNanoUsdPerMillion: number;
  readonly reasoningNanoUsdPerMillion: number;
  readonly outputAudioNanoUsdPerMillion: number;
  readonly longContext?:
    | {
        readonly aboveInputTokens: number;
        readonly inputMillionths: number;
        readonly outputMillionths: number;
      }
    | undefined;
  /** Factors of service tiers, by the names that `serviceTierNamed` gives. Absent: none is known. */
  readonly serviceTierMillionths?: Readonly<Record<string, number>> | undefined;
  readonly toolCallNanoUsd?: Readonly<Record<string, number>> | undefined;
  readonly requestNanoUsd?: number | undefined;
  readonly imageNanoUsd?: number | undefined;
  readonly audioNanoUsdPerMillionMs?: number | undefined;
  readonly nanoUsdPerMillionCharacters?: number | undefined;
  /** @see Pricing.version */
  readonly version?: string | undefined;
}

/** Prices as people write them: US dollars for a million tokens, each at most 4,500, with every factor applied. */
export interface Pricing {
  readonly inputUsdPerMillion: number;
  /** @default inputUsdPerMillion */
  readonly cachedInputUsdPerMillion?: number | undefined;
  /** Input that is written to a cache. @default 1.25 × the input where the long write has a price, else the input's price */
  readonly cacheWriteUsdPerMillion?: number | undefined;
  /** Input that is written to a cache which keeps it long: 12 hours, or Anthropic's one. @default 2 × the short write where that has a price, else the input's price */
  readonly cacheWriteLongUsdPerMillion?: number | undefined;
  /** @default inputUsdPerMillion */
  readonly inputAudioUsdPerMillion?: number | undefined;
  /** @default inputUsdPerMillion */
  readonly inputImageUsdPerMillion?: number | undefined;
  readonly outputUsdPerMillion: number;
  /** @default outputUsdPerMillion */
  readonly reasoningUsdPerMillion?: number | undefined;
  /** @default outputUsdPerMillion */
  readonly outputAudioUsdPerMillion?: number | undefined;
  /** Factors for the whole of a call with more input tokens than `aboveInputTokens`. @default none */
  readonly longContext?:
    | { readonly aboveInputTokens: number; readonly inputFactor: number; readonly outputFactor: number }
    | undefined;
  /**
   * Factors of service tiers, such as `{ flex: 0.5, fast: 2 }`; `priority` and `fast` are one. A request for another tier is
   * refused. `default` is 1 unless it is named. @default none is known: a dearer one is refused where money is limited
   */
  readonly serviceTiers?: Readonly<Record<string, number>> | undefined;
  /** US dollars for each call of a hosted tool, by its type: `{ web_search: 0.01 }`. A tool that is not named is free. @default none */
  readonly toolCallUsd?: Readonly<Record<string, number>> | undefined;
  /** US dollars for each request that is answered, beside its tokens: search models have such a fee. @default 0 */
  readonly usdPerRequest?: number | undefined;
  /** US dollars for each picture that is made. @default 0 */
  readonly usdPerImage?: number | undefined;
  /** US dollars for each minute of sound that is transcribed. @default 0 */
  readonly usdPerAudioMinute?: number | undefined;
  /** US dollars for a million characters that are spoken. @default 0 */
  readonly usdPerMillionCharacters?: number | undefined;
  /** Name of this price list, kept with every call that was settled at it: a date, as a rule. @default none */
  readonly version?: string | undefined;
}

/** Tokens to be priced: at most a billion of input and of output. A part that is `undefined` counts as none. */
export interface PricedTokens {
  readonly inputTokens: number;
  readonly cachedInputTokens: number | undefined;
  /** All tokens that were written to a cache. */
  readonly cacheWriteTokens?: number | undefined;
  /** The part of them that is kept long. */
  readonly cacheWriteLongTokens?: number | undefined;
  readonly inputAudioTokens: number | undefined;
  readonly inputImageTokens: number | undefined;
  readonly outputTokens: number;
  readonly reasoningTokens: number | undefined;
  readonly outputAudioTokens: number | undefined;
}

/** Units that cost by the piece. */
export interface PricedUnits {
  readonly images?: number | undefined;
  readonly audioMs?: number | undefined;
  readonly characters?: number | undefined;
}

/** Circumstances of a call that change its cost. */
export interface CostTerms extends PricedUnits {
  /** A tier whose factor is not known costs like `default`. @default `default` */
  readonly serviceTier?: string | undefined;
  /** Calls of hosted tools by type. */
  readonly toolCalls?: Readonly<Record<string, number>> | undefined;
}

/** The most that a call may use. */
export interface WorstUse extends PricedUnits {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly serviceTier?: string | undefined;
  /** Calls of hosted tools. */
  readonly toolCalls?: number | undefined;
  /** The types of those that may be called, such as `web_search_preview`. @default any */
  readonly hostedTools?: readonly string[] | undefined;
}

const MILLION = 1_000_000;
/** A billion tokens of input and as many of output still cost a safe integer of billionths. */
const MAX_USD_PER_MILLION = 4_500;
const MAX_NANO_USD_PER_MILLION = MAX_USD_PER_MILLION * NANO_PER_USD;
/** Price of a cache write where only the long one is told. */
const SHORT_WRITE_FACTOR = 1.25;
/** Price of a long write in short ones: OpenAI's; Anthropic's long write is a little cheaper. */
const LONG_WRITE_FACTOR = 2;
/** Most calls of tools that are counted for one answer. */
const MAX_TOOL_CALLS = 1_000_000;
const NO_TERMS: CostTerms = {};

type RateField = Extract<keyof Pricing, `${string}UsdPerMillion`>;

/**
 * The price in integers, with its defaults filled in.
 * @param name of the option, for errors.
 * @throws {TypeError} for a number that is negative, not finite, or too large for exact sums.
 */
export function toPrice(pricing: Pricing, name = 'pricing'): Price {
  const read = (field: RateField, usual?: number): number => {
    const usd = pricing[field];
    return usd === undefined && usual !== undefined ? usual : nanoUsd(`${name}.${field}`, usd);
  };
  const input = read('inputUsdPerMillion');
  const output = read('outputUsdPerMillion');
  const writes = writePrices(pricing, name, input);
  const price: Price = {
    inputNanoUsdPerMillion: input,
    cachedInputNanoUsdPerMillion: read('cachedInputUsdPerMillion', input),
    cacheWriteNanoUsdPerMillion: writes.short,
    cacheWriteLongNanoUsdPerMillion: writes.long,
    inputAudioNanoUsdPerMillion: read('inputAudioUsdPerMillion', input),
    inputImageNanoUsdPerMillion: read('inputImageUsdPerMillion', input),
    outputNanoUsdPerMillion: output,
    reasoningNanoUsdPerMillion: read('reasoningUsdPerMillion', output),
    outputAudioNanoUsdPerMillion: read('outputAudioUsdPerMillion', output),
    ...longContextOf(pricing, name),
    ...serviceTiersOf(pricing, name),
    ...unitPrices(pricing, name),
    ...versionOf(pricing, name),
  };
  checkDearest(price, name);
  return price;
}

function writePrices(pricing: Pricing, name: string, input: number): { short: number; long: number } {
  const { cacheWriteUsdPerMillion: short, cacheWriteLongUsdPerMillion: long } = pricing;
  if (short === undefined && long === undefined) return { short: input, long: input };
  const shortNanoUsd =
    short === undefined ? Math.ceil(input * SHORT_WRITE_FACTOR) : nanoUsd(`${name}.cacheWriteUsdPerMillion`, short);
  const longNanoUsd =
    long === undefined ? shortNanoUsd * LONG_WRITE_FACTOR : nanoUsd(`${name}.cacheWriteLongUsdPerMillion`, long);
  return { short: shortNanoUsd, long: longNanoUsd };
}

function longContextOf({ longContext }: Pricing, name: string): Pick<Price, 'longContext'> {
  if (longContext === undefined) return {};
  const where = `${name}.longContext`;
  if (!isRecord(longContext)) throw unexpected(where, 'to be an object', longContext);
  refuseOthers(where, longContext, { aboveInputTokens: true, inputFactor: true, outputFactor: true });
  const { aboveInputTokens, inputFactor, outputFactor } = longContext;
  if (!Number.isSafeInteger(aboveInputTokens) || aboveInputTokens < 0) {
    throw unexpected(`${where}.aboveInputTokens`, 'to be a number of tokens', aboveInputTokens);
  }
  const inputMillionths = millionths(`${where}.inputFactor`, inputFactor);
  const outputMillionths = millionths(`${where}.outputFactor`, outputFactor);
  return { longContext: { aboveInputTokens, inputMillionths, outputMillionths } };
}

function serviceTiersOf({ serviceTiers }: Pricing, name: string): Pick<Price, 'serviceTierMillionths'> {
  if (serviceTiers === undefined) return {};
  const where = `${name}.serviceTiers`;
  const factors = new Map<string, number>();
  for (const [tier, factor] of recordEntries(where, serviceTiers)) {
    const known = serviceTierNamed(tier);
    const given = millionths(`${where}.${tier}`, factor);
    // `fast` and `priority` are one tier: of two factors the dearer one holds.
    factors.set(known, Math.max(given, factors.get(known) ?? 0));
  }
  if (!factors.has(DEFAULT_SERVICE_TIER)) factors.set(DEFAULT_SERVICE_TIER, MILLION);
  return { serviceTierMillionths: Object.fromEntries(factors) };
}

function unitPrices(
  { toolCallUsd, usdPerRequest, usdPerImage, usdPerAudioMinute, usdPerMillionCharacters }: Pricing,
  name: string,
): Pick<
  Price,
  'toolCallNanoUsd' | 'requestNanoUsd' | 'imageNanoUsd' | 'audioNanoUsdPerMillionMs' | 'nanoUsdPerMillionCharacters'
> {
  const fees = `${name}.toolCallUsd`;
  return {
    ...(toolCallUsd === undefined
      ? {}
      : {
          toolCallNanoUsd: Object.fromEntries(
            recordEntries(fees, toolCallUsd).map(([tool, usd]) => [tool, nanoUsd(`${fees}.${tool}`, usd)]),
          ),
        }),
    ...(usdPerRequest === undefined ? {} : { requestNanoUsd: nanoUsd(`${name}.usdPerRequest`, usdPerRequest) }),
    ...(usdPerImage === undefined ? {} : { imageNanoUsd: nanoUsd(`${name}.usdPerImage`, usdPerImage) }),
    ...(usdPerAudioMinute === undefined
      ? {}
      : {
          audioNanoUsdPerMillionMs: Math.round(
            (nanoUsd(`${name}.usdPerAudioMinute`, usdPerAudioMinute) * MILLION) / MS_PER_MINUTE,
          ),
        }),
    ...(usdPerMillionCharacters === undefined
      ? {}
      : { nanoUsdPerMillionCharacters: nanoUsd(`${name}.usdPerMillionCharacters`, usdPerMillionCharacters) }),
  };
}

const MS_PER_MINUTE = 60_000;

function versionOf({ version }: Pricing, name: string): Pick<Price, 'version'> {
  if (version === undefined) return {};
  if (typeof version !== 'string' || version === '') throw unexpected(`${name}.version`, 'to be a text', version);
  return { version };
}

function recordEntries(name: string, record: unknown): [string, unknown][] {
  if (!isRecord(record)) throw unexpected(name, 'to be an object of numbers', record);
  return Object.entries(record);
}

function nanoUsd(name: string, usd: unknown): number {
  if (typeof usd === 'number' && usd >= 0 && usd <= MAX_USD_PER_MILLION) return Math.round(usd * NANO_PER_USD);
  throw unexpected(name, `to be US dollars, at least 0 and at most ${MAX_USD_PER_MILLION}`, usd);
}

function millionths(name: string, factor: unknown): number {
  if (typeof factor === 'number' && factor >= 0 && factor <= MAX_FACTOR) return Math.round(factor * MILLION);
  throw unexpected(name, `to be a factor, at least 0 and at most ${MAX_FACTOR}`, factor);
}

/** Far beyond any provider's. */
const MAX_FACTOR = 1_000;

/** @throws {TypeError} for a rate that is too large for exact sums once its factors are applied. */
function checkDearest(price: Price, name: string): void {
  const { longContext, serviceTierMillionths = {} } = price;
  const tier = Math.max(MILLION, ...Object.values(serviceTierMillionths));
  const inputFactor = (tier / MILLION) * (Math.max(MILLION, longContext?.inputMillionths ?? 0) / MILLION);
  const outputFactor = (tier / MILLION) * (Math.max(MILLION, longContext?.outputMillionths ?? 0) / MILLION);
  const dearest = Math.max(dearestInput(price) * inputFactor, dearestOutput(price) * outputFactor);
  if (dearest <= MAX_NANO_USD_PER_MILLION) return;
  throw unexpected(
    name,
    `to cost at most ${MAX_USD_PER_MILLION} US dollars a million with every factor applied`,
    dearest / NANO_PER_USD,
  );
}

/** The tier of a call whose request and answer name none. */
export const DEFAULT_SERVICE_TIER = 'default';

/** The tier of work that is done whenever there is room: in batches alone, as no request can ask for it. */
export const BATCH_TIER = 'batch';

/** The one name of a service tier that has several. */
export function serviceTierNamed(tier: string): string {
  if (tier === 'priority') return 'fast';
  return ORDINARY.has(tier) ? DEFAULT_SERVICE_TIER : tier;
}

/** Names of the ordinary tier: Anthropic's answers and requests, and Groq's. */
const ORDINARY: ReadonlySet<string> = new Set(['standard', 'standard_only', 'on_demand']);

/** Tiers that nobody charges more for than for `default`. */
const NEVER_DEARER: ReadonlySet<string> = new Set([DEFAULT_SERVICE_TIER, 'flex', BATCH_TIER]);

/** Whether the price of a call in that tier is known, or cannot be more than that of `default`. */
export function isPricedTier({ serviceTierMillionths }: Price, tier: string): boolean {
  const name = serviceTierNamed(tier);
  return serviceTierMillionths === undefined ? NEVER_DEARER.has(name) : Object.hasOwn(serviceTierMillionths, name);
}

function tierMillionths({ serviceTierMillionths }: Price, tier = DEFAULT_SERVICE_TIER): number {
  if (serviceTierMillionths === undefined) return MILLION;
  const name = serviceTierNamed(tier);
  return (Object.hasOwn(serviceTierMillionths, name) ? serviceTierMillionths[name] : undefined) ?? MILLION;
}

/**
 * The cost of tokens in billionths of a US dollar, exact and rounded half up once. Parts may overlap, and no token is paid for twice: of the input, tokens read from a cache count first, then those written to
 * a cache, the long ones before the others, then audio, then images; of the output, reasoning and then audio. Each is at most the rest of the whole, and the remainder is text.
 */
export function costNanoUsd(price: Price, tokens: PricedTokens, terms: CostTerms = NO_TERMS): number {
  const { inputTokens, outputTokens, cacheWriteTokens = 0, cacheWriteLongTokens = 0 } = tokens;
  const cached = Math.min(tokens.cachedInputTokens ?? 0, inputTokens);
  const long = Math.min(cacheWriteLongTokens, inputTokens - cached);
  const short = Math.min(Math.max(0, cacheWriteTokens - cacheWriteLongTokens), inputTokens - cached - long);
  const unwritten = inputTokens - cached - long - short;
  const audio = Math.min(tokens.inputAudioTokens ?? 0, unwritten);
  const images = Math.min(tokens.inputImageTokens ?? 0, unwritten - audio);
  const reasoning = Math.min(tokens.reasoningTokens ?? 0, outputTokens);
  const spoken = Math.min(tokens.outputAudioTokens ?? 0, outputTokens - reasoning);
  const { longContext } = price;
  const isLong = longContext !== undefined && inputTokens > longContext.aboveInputTokens;
  const tier = tierMillionths(price, terms.serviceTier);
  const input = new Cost();
  const output = isLong || tier !== MILLION ? new Cost() : input;
  input.add(unwritten - audio - images, price.inputNanoUsdPerMillion);
  input.add(cached, price.cachedInputNanoUsdPerMillion);
  input.add(long, price.cacheWriteLongNanoUsdPerMillion);
  input.add(short, price.cacheWriteNanoUsdPerMillion);
  input.add(audio, price.inputAudioNanoUsdPerMillion);
  input.add(images, price.inputImageNanoUsdPerMillion);
  output.add(outputTokens - reasoning - spoken, price.outputNanoUsdPerMillion);
  output.add(reasoning, price.reasoningNanoUsdPerMillion);
  output.add(spoken, price.outputAudioNanoUsdPerMillion);
  const fees = (price.requestNanoUsd ?? 0) + feesOf(price, terms.toolCalls) + unitsNanoUsd(price, terms);
  if (output === input) return input.rounded(fees);
  const inputFactor = isLong ? longContext.inputMillionths : MILLION;
  const outputFactor = isLong ? longContext.outputMillionths : MILLION;
  return roundedSum(input.times(tier, inputFactor) + output.times(tier, outputFactor), fees);
}

/** The highest possible cost of so much use: all tokens at the dearest price of any part, all tool calls at the dearest fee of those tools. */
export function worstCostNanoUsd(price: Price, use: WorstUse): number {
  const { longContext } = price;
  // A call that turns out shorter pays the ordinary price, should that be the dearer one.
  const mayBeLong = longContext !== undefined && use.inputTokens > longContext.aboveInputTokens;
  // A cheaper tier is a wish: what there is no room for, or what does not know the word, is billed as usual.
  const tier = Math.max(tierMillionths(price, use.serviceTier), tierMillionths(price));
  const input = new Cost();
  const output = mayBeLong || tier !== MILLION ? new Cost() : input;
  input.add(use.inputTokens, dearestInput(price));
  output.add(use.outputTokens, dearestOutput(price));
  const { toolCalls = 0 } = use;
  const fees = toolCalls === 0 ? 0 : Math.min(toolCalls, MAX_TOOL_CALLS) * dearestFeeNanoUsd(price, use.hostedTools);
  const all = (price.requestNanoUsd ?? 0) + fees + unitsNanoUsd(price, use);
  if (output === input) return input.rounded(all);
  const inputFactor = mayBeLong ? Math.max(MILLION, longContext.inputMillionths) : MILLION;
  const outputFactor = mayBeLong ? Math.max(MILLION, longContext.outputMillionths) : MILLION;
  return roundedSum(input.times(tier, inputFactor) + output.times(tier, outputFactor), all);
}

/** The dearest fee of those hosted tools, whose types may go on after the name that is priced; 0 where none is charged for. */
function dearestFeeNanoUsd({ toolCallNanoUsd = {} }: Price, hostedTools: readonly string[] | undefined): number {
  const fees = Object.entries(toolCallNanoUsd).filter(
    ([name]) => hostedTools === undefined || hostedTools.some((type) => type.startsWith(name)),
  );
  return Math.max(0, ...fees.map(([, fee]) => fee));
}

function feesOf({ toolCallNanoUsd }: Price, toolCalls: CostTerms['toolCalls']): number {
  if (toolCallNanoUsd === undefined || toolCalls === undefined) return 0;
  let fees = 0;
  for (const [tool, calls] of Object.entries(toolCalls)) {
    fees += Math.min(calls, MAX_TOOL_CALLS) * feeOf(toolCallNanoUsd, tool);
  }
  return fees;
}

/** The fee of a tool under its own name, else the dearest of those whose names it begins with, as `web_search_preview` does with `web_search`. */
function feeOf(fees: Readonly<Record<string, number>>, tool: string): number {
  if (Object.hasOwn(fees, tool)) return fees[tool] ?? 0;
  const alike = Object.entries(fees).filter(([name]) => tool.startsWith(name));
  return Math.max(0, ...alike.map(([, fee]) => fee));
}

/** One call of the dearest of those hosted tools; `undefined` where none costs a fee. @param hostedTools by their types; absent: any. */
export function dearestToolCall(price: Price, hostedTools: readonly string[] | undefined): CostTerms['toolCalls'] {
  const fee = dearestFeeNanoUsd(price, hostedTools);
  const name =
    fee === 0
      ? undefined
      : Object.keys(price.toolCallNanoUsd ?? {}).find((tool) => price.toolCallNanoUsd?.[tool] === fee);
  return name === undefined ? undefined : { [name]: 1 };
}

function dearestInput(price: Price): number {
  return Math.max(
    price.inputNanoUsdPerMillion,
    price.cachedInputNanoUsdPerMillion,
    price.cacheWriteNanoUsdPerMillion,
    price.cacheWriteLongNanoUsdPerMillion,
    price.inputAudioNanoUsdPerMillion,
    price.inputImageNanoUsdPerMillion,
  );
}

function dearestOutput(price: Price): number {
  return Math.max(price.outputNanoUsdPerMillion, price.reasoningNanoUsdPerMillion, price.outputAudioNanoUsdPerMillion);
}

/** Whether the price has a rate for pictures, sound or characters: then a call of which nobody knows the pieces has an unknown cost. */
export function isByThePiece(price: Price): boolean {
  const { imageNanoUsd = 0, audioNanoUsdPerMillionMs = 0, nanoUsdPerMillionCharacters = 0 } = price;
  return imageNanoUsd > 0 || audioNanoUsdPerMillionMs > 0 || nanoUsdPerMillionCharacters > 0;
}

/** Whether the price has a rate for any of the pieces that are known. */
export function paysForPieces(price: Price, { images, audioMs, characters }: PricedUnits): boolean {
  const { imageNanoUsd = 0, audioNanoUsdPerMillionMs = 0, nanoUsdPerMillionCharacters = 0 } = price;
  return (
    (images !== undefined && imageNanoUsd > 0) ||
    (audioMs !== undefined && audioNanoUsdPerMillionMs > 0) ||
    (characters !== undefined && nanoUsdPerMillionCharacters > 0)
  );
}

/** The cost of pieces, which no factor changes, rounded by itself. */
function unitsNanoUsd(price: Price, { images = 0, audioMs = 0, characters = 0 }: PricedUnits): number {
  if (images === 0 && audioMs === 0 && characters === 0) return 0;
  const cost = new Cost();
  cost.add(audioMs, price.audioNanoUsdPerMillionMs ?? 0);
  cost.add(characters, price.nanoUsdPerMillionCharacters ?? 0);
  return cost.rounded(images * (price.imageNanoUsd ?? 0));
}

/** Parts of a billionth of a dollar in which a cost with both of its factors is whole. */
const SCALE = BigInt(MILLION) ** 3n;

function roundedSum(scaled: bigint, nanoUsd: number): number {
  return Math.min(Number((scaled + SCALE / 2n) / SCALE) + nanoUsd, Number.MAX_SAFE_INTEGER);
}

/**
 * A sum of costs that stays exact in doubles: whole billionths of a dollar are added up apart from the millionths of them.
 * Two billion tokens at the dearest price make 9e15 of the one, and 2e15 of the other. Factors are applied in big integers.
 */
class Cost {
  private nanoUsd = 0;
  private millionths = 0;

  add(tokens: number, nanoUsdPerMillion: number): void {
    const rest = nanoUsdPerMillion % MILLION;
    this.nanoUsd += tokens * ((nanoUsdPerMillion - rest) / MILLION);
    this.millionths += tokens * rest;
  }

  /** The sum times two factors in millionths, in parts of a billionth: see `SCALE`. */
  times(one: number, other: number): bigint {
    return (BigInt(this.nanoUsd) * BigInt(MILLION) + BigInt(this.millionths)) * BigInt(one) * BigInt(other);
  }

  /**
   * The sum and a further amount, rounded half up, and never beyond the safe integers. Below 2 ** 52 a division by a million
   * never rounds up to a whole number.
   */
  rounded(further: number): number {
    const sum = this.nanoUsd + further + Math.floor((this.millionths + MILLION / 2) / MILLION);
    return Math.min(sum, Number.MAX_SAFE_INTEGER);
  }
}
