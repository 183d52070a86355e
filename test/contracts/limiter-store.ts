import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Draw, LimiterStore, Reservation } from '../../src/limits/limiter-store.js';

/**
 * What every limiter store promises. Names are made anew for each test, so that a store may keep what it holds from test
 * to test; instants begin at the real time, for stores whose entries die by their own clock.
 */
export function limiterStoreContract(name: string, make: () => LimiterStore | PromiseLike<LimiterStore>): void {
  describe(`${name} is a limiter store`, () => {
    const start = Date.now();

    /** A store, and names that no other test uses. */
    async function fresh() {
      const store = await make();
      const tag = randomUUID();
      const bucket = (fields: Partial<Draw> = {}): Draw => ({
        bucket: `${tag}:bucket`,
        capacity: 10,
        refillPerMs: 10 / 60_000,
        amount: 1,
        ...fields,
      });
      const reservation = (fields: Partial<Reservation> = {}): Reservation => ({
        id: randomUUID(),
        draws: [],
        slots: [],
        ttlMs: 600_000,
        ...fields,
      });
      const look = async (draw: Draw, now: number) =>
        (await store.reserve(reservation({ draws: [{ ...draw, amount: 0 }] }), now)).remaining[0];
      return { store, tag, bucket, reservation, look, slot: (capacity: number) => ({ name: `${tag}:slot`, capacity }) };
    }

    it('grants until the bucket is empty, and says what is left', async () => {
      const { store, bucket, reservation } = await fresh();
      const four = () => reservation({ draws: [bucket({ amount: 4 })] });
      assert.deepEqual(await store.reserve(four(), start), { granted: true, retryAfterMs: 0, remaining: [6] });
      assert.deepEqual(await store.reserve(four(), start), { granted: true, retryAfterMs: 0, remaining: [2] });
      assert.deepEqual(await store.reserve(four(), start), { granted: false, retryAfterMs: 12_000, remaining: [2] });
    });

    it('grants after exactly the wait it named, and not a millisecond earlier', async () => {
      const { store, bucket, reservation } = await fresh();
      const seven = () => reservation({ draws: [bucket({ capacity: 7, refillPerMs: 7 / 60_000, amount: 7 })] });
      await store.reserve(seven(), start);
      const { retryAfterMs } = await store.reserve(seven(), start + 1);
      assert.equal(retryAfterMs, 59_999);
      assert.equal((await store.reserve(seven(), start + retryAfterMs)).granted, false);
      assert.equal((await store.reserve(seven(), start + 1 + retryAfterMs)).granted, true);
    });

    it('never holds more than the capacity', async () => {
      const { store, bucket, reservation, look } = await fresh();
      await store.reserve(reservation({ draws: [bucket()] }), start);
      assert.equal(await look(bucket(), start + 86_400_000), 10);
    });

    it('takes from all buckets and slots or from none', async () => {
      const { store, tag, bucket, reservation, look, slot } = await fresh();
      const other = bucket({ bucket: `${tag}:other`, capacity: 2, refillPerMs: 0 });
      const wish = (amount: number) => reservation({ draws: [bucket(), { ...other, amount }], slots: [slot(1)] });
      assert.equal((await store.reserve(wish(3), start)).granted, false);
      assert.equal(await look(bucket(), start), 10);
      assert.equal((await store.reserve(wish(1), start)).granted, true);
      const full = await store.reserve(wish(1), start);
      assert.deepEqual(full, { granted: false, retryAfterMs: 1_000, remaining: [9, 1] });
      assert.equal(await look(bucket(), start), 9);
      assert.equal(await look(other, start), 1);
    });

    it('never grants what is more than the capacity', async () => {
      const { store, bucket, reservation, slot } = await fresh();
      const wait = async (fields: Partial<Reservation>) =>
        (await store.reserve(reservation(fields), start)).retryAfterMs;
      assert.equal(await wait({ draws: [bucket({ amount: 11 })] }), Number.POSITIVE_INFINITY);
      assert.equal(await wait({ slots: [slot(0)] }), Number.POSITIVE_INFINITY);
      assert.equal(await wait({ slots: [slot(1), slot(1)] }), Number.POSITIVE_INFINITY);
    });

    it('never refills a bucket without refill', async () => {
      const { store, bucket, reservation, look } = await fresh();
      const budget = bucket({ refillPerMs: 0, amount: 6 });
      const call = reservation({ draws: [budget] });
      await store.reserve(call, start);
      await store.settle(call, [6], start);
      const later = start + 86_400_000;
      const refused = await store.reserve(reservation({ draws: [budget] }), later);
      assert.deepEqual(refused, { granted: false, retryAfterMs: Number.POSITIVE_INFINITY, remaining: [4] });
      assert.equal(await look(budget, later), 4);
    });

    it('counts two draws on one bucket together', async () => {
      const { store, bucket, reservation } = await fresh();
      const twice = (amount: number) => reservation({ draws: [bucket({ amount }), bucket({ amount })] });
      assert.equal((await store.reserve(twice(6), start)).retryAfterMs, Number.POSITIVE_INFINITY);
      assert.deepEqual((await store.reserve(twice(4), start)).remaining, [2, 2]);
      assert.equal((await store.reserve(twice(2), start)).retryAfterMs, 12_000);
    });

    it('looks at a bucket without touching it, even in debt', async () => {
      const { store, bucket, reservation } = await fresh();
      const one = reservation({ draws: [bucket()] });
      await store.reserve(one, start);
      await store.settle(one, [25], start);
      const look = () => store.reserve(reservation({ draws: [bucket({ amount: 0 })] }), start);
      const seen = { granted: true, retryAfterMs: 0, remaining: [-15] };
      assert.deepEqual(await look(), seen);
      assert.deepEqual(await look(), seen);
    });

    it('replaces draws by what was truly used', async () => {
      const { store, tag, bucket, reservation, look } = await fresh();
      const other = bucket({ bucket: `${tag}:other` });
      const call = reservation({ draws: [bucket({ amount: 8 }), { ...other, amount: 2 }] });
      await store.reserve(call, start);
      await store.settle(call, [3, 5], start);
      assert.equal(await look(bucket(), start), 7);
      assert.equal(await look(other, start), 5);
    });

    it('delays the next call by the debt of a costly one', async () => {
      const { store, bucket, reservation } = await fresh();
      const call = reservation({ draws: [bucket()] });
      await store.reserve(call, start);
      await store.settle(call, [30], start);
      const next = reservation({ draws: [bucket()] });
      assert.deepEqual(await store.reserve(next, start), { granted: false, retryAfterMs: 126_000, remaining: [-20] });
      assert.equal((await store.reserve(next, start + 125_999)).granted, false);
      assert.equal((await store.reserve(next, start + 126_000)).granted, true);
    });

    it('gives back no more than was missing', async () => {
      const { store, bucket, reservation, look } = await fresh();
      const call = reservation({ draws: [bucket({ amount: 10 })] });
      await store.reserve(call, start);
      await store.settle(call, [0], start + 45_000);
      assert.equal(await look(bucket(), start + 45_000), 10);
      const next = await store.reserve(reservation({ draws: [bucket({ amount: 10 })] }), start + 45_000);
      assert.deepEqual(next.remaining, [0]);
    });

    it('settles two draws on one bucket as their sum', async () => {
      const { store, bucket, reservation, look } = await fresh();
      const call = reservation({ draws: [bucket({ amount: 5 }), bucket({ amount: 1 })] });
      await store.reserve(call, start);
      // Nearly all flowed back meanwhile; 5 are given back and 4 more are taken.
      await store.settle(call, [0, 5], start + 34_200);
      assert.equal(await look(bucket(), start + 34_200), 10);
      await store.reserve(reservation({ draws: [bucket({ amount: 3 })] }), start + 34_200);
      assert.equal(await look(bucket(), start + 34_200), 7);
    });

    it('settles them so when the bucket was full again meanwhile, and forgotten', async () => {
      const { store, bucket, reservation, look } = await fresh();
      const call = reservation({ draws: [bucket({ amount: 5 }), bucket({ amount: 0 })] });
      await store.reserve(call, start);
      const later = start + 60_000;
      // One in so many calls looks for what may be forgotten.
      for (let index = 0; index < 130; index += 1) await store.reserve(reservation({ dryRun: true }), later);
      await store.settle(call, [0, 4], later);
      assert.equal(await look(bucket(), later), 10);
    });

    it('settles once', async () => {
      const { store, bucket, reservation, look, slot } = await fresh();
      const call = reservation({ draws: [bucket({ amount: 5 })], slots: [slot(2)] });
      const running = reservation({ draws: [bucket({ amount: 5 })], slots: [slot(2)] });
      await store.reserve(call, start);
      await store.reserve(running, start);
      await store.settle(call, [1], start);
      await store.settle(call, [0], start);
      assert.equal(await look(bucket(), start), 4);
      assert.equal((await store.reserve(reservation({ slots: [slot(2), slot(2)] }), start)).granted, false);
    });

    it('settles nothing for an id it does not hold', async () => {
      const { store, bucket, reservation, look, slot } = await fresh();
      await store.reserve(reservation({ draws: [bucket({ amount: 5 })], slots: [slot(1)] }), start);
      const refused = reservation({ draws: [bucket({ amount: 6 })], slots: [slot(1)] });
      assert.equal((await store.reserve(refused, start)).granted, false);
      await store.settle(refused, [0], start);
      await store.settle(reservation({ draws: [bucket({ amount: 5 })], slots: [slot(1)] }), [0], start);
      assert.equal(await look(bucket(), start), 5);
      assert.equal((await store.reserve(reservation({ slots: [slot(1)] }), start)).granted, false);
    });

    it('holds slots until the call is settled', async () => {
      const { store, reservation, slot } = await fresh();
      const calls = [1, 2, 3].map(() => reservation({ slots: [slot(2)] }));
      const [first, second, third] = calls;
      assert.ok(first !== undefined && second !== undefined && third !== undefined);
      assert.equal((await store.reserve(first, start)).granted, true);
      assert.equal((await store.reserve(second, start)).granted, true);
      const refused = { granted: false, retryAfterMs: 1_000, remaining: [] };
      assert.deepEqual(await store.reserve(third, start), refused);
      await store.settle(second, [], start + 1);
      assert.equal((await store.reserve(third, start + 1)).granted, true);
    });

    it('gives back what nobody settled in time, whole', async () => {
      const { store, bucket, reservation, look, slot } = await fresh();
      const lost = reservation({ draws: [bucket({ refillPerMs: 0, amount: 7 })], slots: [slot(1)], ttlMs: 5_000 });
      const next = () => reservation({ slots: [slot(1)] });
      await store.reserve(lost, start);
      assert.equal((await store.reserve(next(), start + 4_999)).granted, false);
      assert.equal(await look(bucket({ refillPerMs: 0 }), start + 4_999), 3);
      assert.equal((await store.reserve(next(), start + 5_000)).granted, true);
      assert.equal(await look(bucket({ refillPerMs: 0 }), start + 5_000), 10);
      await store.settle(lost, [9], start + 5_001);
      assert.equal(await look(bucket({ refillPerMs: 0 }), start + 5_001), 10);
      assert.equal((await store.reserve(next(), start + 5_001)).granted, false);
    });

    it('gives and takes nothing when the clock steps back', async () => {
      const { store, bucket, reservation, look } = await fresh();
      const later = start + 100_000;
      await store.reserve(reservation({ draws: [bucket({ amount: 10 })] }), later);
      assert.equal(await look(bucket(), later + 6_000), 1);
      await store.reserve(reservation({ draws: [bucket({ amount: 1 })] }), later + 6_000);
      assert.equal(await look(bucket(), start), 0);
      assert.equal(await look(bucket(), later + 6_000), 0);
      assert.equal(await look(bucket(), later + 12_000), 1);
    });

    it('follows a limit that changes', async () => {
      const { store, bucket, reservation, look } = await fresh();
      await store.reserve(reservation({ draws: [bucket({ amount: 8 })] }), start);
      const raised = { capacity: 20, refillPerMs: 20 / 60_000 };
      assert.equal(await look(bucket(raised), start), 12);
      assert.equal(
        (await store.reserve(reservation({ draws: [bucket({ ...raised, amount: 12 })] }), start)).granted,
        true,
      );
      assert.equal(await look(bucket(), start), -10);
    });

    it('decides about a dry run as about a call, and takes nothing for it', async () => {
      const { store, tag, bucket, reservation, look, slot } = await fresh();
      const endsAt = start + 86_400_000;
      const purse = bucket({ bucket: `${tag}:purse`, refillPerMs: 0, budget: { endsAt, spent: 4 } });
      const dry = (amount: number) =>
        reservation({ draws: [bucket({ amount }), purse], slots: [slot(1)], dryRun: true });
      assert.deepEqual(await store.reserve(dry(10), start), { granted: true, retryAfterMs: 0, remaining: [10, 6] });
      assert.equal((await store.reserve(dry(11), start)).retryAfterMs, Number.POSITIVE_INFINITY);
      assert.equal(await look(bucket(), start), 10);
      const unknown = reservation({ draws: [{ ...purse, budget: { endsAt } }] });
      assert.equal((await store.reserve(unknown, start)).unknownBudgets, true, 'the budget is as unknown as before');
      assert.equal((await store.reserve(reservation({ slots: [slot(1)] }), start)).granted, true);
      assert.equal((await store.reserve(dry(1), start)).retryAfterMs, 1_000);
    });

    describe('with budgets', () => {
      const endsAt = start + 86_400_000;
      const known = (spent: number) => ({ endsAt, spent });

      it('refuses a budget that it does not know, taking nothing, until it is told what was spent', async () => {
        const { store, bucket, tag, reservation, look } = await fresh();
        const other = bucket({ bucket: `${tag}:other` });
        const purse = bucket({ refillPerMs: 0, amount: 3, budget: { endsAt } });
        const refused = { granted: false, retryAfterMs: 0, remaining: [10, 10], unknownBudgets: true };
        assert.deepEqual(await store.reserve(reservation({ draws: [other, purse] }), start), refused);
        assert.equal(await look(other, start), 10);
        const told = reservation({ draws: [other, { ...purse, budget: known(6) }] });
        assert.deepEqual(await store.reserve(told, start), { granted: true, retryAfterMs: 0, remaining: [9, 1] });
        assert.equal(await look(purse, start), 1);
      });

      it('answers a look at an unknown budget alike', async () => {
        const { store, bucket, reservation, look } = await fresh();
        const purse = bucket({ refillPerMs: 0, amount: 0, budget: { endsAt } });
        const { granted, unknownBudgets } = await store.reserve(reservation({ draws: [purse] }), start);
        assert.deepEqual([granted, unknownBudgets], [false, true]);
        assert.equal(await look({ ...purse, budget: known(4) }, start), 6);
        assert.equal(await look(purse, start), 6);
      });

      it('asks nobody about a budget that it knows', async () => {
        const { store, bucket, reservation, look } = await fresh();
        const purse = (spent: number) => bucket({ refillPerMs: 0, budget: known(spent) });
        await store.reserve(reservation({ draws: [purse(2)] }), start);
        assert.equal(await look(purse(9), start), 7);
        assert.equal(await look(purse(0), start + 599_999), 7);
      });

      it('takes what was spent over the budget for a debt, and never says when to come again', async () => {
        const { store, bucket, reservation } = await fresh();
        const purse = bucket({ refillPerMs: 0, budget: known(14) });
        const refused = { granted: false, retryAfterMs: Number.POSITIVE_INFINITY, remaining: [-4] };
        assert.deepEqual(await store.reserve(reservation({ draws: [purse] }), start), refused);
      });

      it('settles a budget to what the call cost, and keeps what nobody settled', async () => {
        const { store, bucket, reservation, look } = await fresh();
        const purse = bucket({ refillPerMs: 0, amount: 5, budget: known(0) });
        const calls = [reservation({ draws: [purse] }), reservation({ draws: [purse], ttlMs: 5_000 })];
        for (const call of calls) assert.equal((await store.reserve(call, start)).granted, true);
        const [first] = calls;
        if (first !== undefined) await store.settle(first, [2], start + 1);
        assert.equal(await look(purse, start + 1), 3);
        assert.equal(await look(purse, start + 5_000), 3, 'who held it may have spent it');
      });

      it('is exact to the unit at 9e15, and admits of 300 at once what fits', async () => {
        const { store, bucket, reservation, look } = await fresh();
        const purse = bucket({ capacity: 9e15, refillPerMs: 0, amount: 3, budget: known(9e15 - 301) });
        const calls = Array.from({ length: 300 }, () => reservation({ draws: [purse] }));
        const verdicts = await Promise.all(calls.map((call) => store.reserve(call, start)));
        assert.equal(verdicts.filter(({ granted }) => granted).length, 100);
        assert.equal(await look(purse, start), 1);
        await Promise.all(calls.map((call) => store.settle(call, [2], start)));
        assert.equal(await look(purse, start), 101);
      });
    });

    it('admits of 1,000 at once exactly what fits, and has all back in the end', async () => {
      const { store, tag, bucket, reservation, look, slot } = await fresh();
      const requests = bucket({ capacity: 700, refillPerMs: 0 });
      const tokens = bucket({ bucket: `${tag}:tokens`, capacity: 3_005, refillPerMs: 0, amount: 10 });
      const calls = Array.from({ length: 1_000 }, () => reservation({ draws: [requests, tokens], slots: [slot(500)] }));
      const verdicts = await Promise.all(calls.map((call) => store.reserve(call, start)));
      assert.equal(verdicts.filter(({ granted }) => granted).length, 300);
      assert.equal(await look(tokens, start), 5);
      await Promise.all(calls.map((call) => store.settle(call, [0, 0], start)));
      assert.equal(await look(tokens, start), 3_005);
      assert.equal(await look(requests, start), 700);
      const all = Array.from({ length: 500 }, () => slot(500));
      assert.equal((await store.reserve(reservation({ slots: all }), start)).granted, true);
    });
  });
}
