import { positiveInteger, refuseOthers, unexpected, withMethod } from '../base/checks.js';
import { type Clock, systemClock } from '../base/clock.js';
import { cachedKeys } from './cached.js';
import { changedKey, checkName, isName, type KeyChanges, newKeyOf } from './key-fields.js';
import { snapshotOf } from './key-records.js';
import type { KeyAudit, KeyQuery, KeyRecord, KeyRecords, KeySecret, KeySnapshot, KeyStore } from './key-store.js';
import { hashSecret, type NewKeyFields, newSecret } from './secret.js';

export interface KeyRegistryOptions {
  /** Milliseconds a key is remembered here. A key that another process revoked may work for so long. @default 5_000 */
  readonly cacheTtlMs?: number | undefined;
  /** Most secrets of one key that work at one time. @default 10 */
  readonly maxSecrets?: number | undefined;
  /** @default the machine's */
  readonly clock?: Pick<Clock, 'steadyMs' | 'wallMs'> | undefined;
}

/** The author of a change, for its audit row: 1 to 256 characters in the host's words. */
export interface ChangedBy {
  readonly by: string;
}

/** The end of a key's old secrets. */
export interface Rotation extends ChangedBy {
  /** Milliseconds the old secrets go on working; 0: they end at once. A secret that ends earlier is not prolonged. */
  readonly overlapMs: number;
}

/** A key with a secret that was just made. */
export interface IssuedKey {
  /** For the user, to be shown once: it cannot be had again. */
  readonly secret: string;
  readonly record: KeySnapshot;
}

/**
 * Keys that are made and changed while the gateway runs; a key store for the option `keys`. Every change is written
 * with its audit row, both or neither, and holds from the next call on in this process. No hash is ever given out.
 *
 * Methods pass on errors of the records, and throw an Error when others change the key 20 times in a row meanwhile. A
 * change that threw may have been written: look with `get`.
 */
export interface KeyRegistry extends KeyStore {
  /**
   * @throws {TypeError} for a field that a key has not, a value it cannot have, an `id` that is taken, or a tier that no gateway
   * of these keys has, once there is one.
   */
  create(fields: NewKeyFields, change: ChangedBy): Promise<IssuedKey>;
  /** @returns `undefined` when there is no such key. */
  get(id: string): Promise<KeySnapshot | undefined>;
  /**
   * Oldest first; revoked keys too. The next page comes `after` the last id.
   * @param query at most 1,000 keys at once, 100 by default.
   */
  list(query?: Omit<KeyQuery, 'id'>): Promise<readonly KeySnapshot[]>;
  /**
   * @returns `undefined` when there is no such key or it was revoked.
   * @throws {TypeError} for a field that a key has not or that cannot change, and for a value it cannot have.
   */
  update(id: string, changes: KeyChanges, change: ChangedBy): Promise<KeySnapshot | undefined>;
  /** Revokes a key for good; the second time it changes nothing. @returns `undefined` when there is no such key. */
  revoke(id: string, change: ChangedBy): Promise<KeySnapshot | undefined>;
  /**
   * Makes a new secret for a key. Its usage and limits go on.
   * @returns `undefined` when there is no such key or it was revoked.
   * @throws {Error} when more than `maxSecrets` would work.
   */
  rotate(id: string, rotation: Rotation): Promise<IssuedKey | undefined>;
  /** Every change of the key, oldest first. */
  audits(id: string): Promise<readonly KeyAudit[]>;
}

const MAX_ATTEMPTS = 20;
const MAX_LISTED = 1_000;

/**
 * Keys with a life, kept in `records`.
 * @throws {TypeError} when an option is not a positive integer.
 */
