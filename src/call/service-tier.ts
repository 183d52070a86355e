import { BATCH_TIER, DEFAULT_SERVICE_TIER, isPricedTier, serviceTierNamed } from '../models/pricing.js';
import type { UsageRecord, UsageStart } from '../usage/usage-store.js';
import { serviceTierNotAllowed, unsupportedServiceTier } from '../wire/request-errors.js';
import type { CalledModel } from './terms.js';

/** A service tier and who asks for it. */
export interface AskedTier {
  /** `undefined`: the request names none, or `auto`. */
  readonly asked: string | undefined;
  readonly model: CalledModel;
  /** The client's name of the model. */
  readonly name: string;
  /** Tiers that the key may use; `undefined`: all. */
  readonly allowed: readonly string[] | undefined;
  readonly isBudgeted: boolean;
}

/**
 * Finds the tier at which a call is reserved: as asked for, else the model's default; `undefined` is the provider's ordinary one.
 * @throws {GatewayError} 403 for a tier that the key may not use; 400 for one that the model has not, or whose price is
 * unknown where money is limited.
 */
export function reservedTier({ asked, model, name, allowed, isBudgeted }: AskedTier): string | undefined {
  const tier = asked ?? model.defaultServiceTier;
  // Stores without types say `null` for an absent field.
  if (allowed !== undefined && allowed !== null) {
    const wanted = serviceTierNamed(tier ?? DEFAULT_SERVICE_TIER);
    if (!allowed.some((one) => serviceTierNamed(one) === wanted))
      throw serviceTierNotAllowed(tier ?? DEFAULT_SERVICE_TIER);
  }
  const { price } = model;
  // An upstream that does not know the word bills the ordinary price.
  if (asked !== undefined && serviceTierNamed(asked) === BATCH_TIER && price?.serviceTierMillionths !== undefined)
    throw unsupportedServiceTier(asked, name);
  if (tier === undefined || price === undefined || isPricedTier(price, tier)) return tier;
  if (isBudgeted || price.serviceTierMillionths !== undefined) throw unsupportedServiceTier(tier, name);
  return tier;
}

/** Advice about a call that was settled otherwise than it was reserved. */
export interface SettlementNotice {
  /** The same for advice that need not be given twice. */
  readonly about: string;
  readonly text: string;
}

/** Finds what the host should know about a settlement; `undefined`: nothing. @param answered the tier that the answer named. */
export function settlementNotice(
  start: UsageStart,
  record: UsageRecord,
  answered: string | undefined,
): SettlementNotice | undefined {
  const { model } = record;
  if (record.isOverReserved === true) {
    return {
      about: `over ${model}`,
      text: `A call of ${model} cost more than was reserved for it: its upstream passed the ceiling it was given, or charges a dearer service tier than \`defaultServiceTier\` says. Such calls have \`isOverReserved\` in the ledger.`,
    };
  }
  const { price, serviceTier } = start;
  if (price === undefined) return undefined;
  if (answered !== undefined && answered !== 'auto' && !isPricedTier(price, answered)) {
    return {
      about: `tier ${model}`,
      text: `An answer of ${model} names a service tier without a price. Its calls are settled at the tier that was asked for: add it to \`pricing.serviceTiers\`.`,
    };
  }
  const isOrdinary = serviceTier === undefined || serviceTierNamed(serviceTier) === DEFAULT_SERVICE_TIER;
  if (answered !== undefined || isOrdinary || record.counted !== 'exact') return undefined;
  return {
    about: `tier ${model}`,
    text: `Answers of ${model} do not name their service tier. Its calls are settled at the tier that was asked for.`,
  };
}

/** Most notices that are remembered as told; past them none is told. */
const MAX_TOLD = 1_000;

/** Tells each notice once. */
export function noticesOnce(tell: (text: string) => void): (notice: SettlementNotice) => void {
  const told = new Set<string>();
  return ({ about, text }) => {
    if (told.has(about) || told.size >= MAX_TOLD) return;
    told.add(about);
    tell(text);
  };
}
