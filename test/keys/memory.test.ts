import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { type MemoryKey, memoryKeys } from '../../src/keys/memory.js';
import { createKey, hashSecret } from '../../src/keys/secret.js';
import { keyStoreContract } from '../contracts/key-store.js';

keyStoreContract('memoryKeys', (keys) => memoryKeys(keys.map(({ hash, key }) => ({ ...key, hash }))));

describe('memoryKeys', () => {
  it('takes secrets of ours and foreign ones, and keeps only their hashes', async () => {
    const { secret } = createKey();
    const foreign = 'sk-proj-0123456789abcdef';
    const store = memoryKeys([
      { id: 'ours', secret, tier: 'pro' },
      { id: 'foreign', secret: foreign },
    ]);
    assert.deepEqual(await store.find(hashSecret(secret)), { id: 'ours', tier: 'pro' });
    assert.deepEqual(await store.find(hashSecret(foreign)), { id: 'foreign' });
    assert.equal(inspect(store, { showHidden: true, depth: 9 }).includes(secret), false);
  });

  it('does not change with what it was given, nor by what it gives', async () => {
    const entry = { id: 'a', tier: 'pro', ...pickHash(createKey()) };
    const store = memoryKeys([entry]);
    entry.tier = 'enterprise';
    const found = await store.find(entry.hash);
    assert.equal(found?.tier, 'pro');
    assert.throws(() => Object.assign(found ?? {}, { tier: 'enterprise' }), TypeError);
  });

  it('adds, replaces and revokes from the next call on', async () => {
    const store = memoryKeys();
    const { hash } = createKey();
    assert.equal(await store.find(hash), undefined);
    store.add({ id: 'a', hash });
    assert.deepEqual(await store.find(hash), { id: 'a' });
    store.add({ id: 'a', hash, expiresAt: 5 });
    assert.deepEqual(await store.find(hash), { id: 'a', expiresAt: 5 });
    assert.equal(store.revoke('a'), true);
    assert.equal(await store.find(hash), undefined);
    assert.equal(store.revoke('a'), false);
  });

  it('revokes every secret of a key and no other key', async () => {
    const [old, young, other] = [createKey(), createKey(), createKey()];
    const store = memoryKeys([
      { id: 'rotated', hash: old.hash },
      { id: 'rotated', hash: young.hash },
      { id: 'other', hash: other.hash },
    ]);
    store.revoke('rotated');
    assert.equal(await store.find(old.hash), undefined);
    assert.equal(await store.find(young.hash), undefined);
    assert.deepEqual(await store.find(other.hash), { id: 'other' });
  });

  it('refuses bad entries without repeating their secrets', () => {
    const { secret, hash } = createKey();
    const broken = `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`;
    const entries: MemoryKey[] = [
      { id: 'a', secret: 'too-short-CANARY'.slice(0, 15) },
      { id: 'a', secret: 'CANARY with spaces in it' },
      { id: 'a', secret: broken },
      { id: 'a', secret: '' },
      { id: 'a', hash: hash.toUpperCase() },
      { id: 'a', hash: secret },
      { id: '', hash },
      // As from JavaScript.
      JSON.parse(JSON.stringify({ id: 'a', secret, hash })),
      JSON.parse('{ "id": "a" }'),
      JSON.parse(JSON.stringify({ id: 7, hash })),
      JSON.parse('{ "id": "a", "secret": 1234567890123456 }'),
    ];
    for (const entry of entries) {
      assert.throws(
        () => memoryKeys([entry]),
        (error: unknown) => {
          assert.ok(error instanceof TypeError);
          assert.match(error.message, /^Expected /);
          for (const text of [entry.secret, entry.hash]) {
            if (typeof text === 'string' && text !== '') assert.equal(error.message.includes(text), false);
          }
          assert.equal(error.message.includes('CANARY'), false);
          return true;
        },
        inspect(entry.id),
      );
    }
  });

  function pickHash({ hash }: { readonly hash: string }): { readonly hash: string } {
    return { hash };
  }
});
