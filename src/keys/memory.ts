import { assertKey } from './check-key.js';
import type { ApiKey, KeyStore } from './key-store.js';
import { hashSecret, isWellFormedSecret } from './secret.js';

/** A key with its secret, of which only the hash is kept, or with that hash. */
export type MemoryKey = ApiKey &
  (
    | {
        /** One that `createKey` made, or 16 to 256 printable ASCII characters without spaces. */
        readonly secret: string;
        readonly hash?: undefined;
      }
    | {
        /** Lower-case hex SHA-256 of the secret. */
        readonly hash: string;
        readonly secret?: undefined;
      }
  );

/** A key store in this process's memory. */
export interface MemoryKeys extends KeyStore {
  /**
   * Adds a key; the next call may use it. A second secret under the id of an earlier one is a rotation: both work, and
   * their usage counts as one key's. The same secret again replaces the key.
   * @throws {TypeError} for a secret or hash that cannot be one. The message does not repeat it.
   */
  add(entry: MemoryKey): void;
  /** Refuses a key's secrets, all of them, from the next call on. @returns Whether there were any. */
  revoke(id: string): boolean;
}

/**
 * Keys kept in memory, for a list that is part of the program, for tests, and for one process whose keys come from
 * elsewhere. It holds what was added and not revoked; nothing is evicted.
 * @throws {TypeError} for a secret or hash that cannot be one. The message does not repeat it.
 */
export function memoryKeys(entries: Iterable<MemoryKey> = []): MemoryKeys {
  const keys = new Map<string, ApiKey>();

  function add(entry: MemoryKey): void {
    const { secret: _secret, hash: _hash, ...key } = entry;
    assertKey('memoryKeys', key);
    keys.set(hashOf(entry), Object.freeze(key));
  }

  for (const entry of entries) add(entry);
  return {
    add,
    find: (hash) => keys.get(hash),
    revoke(id) {
      const before = keys.size;
      for (const [hash, key] of keys) if (key.id === id) keys.delete(hash);
      return keys.size < before;
    },
  };
}

function hashOf({ id, secret, hash }: MemoryKey): string {
  if ((secret === undefined) === (hash === undefined)) {
    throw new TypeError(`Expected key \`${id}\` to have either \`secret\` or \`hash\``);
  }
  if (hash !== undefined) {
    if (typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash)) return hash;
    throw new TypeError(`Expected \`hash\` of key \`${id}\` to be a SHA-256 in 64 lower-case hex digits`);
  }
  if (typeof secret === 'string' && isWellFormedSecret(secret)) return hashSecret(secret);
  throw new TypeError(
    `Expected \`secret\` of key \`${id}\` to be one that createKey made, unchanged, or 16 to 256 printable ASCII characters without spaces`,
  );
}
