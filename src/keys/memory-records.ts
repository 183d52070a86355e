import { positiveInteger } from '../base/checks.js';
import { keyOfSecret } from './key-records.js';
import type { ApiKey, KeyAudit, KeyQuery, KeyRecord, KeyRecords } from './key-store.js';

export interface MemoryKeyRecordsOptions {
  /** Most audit rows remembered, of all keys together; above it the oldest go. @default 10_000 */
  readonly maxAudits?: number | undefined;
}

/**
 * Key records in this process's memory, gone with it: for tests and small hosts. Records are kept for ever, revoked
 * ones too.
 * @throws {TypeError} when `maxAudits` is not a positive integer.
 */
export function memoryKeyRecords(options: MemoryKeyRecordsOptions = {}): KeyRecords {
  const maxAudits = positiveInteger('maxAudits', options.maxAudits ?? 10_000);
  const records = new Map<string, KeyRecord>();
  /** By hash; revoked ones too, so that nobody else's key gets the same secret. */
  const found = new Map<string, { readonly id: string; readonly key: ApiKey | undefined }>();
  const audits: KeyAudit[] = [];

  function replace(before: KeyRecord | undefined, record: KeyRecord): void {
    for (const { hash } of before?.secrets ?? []) found.delete(hash);
    for (const secret of record.secrets) {
      found.set(secret.hash, { id: record.key.id, key: freezeAll(keyOfSecret(record, secret)) });
    }
    records.set(record.key.id, record);
  }

  return {
    find: (hash) => found.get(hash)?.key,
    list: (query) => select([...records.values()], query),
    write(given, givenAudit) {
      const { id } = given.key;
      const before = records.get(id);
      if ((before?.version ?? 0) + 1 !== given.version) return false;
      if (given.secrets.some(({ hash }) => (found.get(hash)?.id ?? id) !== id)) {
        throw new Error(`Another key has a secret of key ${id}`);
      }
      // Nothing is changed before both are copied: a copy can fail.
      const [record, audit] = structuredClone([given, givenAudit] as const);
      replace(before, freezeAll(record));
      audits.push(freezeAll(audit));
      if (audits.length > maxAudits) audits.shift();
      return true;
    },
    audits: (keyId) => audits.filter((audit) => audit.keyId === keyId),
  };
}

function select(records: readonly KeyRecord[], { id, owner, after, limit = 100 }: KeyQuery): KeyRecord[] {
  const wanted = records.toSorted(
    (one, other) => one.createdAt - other.createdAt || (one.key.id < other.key.id ? -1 : 1),
  );
  const start = after === undefined ? 0 : wanted.findIndex(({ key }) => key.id === after) + 1;
  if (after !== undefined && start === 0) return [];
  return wanted
    .slice(start)
    .filter(({ key }) => (id === undefined || key.id === id) && (owner === undefined || key.owner === owner))
    .slice(0, limit);
}

/** Freezes a value all the way down, as callers are given the kept object itself. */
function freezeAll<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const member of Object.values(value)) freezeAll(member);
  return Object.freeze(value);
}
