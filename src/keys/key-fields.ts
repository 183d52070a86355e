import { unexpected } from '../base/checks.js';
import type { ApiKey } from './key-store.js';
import { checkedLimits, checkServiceTiers } from './limits.js';
import { type NewKeyFields, newKeyId } from './secret.js';

/** Changes of a key. `null` takes a field away; a field that is left out or `undefined` stays as it is. */
export type KeyChanges = {
  readonly [Field in Exclude<keyof ApiKey, 'id' | 'owner'>]?: ApiKey[Field] | null | undefined;
};

type Check = (name: string, value: unknown) => void;

const CHECKS: { readonly [Field in keyof ApiKey]-?: Check } = {
  id: checkName,
  owner: checkName,
  tier: checkName,
  limits: checkKeyLimits,
  ownLimits: checkKeyLimits,
  expiresAt(name, value) {
    if (!Number.isSafeInteger(value)) throw unexpected(name, 'to be Unix time in whole milliseconds', value);
  },
  models(name, value) {
    if (!Array.isArray(value)) throw unexpected(name, 'to be a list of model ids', value);
    for (const [index, model] of value.entries()) checkName(`${name}[${index}]`, model);
  },
  serviceTiers: checkServiceTiers,
  debug(name, value) {
    if (typeof value !== 'boolean') throw unexpected(name, 'to be a boolean', value);
  },
};
const UNCHANGEABLE: ReadonlySet<string> = new Set(['id', 'owner']);

/**
 * The new key with these fields, and an id of its own where none is given.
 * @throws {TypeError} for a field that a key has not, and for a value that the field cannot have.
 */
export function newKeyOf(fields: NewKeyFields): ApiKey {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) checkField(name, value);
  return Object.assign({ id: newKeyId() }, structuredClone(Object.fromEntries(given)));
}

/**
 * Applies changes to a copy of the key.
 * @throws {TypeError} for a field that a key has not or that cannot change, and for a value that the field cannot have.
 */
export function changedKey(key: ApiKey, changes: KeyChanges): ApiKey {
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) {
    if (UNCHANGEABLE.has(name)) throw new TypeError(`\`${name}\` of a key cannot change`);
    checkField(name, value ?? undefined);
  }
  const changed: ApiKey = Object.assign({ ...key }, structuredClone(Object.fromEntries(given)));
  for (const [name, value] of given) if (value === null) Reflect.deleteProperty(changed, name);
  return changed;
}

/**
 * @throws {TypeError} for a value that is no text of 1 to 256 characters, or has control characters or lone surrogates.
 */
export function checkName(name: string, value: unknown): asserts value is string {
  if (isName(value)) return;
  throw unexpected(name, 'to be 1 to 256 characters without control characters', value);
}

/** Whether a value can be a name: of a key, owner, tier, model or author. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && (isPlainName(value) || /^[^\p{Cc}\p{Cs}]{1,256}$/u.test(value));
}

/** Whether a name is nothing but printable ASCII, as most are. Every call's key is looked at. */
function isPlainName(name: string): boolean {
  if (name.length === 0 || name.length > 256) return false;
  for (let at = 0; at < name.length; at += 1) {
    const code = name.charCodeAt(at);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}

function checkField(name: string, value: unknown): void {
  const check = Object.entries(CHECKS).find(([field]) => field === name)?.[1];
  if (check === undefined) throw new TypeError(`Unknown field \`${name}\` of a key`);
  if (value !== undefined) check(name, value);
}

function checkKeyLimits(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw unexpected(name, 'to be limits', value);
  // `Infinity` lifts a ceiling of the tier.
  const ceilings = Object.entries(value).filter(([, ceiling]) => ceiling !== Number.POSITIVE_INFINITY);
  checkedLimits(name, Object.fromEntries(ceilings));
}
