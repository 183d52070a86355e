import { type ApiKey, keyRegistry, type Pricing, type TierLimits } from 'megallm-middleware';
import { sqliteStore } from 'megallm-middleware/sqlite';

/** Dollars for a million tokens, so that a token costs whole nano-dollars. */
export const PRICING: Pricing = { inputUsdPerMillion: 2, outputUsdPerMillion: 10 };

export function costOf(inputTokens: number, outputTokens: number): number {
  return inputTokens * 2_000 + outputTokens * 10_000;
}

/** What is served. */
export const MODELS = {
  killed: { pricing: PRICING },
  /** Costs what it answers, so that a call costs exactly what is known before. */
  raced: { pricing: { ...PRICING, inputUsdPerMillion: 0 } },
};

export interface SceneKey {
  readonly key: ApiKey;
  readonly secret: string;
}

/** Makes the file, with these keys. */
export async function writeKeys(file: string, wanted: readonly ApiKey[]): Promise<SceneKey[]> {
  const store = await sqliteStore({ file });
  const registry = keyRegistry(store.keys);
  const made: SceneKey[] = [];
  for (const key of wanted) made.push({ key, secret: (await registry.create(key, { by: 'test' })).secret });
  await store.close();
  return made;
}

/** Ceilings that are there, and that nothing comes near. */
export const WIDE: TierLimits = {
  requestsPerMinute: 1e9,
  tokensPerMinute: 1e12,
  concurrency: 10_000,
  usdPerMonth: 1_000_000,
};
