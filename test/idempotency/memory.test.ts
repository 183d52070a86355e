import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type IdempotentRequest, type KeptAnswer, memoryIdempotency } from 'megallm-middleware';
import { answerBytesContract, idempotencyStoreContract } from '../contracts/idempotency-store.js';

idempotencyStoreContract('memoryIdempotency', () => memoryIdempotency());
answerBytesContract('memoryIdempotency', async (maxBytes) => memoryIdempotency({ maxBytes }));

const NOW = 1_800_000_000_000;
const DAY_MS = 86_400_000;

const request = (id: string): IdempotentRequest => ({ id, fingerprint: 'f' });
const answer = (body: string): KeptAnswer => ({ status: 200, headers: {}, body, isBase64: false });

describe('answers in memory', () => {
  it('go when they are too many, those not asked for again for longest first', async () => {
    const store = memoryIdempotency({ maxAnswers: 2 });
    for (const id of ['1', '2']) {
      await store.claim(request(id), NOW, 1_000);
      await store.finish(request(id), answer(id), NOW + DAY_MS);
    }
    assert.equal((await store.claim(request('1'), NOW, 1_000)).kind, 'answered');
    await store.claim(request('3'), NOW, 1_000);
    await store.finish(request('3'), answer('3'), NOW + DAY_MS);
    const kinds = await Promise.all(
      ['1', '2', '3'].map(async (id) => (await store.claim(request(id), NOW, 1_000)).kind),
    );
    assert.deepEqual(kinds, ['answered', 'claimed', 'answered']);
  });

  it('go when they are too large together', async () => {
    const store = memoryIdempotency({ maxBytes: 10_000 });
    for (const id of ['1', '2']) {
      await store.claim(request(id), NOW, 1_000);
      await store.finish(request(id), answer('x'.repeat(6_000)), NOW + DAY_MS);
    }
    const kinds = await Promise.all(['1', '2'].map(async (id) => (await store.claim(request(id), NOW, 1_000)).kind));
    assert.deepEqual(kinds, ['claimed', 'answered']);
  });

  it('do not push out what is still being answered', async () => {
    const store = memoryIdempotency({ maxAnswers: 1 });
    for (const id of ['1', '2', '3']) await store.claim(request(id), NOW, 1_000);
    await store.finish(request('3'), answer('3'), NOW + DAY_MS);
    assert.equal((await store.claim(request('1'), NOW, 1_000)).kind, 'in-flight');
    assert.equal((await store.claim(request('2'), NOW, 1_000)).kind, 'in-flight');
  });

  for (const options of [{ maxBytes: 0 }, { maxAnswers: 1.5 }, { maxAnswers: -1 }]) {
    it(`refuses ${JSON.stringify(options)}`, () => assert.throws(() => memoryIdempotency(options), TypeError));
  }
});
