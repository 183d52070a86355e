import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ApiKey, KeyStore } from '../../src/keys/key-store.js';
import { createKey } from '../../src/keys/secret.js';

/** What a store's keys can be filled with. */
export interface StoredKey {
  readonly hash: string;
  readonly key: ApiKey;
}

/** What every key store promises. @param make makes a store that holds these keys and no others. */
export function keyStoreContract(
  name: string,
  make: (keys: readonly StoredKey[]) => KeyStore | PromiseLike<KeyStore>,
): void {
  describe(`${name} is a key store`, () => {
    it('finds a key by the hash of its secret, with all that is known about it', async () => {
      const full = createKey({
        owner: 'Größe & Söhne',
        tier: 'pro',
        // What JSON makes `null` of would be the tier's ceiling instead of none.
        limits: { requestsPerMinute: 5, tokensPerMinute: 0, concurrency: Number.POSITIVE_INFINITY },
        ownLimits: { usdPerDay: 0.25, usdPerMonth: 5, shadow: { outputTokensPerMinute: 7 } },
        expiresAt: 1_900_000_000_000,
        models: ['gpt-4o', 'constructor'],
        debug: true,
      });
      const bare = createKey();
      const store = await make([full, bare]);
      assert.deepEqual(await store.find(full.hash), full.key);
      assert.deepEqual(await store.find(bare.hash), bare.key);
    });

    it('resolves to undefined for a hash it does not know', async () => {
      const store = await make([createKey()]);
      assert.equal(await store.find(createKey().hash), undefined);
    });

    it('finds nothing by what is not the hash: the secret, the id, another case, a part, a name of every object', async () => {
      const { secret, hash, key } = createKey();
      const store = await make([{ hash, key }]);
      const others = [
        secret,
        key.id,
        hash.toUpperCase(),
        hash.slice(0, 20),
        `${hash} `,
        '',
        '__proto__',
        'constructor',
      ];
      for (const other of others) assert.equal(await store.find(other), undefined, other.slice(0, 12));
    });

    it('never takes one key for another whose hash is nearly the same', async () => {
      const { hash, key } = createKey();
      const near = hash.slice(0, 63) + (hash.endsWith('0') ? '1' : '0');
      const far = (hash.startsWith('0') ? '1' : '0') + hash.slice(1);
      const other = createKey();
      const store = await make([
        { hash, key },
        { hash: near, key: other.key },
      ]);
      assert.equal((await store.find(hash))?.id, key.id);
      assert.equal((await store.find(near))?.id, other.key.id);
      assert.equal(await store.find(far), undefined);
    });

    it('finds many at once', async () => {
      const keys = Array.from({ length: 200 }, () => createKey());
      const store = await make(keys);
      const found = await Promise.all(keys.map(({ hash }) => store.find(hash)));
      assert.deepEqual(
        found.map((key) => key?.id),
        keys.map(({ key }) => key.id),
      );
    });

    it('lets two secrets stand for one key', async () => {
      const young = createKey();
      const old = createKey({ id: young.key.id, expiresAt: 1_900_000_000_000 });
      const store = await make([old, young]);
      assert.deepEqual(await store.find(old.hash), old.key);
      assert.deepEqual(await store.find(young.hash), young.key);
    });
  });
}
