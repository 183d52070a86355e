import { positiveInteger, unexpected } from './checks.js';
import type { Limits } from './limiter/limits.js';
import type { GatewayOptions } from './options.js';

/** Whether names that are no model's go to the upstream all the same. */
export function passesUnlisted({ unlistedModels, models }: Pick<GatewayOptions, 'unlistedModels' | 'models'>): boolean {
  if (unlistedModels === undefined) return models === undefined;
  if (unlistedModels === 'pass' || unlistedModels === 'refuse') return unlistedModels === 'pass';
  throw unexpected('unlistedModels', "'pass' or 'refuse'", unlistedModels);
}

/** @throws {TypeError} for a limit that is no positive integer. */
export function checkedTiers(tiers: Readonly<Record<string, Limits>> = {}): Readonly<Record<string, Limits>> {
  for (const [tier, limits] of Object.entries(tiers)) {
    for (const [field, value] of Object.entries(limits)) {
      if (value !== undefined) positiveInteger(`tiers.${tier}.${field}`, value);
    }
  }
  return tiers;
}

/** @throws {TypeError} for what is no plain path. */
export function checkedBasePath(path: string): string {
  if (path === '' || (typeof path === 'string' && /^(?:\/[\w.~-]+)+$/.test(path))) return path;
  throw unexpected('basePath', "to be '' or a path such as '/ai'", path);
}
