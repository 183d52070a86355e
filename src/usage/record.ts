import type { PricedTokens } from '../models/pricing.js';
import type { TokenUsage } from '../wire/usage.js';
import type { UsageRecord, UsageStart } from './usage-store.js';

/** How a call ended, as far as its tokens go. */
export interface Ending {
  readonly outcome: 'ok' | 'error' | 'aborted';
  /** What the upstream said; `undefined` when it said nothing. */
  readonly usage: TokenUsage | undefined;
  /** What we count instead: output the client got. `undefined`: the upstream did not answer, nothing was used. */
  readonly deliveredTokens: number | undefined;
  /** Whether nobody waits for the upstream any more: what it makes of it then, it may charge. */
  readonly isGivenUp?: boolean | undefined;
}

/** An ending and when it came. */
export interface TimedEnding extends Ending {
  /** From the start to the first byte for the client; `undefined` when there was none. */
  readonly firstByteMs: number | undefined;
  readonly durationMs: number;
}

/** What a call's record is made from. */
export interface Metered {
  readonly start: UsageStart;
  /** Billionths of a US dollar, at the prices of the start; `undefined` when the model's are unknown. */
  readonly costNanoUsd: ((tokens: PricedTokens) => number) | undefined;
  /** Whether what nobody says is charged at what was reserved, once it was asked: a budget must not be spent unseen. */
  readonly chargesUnknown: boolean;
}

/**
 * The record of a call that ended. Tokens are the upstream's own where it said them, 0 included; else estimated from what
 * was delivered, so that nobody reads an answer, hangs up before its usage, and pays nothing; but never at more than was
 * reserved.
 */
export function usageRecord(metered: Metered, ending: TimedEnding): UsageRecord {
  const { start } = metered;
  const tokens = tokensOf(start, ending);
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
    outcome: ending.outcome,
    inputTokens: tokens?.inputTokens,
    cachedInputTokens: tokens?.cachedInputTokens,
    inputAudioTokens: tokens?.inputAudioTokens,
    inputImageTokens: tokens?.inputImageTokens,
    outputTokens: tokens?.outputTokens,
    reasoningTokens: tokens?.reasoningTokens,
    outputAudioTokens: tokens?.outputAudioTokens,
    counted: ending.usage === undefined ? 'estimated' : 'exact',
    costNanoUsd: costOf(metered, tokens, ending),
    firstByteMs: ending.firstByteMs,
    durationMs: ending.durationMs,
  };
}

function tokensOf(
  { reservedInputTokens, reservedOutputTokens = Number.POSITIVE_INFINITY }: UsageStart,
  { usage, deliveredTokens }: Ending,
): TokenUsage | undefined {
  if (usage !== undefined) return usage;
  if (deliveredTokens === undefined) return undefined;
  return {
    inputTokens: reservedInputTokens,
    cachedInputTokens: undefined,
    inputAudioTokens: undefined,
    inputImageTokens: undefined,
    outputTokens: Math.min(deliveredTokens, reservedOutputTokens),
    reasoningTokens: undefined,
    outputAudioTokens: undefined,
  };
}

function costOf(
  { start, costNanoUsd, chargesUnknown }: Metered,
  tokens: TokenUsage | undefined,
  { outcome, firstByteMs, isGivenUp }: TimedEnding,
): number | undefined {
  if (tokens === undefined) {
    // An answer that broke off on its way was made all the same.
    const isMade = outcome !== 'error' || firstByteMs !== undefined || isGivenUp === true;
    return chargesUnknown && isMade ? start.reservedNanoUsd : undefined;
  }
  const cost = costNanoUsd?.(tokens);
  return cost === undefined && chargesUnknown ? start.reservedNanoUsd : cost;
}
