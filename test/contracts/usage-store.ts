import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import type { UsageReader, UsageRecord, UsageStart, UsageStore } from '../../src/usage/usage-store.js';

export const HOUR_MS = 3_600_000;

/** A record as the gateway makes it, of a call that went well. */
export function usageRecordOf(fields: Partial<UsageRecord> & { readonly keyId: string }): UsageRecord {
  return {
    requestId: `req_${randomUUID()}`,
    operation: 'chat.completions',
    model: 'gpt-4o-mini',
    upstream: 'openai',
    outcome: 'ok',
    inputTokens: 100,
    cachedInputTokens: 0,
    outputTokens: 20,
    reasoningTokens: 0,
    counted: 'exact',
    costNanoUsd: 27_000,
    startedAt: Date.now(),
    firstByteMs: 200,
    durationMs: 900,
    ...fields,
  };
}

export function startOf({ requestId, keyId, operation, model, startedAt }: UsageRecord): UsageStart {
  return { requestId, keyId, operation, model, startedAt };
}

/** Opens and settles. */
export async function recordUsage(store: UsageStore, record: UsageRecord): Promise<void> {
  await store.open(startOf(record));
  await store.settle(record);
}

/**
 * What every usage store that can be read promises. Key ids are made anew for each test, so that a store may keep what it
 * holds from test to test.
 */
export function usageStoreContract(
  name: string,
  make: () => (UsageStore & UsageReader) | PromiseLike<UsageStore & UsageReader>,
): void {
  describe(`${name} is a usage store`, () => {
    const thisHour = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
    const nothing = {
      requests: 0,
      inputTokens: 0,
      outputTokens: 0,
      costNanoUsd: 0,
      requestsWithoutCost: 0,
      byModel: new Map(),
      byHour: [],
    };

    it('has totals of 0 for a key without usage', async () => {
      const store = await make();
      assert.deepEqual(await store.totals(randomUUID()), nothing);
    });

    it('adds up what was settled, in all, by model and by hour', async () => {
      const store = await make();
      const keyId = randomUUID();
      const earlier = thisHour - 2 * HOUR_MS;
      await recordUsage(store, usageRecordOf({ keyId, startedAt: thisHour }));
      await recordUsage(store, usageRecordOf({ keyId, model: 'o3', startedAt: earlier + HOUR_MS - 1 }));
      await recordUsage(
        store,
        usageRecordOf({ keyId, startedAt: earlier, inputTokens: 1, outputTokens: 2, costNanoUsd: 3 }),
      );
      const gpt = { requests: 2, tokens: 123, costNanoUsd: 27_003, requestsWithoutCost: 0 };
      assert.deepEqual(await store.totals(keyId), {
        requests: 3,
        inputTokens: 201,
        outputTokens: 42,
        costNanoUsd: 54_003,
        requestsWithoutCost: 0,
        byModel: new Map([
          ['gpt-4o-mini', gpt],
          ['o3', { requests: 1, tokens: 120, costNanoUsd: 27_000, requestsWithoutCost: 0 }],
        ]),
        byHour: [
          { startsAt: earlier, requests: 2, tokens: 123, costNanoUsd: 27_003, requestsWithoutCost: 0 },
          { startsAt: thisHour, requests: 1, tokens: 120, costNanoUsd: 27_000, requestsWithoutCost: 0 },
        ],
      });
    });

    it('counts calls whose tokens or cost nobody knows, without making any up', async () => {
      const store = await make();
      const keyId = randomUUID();
      const unknown = { inputTokens: undefined, outputTokens: undefined, costNanoUsd: undefined };
      await recordUsage(store, usageRecordOf({ keyId, ...unknown, outcome: 'error', startedAt: thisHour }));
      await recordUsage(store, usageRecordOf({ keyId, costNanoUsd: 0, startedAt: thisHour }));
      const totals = await store.totals(keyId);
      assert.equal(totals.requests, 2);
      assert.equal(totals.inputTokens, 100);
      assert.equal(totals.costNanoUsd, 0);
      assert.equal(totals.requestsWithoutCost, 1);
      assert.deepEqual(totals.byHour, [
        { startsAt: thisHour, requests: 2, tokens: 120, costNanoUsd: 0, requestsWithoutCost: 1 },
      ]);
    });

    it('counts a call that is opened and settled twice once', async () => {
      const store = await make();
      const record = usageRecordOf({ keyId: randomUUID() });
      await store.open(startOf(record));
      await store.open(startOf(record));
      await Promise.all([store.settle(record), store.settle(record)]);
      await store.settle({ ...record, inputTokens: 5_000 });
      const totals = await store.totals(record.keyId);
      assert.equal(totals.requests, 1);
      assert.equal(totals.inputTokens, 100);
    });

    it('does not count a call that is only open', async () => {
      const store = await make();
      const record = usageRecordOf({ keyId: randomUUID() });
      await store.open(startOf(record));
      assert.deepEqual(await store.totals(record.keyId), nothing);
    });

    it('keeps keys apart, whatever they are called', async () => {
      const store = await make();
      const tag = randomUUID();
      const keyIds = [tag, `${tag} `, tag.toUpperCase(), `${tag}%`, `${tag}'--`, `__proto__${tag}`];
      for (const [index, keyId] of keyIds.entries()) {
        await recordUsage(store, usageRecordOf({ keyId, inputTokens: index, model: 'constructor' }));
      }
      for (const [index, keyId] of keyIds.entries()) {
        const totals = await store.totals(keyId);
        assert.equal(totals.requests, 1, keyId);
        assert.equal(totals.inputTokens, index, keyId);
        assert.equal(totals.byModel.get('constructor')?.requests, 1);
      }
    });

    it('loses nothing of 500 calls at once', async () => {
      const store = await make();
      const keyId = randomUUID();
      const records = Array.from({ length: 500 }, (_, index) =>
        usageRecordOf({ keyId, inputTokens: index, outputTokens: 1, costNanoUsd: 2, startedAt: thisHour }),
      );
      await Promise.all(records.map((record) => recordUsage(store, record)));
      const totals = await store.totals(keyId);
      assert.equal(totals.requests, 500);
      assert.equal(totals.inputTokens, 124_750);
      assert.equal(totals.outputTokens, 500);
      assert.equal(totals.costNanoUsd, 1_000);
      assert.deepEqual(totals.byHour, [
        { startsAt: thisHour, requests: 500, tokens: 125_250, costNanoUsd: 1_000, requestsWithoutCost: 0 },
      ]);
    });

    it('gives totals that do not change afterwards', async () => {
      const store = await make();
      const keyId = randomUUID();
      await recordUsage(store, usageRecordOf({ keyId }));
      const before = await store.totals(keyId);
      const copy = structuredClone(before);
      await recordUsage(store, usageRecordOf({ keyId }));
      assert.deepEqual(before, copy);
    });
  });
}
