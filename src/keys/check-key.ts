import { isRecord, unexpected } from '../base/checks.js';
import { isName } from './key-fields.js';
import type { ApiKey, Limits } from './key-store.js';
import { areLimits, checkServiceTiers, isLimit, LIMIT_NAMES } from './limits.js';

/** Field names of a key. */
const KEY_FIELDS = [
  'id',
  'owner',
  'tier',
  'limits',
  'ownLimits',
  'expiresAt',
  'models',
  'serviceTiers',
  'debug',
] as const satisfies readonly (keyof ApiKey)[];
const FIELD_NAMES: ReadonlySet<string> = new Set(KEY_FIELDS);
/** Most members whose names are remembered as looked at. */
const MAX_SEEN_NAMES = 1_000;

/** Turns an answer of `identify` or of a key store into a key; `undefined`: nobody. @throws {TypeError} naming the field that is wrong. */
export type CheckKey = (source: string, given: unknown) => ApiKey | undefined;

/** The parts of a gateway that concern the check. */
export interface KeyCheckOptions {
  readonly tiers: ReadonlyMap<string, unknown>;
  /** The tier that has no limits because nobody set any; `undefined`: there is none. */
  readonly unlimitedTier?: string | undefined;
  readonly onNotice: (text: string) => void;
}

/**
 * Makes the one check of every key that a host or a store hands over. It looks at each of them at each call, as a host may
 * change its objects at any time. Oddities that refuse nobody are told once.
 */
export function keyCheck({ tiers, unlimitedTier, onNotice }: KeyCheckOptions): CheckKey {
  const seenNames = new Set<string>();
  const toldTiers = new Set<string>();

  function lookAtNames(source: string, key: object): void {
    for (const name in key) {
      if (FIELD_NAMES.has(name) || seenNames.has(name)) continue;
      if (seenNames.size >= MAX_SEEN_NAMES) return;
      seenNames.add(name);
      const meant = KEY_FIELDS.find((field) => isSlipOf(name, field));
      if (meant === undefined) continue;
      onNotice(`A key from ${source} has a member \`${shown(name)}\`, which means nothing here. Is it \`${meant}\`?`);
    }
  }

  function lookAtTier(source: string, { tier }: ApiKey): void {
    if (tier === undefined || tier === null || toldTiers.has(tier)) return;
    if (tiers.has(tier) && tier !== unlimitedTier) return;
    if (toldTiers.size >= MAX_SEEN_NAMES) return;
    toldTiers.add(tier);
    onNotice(
      tier === unlimitedTier
        ? `The tier \`${tier}\` has no limits: set some in \`tiers.${tier}\`, or \`{}\` if that is meant.`
        : `A key from ${source} is of the tier \`${shown(tier)}\`, which is not in \`tiers\`: it has the limits of \`basic\`.`,
    );
  }

  return (source, given) => {
    if (given === undefined || given === null || given === false) return undefined;
    assertKey(source, given);
    lookAtNames(source, given);
    lookAtTier(source, given);
    return given;
  };
}

/** @throws {TypeError} naming the field that no key can have. `null` is as good as absent, as stores without types have it. */
export function assertKey(source: string, given: unknown): asserts given is ApiKey {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw unexpected(`the answer of ${source}`, 'to be a key, or undefined for nobody', given);
  }
  const key: { readonly [Field in keyof ApiKey]?: unknown } = given;
  if (!isName(key.id)) throw wrong(source, 'id', NAME, key.id);
  if (isThere(key.owner) && !isName(key.owner)) throw wrong(source, 'owner', NAME, key.owner);
  if (isThere(key.tier) && !isName(key.tier)) throw wrong(source, 'tier', NAME, key.tier);
  if (isThere(key.expiresAt) && !isNumber(key.expiresAt)) {
    throw wrong(source, 'expiresAt', 'to be Unix time in milliseconds', key.expiresAt);
  }
  if (isThere(key.debug) && typeof key.debug !== 'boolean') throw wrong(source, 'debug', 'to be a boolean', key.debug);
  if (isThere(key.models)) assertModels(source, key.models);
  if (isThere(key.serviceTiers)) checkServiceTiers(`serviceTiers\` of a key from \`${source}`, key.serviceTiers);
  if (isThere(key.limits)) assertLimits(source, 'limits', key.limits);
  if (isThere(key.ownLimits)) assertLimits(source, 'ownLimits', key.ownLimits);
}

const NAME = 'to be 1 to 256 characters without control characters';

function assertModels(source: string, models: unknown): void {
  if (!Array.isArray(models)) throw wrong(source, 'models', 'to be a list of model ids', models);
  for (const model of models) {
    if (typeof model !== 'string') throw wrong(source, 'models', 'to be a list of model ids', model);
  }
}

function assertLimits(source: string, field: string, limits: unknown): asserts limits is Limits {
  if (!isRecord(limits)) throw wrong(source, field, 'to be limits', limits);
  const isShadow = field.includes('.');
  for (const name in limits) {
    if (LIMIT_NAMES.has(name) || (name === 'shadow' && !isShadow)) continue;
    throw new TypeError(`Unknown limit \`${shown(`${field}.${name}`)}\` of a key from ${source}`);
  }
  // By name, as a getter of a class is read, too, and not listed.
  if (!areLimits(limits)) {
    for (const name of LIMITS) {
      const value: unknown = limits[name];
      if (isThere(value) && !isLimit(name, value)) throw wrong(source, `${field}.${name}`, EXPECTED_LIMIT, value);
    }
  }
  if (!isShadow && isThere(limits.shadow)) assertLimits(source, `${field}.shadow`, limits.shadow);
}

const LIMITS = [...LIMIT_NAMES];
const EXPECTED_LIMIT = 'to be a number from 0 on';

function wrong(source: string, field: string, expectation: string, value: unknown): TypeError {
  return unexpected(`${field}\` of a key from \`${source}`, expectation, value);
}

function isThere(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number' && !Number.isNaN(value);
}

/** Whether a name is a field's but for upper and lower case, underscores, or one letter. */
function isSlipOf(name: string, field: string): boolean {
  if (name.length > field.length + 4) return false;
  const [given, meant] = [name, field].map((text) => text.replaceAll('_', '').toLowerCase());
  // Two letters make too many words: `ip` is no `id`.
  return given === meant || (field.length > 2 && isOneLetterAway(given ?? '', meant ?? ''));
}

/** One letter more, fewer or another, or two neighbours exchanged. */
function isOneLetterAway(one: string, other: string): boolean {
  if (Math.abs(one.length - other.length) > 1) return false;
  let start = 0;
  while (start < one.length && one[start] === other[start]) start += 1;
  const rest = (text: string, from: number): string => text.slice(from);
  if (one.length !== other.length) {
    return one.length > other.length
      ? rest(one, start + 1) === rest(other, start)
      : rest(one, start) === rest(other, start + 1);
  }
  if (rest(one, start + 1) === rest(other, start + 1)) return true;
  const isExchanged = one[start] === other[start + 1] && one[start + 1] === other[start];
  return isExchanged && rest(one, start + 2) === rest(other, start + 2);
}

function shown(text: string): string {
  return text.slice(0, 64);
}
