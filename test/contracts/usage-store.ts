import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { toPrice } from '../../src/models/pricing.js';
import type {
  UsageGroup,
  UsageReader,
  UsageRecord,
  UsageStart,
  UsageStore,
  UsageSums,
} from '../../src/usage/usage-store.js';

export const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A midnight. */
const MIDNIGHT = Math.floor(Date.now() / DAY_MS) * DAY_MS;

type Readable = UsageStore & UsageReader;
type Make<Store> = () => Store | PromiseLike<Store>;

/** A record as the gateway makes it, of a call that went well. */
export function usageRecordOf(fields: Partial<UsageRecord> & { readonly keyId: string }): UsageRecord {
  return {
    requestId: `req_${randomUUID()}`,
    owner: `key:${fields.keyId}`,
    tier: 'basic',
    operation: 'chat.completions',
    model: 'gpt-4o-mini',
    upstream: 'openai',
    startedAt: MIDNIGHT,
    reservedInputTokens: 120,
    reservedOutputTokens: 50,
    reservedNanoUsd: 48_000,
    price: toPrice({ inputUsdPerMillion: 0.15, cachedInputUsdPerMillion: 0.075, outputUsdPerMillion: 0.6 }),
    priceVersion: undefined,
    serviceTier: undefined,
    outcome: 'ok',
    inputTokens: 100,
    cachedInputTokens: 10,
    cacheWriteTokens: 30,
    cacheWriteLongTokens: undefined,
    inputAudioTokens: undefined,
    inputImageTokens: undefined,
    outputTokens: 20,
    reasoningTokens: 5,
    outputAudioTokens: undefined,
    counted: 'exact',
    costNanoUsd: 27_000,
    upstreamCostNanoUsd: undefined,
    isOverReserved: false,
    status: undefined,
    errorCode: undefined,
    firstByteMs: 200.25,
    durationMs: 900.5,
    ...fields,
  };
}

export function startOf(record: UsageRecord): UsageStart {
  return {
    requestId: record.requestId,
    keyId: record.keyId,
    owner: record.owner,
    tier: record.tier,
    operation: record.operation,
    model: record.model,
    upstream: record.upstream,
    startedAt: record.startedAt,
    reservedInputTokens: record.reservedInputTokens,
    reservedOutputTokens: record.reservedOutputTokens,
    reservedNanoUsd: record.reservedNanoUsd,
    price: record.price,
    upstreamPrice: record.upstreamPrice,
    priceVersion: record.priceVersion,
    serviceTier: record.serviceTier,
  };
}

/** Opens and settles. */
export async function recordUsage(store: UsageStore, record: UsageRecord): Promise<void> {
  await store.open(startOf(record));
  await store.settle(record);
}

/** Sums of records, added up as plainly as can be. */
export function sumsOf(records: readonly UsageRecord[]): UsageSums {
  const sum = (of: (record: UsageRecord) => number | undefined) =>
    records.reduce((total, record) => total + (of(record) ?? 0), 0);
  return {
    requests: records.length,
    inputTokens: sum((record) => record.inputTokens),
    cachedInputTokens: sum((record) => record.cachedInputTokens),
    cacheWriteTokens: sum((record) => record.cacheWriteTokens),
    cacheWriteLongTokens: sum((record) => record.cacheWriteLongTokens),
    inputAudioTokens: sum((record) => record.inputAudioTokens),
    inputImageTokens: sum((record) => record.inputImageTokens),
    outputTokens: sum((record) => record.outputTokens),
    reasoningTokens: sum((record) => record.reasoningTokens),
    outputAudioTokens: sum((record) => record.outputAudioTokens),
    costNanoUsd: sum((record) => record.costNanoUsd),
    requestsWithoutCost: records.filter((record) => record.costNanoUsd === undefined).length,
    upstreamCostNanoUsd: sum((record) => record.upstreamCostNanoUsd),
  };
}

/** One key's sums on the day of the test. */
async function dayOf(store: UsageReader, keyId: string): Promise<readonly UsageGroup[]> {
  return store.report({ from: MIDNIGHT, to: MIDNIGHT + DAY_MS, only: { keyId: [keyId] }, by: [] });
}

/**
 * What every usage store that can be read promises. Key ids are made anew for each test, so that a store may keep what it
 * holds from test to test.
 */
