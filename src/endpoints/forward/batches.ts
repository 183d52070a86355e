import type { JsonObject } from '../../base/json.js';
import type { Config } from '../../config/options.js';
import { findOwned, put } from '../../stores/ownership.js';
import { readUsage, type TokenUsage } from '../../wire/usage.js';

/** Statuses after which a batch uses no more. */
const ENDED = new Set<unknown>(['completed', 'failed', 'expired', 'cancelled']);

/** Tells what batches have used. */
export interface BatchMeter {
  /**
   * What the batches of this owner used that have ended and were not counted before; `undefined` when there are none. Its
   * output is not to be had before the batch was seen: then it is counted.
   */
  uncounted(owner: string, batches: readonly JsonObject[]): Promise<TokenUsage | undefined>;
}

export function batchMeter(config: Config): BatchMeter {
  /** Being counted now: two who ask at once must not both pay. */
  const counting = new Set<string>();

  async function takeOnce(owner: string, id: string): Promise<boolean> {
    const name = JSON.stringify([owner, id]);
    if (counting.has(name)) return false;
    counting.add(name);
    try {
      const found = await findOwned(config, { owner, kind: 'batch', id });
      if (found === undefined || found.body.counted === true) return false;
      await put(config, { owner, kind: 'batch', id }, { counted: true });
      return true;
    } finally {
      counting.delete(name);
    }
  }

  return {
    async uncounted(owner, batches) {
      let sum: TokenUsage | undefined;
      for (const { id, status, usage } of batches) {
        const used = readUsage(usage);
        if (used === undefined || typeof id !== 'string' || !ENDED.has(status)) continue;
        if (await takeOnce(owner, id)) sum = sum === undefined ? used : added(sum, used);
      }
      return sum;
    },
  };
}

function added(one: TokenUsage, other: TokenUsage): TokenUsage {
  const sum = (part: keyof TokenUsage): number => (one[part] ?? 0) + (other[part] ?? 0);
  return {
    inputTokens: sum('inputTokens'),
    cachedInputTokens: sum('cachedInputTokens'),
    inputAudioTokens: sum('inputAudioTokens'),
    inputImageTokens: sum('inputImageTokens'),
    outputTokens: sum('outputTokens'),
    reasoningTokens: sum('reasoningTokens'),
    outputAudioTokens: sum('outputAudioTokens'),
  };
}
