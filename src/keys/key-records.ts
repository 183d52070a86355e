import type { Awaitable } from '../base/awaitable.js';
import type { ApiKey, KeyStore } from './key-store.js';

/** One secret of a key, known by its hash alone. */
export interface KeySecret {
  /** Lower-case hex SHA-256. */
  readonly hash: string;
  /** The last four characters of the secret, so that people can tell which one it is. */
  readonly hint: string;
  /** Unix time in milliseconds. */
  readonly createdAt: number;
  /** Unix time in milliseconds from which it is refused: the end of a rotation's overlap. Absent: as long as the key lives. */
  readonly expiresAt?: number;
}

/** A key as a store keeps it. */
export interface KeyRecord {
  readonly key: ApiKey;
  /** What it is found by, newest first. */
  readonly secrets: readonly KeySecret[];
  /** Unix time in milliseconds. */
  readonly createdAt: number;
  /** Unix time in milliseconds; absent: it was not revoked. */
  readonly revokedAt?: number;
  /** 1 when it was made, and one more with every change. */
  readonly version: number;
}

/** Who changed what, kept for ever. */
export interface KeyAudit {
  readonly keyId: string;
  /** Unix time in milliseconds. */
  readonly at: number;
  /** Who did it, in the host's words. */
  readonly by: string;
  readonly action: 'create' | 'update' | 'rotate' | 'revoke';
  /** The record before and after, of which the hashes are left out. Absent before the first. */
  readonly before?: KeySnapshot;
  readonly after: KeySnapshot;
}

/** What an audit row shows of a record. */
export type KeySnapshot = Omit<KeyRecord, 'secrets'> & { readonly secrets: readonly Omit<KeySecret, 'hash'>[] };

/** Which records to read. */
export interface KeyQuery {
  readonly id?: string;
  /** As on the key, without prefix. */
  readonly owner?: string;
  /** Records that come after that key's, by `createdAt` and then by id. */
  readonly after?: string;
  /** @default 100 */
  readonly limit?: number;
}

/** Where keys are kept that can be made and changed while the gateway runs. */
export interface KeyRecords extends KeyStore {
  /** Oldest first, by `createdAt` and then by id. */
  list(query: KeyQuery): Awaitable<readonly KeyRecord[]>;
  /**
   * Writes a record and its audit row, both or neither, if the stored record is the version before this one (none, for
   * version 1).
   * @returns whether it was written: `false` when somebody else was faster.
   */
  write(record: KeyRecord, audit: KeyAudit): Awaitable<boolean>;
  /** Every change of one key, oldest first. */
  audits(keyId: string): Awaitable<readonly KeyAudit[]>;
}