export function usageStoreContract(name: string, make: Make<Readable>): void {
  describe(`${name} is a usage store`, () => {
    it('has no groups without calls', async () => {
      const store = await make();
      assert.deepEqual(await dayOf(store, randomUUID()), []);
      const record = usageRecordOf({ keyId: randomUUID() });
      await recordUsage(store, record);
      const other = { from: MIDNIGHT + HOUR_MS, to: MIDNIGHT + DAY_MS, only: { keyId: [record.keyId] } };
      assert.deepEqual(await store.report({ ...other, by: ['model'], every: 'hour' }), []);
      assert.deepEqual(await store.report({ ...other, from: MIDNIGHT, to: MIDNIGHT, by: [] }), []);
      assert.deepEqual(await store.report({ from: MIDNIGHT, to: MIDNIGHT + DAY_MS, only: { keyId: [] }, by: [] }), []);
    });

    it('adds up every sort of tokens, and costs', async () => {
      const store = await make();
      const keyId = randomUUID();
      const further = {
        ...{ cacheWriteTokens: 6, cacheWriteLongTokens: 2 },
        ...{ inputAudioTokens: 3, inputImageTokens: 4, outputAudioTokens: 5 },
      };
      const none = {
        ...{ inputTokens: 0, cachedInputTokens: 0, cacheWriteTokens: 0, cacheWriteLongTokens: 0, inputAudioTokens: 0 },
        ...{ inputImageTokens: 0, outputTokens: 0, reasoningTokens: 0, outputAudioTokens: 0 },
        ...{ costNanoUsd: 0, upstreamCostNanoUsd: 0, firstByteMs: 0, durationMs: 0 },
      };
      const records = [
        usageRecordOf({ keyId }),
        usageRecordOf({ keyId, ...further, costNanoUsd: 9_000_000_000_000 }),
        usageRecordOf({ keyId, ...none }),
      ];
      for (const record of records) await recordUsage(store, record);
      assert.deepEqual(await dayOf(store, keyId), [{ startsAt: MIDNIGHT, of: {}, sums: sumsOf(records) }]);
    });

    it('counts calls whose tokens or cost nobody knows, without making any up', async () => {
      const store = await make();
      const keyId = randomUUID();
      const unknown = { inputTokens: undefined, cachedInputTokens: undefined, outputTokens: undefined };
      const failed = { ...unknown, reasoningTokens: undefined, costNanoUsd: undefined, firstByteMs: undefined };
      const records = [
        usageRecordOf({ keyId, ...failed, outcome: 'error', reservedOutputTokens: undefined, price: undefined }),
        usageRecordOf({ keyId, costNanoUsd: 0, upstreamCostNanoUsd: 12 }),
      ];
      for (const record of records) await recordUsage(store, record);
      const [group] = await dayOf(store, keyId);
      assert.deepEqual(group?.sums, sumsOf(records));
      assert.equal(group?.sums.requestsWithoutCost, 1);
    });

    it('tells calls apart by what is asked for, by time first and then in the order of the groups', async () => {
      const store = await make();
      const owner = `owner:${randomUUID()}`;
      const [one, other] = [`a${randomUUID()}`, `b${randomUUID()}`];
      const records = [
        usageRecordOf({ owner, keyId: other, model: 'o3' }),
        usageRecordOf({ owner, keyId: one, model: 'o3', startedAt: MIDNIGHT + HOUR_MS - 1 }),
        usageRecordOf({ owner, keyId: one, model: 'gpt-4o', startedAt: MIDNIGHT + HOUR_MS }),
        usageRecordOf({ owner, keyId: one, operation: 'embeddings', model: 'ada', startedAt: MIDNIGHT + 5 * HOUR_MS }),
      ];
      for (const record of records) await recordUsage(store, record);
      const query = { from: MIDNIGHT, to: MIDNIGHT + DAY_MS, only: { owner: [owner] } };
      const sums = (...places: number[]) => sumsOf(places.flatMap((place) => records[place] ?? []));
      assert.deepEqual(await store.report({ ...query, by: ['model', 'keyId'] }), [
        { startsAt: MIDNIGHT, of: { model: 'ada', keyId: one }, sums: sums(3) },
        { startsAt: MIDNIGHT, of: { model: 'gpt-4o', keyId: one }, sums: sums(2) },
        { startsAt: MIDNIGHT, of: { model: 'o3', keyId: one }, sums: sums(1) },
        { startsAt: MIDNIGHT, of: { model: 'o3', keyId: other }, sums: sums(0) },
      ]);
      assert.deepEqual(await store.report({ ...query, by: ['owner', 'operation'], every: 'hour' }), [
        { startsAt: MIDNIGHT, of: { owner, operation: 'chat.completions' }, sums: sums(0, 1) },
        { startsAt: MIDNIGHT + HOUR_MS, of: { owner, operation: 'chat.completions' }, sums: sums(2) },
        { startsAt: MIDNIGHT + 5 * HOUR_MS, of: { owner, operation: 'embeddings' }, sums: sums(3) },
      ]);
      assert.deepEqual(await store.report({ ...query, from: MIDNIGHT - DAY_MS, by: [], every: 'day' }), [
        { startsAt: MIDNIGHT, of: {}, sums: sums(0, 1, 2, 3) },
      ]);
      const narrow = { ...query, only: { owner: [owner], model: ['o3', 'gpt-4o'], keyId: [one] } };
      assert.deepEqual((await store.report({ ...narrow, by: [] }))[0]?.sums, sums(1, 2));
    });

    it('counts a call that is opened and settled twice once', async () => {
      const store = await make();
      const record = usageRecordOf({ keyId: randomUUID() });
      await store.open(startOf(record));
      await store.open(startOf(record));
      await Promise.all([store.settle(record), store.settle(record)]);
      await store.settle({ ...record, inputTokens: 5_000 });
      await store.open(startOf(record));
      await store.settle({ ...record, inputTokens: 5_000 });
      assert.deepEqual((await dayOf(store, record.keyId))[0]?.sums, sumsOf([record]));
    });

    it('does not count a call that is only open', async () => {
      const store = await make();
      const record = usageRecordOf({ keyId: randomUUID() });
      await store.open(startOf(record));
      assert.deepEqual(await dayOf(store, record.keyId), []);
    });

    it('records the end of a call that it has no row of, once', async () => {
      const store = await make();
      const record = usageRecordOf({ keyId: randomUUID() });
      await store.settle(record);
      await store.settle({ ...record, inputTokens: 5_000 });
      await store.open(startOf(record));
      await store.settle({ ...record, inputTokens: 5_000 });
      assert.deepEqual(await dayOf(store, record.keyId), [{ startsAt: MIDNIGHT, of: {}, sums: sumsOf([record]) }]);
    });

    it('keeps keys apart, whatever they are called', async () => {
      const store = await make();
      const tag = randomUUID();
      const keyIds = [
        tag,
        `${tag} `,
        tag.toUpperCase(),
        `${tag}%`,
        `${tag}'--`,
        `${tag}"`,
        `ß${tag}`,
        `__proto__${tag}`,
      ];
      for (const [index, keyId] of keyIds.entries()) {
        await recordUsage(
          store,
          usageRecordOf({ keyId, inputTokens: index, cachedInputTokens: 0, model: 'constructor' }),
        );
      }
      for (const [index, keyId] of keyIds.entries()) {
        const [group] = await dayOf(store, keyId);
        assert.equal(group?.sums.requests, 1, keyId);
        assert.equal(group?.sums.inputTokens, index, keyId);
      }
    });

    it('loses nothing of 500 calls at once', async () => {
      const store = await make();
      const keyId = randomUUID();
      const records = Array.from({ length: 500 }, (_, index) => usageRecordOf({ keyId, inputTokens: index + 10 }));
      await Promise.all(records.map((record) => recordUsage(store, record)));
      assert.deepEqual((await dayOf(store, keyId))[0]?.sums, sumsOf(records));
    });
  });
}

