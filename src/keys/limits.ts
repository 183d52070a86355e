import { isRecord, positiveInteger, unexpected } from '../base/checks.js';
import type { Limits, TierLimits } from './key-store.js';

/** The tier of a key that names none. */
export const DEFAULT_TIER = 'basic';

/** The one of the default tiers that has no limits. */
export const UNLIMITED_TIER = 'enterprise';

/**
 * The service's published tiers (reference: its OpenAI overview and API introduction). `enterprise` is the host's to
 * set.
 */
export const DEFAULT_TIERS: Readonly<Record<string, TierLimits>> = {
  basic: { requestsPerMinute: 60, tokensPerMinute: 90_000, concurrency: 10 },
  pro: { requestsPerMinute: 300, tokensPerMinute: 450_000, concurrency: 40 },
  enterprise: {},
};

/** Nine million dollars in billionths are still a safe integer. */
const MAX_BUDGET_USD = 9_000_000;
const BUDGETS: ReadonlySet<string> = new Set(['usdPerDay', 'usdPerMonth']);
const RATES: ReadonlySet<string> = new Set([
  'requestsPerMinute',
  'tokensPerMinute',
  'inputTokensPerMinute',
  'outputTokensPerMinute',
  'concurrency',
]);
/** Every limit that is a number. */
export const LIMIT_NAMES: ReadonlySet<string> = new Set([...RATES, ...BUDGETS]);

/** Whether a limit of a key can be held to: 0 lets nothing through, `Infinity` is no ceiling. */
export function isLimit(name: string, value: unknown): boolean {
  return BUDGETS.has(name) ? isBudget(value) : isRate(value);
}

function isRate(value: unknown): value is number {
  return typeof value === 'number' && value >= 0;
}

function isBudget(value: unknown): boolean {
  return isRate(value) && (value <= MAX_BUDGET_USD || value === Number.POSITIVE_INFINITY);
}

/** Whether all that are there can be held to. Written out: a loop over the names costs each call five times as much. */
export function areLimits(limits: { readonly [Name in keyof Limits]: unknown }): boolean {
  return (
    isRateOrAbsent(limits.requestsPerMinute) &&
    isRateOrAbsent(limits.tokensPerMinute) &&
    isRateOrAbsent(limits.inputTokensPerMinute) &&
    isRateOrAbsent(limits.outputTokensPerMinute) &&
    isRateOrAbsent(limits.concurrency) &&
    isBudgetOrAbsent(limits.usdPerDay) &&
    isBudgetOrAbsent(limits.usdPerMonth)
  );
}

function isRateOrAbsent(value: unknown): boolean {
  return value === undefined || value === null || isRate(value);
}

function isBudgetOrAbsent(value: unknown): boolean {
  return value === undefined || value === null || isBudget(value);
}

/** @throws {TypeError} for a limit that is no positive integer, a budget that is no amount, or a name that is none. */
export function checkedLimits<T extends Limits>(name: string, limits: T, nested: readonly string[] = ['shadow']): T {
  if (!isRecord(limits)) throw unexpected(name, 'to be limits', limits);
  for (const field in limits) {
    if (!LIMIT_NAMES.has(field) && !nested.includes(field)) throw new TypeError(`Unknown limit \`${name}.${field}\``);
  }
  // By name, as a getter of a class is read, too, and not listed.
  for (const field of [...LIMIT_NAMES, ...nested]) {
    const value: unknown = Reflect.get(limits, field);
    if (value !== undefined) checkLimit(`${name}.${field}`, field, value);
  }
  return limits;
}

function checkLimit(where: string, field: string, value: unknown): void {
  if (RATES.has(field)) positiveInteger(where, value);
  else if (BUDGETS.has(field)) checkBudget(where, value);
  else if (field === 'serviceTiers') checkServiceTiers(where, value);
  else if (isRecord(value)) checkedLimits(where, value, field === 'shared' ? ['shadow'] : []);
  else throw unexpected(where, 'to be limits', value);
}

/** @throws {TypeError} as `checkedLimits`. */
export function checkedTiers(tiers: Readonly<Record<string, TierLimits>> = {}): Readonly<Record<string, TierLimits>> {
  if (!isRecord(tiers)) throw unexpected('tiers', 'to be an object of limits by name', tiers);
  for (const [tier, given] of Object.entries(tiers)) {
    checkedLimits(`tiers.${tier}`, given, ['shadow', 'shared', 'serviceTiers']);
  }
  return tiers;
}

/** @throws {TypeError} for anything but a list of names. */
export function checkServiceTiers(name: string, value: unknown): void {
  const isList = Array.isArray(value) && value.length > 0;
  if (isList && value.every((tier) => typeof tier === 'string' && /^[^\p{Cc}\p{Cs}]{1,256}$/u.test(tier))) return;
  throw unexpected(name, "to be a list of service tiers such as ['default', 'flex']", value);
}

function checkBudget(where: string, value: unknown): void {
  if (typeof value === 'number' && value > 0 && value <= MAX_BUDGET_USD) return;
  throw unexpected(where, `to be US dollars, more than 0 and at most ${MAX_BUDGET_USD}`, value);
}
