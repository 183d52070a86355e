import type { TokenUsage } from '../wire/usage.js';
import type { Ending, Metered, UsageRecord, UsageStart } from './usage-store.js';

/** An ending with its times. */
export interface TimedEnding extends Ending {
  /** From the start to the first byte for the client; `undefined` when there was none. */
  readonly firstByteMs: number | undefined;
  readonly durationMs: number;
}

/**
 * Makes the record of a call that ended. Tokens are the upstream's own where it told them, 0 included. Else they are
 * estimated from the delivered output, never at more than was reserved: nobody may read an answer, hang up before its
 * usage, and pay nothing.
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
