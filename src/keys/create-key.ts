import type { ApiKey } from './key-store.js';
import { hashSecret, newKeyId, newSecret } from './secret.js';

/** What is to be known about a new key. @see ApiKey */
export type NewKeyFields = Omit<ApiKey, 'id'> & {
  /** @default `key_` and 17 random characters */
  readonly id?: string;
};

/** A key that was just made. */
export interface CreatedKey {
  /** For the user, to be shown once: it cannot be had again. */
  readonly secret: string;
  /** For the key store: lower-case hex SHA-256 of `secret`. */
  readonly hash: string;
  /** For the key store, under `hash`. */
  readonly key: ApiKey;
}

/**
 * Makes an API key. Show `secret` to its user once and store only `hash` and `key`. SHA-256 without salt is right here:
 * the secret is 256 random bits, which nobody can search for. For passwords it would be wrong.
 */
export function createKey(fields: NewKeyFields = {}): CreatedKey {
  const secret = newSecret();
  return { secret, hash: hashSecret(secret), key: { ...fields, id: fields.id ?? newKeyId() } };
}
