import { costNanoUsd } from '../models/pricing.js';
import type { TokenUsage, ToldUsage } from '../wire/usage.js';
import type { UsageRecord, UsageStart } from './usage-store.js';

/** End of a call, as far as its record is concerned. */
export interface Ending {
  readonly outcome: 'ok' | 'error' | 'aborted';
  /** Usage told by the upstream; `undefined` when it told none. */
  readonly usage: ToldUsage | undefined;
  /** Output given to the client, counted by us. `undefined`: unknown, as nobody counted it or nothing came. */
  readonly deliveredTokens: number | undefined;
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
    counted: isDoubtful ? 'estimated' : 'exact',
    costNanoUsd: costOf(start, tokens, ending),
    firstByteMs: ending.firstByteMs,
    durationMs: ending.durationMs,
  };
}

function estimatedTokens(
  { reservedInputTokens, reservedOutputTokens = Number.POSITIVE_INFINITY }: UsageStart,
  { usage, deliveredTokens }: Ending,
): TokenUsage | undefined {
  if (usage !== undefined) return atLeast(usage, { reservedInputTokens, deliveredTokens: deliveredTokens ?? 0 });
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

/** Usage that is not the whole truth: no less than it says, nor than what was delivered. */
function atLeast(
  usage: TokenUsage,
  { reservedInputTokens, deliveredTokens }: { readonly reservedInputTokens: number; readonly deliveredTokens: number },
): TokenUsage {
  const inputTokens = usage.inputTokens > 0 ? usage.inputTokens : reservedInputTokens;
  return { ...usage, inputTokens, outputTokens: Math.max(usage.outputTokens, deliveredTokens) };
}

function costOf(
  { price, reservedNanoUsd }: UsageStart,
  tokens: TokenUsage | undefined,
  { outcome, firstByteMs, isGivenUp, chargesUnknown }: Ending,
): number | undefined {
  if (tokens !== undefined && price !== undefined) return costNanoUsd(price, tokens);
  // An answer that broke off on its way was made all the same.
  const isMade = tokens !== undefined || outcome !== 'error' || firstByteMs !== undefined || isGivenUp;
  return chargesUnknown && isMade ? reservedNanoUsd : undefined;
}
