import type { ApiKey, KeyRecord, KeySecret, KeySnapshot } from './key-store.js';

/**
 * The key that `find` answers for one secret of a record; the earlier expiry counts. `undefined` when it was revoked.
 */
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

/** Reviver for `JSON.parse` of text by `keyToJson`. An owner or model called `Infinity` stays a text. */
export function reviveInfinity(name: string, member: unknown): unknown {
  return member === 'Infinity' && /^concurrency$|^usdPer|PerMinute$/.test(name) ? Number.POSITIVE_INFINITY : member;
}
