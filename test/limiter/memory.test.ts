import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { laneOf } from '../../src/limits/lane.js';
import type { Draw, Reservation } from '../../src/limits/limiter-store.js';
import { memoryLimiter } from '../../src/limits/memory.js';
import { limiterStoreContract } from '../contracts/limiter-store.js';
import { runs } from '../helpers/depth.js';
import { limiterModelTest } from './model.js';
import { onLane } from './on-lane.js';

limiterStoreContract('memoryLimiter', () => memoryLimiter());
limiterModelTest('memoryLimiter', () => memoryLimiter({ maxBuckets: 1_000, maxBudgets: 1_000 }), {
  commands: 10_000,
});

limiterStoreContract('memoryLimiter by its lane', () => onLane());
limiterModelTest('memoryLimiter by its lane', () => onLane({ maxBuckets: 1_000, maxBudgets: 1_000 }), {
  commands: 10_000,
});

describe('the lane of a limiter in memory', () => {
  it('grants nearly all that the model grants, so that the model is held against it', async () => {
    const store = onLane();
    const call = (id: string) => ({
      id,
      draws: [{ bucket: 'b', capacity: 5, refillPerMs: 0, amount: 1 }],
      slots: [{ name: 's', capacity: 9 }],
      ttlMs: 1_000,
    });
    for (let id = 0; id < 9; id += 1) assert.equal((await store.reserve(call(`${id}`), 1)).granted, id < 5);
    assert.equal(store.granted(), 5);
  });

  it('is only there where nobody stands between: a host that wraps a limiter is asked about every call', () => {
    const store = memoryLimiter();
    assert.ok(laneOf(store) !== undefined);
    assert.equal(laneOf({ ...store }), undefined);
    assert.equal(laneOf(new Proxy(store, {})), undefined);
    assert.equal(laneOf(Object.create(store)), undefined);
    assert.equal(laneOf(Object.assign(store, { reserve: store.reserve.bind(store) })), undefined);
  });

  it('grants no part of a place, as the limits of a key may name any number', async () => {
    for (const [capacity, places] of [
      [0.5, 0],
      [1.5, 1],
      [2, 2],
    ] as const) {
      for (const store of [memoryLimiter(), onLane()]) {
        let granted = 0;
        for (let id = 0; id < 3; id += 1) {
          const slots = [{ name: 's', capacity }];
          if ((await store.reserve({ id: `${id}`, draws: [], slots, ttlMs: 1_000 }, 1)).granted) granted += 1;
        }
        assert.equal(granted, places, `${capacity}`);
      }
    }
  });

  it('opens a bucket anew that was forgotten since it was found', async () => {
    const store = onLane({ maxBuckets: 2 });
    const take = async (bucket: string, now: number) => {
      const draws = [{ bucket, capacity: 60, refillPerMs: 60 / 60_000, amount: 10 }];
      return (await store.reserve({ id: bucket + now, draws, slots: [], ttlMs: 1e9 }, now)).remaining[0];
    };
    assert.deepEqual([await take('a', 1), await take('a', 1)], [50, 40]);
    assert.deepEqual([await take('b', 1), await take('c', 1)], [50, 50]);
    assert.equal(await take('a', 1), 50, 'it was the oldest, and went');
    assert.equal(await take('c', 1), 40);
    assert.equal(store.granted(), 6);
  });
});

