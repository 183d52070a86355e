import {
  type CostTerms,
  costNanoUsd,
  DEFAULT_SERVICE_TIER,
  isByThePiece,
  isPricedTier,
  type Price,
  type PricedUnits,
  paysForPieces,
} from '../models/pricing.js';
import type { TokenUsage, ToldUsage } from '../wire/usage.js';
import type { UsageRecord, UsageStart } from './usage-store.js';

/** End of a call, as far as its record is concerned. */
export interface Ending {
  readonly outcome: 'ok' | 'error' | 'aborted';
  /** Usage told by the upstream; `undefined` when it told none. */
  readonly usage: ToldUsage | undefined;
  /** Output given to the client, counted by us. `undefined`: unknown, as nobody counted it or nothing came. */
  readonly deliveredTokens: number | undefined;
  /** The service tier that the answer named; `undefined`: it named none. */
  readonly serviceTier?: string | undefined;
  /** Calls of hosted tools by type. */
  readonly toolCalls?: CostTerms['toolCalls'];
  /** Pieces that the answer told, else those that the request asked for. */
  readonly units?: PricedUnits | undefined;
  /** HTTP status of the answer; `undefined`: nothing was answered, or nobody can tell. */
  readonly status?: number | undefined;
  /** Code of the error that was answered. */
  readonly errorCode?: string | undefined;
  /** Whether nobody waits for the upstream any more, which may still work and charge for it. */
  readonly isGivenUp: boolean;
  /** Whether unknown usage of an upstream that was asked costs the reserved amount: a budget must not be spent unseen. */
  readonly chargesUnknown: boolean;
  /** From the start to the first byte for the client; `undefined` when there was none. */
  readonly firstByteMs: number | undefined;
  readonly durationMs: number;
}

/**
 * Makes the record of a call that ended. Tokens are the upstream's own where it told them, 0 included. Else they are
 * estimated from the delivered output, never at more than was reserved: nobody may read an answer, hang up before its
 * usage, and pay nothing.
 */
export function usageRecord(start: UsageStart, ending: Ending): UsageRecord {
  const isDoubtful = ending.usage === undefined || ending.usage.isDoubtful === true;
  const tokens = isDoubtful ? estimatedTokens(start, ending) : ending.usage;
  const serviceTier = settledTier(start, ending.serviceTier);
  const plain: CostTerms = { serviceTier, toolCalls: ending.toolCalls };
  const terms = ending.units === undefined ? plain : { ...plain, ...ending.units };
  const cost = costOf(start, tokens, ending, terms);
  // Each by name: to spread it takes 8 µs, a tenth of a whole call.
  return {
    requestId: start.requestId,
    keyId: start.keyId,
    owner: start.owner,
    tier: start.tier,
    operation: start.operation,
    model: start.model,
    upstream: start.upstream,
    startedAt: start.startedAt,
    reservedInputTokens: start.reservedInputTokens,
    reservedOutputTokens: start.reservedOutputTokens,
    reservedNanoUsd: start.reservedNanoUsd,
    price: start.price,
    upstreamPrice: start.upstreamPrice,
    priceVersion: start.priceVersion,
    serviceTier,
    outcome: ending.outcome,
    inputTokens: tokens?.inputTokens,
    cachedInputTokens: tokens?.cachedInputTokens,
    cacheWriteTokens: tokens?.cacheWriteTokens,
    cacheWriteLongTokens: tokens?.cacheWriteLongTokens,
    inputAudioTokens: tokens?.inputAudioTokens,
    inputImageTokens: tokens?.inputImageTokens,
    outputTokens: tokens?.outputTokens,
    reasoningTokens: tokens?.reasoningTokens,
    outputAudioTokens: tokens?.outputAudioTokens,
    counted: isDoubtful ? 'estimated' : 'exact',
    costNanoUsd: cost,
    upstreamCostNanoUsd: knownCost(start.upstreamPrice, tokens, start.operation, terms),
    isOverReserved:
      cost === undefined || start.reservedNanoUsd === undefined ? undefined : cost > start.reservedNanoUsd,
    status: ending.status,
    errorCode: ending.errorCode,
    firstByteMs: ending.firstByteMs,
    durationMs: ending.durationMs,
  };
}

const NO_TOKENS: TokenUsage = {
  inputTokens: 0,
  cachedInputTokens: undefined,
  cacheWriteTokens: undefined,
  cacheWriteLongTokens: undefined,
  inputAudioTokens: undefined,
  inputImageTokens: undefined,
  outputTokens: 0,
  reasoningTokens: undefined,
  outputAudioTokens: undefined,
};

function estimatedTokens(
  { reservedInputTokens, reservedOutputTokens = Number.POSITIVE_INFINITY }: UsageStart,
  { usage, deliveredTokens }: Ending,
): TokenUsage | undefined {
  if (usage !== undefined) return atLeast(usage, { reservedInputTokens, deliveredTokens: deliveredTokens ?? 0 });
  if (deliveredTokens === undefined) return undefined;
  return {
    ...NO_TOKENS,
    inputTokens: reservedInputTokens,
    outputTokens: Math.min(deliveredTokens, reservedOutputTokens),
  };
}

/** Usage that is not the whole truth: no less than it says, nor than what was delivered. */
function atLeast(
  usage: TokenUsage,
  { reservedInputTokens, deliveredTokens }: { readonly reservedInputTokens: number; readonly deliveredTokens: number },
): TokenUsage {
  const inputTokens = usage.inputTokens > 0 ? usage.inputTokens : reservedInputTokens;
  return { ...usage, inputTokens, outputTokens: Math.max(usage.outputTokens, deliveredTokens) };
}

/**
 * The service tier at which a call is settled: the one that the answer names, if its price is known; else the one that was
 * asked for, at which the call was reserved.
 */
export function settledTier(
  { price, serviceTier }: Pick<UsageStart, 'price' | 'serviceTier'>,
  answered: string | undefined,
): string | undefined {
  if (answered === undefined || answered === 'auto') return serviceTier;
  return price === undefined || isPricedTier(price, answered) ? answered : serviceTier;
}

/** Calls for pictures and sound alone have pieces. */
const HAS_PIECES: ReadonlySet<string> = new Set(['images', 'audio']);

const hasPieces = ({ images = 0, audioMs = 0, characters = 0 }: PricedUnits): boolean =>
  images + audioMs + characters > 0;

function knownCost(
  price: Price | undefined,
  tokens: TokenUsage | undefined,
  operation: string,
  terms: CostTerms,
): number | undefined {
  if (price === undefined) return undefined;
  const isPaidByPiece = paysForPieces(price, terms);
  if (tokens === undefined) return isPaidByPiece && hasPieces(terms) ? costNanoUsd(price, NO_TOKENS, terms) : undefined;
  if (HAS_PIECES.has(operation) && isByThePiece(price) && !isPaidByPiece) return undefined;
  return isPricedTier(price, terms.serviceTier ?? DEFAULT_SERVICE_TIER) ? costNanoUsd(price, tokens, terms) : undefined;
}

function costOf(
  { price, reservedNanoUsd, operation }: UsageStart,
  tokens: TokenUsage | undefined,
  ending: Ending,
  terms: CostTerms,
): number | undefined {
  const { outcome, firstByteMs, isGivenUp, chargesUnknown } = ending;
  const cost = knownCost(price, tokens, operation, terms);
  if (cost !== undefined) return cost;
  // An answer that broke off on its way was made all the same.
  const isMade = tokens !== undefined || outcome !== 'error' || firstByteMs !== undefined || isGivenUp;
  return chargesUnknown && isMade ? reservedNanoUsd : undefined;
}
