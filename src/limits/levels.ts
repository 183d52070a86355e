import { NANO_PER_USD } from '../base/money.js';
import { type ApiKey, type Limits, ownerOf, type TierLimits } from '../keys/key-store.js';
import { DEFAULT_TIER } from '../keys/limits.js';
import type { Amounts, BudgetSpan, Ceiling, Draw, FindPeriod, LimitLevel, Measure, Slot } from './limiter-store.js';

/** The limits that concern every key. */
export interface LimitRules {
  readonly tiers: ReadonlyMap<string, TierLimits>;
  /** Limits of all calls together. */
  readonly globalLimits: Limits;
}

const MINUTE_MS = 60_000;
const MEASURES: readonly (readonly [Measure, Exclude<keyof Limits, 'concurrency' | 'shadow'>])[] = [
  ['requests', 'requestsPerMinute'],
  ['tokens', 'tokensPerMinute'],
  ['inputTokens', 'inputTokensPerMinute'],
  ['outputTokens', 'outputTokensPerMinute'],
  ['usdPerDay', 'usdPerDay'],
  ['usdPerMonth', 'usdPerMonth'],
];
const LIMIT_FIELDS = [...MEASURES.map(([, field]) => field), 'concurrency', 'shadow'] as const;

/** The limits of a key's owner: the tier's, overridden field by field by the key's. */
export function limitsOf(key: ApiKey, tiers: ReadonlyMap<string, TierLimits>): Limits {
  const tier = tiers.get(tierOf(key, tiers)) ?? {};
  const own = key.limits;
  // Stores without types say `null` for an absent field.
  if (own === undefined || own === null) return tier;
  return { ...tier, ...withoutAbsent(own) };
}

/** The tier that a key belongs to; the default one in place of an unknown one. */
export function tierOf({ tier = DEFAULT_TIER }: Pick<ApiKey, 'tier'>, tiers: ReadonlyMap<string, TierLimits>): string {
  return tiers.has(tier) ? tier : DEFAULT_TIER;
}

/** All the ceilings that a key's calls are held against, its owner's first. @param limits of the owner, where they are known. */
export function levelsOf(
  key: ApiKey,
  { tiers, globalLimits }: LimitRules,
  limits: Limits = limitsOf(key, tiers),
): LimitLevel[] {
  const levels: LimitLevel[] = [{ kind: 'owner', id: ownerOf(key), limits }];
  if (key.ownLimits !== undefined && key.ownLimits !== null) {
    levels.push({ kind: 'key', id: key.id, limits: key.ownLimits });
  }
  const tier = tierOf(key, tiers);
  const shared = tiers.get(tier)?.shared;
  if (shared !== undefined) levels.push({ kind: 'tier', id: tier, limits: shared });
  if (globalLimits !== NO_LIMITS) levels.push({ kind: 'all', id: '', limits: globalLimits });
  return levels;
}

/** Limits of a gateway that sets none. */
export const NO_LIMITS: Limits = {};

/** Levels made of the shadow limits of others; empty where no level has any. */
export function shadowsOf(levels: readonly LimitLevel[]): LimitLevel[] {
  const shadows: LimitLevel[] = [];
  for (const { kind, id, limits } of levels) {
    const { shadow } = limits;
    if (shadow !== undefined && shadow !== null) shadows.push({ kind, id, limits: shadow, isShadow: true });
  }
  return shadows;
}

/** A ceiling as limits say it, whoever has them. */
export interface CeilingForm {
  readonly measure: Measure;
  readonly capacity: number;
  readonly refillPerMs: number;
  /** `undefined`: it is no budget. */
  readonly span: BudgetSpan | undefined;
}

/** The ceilings of limits but those on concurrency, in the order in which they are drawn from. */
export function formsOf(limits: Limits): CeilingForm[] {
  const forms: CeilingForm[] = [];
  for (const [measure, field] of MEASURES) {
    const limit = limits[field];
    if (limit === undefined || limit === null || limit === Number.POSITIVE_INFINITY) continue;
    if (measure !== 'usdPerDay' && measure !== 'usdPerMonth') {
      forms.push({ measure, capacity: limit, refillPerMs: limit / MINUTE_MS, span: undefined });
    } else {
      const span = measure === 'usdPerDay' ? 'day' : 'month';
      forms.push({ measure, capacity: Math.round(limit * NANO_PER_USD), refillPerMs: 0, span });
    }
  }
  return forms;
}

/** Every ceiling of the levels. @param forms of each level, where they are known. */
export function ceilingsOf(
  levels: readonly LimitLevel[],
  findPeriod: FindPeriod,
  wallMs: number,
  forms: readonly (readonly CeilingForm[])[] = levels.map(({ limits }) => formsOf(limits)),
): Ceiling[] {
  const ceilings: Ceiling[] = [];
  for (let index = 0; index < levels.length; index += 1) {
    const level = levels[index];
    if (level === undefined) continue;
    const place = { name: nameOf(level), found: undefined };
    for (const { measure, capacity, refillPerMs, span } of forms[index] ?? []) {
      const bucket = `${place.name}:${measure}`;
      if (span === undefined) {
        ceilings.push({ measure, level, capacity, refillPerMs, period: undefined, bucket, place, part: measure });
        continue;
      }
      const period = findPeriod(span, wallMs);
      ceilings.push({
        measure,
        level,
        capacity,
        refillPerMs,
        period,
        bucket: `${bucket}:${period.name}`,
        // Budgets are kept apart.
        place: { name: bucket, found: undefined },
        part: period.name,
      });
    }
  }
  return ceilings;
}

/** The draws of a call on the buckets of its ceilings, in their order. */
export function drawsOf(ceilings: readonly Ceiling[], amounts: Amounts): Draw[] {
  return ceilings.map((ceiling) => {
    const { bucket, capacity, refillPerMs, period } = ceiling;
    const amount = amountOf(ceiling, amounts);
    if (period === undefined) return { bucket, capacity, refillPerMs, amount };
    return { bucket, capacity, refillPerMs, amount, budget: { endsAt: period.to } };
  });
}

/** The amount that a ceiling measures. */
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

/** Name of a level's buckets. `ownerOf` has a prefix already, which is `key:` for keys that stand alone. */
function nameOf({ kind, id, isShadow }: Pick<LimitLevel, 'kind' | 'id' | 'isShadow'>): string {
  if (isShadow === true) return `shadow:${nameOf({ kind, id })}`;
  if (kind === 'owner') return id;
  return kind === 'key' ? `one-key:${id}` : `${kind}:${id}`;
}

function withoutAbsent(limits: Limits): Limits {
  const given: { -readonly [Field in keyof Limits]: Limits[Field] } = {};
  for (const field of LIMIT_FIELDS)
    if (limits[field] !== undefined && limits[field] !== null) Object.assign(given, { [field]: limits[field] });
  return given;
}
