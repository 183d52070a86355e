import type { ApiKey } from './key-store.js';

/**
 * Whose a key's limits and objects are: keys of one owner share them, any other key stands alone. The prefix keeps an owner
 * from being taken for a key of the same name.
 */
export function ownerOf({ id, owner }: Pick<ApiKey, 'id' | 'owner'>): string {
  return owner === undefined ? `key:${id}` : `owner:${owner}`;
}
