import { costNanoUsd, type Price } from '../models/pricing.js';

/** What is kept of a call whose process died. */
export interface InterruptedCall {
  readonly reservedInputTokens: number;
  /** `undefined`: there was no ceiling. */
  readonly reservedOutputTokens: number | undefined;
  readonly reservedNanoUsd: number | undefined;
  /** As JSON; `undefined`: it was unknown. */
  readonly price: string | undefined;
  /** Output tokens up to which the client may have got; `undefined`: no more than any call may without asking. */
  readonly checkpoint: number | undefined;
}

/** What an interrupted call is settled at. */
export interface InterruptedCharge {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly costNanoUsd: number | undefined;
}

/** Between what was delivered and what was reserved: the input as reserved, the output as far as it may have got. */
export function chargeOfInterrupted(call: InterruptedCall): InterruptedCharge {
  const { reservedInputTokens: inputTokens, reservedOutputTokens, checkpoint = 0 } = call;
  const outputTokens = Math.min(reservedOutputTokens ?? Number.POSITIVE_INFINITY, checkpoint);
  return { inputTokens, outputTokens, costNanoUsd: costOf(call, outputTokens) };
}

/** At most what was reserved; that also where this version cannot read the price: one call must not stop all recovery. */
function costOf({ price, reservedInputTokens, reservedNanoUsd }: InterruptedCall, outputTokens: number) {
  if (price === undefined) return undefined;
  try {
    const cost = costNanoUsd(priceOf(price), {
      inputTokens: reservedInputTokens,
      cachedInputTokens: undefined,
      inputAudioTokens: undefined,
      inputImageTokens: undefined,
      outputTokens,
      reasoningTokens: undefined,
      outputAudioTokens: undefined,
    });
    return Number.isSafeInteger(cost) ? Math.min(cost, reservedNanoUsd ?? cost) : reservedNanoUsd;
  } catch {
    return reservedNanoUsd;
  }
}

/** As the ledger's `open` wrote it. */
function priceOf(json: string): Price {
  return JSON.parse(json);
}
