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

/**
 * Promises of a store whose bytes are bounded.
 * @param make makes an empty store that holds at most so many bytes of answers.
 */
export function answerBytesContract(name: string, make: (maxBytes: number) => Promise<IdempotencyStore>): void {
  describe(`${name} bounds the bytes of answers`, () => {
    const now = Date.now();
    const nameOf = (owner: string, at: number): IdempotentRequest => ({
      id: sha256(`${owner} ${at}`),
      fingerprint: sha256('body'),
      owner,
    });
    async function keep(store: IdempotencyStore, owner: string, at: number): Promise<void> {
      await store.claim(nameOf(owner, at), now, CLAIM_MS);
      await store.finish(nameOf(owner, at), { ...ANSWER, body: 'x'.repeat(8_000) }, now + 86_400_000 + at);
    }
    async function keptOf(store: IdempotencyStore, owner: string, count: number): Promise<number[]> {
      const kept: number[] = [];
      for (let at = 0; at < count; at += 1) {
        if ((await store.claim(nameOf(owner, at), now, CLAIM_MS)).kind === 'answered') kept.push(at);
      }
      return kept;
    }

    it('of one owner to a quarter, the oldest going first, and of no other', async () => {
      const store = await make(160_000);
      await keep(store, 'bob', 0);
      for (let at = 0; at < 9; at += 1) await keep(store, 'ann', at);
      assert.deepEqual(await keptOf(store, 'ann', 9), [5, 6, 7, 8]);
      assert.deepEqual(await keptOf(store, 'bob', 1), [0]);
    });

    it('in all, whoever’s they are', async () => {
      const store = await make(50_000);
      for (let owner = 0; owner < 12; owner += 1) await keep(store, `o${owner}`, 0);
      const kept: string[] = [];
      for (let owner = 0; owner < 12; owner += 1) {
        if ((await keptOf(store, `o${owner}`, 1)).length > 0) kept.push(`o${owner}`);
      }
      assert.equal(kept.length, 5);
    });
  });
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
