/** Ceilings. An absent field means no ceiling. */
export interface Limits {
  readonly requestsPerMinute?: number;
  /** Input plus output tokens: reserved on admission, settled when the call ends. */
  readonly tokensPerMinute?: number;
  readonly inputTokensPerMinute?: number;
  readonly outputTokensPerMinute?: number;
  /** Calls running at once. */
  readonly concurrency?: number;
  /**
   * US dollars on one day of the `budgetTimeZone`: what a call may cost at most is reserved, what it costs is settled. A
   * key with such a budget can call priced models only. At most 9,000,000.
   */
  readonly usdPerDay?: number;
  /** The same in one month. */
  readonly usdPerMonth?: number;
  /** Ceilings that are counted and reported to `hooks.onShadowLimit`, but refuse nothing. */
  readonly shadow?: Omit<Limits, 'shadow'>;
}

/** The limits of one tier. */
export interface TierLimits extends Limits {
  /** Ceilings over all owners of the tier together. The other fields are each owner's own. */
  readonly shared?: Limits;
}

/** What a key without a tier of its own belongs to. */
export const DEFAULT_TIER = 'basic';

/** The service's published tiers (reference: its OpenAI overview and API introduction). `enterprise` is the host's to set. */
export const DEFAULT_TIERS: Readonly<Record<string, TierLimits>> = {
  basic: { requestsPerMinute: 60, tokensPerMinute: 90_000, concurrency: 10 },
  pro: { requestsPerMinute: 300, tokensPerMinute: 450_000, concurrency: 40 },
  enterprise: {},
};
