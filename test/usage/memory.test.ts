import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { memoryUsage } from '../../src/usage/memory.js';
import type { UsageQuery, UsageReader } from '../../src/usage/usage-store.js';
import { HOUR_MS, recordUsage, sumsOf, usageRecordOf, usageStoreContract } from '../contracts/usage-store.js';

usageStoreContract('memoryUsage', () => memoryUsage());

const EVER = { from: 0, to: Number.MAX_SAFE_INTEGER };

async function requestsBy(store: UsageReader, query: Partial<UsageQuery>): Promise<Record<string, number>> {
  const groups = await store.report({ ...EVER, by: [], ...query });
  return Object.fromEntries(
    groups.map(({ startsAt, of, sums }) => [Object.values(of).join(' ') || String(startsAt), sums.requests]),
  );
}

describe('memoryUsage', () => {
  const base = 1_800_000_000_000 - (1_800_000_000_000 % (24 * HOUR_MS));

  it('keeps 744 hours of a key, back from its latest', async () => {
    const store = memoryUsage();
    for (let hour = 0; hour < 800; hour += 1) {
      await recordUsage(store, usageRecordOf({ keyId: 'a', startedAt: base + hour * HOUR_MS }));
    }
    const hours = await store.report({ ...EVER, by: [], every: 'hour' });
    assert.equal(hours.length, 744);
    assert.equal(hours[0]?.startsAt, base + 56 * HOUR_MS);
    assert.equal(hours.at(-1)?.startsAt, base + 799 * HOUR_MS);
  });

  it('shows the hours of exactly the window, in order, however they came', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.nat(20), { minLength: 1 }),
        async (maxHours, hours) => {
          const store = memoryUsage({ maxHours });
          for (const [index, hour] of hours.entries()) {
            const startedAt = base + hour * HOUR_MS + (index % 2) * (HOUR_MS - 1);
            await recordUsage(store, usageRecordOf({ keyId: 'a', startedAt }));
          }
          const newest = Math.max(...hours);
          const expected = [...new Set(hours)]
            .filter((hour) => hour > newest - maxHours)
            .sort((one, other) => one - other);
          const groups = await store.report({ ...EVER, by: [], every: 'hour' });
          assert.deepEqual(
            groups.map(({ startsAt }) => (startsAt - base) / HOUR_MS),
            expected,
          );
          // What came for an hour inside the final window was inside every earlier one too.
          for (const { startsAt, sums } of groups) {
            assert.equal(sums.requests, hours.filter((hour) => base + hour * HOUR_MS === startsAt).length);
          }
        },
      ),
    );
  });

  it('answers for whole hours as if it had kept each call', async () => {
    const names = fc.constantFrom('a', 'b', 'a b', '');
    const call = fc.record({
      keyId: names,
      owner: names,
      model: names,
      operation: fc.constantFrom('embeddings' as const, 'images' as const),
      startedAt: fc.integer({ min: base, max: base + 50 * HOUR_MS - 1 }),
      costNanoUsd: fc.option(fc.nat(1_000), { nil: undefined }),
    });
    const dimension = fc.constantFrom('keyId' as const, 'owner' as const, 'model' as const, 'operation' as const);
    await fc.assert(
      fc.asyncProperty(
        fc.array(call, { maxLength: 30 }),
        fc.uniqueArray(dimension),
        fc.constantFrom('hour' as const, 'day' as const, undefined),
        fc.tuple(fc.nat(50), fc.nat(50)),
        fc.record({ keyId: fc.array(names), owner: fc.array(names), model: fc.array(names) }, { requiredKeys: [] }),
        async (calls, by, every, [first, last], only) => {
          const store = memoryUsage();
          const records = calls.map((fields) => usageRecordOf(fields));
          for (const record of records) await recordUsage(store, record);
          const [from, to] = [base + first * HOUR_MS, base + last * HOUR_MS];
          const widthMs = every === 'day' ? 24 * HOUR_MS : HOUR_MS;
          const kept = records
            .filter(({ startedAt }) => startedAt >= from && startedAt < to)
            .filter((record) => Object.entries(only).every(([name, of]) => of.includes(Reflect.get(record, name))));
          const expected = new Map<string, typeof kept>();
          for (const record of kept) {
            const startsAt = every === undefined ? from : record.startedAt - (record.startedAt % widthMs);
            const name = JSON.stringify([startsAt, ...by.map((key) => record[key])]);
            expected.set(name, [...(expected.get(name) ?? []), record]);
          }
          const groups = await store.report({ from, to, only, by, ...(every === undefined ? {} : { every }) });
          const named = groups.map(({ startsAt, of, sums }) => [
            JSON.stringify([startsAt, ...by.map((key) => of[key])]),
            sums,
          ]);
          assert.deepEqual(
            Object.fromEntries(named),
            Object.fromEntries([...expected].map(([k, v]) => [k, sumsOf(v)])),
          );
          assert.equal(named.length, expected.size);
        },
      ),
    );
  });

  it('takes any other period for the hours that it touches, and answers minutes by the hour', async () => {
    const store = memoryUsage();
    for (const minute of [59, 60, 119, 120]) {
      await recordUsage(store, usageRecordOf({ keyId: 'a', startedAt: base + minute * 60_000 }));
    }
    const period = { from: base + HOUR_MS + 1, to: base + 2 * HOUR_MS - 1 };
    assert.deepEqual(await requestsBy(store, period), { [period.from]: 2 });
    assert.deepEqual(await requestsBy(store, { every: 'minute' }), {
      [base]: 1,
      [base + HOUR_MS]: 2,
      [base + 2 * HOUR_MS]: 1,
    });
    assert.deepEqual(await store.report({ from: base + HOUR_MS, to: base + HOUR_MS, by: [] }), []);
  });

  it('tells maxModels models apart and counts the others as one', async () => {
    const store = memoryUsage({ maxModels: 2 });
    for (const model of ['a', 'b', 'c', 'a', 'd']) await recordUsage(store, usageRecordOf({ keyId: 'k', model }));
    assert.deepEqual(await requestsBy(store, { by: ['model'] }), { '*': 2, a: 2, b: 1 });
  });

  it('remembers maxKeys keys, those used last', async () => {
    const store = memoryUsage({ maxKeys: 2 });
    for (const keyId of ['a', 'b', 'a', 'c']) await recordUsage(store, usageRecordOf({ keyId }));
    assert.deepEqual(await requestsBy(store, { by: ['keyId'] }), { a: 2, c: 1 });
  });

  it('counts a key once for each of its owners, and forgets the pair that was unused for longest', async () => {
    const store = memoryUsage({ maxKeys: 3 });
    const use = (...pairs: string[]) =>
      Promise.all(
        pairs.map((pair) => recordUsage(store, usageRecordOf({ keyId: pair.charAt(0), owner: pair.charAt(1) }))),
      );
    await use('ka', 'kb', 'kc', 'ka', 'kb');
    assert.deepEqual(await requestsBy(store, { by: ['keyId', 'owner'] }), { 'k a': 2, 'k b': 2, 'k c': 1 });
    await use('la', 'lb');
    assert.deepEqual(await requestsBy(store, { by: ['keyId', 'owner'] }), { 'k b': 2, 'l a': 1, 'l b': 1 });
    await use('kb', 'ka', 'kb');
    assert.deepEqual(await requestsBy(store, { by: ['keyId', 'owner'] }), { 'k a': 1, 'k b': 4, 'l b': 1 });
  });

  it('remembers maxRowsPerKey rows of a key, those of its latest hours, and its present hour whole', async () => {
    const store = memoryUsage({ maxRowsPerKey: 4 });
    const record = (hour: number, model: string) =>
      recordUsage(store, usageRecordOf({ keyId: 'k', model, startedAt: base + hour * HOUR_MS }));
    for (const hour of [0, 1, 2]) for (const model of ['a', 'b']) await record(hour, model);
    await recordUsage(store, usageRecordOf({ keyId: 'other', model: 'a', startedAt: base }));
    assert.deepEqual(await requestsBy(store, { by: ['keyId'] }), { k: 4, other: 1 });
    for (const model of ['c', 'd', 'e']) await record(2, model);
    assert.deepEqual(await requestsBy(store, { by: ['keyId'] }), { k: 5, other: 1 });
  });

  it('refuses to be unbounded', () => {
    for (const name of ['maxKeys', 'maxHours', 'maxModels', 'maxRowsPerKey']) {
      for (const value of [0, -1, 1.5, Number.POSITIVE_INFINITY]) {
        assert.throws(() => memoryUsage({ [name]: value }), new RegExp(`Expected \`${name}\``));
      }
    }
  });
});
