import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Draw, Reservation } from '../../src/limiter/limiter-store.js';
import { memoryLimiter } from '../../src/limiter/memory.js';
import { limiterStoreContract } from '../contracts/limiter-store.js';
import { exactLimiter, MODEL_BUCKETS, MODEL_SLOTS, modelReservation } from './exact-limiter.js';

limiterStoreContract('memoryLimiter', () => memoryLimiter());

type Command =
  | {
      readonly kind: 'reserve';
      readonly draws: readonly { readonly bucket: number; readonly amount: number }[];
      readonly slots: readonly number[];
      readonly ttlMs: number;
    }
  | { readonly kind: 'settle'; readonly which: number; readonly amounts: readonly number[] }
  | { readonly kind: 'advance'; readonly ms: number };

const amount = fc.oneof(fc.nat(12), fc.nat(130), fc.constant(0));
const commands: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('reserve' as const),
      draws: fc.array(fc.record({ bucket: fc.nat(MODEL_BUCKETS.length - 1), amount }), { maxLength: 3 }),
      slots: fc.array(fc.nat(MODEL_SLOTS.length - 1), { maxLength: 2 }),
      ttlMs: fc.constantFrom(1, 500, 20_000, 600_000),
    }),
  },
  {
    weight: 4,
    // Counted from the latest; beyond the first ones: those settled, refused or expired long ago.
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      which: fc.nat(12),
      amounts: fc.array(amount, { minLength: 3, maxLength: 3 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('advance' as const),
      ms: fc.oneof(fc.nat(3), fc.nat(3_000), fc.nat(90_000), fc.integer({ min: -30_000, max: -1 })),
    }),
  },
);

describe('memoryLimiter', () => {
  it('does what an exact model does, over more than 10,000 commands', async () => {
    const seen = { commands: 0, granted: 0, waits: 0, nevers: 0, debts: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(commands, { minLength: 40, maxLength: 120 }), async (list) => {
        const store = memoryLimiter();
        const model = exactLimiter();
        const reservations: Reservation[] = [];
        let now = 1_800_000_000_000;
        for (const command of list) {
          seen.commands += 1;
          if (command.kind === 'advance') {
            now += command.ms;
          } else if (command.kind === 'settle') {
            const reservation = reservations.at(-1 - command.which);
            if (reservation === undefined) continue;
            const amounts = command.amounts.slice(0, reservation.draws.length);
            model.settle(reservation, amounts, now);
            await store.settle(reservation, amounts, now);
          } else {
            const reservation = modelReservation(`r${reservations.length}`, command);
            reservations.push(reservation);
            const expected = model.reserve(reservation, now);
            const verdict = await store.reserve(reservation, now);
            assert.equal(verdict.granted, expected.granted);
            assert.equal(verdict.retryAfterMs, expected.retryAfterMs);
            for (const [index, remaining] of expected.remaining.entries()) {
              const actual = verdict.remaining[index] ?? Number.NaN;
              if (Number.isInteger(remaining)) assert.equal(actual, remaining);
              assert.ok(Math.abs(actual - remaining) < 1e-6, `${actual} instead of ${remaining}`);
              if (remaining < 0) seen.debts += 1;
            }
            if (verdict.granted) seen.granted += 1;
            else if (verdict.retryAfterMs === Number.POSITIVE_INFINITY) seen.nevers += 1;
            else seen.waits += 1;
          }
        }
        await assertAllBack(store, now + 10_000_000);
      }),
      { numRuns: 250 },
    );
    assert.ok(seen.commands > 10_000, JSON.stringify(seen));
    for (const count of Object.values(seen)) assert.ok(count > 100, JSON.stringify(seen));
  });

  /** Long after everything expired; debts in buckets without refill stay. */
  async function assertAllBack(store: ReturnType<typeof memoryLimiter>, later: number): Promise<void> {
    const slots = MODEL_SLOTS.flatMap((slot) => Array.from({ length: slot.capacity }, () => slot));
    const draws = MODEL_BUCKETS.filter(({ perMinute }) => perMinute > 0).map(({ bucket, capacity, perMinute }) => ({
      bucket,
      capacity,
      refillPerMs: perMinute / 60_000,
      amount: capacity,
    }));
    const verdict = await store.reserve({ id: 'all', draws, slots, ttlMs: 1 }, later);
    assert.equal(verdict.granted, true);
  }

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
      { numRuns: 150 },
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

  it('does not remember buckets that were only looked at', async () => {
    const store = memoryLimiter({ maxBuckets: 1 });
    await store.reserve({ ...call('1'), draws: [draw('used', 60)] }, 1);
    await store.reserve({ ...call('2'), draws: [draw('other', 60, 0)] }, 1);
    assert.deepEqual((await store.reserve({ ...call('3'), draws: [draw('used', 60, 0)] }, 1)).remaining, [59]);
  });

  it('refuses to be unbounded', () => {
    for (const maxBuckets of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => memoryLimiter({ maxBuckets }), TypeError);
    }
  });

  function call(id: string): Reservation {
    return { id, draws: [], slots: [], ttlMs: 1_000_000 };
  }

  function draw(bucket: string, capacity: number, amount = 1): Draw {
    return { bucket, capacity, refillPerMs: capacity / 60_000, amount };
  }
});
