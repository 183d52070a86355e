import { type ApiKey, type Limits, ownerOf, type TierLimits } from '../keys/key-store.js';
import { ceilingsOf, type LimitRules, levelsOf, shadowsOf, slotsOf, tierOf } from './levels.js';
import type { Ceiling, FindPeriod, LimitLevel, Slot } from './limiter-store.js';

/** The limits that all keys of one tier have in common, as the host gave them, with copies: it may change its own at any time. */
class TierTerms {
  readonly name: string;
  readonly serviceTiers: readonly string[] | undefined;
  private readonly tier: TierLimits | undefined;
  private readonly tierThen: TierLimits | undefined;
  private readonly all: Limits;
  private readonly allThen: Limits | undefined;

  constructor(name: string, { tiers, globalLimits }: LimitRules) {
    this.name = name;
    this.tier = tiers.get(name);
    this.tierThen = copyOf(this.tier);
    this.all = globalLimits;
    this.allThen = copyOf(globalLimits);
    this.serviceTiers = this.tierThen?.serviceTiers ?? undefined;
  }

  areStillTrue(): boolean {
    return isSame(this.tier, this.tierThen) && isSame(this.all, this.allThen);
  }
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
  private readonly terms: TierTerms;
  // The key as it was then: a store may give a new object for each call, or change the one that it has.
  private readonly keyOwner: string | undefined;
  private readonly keyTier: string | undefined;
  private readonly keyLimits: Limits | undefined;
  private readonly ownLimits: Limits | undefined;
  private readonly keyServiceTiers: readonly string[] | undefined;
  private readonly findPeriod: FindPeriod;
  private ceilings: readonly Ceiling[];
  /** When the ceilings are in force: those of a budget are new in each of its periods. */
  private from = Number.NEGATIVE_INFINITY;
  private to = Number.POSITIVE_INFINITY;

  constructor(key: ApiKey, rules: LimitRules, terms: TierTerms, { findPeriod, wallMs }: PlanTime) {
    this.terms = terms;
    this.keyOwner = key.owner;
    this.keyTier = key.tier;
    this.keyLimits = copyOf(key.limits);
    this.ownLimits = copyOf(key.ownLimits);
    this.keyServiceTiers = key.serviceTiers && [...key.serviceTiers];
    this.findPeriod = findPeriod;
    this.owner = ownerOf(key);
    this.subject = key.owner ?? key.id;
    this.tier = terms.name;
    this.levels = levelsOf(key, rules);
    this.serviceTiers = this.keyServiceTiers ?? terms.serviceTiers;
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

  /** Whether the plan is that of a key with the same id, whatever object tells of it: nothing of it has changed. */
  isOf({ owner, tier, limits, ownLimits, serviceTiers }: ApiKey): boolean {
    return (
      owner === this.keyOwner &&
      tier === this.keyTier &&
      isSame(limits, this.keyLimits) &&
      isSame(ownLimits, this.ownLimits) &&
      isSameList(serviceTiers, this.keyServiceTiers) &&
      this.terms.areStillTrue()
    );
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

interface PlanTime {
  readonly findPeriod: FindPeriod;
  /** Unix time in milliseconds. */
  readonly wallMs: number;
}

/** Finds the plan of a key. A key that was planned before is found without work, in whatever object it comes. */
export type FindPlan = (key: ApiKey) => KeyPlan;

/** Keys of a generation, whose plans are a kilobyte each. */
const MAX_PLANS = 20_000;

/** A key that was seen once: its plan is kept when it comes again. */
const SEEN = 'seen';

/**
 * Keeps the plans of the keys that were used latest, by their ids: at least those of the last `maxPlans` keys, and of twice as many at most. The
 * plan of any other key is made again, in a few microseconds. Where millions of keys come in turn, each of them is seen once, and no plan lives
 * longer than its call: to keep them for nothing costs the garbage collector more than to make them.
 * @param nowMs Unix time in milliseconds.
 */
export function keyPlans(
  rules: LimitRules,
  findPeriod: FindPeriod,
  nowMs: () => number,
  maxPlans = MAX_PLANS,
): FindPlan {
  const termsOf = new Map<string, TierTerms>();
  // Two generations, not an order of use: a plan that is found costs no move.
  let young = new Map<string, KeyPlan | typeof SEEN>();
  let old = new Map<string, KeyPlan | typeof SEEN>();

  function keep(id: string, plan: KeyPlan | typeof SEEN): void {
    if (young.size >= maxPlans && !young.has(id)) {
      old = young;
      young = new Map();
    }
    young.set(id, plan);
  }

  function make(key: ApiKey): KeyPlan {
    const tier = tierOf(key, rules.tiers);
    let terms = termsOf.get(tier);
    if (terms?.areStillTrue() !== true) {
      terms = new TierTerms(tier, rules);
      termsOf.set(tier, terms);
    }
    return new KeyPlan(key, rules, terms, { findPeriod, wallMs: nowMs() });
  }

  return (key) => {
    const { id } = key;
    const known = young.get(id);
    if (known instanceof KeyPlan && known.isOf(key)) return known;
    const before = known ?? old.get(id);
    const plan = before instanceof KeyPlan && before.isOf(key) ? before : make(key);
    keep(id, before === undefined ? SEEN : plan);
    return plan;
  };
}

/** A copy of limits; stores without types say `null` for those that are not there. By name, as a getter of a class counts, too. */
function copyOf(limits: TierLimits | undefined): TierLimits | undefined {
  if (limits === undefined || limits === null) return undefined;
  return {
    requestsPerMinute: limits.requestsPerMinute,
    tokensPerMinute: limits.tokensPerMinute,
    inputTokensPerMinute: limits.inputTokensPerMinute,
    outputTokensPerMinute: limits.outputTokensPerMinute,
    concurrency: limits.concurrency,
    usdPerDay: limits.usdPerDay,
    usdPerMonth: limits.usdPerMonth,
    shadow: copyOf(limits.shadow),
    shared: copyOf(limits.shared),
    serviceTiers: limits.serviceTiers && [...limits.serviceTiers],
  };
}

/** Written out, as a loop over the names costs each call ten times as much. */
function isSame(limits: TierLimits | undefined, then: TierLimits | undefined): boolean {
  if (limits === undefined || limits === null || then === undefined) return (limits ?? undefined) === then;
  return (
    limits.requestsPerMinute === then.requestsPerMinute &&
    limits.tokensPerMinute === then.tokensPerMinute &&
    limits.inputTokensPerMinute === then.inputTokensPerMinute &&
    limits.outputTokensPerMinute === then.outputTokensPerMinute &&
    limits.concurrency === then.concurrency &&
    limits.usdPerDay === then.usdPerDay &&
    limits.usdPerMonth === then.usdPerMonth &&
    isSame(limits.shadow, then.shadow) &&
    isSame(limits.shared, then.shared) &&
    isSameList(limits.serviceTiers, then.serviceTiers)
  );
}

function isSameList(list: readonly string[] | undefined, then: readonly string[] | undefined): boolean {
  if (list === undefined || list === null || then === undefined || then === null)
    return (list ?? undefined) === (then ?? undefined);
  return list.length === then.length && list.every((one, index) => one === then[index]);
}
