import type { ApiKey, Limits, TierLimits } from '../keys/key-store.js';
import {
  type CeilingForm,
  ceilingsOf,
  formsOf,
  type LimitRules,
  levelsOf,
  limitsOf,
  shadowsOf,
  slotsOf,
  tierOf,
} from './levels.js';
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

/** Limits and service tiers of keys, worked out once for all keys that have the same: most keys of a gateway do. */
class KeyTerms {
  readonly tier: TierTerms;
  /** Limits of the owner. */
  readonly limits: Limits;
  /** Service tiers that may be asked for; `undefined`: all. */
  readonly serviceTiers: readonly string[] | undefined;
  /** Ceilings of each level of such a key. */
  readonly forms: readonly (readonly CeilingForm[])[];
  /** Whether money is limited on any level. */
  readonly isBudgeted: boolean;
  readonly hasShadows: boolean;
  // As the first key had them: a store may give a new object for each call, or change the one that it has.
  private readonly keyTier: string | undefined;
  private readonly keyLimits: Limits | undefined;
  private readonly ownLimits: Limits | undefined;
  private readonly keyServiceTiers: readonly string[] | undefined;

  constructor(key: ApiKey, rules: LimitRules, tier: TierTerms) {
    this.tier = tier;
    this.keyTier = key.tier;
    this.keyLimits = copyOf(key.limits);
    this.ownLimits = copyOf(key.ownLimits);
    this.keyServiceTiers = key.serviceTiers && [...key.serviceTiers];
    // Of the copy: a change of the first key must not reach the others.
    this.limits = limitsOf({ id: key.id, tier: key.tier, limits: this.keyLimits }, rules.tiers);
    this.serviceTiers = this.keyServiceTiers ?? tier.serviceTiers;
    const levels = levelsOf(key, rules, this.limits);
    this.forms = levels.map(({ limits }) => formsOf(limits));
    this.isBudgeted = this.forms.some((forms) => forms.some(({ span }) => span !== undefined));
    this.hasShadows = shadowsOf(levels).length > 0;
  }

  /** Whether a key has the same, whatever object tells of it. */
  areOf({ tier, limits, ownLimits, serviceTiers }: ApiKey): boolean {
    return (
      tier === this.keyTier &&
      isSame(limits, this.keyLimits) &&
      isSame(ownLimits, this.ownLimits) &&
      isSameList(serviceTiers, this.keyServiceTiers) &&
      this.tier.areStillTrue()
    );
  }
}

const NO_SHADOWS: readonly LimitLevel[] = [];

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
  private readonly terms: KeyTerms;
  private readonly keyOwner: string | undefined;
  private readonly findPeriod: FindPeriod;
  private ceilings: readonly Ceiling[];
  /** When the ceilings are in force: those of a budget are new in each of its periods. */
  private from = Number.NEGATIVE_INFINITY;
  private to = Number.POSITIVE_INFINITY;

  constructor(key: ApiKey, rules: LimitRules, terms: KeyTerms, { findPeriod, wallMs }: PlanTime) {
    this.terms = terms;
    this.keyOwner = key.owner;
    this.findPeriod = findPeriod;
    this.levels = levelsOf(key, rules, terms.limits);
    this.owner = this.levels[0]?.id ?? '';
    this.subject = key.owner ?? key.id;
    this.tier = terms.tier.name;
    this.serviceTiers = terms.serviceTiers;
    this.isBudgeted = terms.isBudgeted;
    this.slots = slotsOf(this.levels);
    this.shadows = terms.hasShadows ? shadowsOf(this.levels) : NO_SHADOWS;
    this.ceilings = this.ceilingsIn(wallMs);
  }

  /** Every ceiling of the key as it is then. @param wallMs Unix time in milliseconds. */
  ceilingsAt(wallMs: number): readonly Ceiling[] {
    if (wallMs < this.from || wallMs >= this.to) this.ceilings = this.ceilingsIn(wallMs);
    return this.ceilings;
  }

  /** Whether the plan is that of a key with the same id: nothing of it has changed. */
  isOf(key: ApiKey): boolean {
    return key.owner === this.keyOwner && this.terms.areOf(key);
  }

  private ceilingsIn(wallMs: number): readonly Ceiling[] {
    const { terms } = this;
    const ceilings = ceilingsOf(this.levels, this.findPeriod, wallMs, terms.forms);
    if (!terms.isBudgeted) return ceilings;
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

/** Different limits of keys that are remembered as worked out. */
const MAX_TERMS = 8;

/**
 * Keeps the plans of the `maxPlans` keys that were used latest, and of up to twice as many. Any other is made again, in a microsecond.
 * A key that comes for the first time leaves a mark alone: of millions in turn, kept plans would cost more than they spare.
 * @param nowMs Unix time in milliseconds.
 */
export function keyPlans(
  rules: LimitRules,
  findPeriod: FindPeriod,
  nowMs: () => number,
  maxPlans = MAX_PLANS,
): FindPlan {
  const tierTerms = new Map<string, TierTerms>();
  const allTerms: KeyTerms[] = [];
  const seen = new SeenIds();
  // Two generations, not an order of use: a plan that is found costs no move.
  let young = new Map<string, KeyPlan>();
  let old = new Map<string, KeyPlan>();

  function keep(id: string, plan: KeyPlan): void {
    if (young.size >= maxPlans && !young.has(id)) {
      old = young;
      young = new Map();
    }
    young.set(id, plan);
  }

  function tierTermsOf(key: ApiKey): TierTerms {
    const tier = tierOf(key, rules.tiers);
    const known = tierTerms.get(tier);
    if (known?.areStillTrue() === true) return known;
    const terms = new TierTerms(tier, rules);
    tierTerms.set(tier, terms);
    return terms;
  }

  function termsOf(key: ApiKey): KeyTerms {
    for (const terms of allTerms) if (terms.areOf(key)) return terms;
    const terms = new KeyTerms(key, rules, tierTermsOf(key));
    allTerms.unshift(terms);
    if (allTerms.length > MAX_TERMS) allTerms.pop();
    return terms;
  }

  return (key) => {
    const { id } = key;
    const known = young.get(id);
    if (known?.isOf(key) === true) return known;
    const before = known ?? old.get(id);
    const plan =
      before?.isOf(key) === true ? before : new KeyPlan(key, rules, termsOf(key), { findPeriod, wallMs: nowMs() });
    if (before !== undefined || seen.hasSeen(id)) keep(id, plan);
    return plan;
  };
}

/** Marks of ids; a power of two. Where there are more, some are forgotten early. */
const MARKS = 32_768;

/** Remembers roughly which ids came before: one of a million keys in turn leaves nothing for the garbage collector. */
class SeenIds {
  private readonly marks = new Int32Array(MARKS);

  /** Whether an id was seen, from which now on it is. Another one may be taken for it. */
  hasSeen(id: string): boolean {
    let hash = 1;
    for (let at = 0; at < id.length; at += 1) hash = (Math.imul(hash, 31) + id.charCodeAt(at)) | 0;
    const place = hash & (MARKS - 1);
    if (this.marks[place] === hash) return true;
    this.marks[place] = hash;
    return false;
  }
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
