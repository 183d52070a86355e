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
  readonly upstream: string;
  /** Billionths of a US dollar, at the prices of the start; `undefined` when the model's are unknown. */
  readonly costNanoUsd: ((tokens: PricedTokens) => number) | undefined;
  readonly estimatedInputTokens: number;
}

/**
 * The record of a call that ended. Tokens are the upstream's own where it said them, 0 included; else estimated from what
 * was delivered, so that nobody reads an answer, hangs up before its usage, and pays nothing.
 */
export function usageRecord(metered: Metered, ending: TimedEnding): UsageRecord {
  const tokens = tokensOf(metered, ending);
  return {
    requestId: metered.start.requestId,
    keyId: metered.start.keyId,
    operation: metered.start.operation,
    model: metered.start.model,
    startedAt: metered.start.startedAt,
    upstream: metered.upstream,
    outcome: ending.outcome,
    inputTokens: tokens?.inputTokens,
    cachedInputTokens: tokens?.cachedInputTokens,
    outputTokens: tokens?.outputTokens,
    reasoningTokens: tokens?.reasoningTokens,
    counted: ending.usage === undefined ? 'estimated' : 'exact',
    costNanoUsd: tokens === undefined ? undefined : metered.costNanoUsd?.(tokens),
    firstByteMs: ending.firstByteMs,
    durationMs: ending.durationMs,
  };
}

function tokensOf({ estimatedInputTokens }: Metered, { usage, deliveredTokens }: Ending): TokenUsage | undefined {
  if (usage !== undefined) return usage;
  if (deliveredTokens === undefined) return undefined;
  return {
    inputTokens: estimatedInputTokens,
    cachedInputTokens: undefined,
    outputTokens: deliveredTokens,
    reasoningTokens: undefined,
  };
}