/** What a usage store promises beyond that when it keeps each call: it is exact for any period, and knows what budgets lost. */
export function usageLedgerContract(name: string, make: Make<Required<Readable>>): void {
  describe(`${name} is a ledger`, () => {
    it('reports any period to the millisecond, by minute, hour and day', async () => {
      const store = await make();
      const owner = `owner:${randomUUID()}`;
      const records = Array.from({ length: 150 }, (_, index) =>
        usageRecordOf({
          keyId: 'k',
          owner,
          startedAt: MIDNIGHT + index * 1_151_111,
          inputTokens: index + 10,
          model: index % 3 === 0 ? 'a' : 'b',
        }),
      );
      await Promise.all(records.map((record) => recordUsage(store, record)));
      const edges = [0, 1, 59_999, HOUR_MS, HOUR_MS + 1, 1_151_111, 11 * 1_151_111, DAY_MS - 1, DAY_MS, 3 * DAY_MS];
      for (const from of edges) {
        for (const to of edges) {
          const query = { from: MIDNIGHT + from, to: MIDNIGHT + to, only: { owner: [owner] } };
          const within = records.filter(({ startedAt }) => startedAt >= query.from && startedAt < query.to);
          for (const [every, stepMs] of [
            ['minute', 60_000],
            ['hour', HOUR_MS],
            ['day', DAY_MS],
          ] as const) {
            const groups = await store.report({ ...query, every, by: ['model'] });
            assert.deepEqual(groups, groupsOf(within, stepMs), `${from} to ${to} by ${every}`);
          }
          const [all] = await store.report({ ...query, by: [] });
          const expected = { startsAt: query.from, of: {}, sums: sumsOf(within) };
          assert.deepEqual(all, within.length === 0 ? undefined : expected);
        }
      }
    });

    it('says what a budget has lost: costs of settled calls, reservations of open ones', async () => {
      const store = await make();
      const [keyId, tier] = [randomUUID(), randomUUID()];
      const owner = `owner:${randomUUID()}`;
      const mine = { keyId, owner, tier };
      const period = { from: MIDNIGHT, to: MIDNIGHT + DAY_MS };
      const before = await store.spent({ kind: 'all' }, period);
      await recordUsage(store, usageRecordOf({ ...mine, costNanoUsd: 7 }));
      await recordUsage(store, usageRecordOf({ ...mine, costNanoUsd: undefined }));
      await recordUsage(store, usageRecordOf({ ...mine, costNanoUsd: 1_000, startedAt: MIDNIGHT - 1 }));
      await recordUsage(store, usageRecordOf({ ...mine, costNanoUsd: 10_000, startedAt: MIDNIGHT + DAY_MS }));
      await recordUsage(store, usageRecordOf({ ...mine, keyId: 'other', costNanoUsd: 20, startedAt: MIDNIGHT + 5 }));
      const open = usageRecordOf({ ...mine, reservedNanoUsd: 300, costNanoUsd: 250, startedAt: MIDNIGHT + 6 });
      await store.open(startOf(open));
      await store.open(startOf(usageRecordOf({ ...mine, reservedNanoUsd: undefined })));
      await store.open(startOf(usageRecordOf({ ...mine, reservedNanoUsd: 5, startedAt: MIDNIGHT + DAY_MS })));
      assert.equal(await store.spent({ kind: 'key', id: keyId }, period), 307);
      assert.equal(await store.spent({ kind: 'owner', id: owner }, period), 327);
      assert.equal(await store.spent({ kind: 'tier', id: tier }, period), 327);
      assert.equal((await store.spent({ kind: 'all' }, period)) - before, 327);
      assert.equal(await store.spent({ kind: 'key', id: owner }, period), 0);
      // A zone half an hour off cuts hours in two.
      assert.equal(await store.spent({ kind: 'owner', id: owner }, { from: MIDNIGHT + 1, to: MIDNIGHT + 6 }), 20);
      await store.settle(open);
      assert.equal(await store.spent({ kind: 'key', id: keyId }, period), 257);
    });

    it('takes checkpoints, of calls that are open and of any others', async () => {
      const store = await make();
      const record = usageRecordOf({ keyId: randomUUID() });
      await store.checkpoint(record.requestId, 5);
      await store.open(startOf(record));
      await store.checkpoint(record.requestId, 50);
      await store.settle(record);
      await store.checkpoint(record.requestId, 500);
      assert.deepEqual((await dayOf(store, record.keyId))[0]?.sums, sumsOf([record]));
    });

    it('refuses what no call can have cost, and takes what comes with it', async () => {
      const store = await make();
      const keyId = randomUUID();
      const [good, bad] = [usageRecordOf({ keyId }), usageRecordOf({ keyId })];
      await Promise.all([store.open(startOf(good)), store.open(startOf(bad))]);
      const settled = [
        store.settle(good),
        store.settle({ ...bad, costNanoUsd: -1 }),
        store.settle({ ...bad, inputTokens: 0.5 }),
      ];
      const outcomes = await Promise.allSettled(settled);
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ['fulfilled', 'rejected', 'rejected'],
      );
      assert.deepEqual((await dayOf(store, keyId))[0]?.sums, sumsOf([good]));
      await store.settle(bad);
      assert.deepEqual((await dayOf(store, keyId))[0]?.sums, sumsOf([good, bad]));
    });
  });
}

function groupsOf(records: readonly UsageRecord[], stepMs: number): UsageGroup[] {
  const groups = new Map<string, UsageRecord[]>();
  for (const record of records) {
    const startsAt = Math.floor(record.startedAt / stepMs) * stepMs;
    const name = `${startsAt} ${record.model}`;
    groups.set(name, [...(groups.get(name) ?? []), record]);
  }
  return [...groups]
    .map(([name, members]) => {
      const [startsAt, model = ''] = name.split(' ');
      return { startsAt: Number(startsAt), of: { model }, sums: sumsOf(members) };
    })
    .sort((one, other) => one.startsAt - other.startsAt || (one.of.model < other.of.model ? -1 : 1));
}
