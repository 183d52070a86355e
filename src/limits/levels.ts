import type { ApiKey } from '../keys/key-store.js';
import { DEFAULT_TIER, type Limits, type TierLimits } from '../keys/limits.js';
import { ownerOf } from '../keys/owner.js';
import type { Draw, Slot } from './limiter-store.js';
import type { FindPeriod } from './periods.js';

/** Whose calls share one set of ceilings. */
export interface LimitLevel {
  readonly kind: 'owner' | 'key' | 'tier' | 'all';
  /** Of the owner (as `ownerOf` names it), the key or the tier; empty for all. */
  readonly id: string;
  readonly limits: Limits;
  /** Whether they are counted apart, and refuse nothing. @default false */
  readonly isShadow?: boolean;
}

/** What of a call is measured. */
export type Measure = 'requests' | 'tokens' | 'inputTokens' | 'outputTokens' | 'usdPerDay' | 'usdPerMonth';

/** One ceiling of one level. */
export interface Ceiling {
  readonly measure: Measure;
  readonly level: LimitLevel;
  /** In nano-dollars where it is a budget. */
  readonly capacity: number;
  /** Present: it is a budget of this period. */
  readonly period: { readonly from: number; readonly to: number } | undefined;
  readonly bucket: string;
}

/** What a call takes, or took, in each measure. */
export interface Amounts {
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Billionths of a US dollar. */
  readonly nanoUsd: number;
}

/** The limits that concern every key. */
export interface LimitRules {
  readonly tiers: ReadonlyMap<string, TierLimits>;
  /** Of all calls together. */
  readonly globalLimits: Limits;
}

/** Money is counted in billionths of a US dollar. */
export const NANO = 1_000_000_000;
const MINUTE_MS = 60_000;
const MEASURES: readonly (readonly [Measure, Exclude<keyof Limits, 'concurrency' | 'shadow'>])[] = [
  ['requests', 'requestsPerMinute'],
  ['tokens', 'tokensPerMinute'],
  ['inputTokens', 'inputTokensPerMinute'],
  ['outputTokens', 'outputTokensPerMinute'],
  ['usdPerDay', 'usdPerDay'],
  ['usdPerMonth', 'usdPerMonth'],
];
const FIELDS = [...MEASURES.map(([, field]) => field), 'concurrency', 'shadow'] as const;

/** The limits of a key's owner: its tier's, overridden field by field. */
export function limitsOf(key: ApiKey, tiers: ReadonlyMap<string, TierLimits>): Limits {
  const tier = tiers.get(tierOf(key, tiers)) ?? {};
  const own = key.limits;
  // Stores without types say `null` for what they do not know.
  if (own === undefined || own === null) return tier;
  return { ...tier, ...withoutAbsent(own) };
}

/** The tier that a key belongs to: one that nobody knows is the least. */
export function tierOf({ tier = DEFAULT_TIER }: Pick<ApiKey, 'tier'>, tiers: ReadonlyMap<string, TierLimits>): string {
  return tiers.has(tier) ? tier : DEFAULT_TIER;
}

/** All the ceilings that a key's calls are held against, its owner's first. */
export function levelsOf(key: ApiKey, { tiers, globalLimits }: LimitRules): LimitLevel[] {
  const levels: LimitLevel[] = [{ kind: 'owner', id: ownerOf(key), limits: limitsOf(key, tiers) }];
  if (key.ownLimits !== undefined && key.ownLimits !== null) {
    levels.push({ kind: 'key', id: key.id, limits: key.ownLimits });
  }
  const tier = tierOf(key, tiers);
  const shared = tiers.get(tier)?.shared;
  if (shared !== undefined) levels.push({ kind: 'tier', id: tier, limits: shared });
  if (globalLimits !== NO_LIMITS) levels.push({ kind: 'all', id: '', limits: globalLimits });
  return levels;
}

/** Of a gateway that has none of its own. */
export const NO_LIMITS: Limits = {};

/** The same levels with their shadow limits for limits; none where nothing is in the shadow. */
export function shadowsOf(levels: readonly LimitLevel[]): LimitLevel[] {
  return levels.flatMap(({ kind, id, limits }) =>
    limits.shadow === undefined || limits.shadow === null ? [] : [{ kind, id, limits: limits.shadow, isShadow: true }],
  );
}

/** Every ceiling of the levels but those on concurrency, in the order in which they are drawn from. */
export function ceilingsOf(levels: readonly LimitLevel[], findPeriod: FindPeriod, wallMs: number): Ceiling[] {
  const ceilings: Ceiling[] = [];
  for (const level of levels) {
    for (const [measure, field] of MEASURES) {
      const limit = level.limits[field];
      if (limit === undefined || limit === null || limit === Number.POSITIVE_INFINITY) continue;
      const name = `${nameOf(level)}:${measure}`;
      if (measure !== 'usdPerDay' && measure !== 'usdPerMonth') {
        ceilings.push({ measure, level, capacity: limit, period: undefined, bucket: name });
        continue;
      }
      const period = findPeriod(measure === 'usdPerDay' ? 'day' : 'month', wallMs);
      ceilings.push({ measure, level, capacity: Math.round(limit * NANO), period, bucket: `${name}:${period.name}` });
    }
  }
  return ceilings;
}

/** What is drawn from a ceiling's bucket. @param spent of a budget, as the ledger knows it. */
export function drawOf(ceiling: Ceiling, amounts: Amounts, spent?: number): Draw {
  const { bucket, capacity, period } = ceiling;
  const amount = amountOf(ceiling, amounts);
  if (period === undefined) return { bucket, capacity, refillPerMs: capacity / MINUTE_MS, amount };
  const budget = spent === undefined ? { endsAt: period.to } : { endsAt: period.to, spent };
  return { bucket, capacity, refillPerMs: 0, amount, budget };
}

/** What a ceiling measures of the amounts. */
export function amountOf({ measure }: Pick<Ceiling, 'measure'>, amounts: Amounts): number {
  switch (measure) {
    case 'requests':
      return amounts.requests;
    case 'tokens':
      return amounts.inputTokens + amounts.outputTokens;
    case 'inputTokens':
    case 'outputTokens':
      return amounts[measure];
    default:
      return amounts.nanoUsd;
  }
}

/** The places that a call of these levels holds. */
export function slotsOf(levels: readonly LimitLevel[]): Slot[] {
  const slots: Slot[] = [];
  for (const level of levels) {
    const { concurrency } = level.limits;
    if (concurrency === undefined || concurrency === null || concurrency === Number.POSITIVE_INFINITY) continue;
    slots.push({ name: `${nameOf(level)}:concurrency`, capacity: concurrency });
  }
  return slots;
}

/** Whether money is limited on any of them. */
export function hasBudget(ceilings: readonly Ceiling[]): boolean {
  return ceilings.some(({ period }) => period !== undefined);
}

/** `ownerOf` has a prefix of its own already, and `key:` for the keys that stand alone. */
function nameOf({ kind, id, isShadow }: Pick<LimitLevel, 'kind' | 'id' | 'isShadow'>): string {
  if (isShadow === true) return `shadow:${nameOf({ kind, id })}`;
  if (kind === 'owner') return id;
  return kind === 'key' ? `one-key:${id}` : `${kind}:${id}`;
}

function withoutAbsent(limits: Limits): Limits {
  const given: { -readonly [Field in keyof Limits]: Limits[Field] } = {};
  for (const field of FIELDS)
    if (limits[field] !== undefined && limits[field] !== null) Object.assign(given, { [field]: limits[field] });
  return given;
}
