import { NANO_PER_USD } from '../base/money.js';
import { type ApiKey, type Limits, ownerOf, type TierLimits } from '../keys/key-store.js';
import { DEFAULT_TIER } from '../keys/limits.js';
import type { Amounts, Ceiling, Draw, FindPeriod, LimitLevel, Measure, Slot } from './limiter-store.js';

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
/** Every field of limits. */
export const LIMIT_FIELDS = [...MEASURES.map(([, field]) => field), 'concurrency', 'shadow'] as const;

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

/** Limits of a gateway that sets none. */
export const NO_LIMITS: Limits = {};

/** Levels made of the shadow limits of others; empty where no level has any. */
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
      ceilings.push({
        measure,
        level,
        capacity: Math.round(limit * NANO_PER_USD),
        period,
        bucket: `${name}:${period.name}`,
      });
    }
  }
  return ceilings;
}

/** The draws of a call on the buckets of its ceilings, in their order. */
export function drawsOf(ceilings: readonly Ceiling[], amounts: Amounts): Draw[] {
  return ceilings.map((ceiling) => {
    const { bucket, capacity, period } = ceiling;
    const amount = amountOf(ceiling, amounts);
    if (period === undefined) return { bucket, capacity, refillPerMs: capacity / MINUTE_MS, amount };
    return { bucket, capacity, refillPerMs: 0, amount, budget: { endsAt: period.to } };
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

/** A key's owner, tier and limits, worked out once and kept for as long as the key is the same. */
export class KeyPlan {
  /** The owner as `ownerOf` names it. */
  readonly owner: string;
  /** The owner's or the key's name, for messages. */
  readonly subject: string;
  readonly tier: string;
  /** Places that a call holds. */
  readonly slots: readonly Slot[];
  /** Whether money is limited on any level. */
  readonly isBudgeted: boolean;
  /** Service tiers that may be asked for; `undefined`: all. */
  readonly serviceTiers: readonly string[] | undefined;
  /** Levels whose limits refuse nothing. */
  readonly shadows: readonly LimitLevel[];
  private readonly levels: readonly LimitLevel[];
  private readonly key: ApiKey;
  /** Every object of limits that went into the plan, each with a copy: a host may change its own at any time. */
  private readonly sources: readonly Source[];
  private readonly findPeriod: FindPeriod;
  private ceilings: readonly Ceiling[];
  /** When the ceilings are in force: those of a budget are new in each of its periods. */
  private from = Number.NEGATIVE_INFINITY;
  private to = Number.POSITIVE_INFINITY;

  constructor(key: ApiKey, rules: LimitRules, findPeriod: FindPeriod, wallMs: number) {
    this.key = { ...key };
    this.findPeriod = findPeriod;
    this.owner = ownerOf(key);
    this.subject = key.owner ?? key.id;
    this.tier = tierOf(key, rules.tiers);
    this.levels = levelsOf(key, rules);
    const tier = rules.tiers.get(this.tier);
    this.sources = [key.limits, key.ownLimits, tier, tier?.shared, rules.globalLimits].flatMap(sourcesOf);
    this.serviceTiers = key.serviceTiers ?? tier?.serviceTiers ?? undefined;
    this.slots = slotsOf(this.levels);
    this.shadows = shadowsOf(this.levels);
    this.ceilings = this.ceilingsIn(wallMs);
    this.isBudgeted = this.ceilings.some(({ period }) => period !== undefined);
  }

  /** Every ceiling of the key as it is then. @param wallMs Unix time in milliseconds. */
  ceilingsAt(wallMs: number): readonly Ceiling[] {
    if (wallMs < this.from || wallMs >= this.to) this.ceilings = this.ceilingsIn(wallMs);
    return this.ceilings;
  }

  /** Whether the key and all its limits are still as they were. */
  isOf({ id, owner, tier, limits, ownLimits, serviceTiers }: ApiKey): boolean {
    const { key } = this;
    if (key.id !== id || key.owner !== owner || key.tier !== tier) return false;
    if (key.limits !== limits || key.ownLimits !== ownLimits || key.serviceTiers !== serviceTiers) return false;
    return this.sources.every(isUnchanged);
  }

  private ceilingsIn(wallMs: number): readonly Ceiling[] {
    const ceilings = ceilingsOf(this.levels, this.findPeriod, wallMs);
    this.from = Number.NEGATIVE_INFINITY;
    this.to = Number.POSITIVE_INFINITY;
    for (const { period } of ceilings) {
      if (period === undefined) continue;
      this.from = Math.max(this.from, period.from);
      this.to = Math.min(this.to, period.to);
    }
    return ceilings;
  }
}

/** An object of limits as the host or a store gave it, and as it was then. */
interface Source {
  readonly given: TierLimits;
  readonly copy: TierLimits;
}

const SOURCE_FIELDS = [...LIMIT_FIELDS, 'shared', 'serviceTiers'] as const;

function isUnchanged({ given, copy }: Source): boolean {
  for (let at = 0; at < SOURCE_FIELDS.length; at += 1) {
    const field = SOURCE_FIELDS[at];
    if (field !== undefined && given[field] !== copy[field]) return false;
  }
  return true;
}

/** The limits, and their limits in the shadow; stores without types say `null` for those that are not there. */
function sourcesOf(limits: TierLimits | undefined): Source[] {
  if (limits === undefined || limits === null || limits === NO_LIMITS) return [];
  return [{ given: limits, copy: { ...limits } }, ...sourcesOf(limits.shadow)];
}

/** Finds the plan of a key. Keys that a store gives again are found without work. */
export type FindPlan = (key: ApiKey) => KeyPlan;

/** @param nowMs Unix time in milliseconds. */
export function keyPlans(rules: LimitRules, findPeriod: FindPeriod, nowMs: () => number): FindPlan {
  const plans = new WeakMap<ApiKey, KeyPlan>();
  return (key) => {
    const known = plans.get(key);
    if (known?.isOf(key) === true) return known;
    const made = new KeyPlan(key, rules, findPeriod, nowMs());
    plans.set(key, made);
    return made;
  };
}
