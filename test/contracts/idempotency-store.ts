import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import type { IdempotencyStore, IdempotentRequest, KeptAnswer } from '../../src/stores/answer-store.js';

const CLAIM_MS = 60_000;
const ANSWER: KeptAnswer = {
  status: 200,
  headers: { 'content-type': 'application/json', 'x-request-id': 'req_1' },
  body: '{"text":"Größe \u{1f600}"}',
  isBase64: false,
};

/** What every idempotency store promises. Ids are made anew for each test, so that a store may keep what it holds. */
export function idempotencyStoreContract(
  name: string,
  make: () => IdempotencyStore | PromiseLike<IdempotencyStore>,
): void {
  describe(`${name} is an idempotency store`, () => {
    // For stores whose entries die by their own clock.
    const now = Date.now();
    const request = (): IdempotentRequest => ({ id: sha256(randomUUID()), fingerprint: sha256('body') });

    it('gives a request to the first who claims it', async () => {
      const store = await make();
      const one = request();
      assert.deepEqual(await store.claim(one, now, CLAIM_MS), { kind: 'claimed' });
      assert.deepEqual(await store.claim(one, now, CLAIM_MS), { kind: 'in-flight' });
      assert.deepEqual(await store.claim(request(), now, CLAIM_MS), { kind: 'claimed' });
    });

    it('gives it to one of 50 who claim it at once', async () => {
      const store = await make();
      const one = request();
      const claims = await Promise.all(Array.from({ length: 50 }, () => store.claim(one, now, CLAIM_MS)));
      assert.equal(claims.filter(({ kind }) => kind === 'claimed').length, 1);
      assert.equal(claims.filter(({ kind }) => kind === 'in-flight').length, 49);
    });

    it('answers again as it answered first', async () => {
      const store = await make();
      for (const answer of [ANSWER, { ...ANSWER, status: 400, headers: {}, body: 'AAEC', isBase64: true }]) {
        const one = request();
        await store.claim(one, now, CLAIM_MS);
        await store.finish(one, answer, now + 86_400_000);
        assert.deepEqual(await store.claim(one, now + CLAIM_MS, CLAIM_MS), { kind: 'answered', answer });
      }
    });

    it('knows another request under the same id, in flight and answered', async () => {
      const store = await make();
      const one = request();
      const other = { ...one, fingerprint: sha256('other') };
      await store.claim(one, now, CLAIM_MS);
      assert.deepEqual(await store.claim(other, now, CLAIM_MS), { kind: 'other-request' });
      await store.finish(one, ANSWER, now + 86_400_000);
      assert.deepEqual(await store.claim(other, now, CLAIM_MS), { kind: 'other-request' });
    });

    it('gives a claim back that came to nothing', async () => {
      const store = await make();
      const one = request();
      await store.claim(one, now, CLAIM_MS);
      await store.finish(one, undefined, now);
      assert.deepEqual(await store.claim({ ...one, fingerprint: sha256('other') }, now, CLAIM_MS), { kind: 'claimed' });
    });

    it('forgets claims and answers whose time is up', async () => {
      const store = await make();
      const [claimed, answered] = [request(), request()];
      await store.claim(claimed, now, CLAIM_MS);
      await store.claim(answered, now, CLAIM_MS);
      await store.finish(answered, ANSWER, now + CLAIM_MS);
      assert.deepEqual(await store.claim(claimed, now + CLAIM_MS - 1, CLAIM_MS), { kind: 'in-flight' });
      assert.equal((await store.claim(answered, now + CLAIM_MS - 1, CLAIM_MS)).kind, 'answered');
      assert.deepEqual(await store.claim(claimed, now + CLAIM_MS, CLAIM_MS), { kind: 'claimed' });
      assert.deepEqual(await store.claim(answered, now + CLAIM_MS, CLAIM_MS), { kind: 'claimed' });
    });

    it('lets nobody who comes too late undo what another has done since', async () => {
      const store = await make();
      const one = request();
      const other = { ...one, fingerprint: sha256('other') };
      await store.claim(one, now, CLAIM_MS);
      await store.claim(other, now + CLAIM_MS, CLAIM_MS);
      await store.finish(one, undefined, now);
      assert.deepEqual(await store.claim(other, now + CLAIM_MS, CLAIM_MS), { kind: 'in-flight' });
      await store.finish(one, ANSWER, now + 86_400_000);
      assert.deepEqual(await store.claim(other, now + CLAIM_MS, CLAIM_MS), { kind: 'in-flight' });
      await store.finish(other, { ...ANSWER, status: 201 }, now + 86_400_000);
      await store.finish(other, undefined, now);
      const claim = await store.claim(other, now + CLAIM_MS, CLAIM_MS);
      assert.ok(claim.kind === 'answered' && claim.answer.status === 201);
    });
  });
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
