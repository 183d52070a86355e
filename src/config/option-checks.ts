import { unexpected } from '../base/checks.js';
import type { FindPeriod } from '../limits/limiter-store.js';
import { periodsOf } from '../limits/periods.js';
import type { GatewayOptions } from './options.js';

/** Whether names that are no model's go to the upstream all the same. */
export function passesUnlisted({ unlistedModels, models }: Pick<GatewayOptions, 'unlistedModels' | 'models'>): boolean {
  if (unlistedModels === undefined) return models === undefined;
  if (unlistedModels === 'pass' || unlistedModels === 'refuse') return unlistedModels === 'pass';
  throw unexpected('unlistedModels', "'pass' or 'refuse'", unlistedModels);
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
