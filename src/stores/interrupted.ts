import type { HeldDraw, InterruptedEnd } from '../limits/limiter-store.js';
import { costNanoUsd, isByThePiece, type Price } from '../models/pricing.js';

/** Facts kept about a call whose process died. */
export interface InterruptedCall {
  readonly reservedInputTokens: number;
  /** Ceiling of all answers together; `undefined`: there was none. */
  readonly reservedOutputTokens: number | undefined;
  readonly reservedNanoUsd: number | undefined;
  /** Price as JSON; `undefined`: it was unknown. */
  readonly price: string | undefined;
  /** The host's own, likewise. */
  readonly upstreamPrice?: string | undefined;
  /** The service tier that the client asked for. */
  readonly serviceTier: string | undefined;
  /**
   * Output tokens that the client may have been given; `undefined`: nobody told, and it may be a whole answer that the
   * ledger was not there to take.
   */
  readonly checkpoint: number | undefined;
}

/** Tokens and cost at which an interrupted call is settled. */
export interface InterruptedCharge {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly costNanoUsd: number | undefined;
  /** The host's own cost. */
  readonly upstreamCostNanoUsd: number | undefined;
}

/**
 * Charges an interrupted call: the input as reserved, and the output that the client may have been given. Without a checkpoint
 * that is all that was reserved: the upstream was asked, and bills a whole answer whether or not somebody is left to read it.
 */
export function chargeOfInterrupted(call: InterruptedCall): InterruptedCharge {
  const { reservedInputTokens: inputTokens, reservedOutputTokens, checkpoint } = call;
  const told = checkpoint ?? reservedOutputTokens ?? 0;
  const outputTokens = Math.min(reservedOutputTokens ?? told, told);
  return {
    inputTokens,
    outputTokens,
    costNanoUsd: costOf(call, outputTokens),
    // What was reserved was reserved at the other price.
    upstreamCostNanoUsd: costOf({ ...call, price: call.upstreamPrice, reservedNanoUsd: undefined }, outputTokens),
  };
}

/** The part of a draw that the call of a dead process used, as the ledger has settled it. Use at an unknown price must not be free. */
export function usedByCall(
  { amount, isBudget }: HeldDraw,
  { costNanoUsd, isUnused }: { readonly costNanoUsd: number | undefined; readonly isUnused: boolean },
): number {
  return isBudget ? (costNanoUsd ?? (isUnused ? 0 : amount)) : amount;
}

/** At most the reserved cost, also where this version cannot read the price: one call must not stop all recovery. */
function costOf({ price, serviceTier, reservedInputTokens, reservedNanoUsd }: InterruptedCall, outputTokens: number) {
  if (price === undefined) return undefined;
  try {
    const tokens = {
      inputTokens: reservedInputTokens,
      cachedInputTokens: undefined,
      inputAudioTokens: undefined,
      inputImageTokens: undefined,
      outputTokens,
      reasoningTokens: undefined,
      outputAudioTokens: undefined,
    };
    const paid = priceOf(price);
    // Nobody wrote down how many pictures or minutes there were.
    if (isByThePiece(paid)) return reservedNanoUsd;
    const cost = costNanoUsd(paid, tokens, { serviceTier });
    return Number.isSafeInteger(cost) ? Math.min(cost, reservedNanoUsd ?? cost) : reservedNanoUsd;
  } catch {
    return reservedNanoUsd;
  }
}

/** Reads a price that the ledger's `open` wrote. Those of earlier versions know no writes to a cache. */
function priceOf(json: string): Price {
  const price: Price = JSON.parse(json);
  const { inputNanoUsdPerMillion: input } = price;
  return {
    ...price,
    cacheWriteNanoUsdPerMillion: price.cacheWriteNanoUsdPerMillion ?? input,
    cacheWriteLongNanoUsdPerMillion: price.cacheWriteLongNanoUsdPerMillion ?? input,
  };
}

/** Most calls that wait for somebody to listen. */
const MAX_WAITING = 10_000;

/** Tells of calls that were settled in the name of dead processes. */
export interface InterruptedCalls {
  /** Called once they are settled for good. */
  tell(calls: readonly InterruptedEnd[]): void;
  /** See `UsageStore.onInterrupted`. */
  listen(listener: (call: InterruptedEnd) => void): () => void;
}

export function interruptedCalls(): InterruptedCalls {
  const listeners = new Set<(call: InterruptedEnd) => void>();
  let waiting: InterruptedEnd[] = [];
  return {
    tell(calls) {
      if (listeners.size === 0) waiting = [...waiting, ...calls].slice(-MAX_WAITING);
      for (const listener of listeners) for (const call of calls) listener(call);
    },
    listen(given) {
      // The same function may listen twice.
      const listener = (call: InterruptedEnd): void => given(call);
      listeners.add(listener);
      for (const call of waiting.splice(0)) listener(call);
      return () => void listeners.delete(listener);
    },
  };
}