describe('memoryLimiter', () => {
  it('names exact waits for any limit by the minute, however long the bucket was in use', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 2_000_000 }),
        fc.array(fc.record({ share: fc.double({ min: 0, max: 1, noNaN: true }), ms: fc.nat(40_000) }), {
          maxLength: 30,
        }),
        async (capacity, steps) => {
          const store = memoryLimiter();
          let now = 1_800_000_000_000;
          let used = 0n;
          for (const [index, { share, ms }] of steps.entries()) {
            now += ms;
            // In 1/60,000 of a unit.
            used -= BigInt(capacity) * BigInt(ms);
            if (used < 0n) used = 0n;
            const wish = Math.round(share * capacity);
            const missing = used + 60_000n * BigInt(wish - capacity);
            const waitMs = missing <= 0n ? 0 : Number((missing + BigInt(capacity) - 1n) / BigInt(capacity));
            const draw = { bucket: 'b', capacity, refillPerMs: capacity / 60_000, amount: wish };
            const verdict = await store.reserve({ id: `${index}`, draws: [draw], slots: [], ttlMs: 1e9 }, now);
            assert.equal(verdict.retryAfterMs, wish === 0 ? 0 : waitMs);
            if (verdict.granted) used += 60_000n * BigInt(wish);
          }
        },
      ),
      runs(15),
    );
  });

  it('counts fractions of milliseconds in nobody’s favour', async () => {
    const store = memoryLimiter();
    const start = 1_800_000_000_000.437;
    const reserve = (id: string, now: number) => store.reserve({ ...call(id), draws: [draw('b', 3)] }, now);
    for (const id of ['1', '2', '3']) assert.equal((await reserve(id, start)).granted, true);
    const { retryAfterMs } = await reserve('4', start);
    assert.equal(retryAfterMs, 20_000);
    assert.equal((await reserve('4', start + retryAfterMs - 1)).granted, false);
    assert.equal((await reserve('4', start + retryAfterMs)).granted, true);
  });

  it('refuses a second reservation of an id that is held, and takes nothing for it', async () => {
    const store = memoryLimiter();
    const reservation = { ...call('same'), draws: [draw('b', 5)] };
    await store.reserve(reservation, 1);
    await assert.rejects(async () => store.reserve(reservation, 1), TypeError);
    assert.deepEqual((await store.reserve({ ...call('look'), draws: [draw('b', 5, 0)] }, 1)).remaining, [4]);
  });

  it('gives no credit for amounts that make no sense', async () => {
    const store = memoryLimiter();
    for (const bad of [-1, Number.NaN]) {
      const verdict = await store.reserve({ ...call(`bad ${bad}`), draws: [draw('b', 5, bad)] }, 1);
      assert.deepEqual(verdict, { granted: false, retryAfterMs: Number.POSITIVE_INFINITY, remaining: [5] });
    }
    for (const [index, amounts] of [[-3], [Number.NaN], []].entries()) {
      const reservation = { ...call(`settled ${index}`), draws: [draw(`b${index}`, 5, 2)] };
      await store.reserve(reservation, 1);
      await store.settle(reservation, amounts, 1);
      const look = await store.reserve({ ...call('look'), draws: [draw(`b${index}`, 5, 0)] }, 1);
      assert.deepEqual(look.remaining, [3]);
    }
  });

  it('forgets full buckets first, then those unused for longest', async () => {
    const store = memoryLimiter({ maxBuckets: 3 });
    const take = (bucket: string, now: number) =>
      store.reserve({ ...call(bucket + now), draws: [draw(bucket, 60)] }, now);
    const left = async (bucket: string, now: number) =>
      (await store.reserve({ ...call('look'), draws: [draw(bucket, 60, 0)] }, now)).remaining[0];
    await take('oldest', 10_000);
    await take('oldest', 10_001);
    await take('full soon', 10_002);
    await take('kept', 11_001);
    await take('new', 11_002);
    assert.equal(await left('oldest', 11_002), 60 - (2 - 1.002));
    await take('newer', 11_002);
    // Looking at it made `oldest` the latest used, so that `kept` went.
    assert.equal(await left('kept', 11_002), 60);
    assert.equal(await left('oldest', 11_002), 60 - (2 - 1.002));
    assert.equal(await left('new', 11_002), 59);
    assert.equal(await left('newer', 11_002), 59);
  });

  it('settles two draws on a bucket that was forgotten as their sum', async () => {
    const store = memoryLimiter({ maxBuckets: 1 });
    const reservation = { ...call('1'), draws: [draw('b', 60), draw('b', 60, 0)] };
    await store.reserve(reservation, 1);
    await store.reserve({ ...call('2'), draws: [draw('other', 60)] }, 60_000);
    await store.settle(reservation, [0, 1], 60_000);
    assert.deepEqual((await store.reserve({ ...call('3'), draws: [draw('b', 60, 0)] }, 60_000)).remaining, [60]);
  });

  it('does not remember buckets that were only looked at', async () => {
    const store = memoryLimiter({ maxBuckets: 1 });
    await store.reserve({ ...call('1'), draws: [draw('used', 60)] }, 1);
    await store.reserve({ ...call('2'), draws: [draw('other', 60, 0)] }, 1);
    assert.deepEqual((await store.reserve({ ...call('3'), draws: [draw('used', 60, 0)] }, 1)).remaining, [59]);
  });

  it('forgets ended budgets first, then those unused for longest, and never takes them for untouched', async () => {
    const store = memoryLimiter({ maxBuckets: 1, maxBudgets: 3 });
    const look = async (bucket: string, endsAt: number, spent?: number) => {
      const budget = spent === undefined ? { endsAt } : { endsAt, spent };
      const one = { bucket, capacity: 60, refillPerMs: 0, amount: 0, budget };
      const { remaining, unknownBudgets = false } = await store.reserve({ ...call('look'), draws: [one] }, 10);
      return unknownBudgets ? 'unknown' : remaining[0];
    };
    await look('old', 11 - 86_400_000, 1);
    // Others may still be in its period for a day.
    await look('ended', 10 - 86_400_000, 2);
    await look('kept', 99, 3);
    await look('new', 99, 4);
    assert.deepEqual([await look('ended', 10 - 86_400_000), await look('old', 99)], ['unknown', 59]);
    await look('newer', 99, 5);
    // Looking at it made `old` the latest used, so that `kept` went.
    assert.deepEqual([await look('kept', 99), await look('old', 99), await look('new', 99)], ['unknown', 59, 56]);
  });

  it('forgets the ended budgets of an owner whose new one is in use before a budget in use', async () => {
    const store = memoryLimiter({ maxBudgets: 4 });
    const dayMs = 86_400_000;
    const look = async (owner: string, day: number, spent?: number) => {
      const budget = { endsAt: (day + 1) * dayMs, ...(spent === undefined ? {} : { spent }) };
      const one = { bucket: `owner:${owner}:usdPerDay:day-${day}`, capacity: 60, refillPerMs: 0, amount: 0, budget };
      const { remaining, unknownBudgets } = await store.reserve({ ...call('look'), draws: [one] }, day * dayMs);
      return unknownBudgets === true ? 'unknown' : remaining[0];
    };
    for (const day of [1, 2, 3]) await look('a', day, 1);
    await look('b', 3, 2);
    await look('c', 3, 3);
    assert.deepEqual([await look('a', 3), await look('b', 3), await look('c', 3)], [59, 58, 57]);
  });

  it('forgets one bucket of a host, not all whose names begin alike', async () => {
    const store = memoryLimiter({ maxBuckets: 3 });
    for (const user of [1, 2, 3, 4]) await store.reserve({ ...call(`${user}`), draws: [draw(`user:${user}`, 60)] }, 1);
    const looked = await store.reserve({ ...call('look'), draws: [draw('user:3', 60, 0)] }, 1);
    assert.deepEqual(looked.remaining, [59]);
  });

  it('refuses to be unbounded', () => {
    for (const maxBuckets of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => memoryLimiter({ maxBuckets }), TypeError);
      assert.throws(() => memoryLimiter({ maxBudgets: maxBuckets }), TypeError);
    }
  });

  function call(id: string): Reservation {
    return { id, draws: [], slots: [], ttlMs: 1_000_000 };
  }

  function draw(bucket: string, capacity: number, amount = 1): Draw {
    return { bucket, capacity, refillPerMs: capacity / 60_000, amount };
  }
});
