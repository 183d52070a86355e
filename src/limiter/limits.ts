/** Ceilings. An absent field means no ceiling. */
export interface Limits {
  readonly requestsPerMinute?: number;
  /** Input plus output tokens: reserved on admission, settled when the call ends. */
  readonly tokensPerMinute?: number;
  /** Calls running at once. */
  readonly concurrency?: number;
}

/** What a key without a tier of its own belongs to. */
export const DEFAULT_TIER = 'basic';

/** The service's published tiers (reference: its OpenAI overview and API introduction). `enterprise` is the host's to set. */
export const DEFAULT_TIERS: Readonly<Record<string, Limits>> = {
  basic: { requestsPerMinute: 60, tokensPerMinute: 90_000, concurrency: 10 },
  pro: { requestsPerMinute: 300, tokensPerMinute: 450_000, concurrency: 40 },
  enterprise: {},
};
