import type { KeyRecord, KeySecret, KeySnapshot } from './key-records.js';
import type { ApiKey } from './key-store.js';

/** What `find` answers for one secret of a record: the earlier expiry counts. `undefined` when the key was revoked. */
export function keyOfSecret({ key, revokedAt }: KeyRecord, { expiresAt }: KeySecret): ApiKey | undefined {
  if (revokedAt !== undefined) return undefined;
  if (expiresAt === undefined || expiresAt >= (key.expiresAt ?? Number.POSITIVE_INFINITY)) return key;
  return { ...key, expiresAt };
}

/** A record without its hashes. */
export function snapshotOf({ secrets, ...record }: KeyRecord): KeySnapshot {
  return { ...record, secrets: secrets.map(({ hash: _hash, ...shown }) => shown) };
}

/** JSON of a record or an audit row, for stores; `Infinity`, which is no ceiling, survives it. @see reviveInfinity */
export function keyToJson(value: object): string {
  return JSON.stringify(value, (_name, member) => (member === Number.POSITIVE_INFINITY ? 'Infinity' : member));
}

/** For `JSON.parse` of what `keyToJson` wrote. No owner or model of that name is taken for a number. */
export function reviveInfinity(name: string, member: unknown): unknown {
  return member === 'Infinity' && /^concurrency$|^usdPer|PerMinute$/.test(name) ? Number.POSITIVE_INFINITY : member;
}
