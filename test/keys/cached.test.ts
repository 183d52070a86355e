import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cachedKeys } from '../../src/keys/cached.js';
import type { ApiKey, KeyStore } from '../../src/keys/key-store.js';
import { memoryKeys } from '../../src/keys/memory.js';
import { createKey, hashSecret } from '../../src/keys/secret.js';
import { keyStoreContract } from '../contracts/key-store.js';
import { runs } from '../helpers/depth.js';

keyStoreContract('cachedKeys', (keys) => cachedKeys(memoryKeys(keys.map(({ hash, key }) => ({ ...key, hash })))));

describe('cachedKeys', () => {
  /** A store whose keys can be changed, that counts what it is asked, and a clock that stands still. */
  function fixture(options: Parameters<typeof cachedKeys>[1] = {}) {
    const keys = new Map<string, ApiKey>();
    const asked: string[] = [];
    let now = 0;
    const store: KeyStore = {
      async find(hash) {
        asked.push(hash);
        return keys.get(hash);
      },
    };
    const cache = cachedKeys(store, { clock: { steadyMs: () => now }, ...options });
    const advance = (ms: number): void => {
      now += ms;
    };
    return { keys, asked, cache, advance };
  }

  it('asks once in ttlMs for a key, and then anew', async () => {
    const { keys, asked, cache, advance } = fixture();
    keys.set('a', { id: 'a' });
    for (let count = 0; count < 3; count += 1) assert.deepEqual(await cache.find('a'), { id: 'a' });
    assert.equal(asked.length, 1);
    keys.delete('a');
    advance(5_000);
    assert.deepEqual(await cache.find('a'), { id: 'a' });
    advance(1);
    assert.equal(await cache.find('a'), undefined);
    assert.equal(asked.length, 2);
  });

  it('asks once in unknownTtlMs for a hash that nobody knows', async () => {
    const { keys, asked, cache, advance } = fixture();
    for (let count = 0; count < 3; count += 1) assert.equal(await cache.find('a'), undefined);
    assert.equal(asked.length, 1);
    keys.set('a', { id: 'a' });
    advance(10_000);
    assert.equal(await cache.find('a'), undefined);
    advance(1);
    assert.deepEqual(await cache.find('a'), { id: 'a' });
  });

  it('finds a new key at once after forget, and loses a revoked one', async () => {
    const { keys, cache } = fixture();
    assert.equal(await cache.find('a'), undefined);
    keys.set('a', { id: 'a' });
    cache.forget('a');
    assert.deepEqual(await cache.find('a'), { id: 'a' });
    keys.delete('a');
    cache.forget('a');
    assert.equal(await cache.find('a'), undefined);
  });

  it('forgets all secrets of one key, also those it is asking for, and no other key’s', async () => {
    const { keys, asked, cache } = fixture();
    for (const hash of ['a1', 'a2', 'b1']) keys.set(hash, { id: hash.slice(0, 1) });
    for (const hash of ['a1', 'b1']) await cache.find(hash);
    const early = cache.find('a2');
    cache.forgetKey('a');
    assert.deepEqual(await early, { id: 'a' });
    keys.delete('a1');
    keys.delete('a2');
    for (const hash of ['a1', 'a2']) assert.equal(await cache.find(hash), undefined);
    assert.deepEqual(await cache.find('b1'), { id: 'b' });
    assert.deepEqual(asked, ['a1', 'b1', 'a2', 'a1', 'a2']);
  });

  it('keeps its keys through a flood of unknown hashes, and asks once for each of those', async () => {
    const { keys, asked, cache } = fixture({ maxKeys: 10, maxUnknown: 100 });
    for (let index = 0; index < 10; index += 1) keys.set(`key ${index}`, { id: `key ${index}` });
    for (const hash of keys.keys()) await cache.find(hash);
    for (let index = 0; index < 5_000; index += 1) {
      await cache.find(`unknown ${index}`);
      await cache.find(`unknown ${index}`);
    }
    assert.equal(asked.length, 10 + 5_000);
    for (const hash of keys.keys()) await cache.find(hash);
    assert.equal(asked.length, 10 + 5_000);
  });

  it('A11 does not grow under 200,000 unknown hashes beyond what is allowed', async () => {
    const { asked, cache } = fixture();
    for (let index = 0; index < 200_000; index += 1) await cache.find(`unknown ${index}`);
    assert.equal(asked.length, 200_000);
    // The latest 10,000 are still known, the one before them no longer.
    for (let index = 190_000; index < 200_000; index += 1) await cache.find(`unknown ${index}`);
    assert.equal(asked.length, 200_000);
    await cache.find('unknown 189999');
    assert.equal(asked.length, 200_001);
  });

  it('keeps at most maxKeys, those used last', async () => {
    const { keys, asked, cache } = fixture({ maxKeys: 2 });
    for (const id of ['a', 'b', 'c']) keys.set(id, { id });
    for (const hash of ['a', 'b', 'a', 'c', 'a']) await cache.find(hash);
    assert.deepEqual(asked, ['a', 'b', 'c']);
    await cache.find('b');
    assert.deepEqual(asked, ['a', 'b', 'c', 'b']);
  });

  it('shares one question among finds at one time', async () => {
    const { store, answers } = slowStore();
    const cache = cachedKeys(store);
    const finds = [cache.find('a'), cache.find('a'), cache.find('b'), cache.find('a')];
    await turn();
    assert.equal(answers.length, 2);
    answers[0]?.resolve({ id: 'a' });
    answers[1]?.resolve(undefined);
    assert.deepEqual(await Promise.all(finds), [{ id: 'a' }, { id: 'a' }, undefined, { id: 'a' }]);
  });

  it('throws to all who asked and remembers nothing of it', async () => {
    const { store, answers } = slowStore();
    const cache = cachedKeys(store);
    const finds = [cache.find('a'), cache.find('a')];
    await turn();
    const broken = new Error('database gone');
    answers[0]?.reject(broken);
    const outcomes = await Promise.allSettled(finds);
    assert.deepEqual(outcomes, [
      { status: 'rejected', reason: broken },
      { status: 'rejected', reason: broken },
    ]);
    const again = cache.find('a');
    await turn();
    answers[1]?.resolve({ id: 'a' });
    assert.deepEqual(await again, { id: 'a' });
    assert.equal(answers.length, 2);
  });

  it('survives a store that throws at once or answers null', async () => {
    const answers: (() => Promise<ApiKey | undefined>)[] = [
      () => {
        throw new Error('at once');
      },
      async () => JSON.parse('null'),
    ];
    const cache = cachedKeys({ find: () => answers.shift()?.() ?? Promise.reject(new Error('asked too often')) });
    await assert.rejects(async () => cache.find('a'), /at once/);
    assert.equal(await cache.find('a'), undefined);
    assert.equal(await cache.find('a'), undefined);
  });

  it('does not remember an answer that was under way when the key was forgotten', async () => {
    const { store, answers } = slowStore();
    const cache = cachedKeys(store);
    const early = cache.find('a');
    await turn();
    cache.forget('a');
    const late = cache.find('a');
    await turn();
    assert.equal(answers.length, 2);
    answers[1]?.resolve(undefined);
    assert.equal(await late, undefined);
    answers[0]?.resolve({ id: 'a, revoked since' });
    await early;
    assert.equal(await cache.find('a'), undefined);
    assert.equal(answers.length, 2);
  });

  it('remembers nothing of what was under way when nobody asked since', async () => {
    const { store, answers } = slowStore();
    const cache = cachedKeys(store);
    const early = cache.find('a');
    await turn();
    cache.forget('a');
    answers[0]?.resolve({ id: 'a, revoked since' });
    await early;
    const late = cache.find('a');
    await turn();
    answers[1]?.resolve(undefined);
    assert.equal(await late, undefined);
  });

  it('A9 never answers with another key, however alike the secrets are', async () => {
    const { hash } = createKey();
    const text = fc.string({ unit: 'grapheme-ascii', maxLength: 40 });
    const pair = fc
      .record({ start: text, one: text, other: text, end: text })
      .filter(({ one, other }) => one !== other);
    await fc.assert(
      fc.asyncProperty(fc.array(pair, { minLength: 1, maxLength: 20 }), async (pairs) => {
        const { keys, cache } = fixture({ maxKeys: 8 });
        const secrets = pairs.flatMap(({ start, one, other, end }) => [start + one + end, start + other + end]);
        secrets.forEach((secret, index) => {
          if (index % 3 !== 0) keys.set(hashSecret(secret), { id: secret });
        });
        for (const secret of [...secrets, ...secrets]) {
          const key = await cache.find(hashSecret(secret));
          assert.equal(key?.id, keys.get(hashSecret(secret))?.id);
        }
        assert.equal(await cache.find(hash), undefined);
      }),
      runs(50),
    );
  });

  it('refuses to be unbounded or timeless', () => {
    for (const name of ['ttlMs', 'unknownTtlMs', 'maxKeys', 'maxUnknown']) {
      for (const value of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        assert.throws(() => cachedKeys(memoryKeys(), { [name]: value }), new RegExp(`Expected \`${name}\``));
      }
    }
  });

  interface Answer {
    resolve(key: ApiKey | undefined): void;
    reject(error: Error): void;
  }

  function slowStore() {
    const answers: Answer[] = [];
    const store: KeyStore = {
      find: () => new Promise((resolve, reject) => answers.push({ resolve, reject })),
    };
    return { store, answers };
  }

  function turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
});
