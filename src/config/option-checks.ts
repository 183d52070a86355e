import { positiveInteger, unexpected } from '../base/checks.js';
import type { Limits, TierLimits } from '../keys/limits.js';
import { type FindPeriod, periodsOf } from '../limits/periods.js';
import type { GatewayOptions } from './options.js';

/** Whether names that are no model's go to the upstream all the same. */
export function passesUnlisted({ unlistedModels, models }: Pick<GatewayOptions, 'unlistedModels' | 'models'>): boolean {
  if (unlistedModels === undefined) return models === undefined;
  if (unlistedModels === 'pass' || unlistedModels === 'refuse') return unlistedModels === 'pass';
  throw unexpected('unlistedModels', "'pass' or 'refuse'", unlistedModels);
}

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

/** @throws {TypeError} for a limit that is no positive integer, a budget that is no amount, or a name that is none. */
export function checkedLimits<T extends Limits>(name: string, limits: T, nested: readonly string[] = ['shadow']): T {
  if (typeof limits !== 'object' || limits === null) throw unexpected(name, 'to be limits', limits);
  for (const [field, value] of Object.entries(limits)) {
    const where = `${name}.${field}`;
    if (value === undefined) continue;
    if (RATES.has(field)) positiveInteger(where, value);
    else if (BUDGETS.has(field)) checkBudget(where, value);
    else if (nested.includes(field) && typeof value === 'object' && value !== null)
      checkedLimits(where, value, field === 'shared' ? ['shadow'] : []);
    else throw new TypeError(`Unknown limit \`${where}\``);
  }
  return limits;
}

/** @throws {TypeError} as `checkedLimits`. */
export function checkedTiers(tiers: Readonly<Record<string, TierLimits>> = {}): Readonly<Record<string, TierLimits>> {
  for (const [tier, limits] of Object.entries(tiers)) checkedLimits(`tiers.${tier}`, limits, ['shadow', 'shared']);
  return tiers;
}

function checkBudget(where: string, value: unknown): void {
  if (typeof value === 'number' && value > 0 && value <= MAX_BUDGET_USD) return;
  throw unexpected(where, `to be US dollars, more than 0 and at most ${MAX_BUDGET_USD}`, value);
}

/** @throws {TypeError} for a time zone that nobody knows. */
export function checkedPeriods(timeZone: string): FindPeriod {
  try {
    return periodsOf(timeZone);
  } catch {
    throw unexpected('budgetTimeZone', "to be a time zone such as 'Europe/Berlin'", timeZone);
  }
}

/** @throws {TypeError} for what is no plain path. */
export function checkedBasePath(path: string): string {
  if (path === '' || (typeof path === 'string' && /^(?:\/[\w.~-]+)+$/.test(path))) return path;
  throw unexpected('basePath', "to be '' or a path such as '/ai'", path);
}
