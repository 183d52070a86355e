import { type ApiKey, type Limits, ownerOf } from '../keys/key-store.js';
import { ceilingsOf, LIMIT_FIELDS, type LimitRules, levelsOf, shadowsOf, slotsOf, tierOf } from './levels.js';
import type { Ceiling, FindPeriod, LimitLevel, Slot } from './limiter-store.js';

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
  /** Levels whose limits refuse nothing. */
  readonly shadows: readonly LimitLevel[];
  private readonly levels: readonly LimitLevel[];
  private readonly key: ApiKey;
  private readonly limits: Limits | undefined;
  private readonly ownLimits: Limits | undefined;
  private readonly findPeriod: FindPeriod;
  private ceilings: readonly Ceiling[];
  /** When the ceilings are in force: those of a budget are new in each of its periods. */
  private from = Number.NEGATIVE_INFINITY;
  private to = Number.POSITIVE_INFINITY;

  constructor(key: ApiKey, rules: LimitRules, findPeriod: FindPeriod, wallMs: number) {
    // Copies: a host may change the key that it gave, and its limits.
    this.key = { ...key };
    this.limits = copyOf(key.limits);
    this.ownLimits = copyOf(key.ownLimits);
    this.findPeriod = findPeriod;
    this.owner = ownerOf(key);
    this.subject = key.owner ?? key.id;
    this.tier = tierOf(key, rules.tiers);
    this.levels = levelsOf(key, rules);
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

  /** Whether the key is still as it was. */
  isOf({ id, owner, tier, limits, ownLimits }: ApiKey): boolean {
    const { key } = this;
    if (key.id !== id || key.owner !== owner || key.tier !== tier) return false;
    return isSame(this.limits, limits) && isSame(this.ownLimits, ownLimits);
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

/** Stores without types say `null` for limits that are not there. */
function copyOf(limits: Limits | undefined): Limits | undefined {
  return limits === undefined || limits === null ? undefined : { ...limits };
}

function isSame(kept: Limits | undefined, given: Limits | undefined): boolean {
  if (kept === undefined || given === undefined || given === null) return kept === (given ?? undefined);
  for (const field of LIMIT_FIELDS) if (kept[field] !== given[field]) return false;
  return true;
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