export function keyRegistry(records: KeyRecords, options: KeyRegistryOptions = {}): KeyRegistry {
  withMethod('records', records, 'find', 'list', 'write', 'audits');
  refuseOthers('options', options, { cacheTtlMs: true, maxSecrets: true, clock: true });
  const { clock = systemClock } = options;
  const maxSecrets = positiveInteger('maxSecrets', options.maxSecrets ?? 10);
  const cache = cachedKeys(records, { clock, ttlMs: positiveInteger('cacheTtlMs', options.cacheTtlMs ?? 5_000) });

  let tiers: ReadonlySet<string> | undefined;

  async function read(id: string): Promise<KeyRecord | undefined> {
    if (typeof id !== 'string') throw unexpected('id', 'to be a string', id);
    if (!isName(id)) return undefined;
    const [record] = await records.list({ id, limit: 1 });
    return record;
  }

  async function write(before: KeyRecord | undefined, after: KeyRecord, how: How): Promise<boolean> {
    const from = before === undefined ? {} : { before: snapshotOf(before) };
    const audit: KeyAudit = { keyId: after.key.id, at: clock.wallMs(), ...how, ...from, after: snapshotOf(after) };
    try {
      return await records.write(after, audit);
    } finally {
      // Also when it threw: it may have been written all the same.
      cache.forgetKey(after.key.id);
    }
  }

  /** @param next gives the record to write, the record itself to leave it as it is, or `undefined` to refuse. */
  async function change(
    id: string,
    how: How,
    next: (record: KeyRecord) => KeyRecord | undefined,
  ): Promise<KeySnapshot | undefined> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const before = await read(id);
      const wanted = before && next(before);
      if (before === undefined || wanted === undefined) return undefined;
      const after = { ...wanted, version: before.version + 1 };
      if (wanted === before) cache.forgetKey(id);
      else if (!(await write(before, after, how))) continue;
      return snapshotOf(wanted === before ? before : after);
    }
    throw new Error(`Key ${id} was changed by others ${MAX_ATTEMPTS} times in a row. Please try again.`);
  }

  function rotated(record: KeyRecord, fresh: KeySecret, overlapMs: number): KeyRecord {
    const now = clock.wallMs();
    const old = record.secrets
      .map((secret) => ({
        ...secret,
        expiresAt: Math.min(secret.expiresAt ?? Number.POSITIVE_INFINITY, now + overlapMs),
      }))
      .filter(({ expiresAt }) => expiresAt > now);
    if (old.length < maxSecrets) return { ...record, secrets: [fresh, ...old] };
    throw new Error(`Key ${record.key.id} has ${old.length} secrets that work. Rotate it with less overlap.`);
  }

  /** @throws {TypeError} for a tier that none of the gateways that use these keys has. */
  function checkTier(tier: string | null | undefined): void {
    if (tier === undefined || tier === null || tiers === undefined || tiers.has(tier)) return;
    throw unexpected('tier', `to be one of ${[...tiers].join(', ')}`, tier);
  }

  return {
    find: (hash) => cache.find(hash),
    useTiers(names) {
      tiers = new Set([...(tiers ?? []), ...names]);
    },
    async create(fields, how) {
      const by = authorOf(how);
      checkTier(fields.tier);
      const { secret, kept } = issueSecret(clock.wallMs());
      const record = { key: newKeyOf(fields), secrets: [kept], createdAt: kept.createdAt, version: 1 };
      if (await write(undefined, record, { action: 'create', by })) return { secret, record: snapshotOf(record) };
      throw unexpected('id', 'to be new', record.key.id);
    },
    async get(id) {
      const record = await read(id);
      return record && snapshotOf(record);
    },
    async list(query = {}) {
      const { limit = 100 } = query;
      if (positiveInteger('limit', limit) > MAX_LISTED) throw unexpected('limit', `to be at most ${MAX_LISTED}`, limit);
      // An owner that got lost on the way must not show everybody's keys.
      if ('owner' in query && typeof query.owner !== 'string') throw unexpected('owner', 'to be a string', query.owner);
      return (await records.list({ ...query, limit })).map(snapshotOf);
    },
    async update(id, changes, how) {
      checkTier(changes.tier);
      return change(id, { action: 'update', by: authorOf(how) }, (record) =>
        record.revokedAt === undefined ? { ...record, key: changedKey(record.key, changes) } : undefined,
      );
    },
    async revoke(id, how) {
      return change(id, { action: 'revoke', by: authorOf(how) }, (record) =>
        record.revokedAt === undefined ? { ...record, revokedAt: clock.wallMs() } : record,
      );
    },
    async rotate(id, rotation) {
      const by = authorOf(rotation);
      const { overlapMs } = rotation;
      if (overlapMs !== 0) positiveInteger('overlapMs', overlapMs);
      const { secret, kept } = issueSecret(clock.wallMs());
      const record = await change(id, { action: 'rotate', by }, (before) =>
        before.revokedAt === undefined ? rotated(before, kept, overlapMs) : undefined,
      );
      return record && { secret, record };
    },
    async audits(id) {
      return isName(id) ? records.audits(id) : [];
    },
  };
}

/** Checks the author of a change, whom callers in plain JavaScript may forget. */
function authorOf(change: ChangedBy | undefined): string {
  const by = change?.by;
  checkName('by', by);
  return by;
}

type How = Pick<KeyAudit, 'action' | 'by'>;

function issueSecret(createdAt: number): { readonly secret: string; readonly kept: KeySecret } {
  const secret = newSecret();
  return { secret, kept: { hash: hashSecret(secret), hint: secret.slice(-4), createdAt } };
}
