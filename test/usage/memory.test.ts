import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { memoryUsage } from '../../src/usage/memory.js';
import { HOUR_MS, recordUsage, startOf, usageRecordOf, usageStoreContract } from '../contracts/usage-store.js';

usageStoreContract('memoryUsage', () => memoryUsage());

describe('memoryUsage', () => {
  const base = 1_800_000_000_000 - (1_800_000_000_000 % HOUR_MS);

  it('does not count a call that was never opened', async () => {
    const store = memoryUsage();
    await store.settle(usageRecordOf({ keyId: 'a' }));
    assert.equal((await store.totals('a')).requests, 0);
  });

  it('keeps 744 hours of a key, back from its latest, and its totals for ever', async () => {
    const store = memoryUsage();
    for (let hour = 0; hour < 800; hour += 1) {
      await recordUsage(store, usageRecordOf({ keyId: 'a', startedAt: base + hour * HOUR_MS }));
    }
    const totals = await store.totals('a');
    assert.equal(totals.requests, 800);
    assert.equal(totals.byHour.length, 744);
    assert.equal(totals.byHour[0]?.startsAt, base + 56 * HOUR_MS);
    assert.equal(totals.byHour.at(-1)?.startsAt, base + 799 * HOUR_MS);
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
          const totals = await store.totals('a');
          assert.equal(totals.requests, hours.length);
          assert.deepEqual(
            totals.byHour.map(({ startsAt }) => (startsAt - base) / HOUR_MS),
            expected,
          );
          // What came for an hour inside the final window was inside every earlier one too.
          for (const { startsAt, requests } of totals.byHour) {
            assert.equal(requests, hours.filter((hour) => base + hour * HOUR_MS === startsAt).length);
          }
        },
      ),
    );
  });

  it('tells maxModels models apart and counts the others in the totals', async () => {
    const store = memoryUsage({ maxModels: 2 });
    for (const model of ['a', 'b', 'c', 'a', 'd']) await recordUsage(store, usageRecordOf({ keyId: 'k', model }));
    const totals = await store.totals('k');
    assert.equal(totals.requests, 5);
    assert.deepEqual(
      [...totals.byModel].map(([model, { requests }]) => [model, requests]),
      [
        ['a', 2],
        ['b', 1],
      ],
    );
  });

  it('remembers maxKeys keys, those used last', async () => {
    const store = memoryUsage({ maxKeys: 2 });
    for (const keyId of ['a', 'b', 'a', 'c']) await recordUsage(store, usageRecordOf({ keyId }));
    assert.equal((await store.totals('a')).requests, 2);
    assert.equal((await store.totals('b')).requests, 0);
    assert.equal((await store.totals('c')).requests, 1);
  });

  it('remembers maxOpen calls under way', async () => {
    const store = memoryUsage({ maxOpen: 2 });
    const records = ['a', 'b', 'c'].map((keyId) => usageRecordOf({ keyId }));
    for (const record of records) await store.open(startOf(record));
    for (const record of records) await store.settle(record);
    const counts = await Promise.all(['a', 'b', 'c'].map(async (keyId) => (await store.totals(keyId)).requests));
    assert.deepEqual(counts, [0, 1, 1]);
  });

  it('refuses to be unbounded', () => {
    for (const name of ['maxKeys', 'maxHours', 'maxModels', 'maxOpen']) {
      for (const value of [0, -1, 1.5, Number.POSITIVE_INFINITY]) {
        assert.throws(() => memoryUsage({ [name]: value }), new RegExp(`Expected \`${name}\``));
      }
    }
  });
});
