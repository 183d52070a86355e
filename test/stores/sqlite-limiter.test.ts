import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Budget, Draw, LimiterStore, Reservation } from '../../src/limits/limiter-store.js';
import { connectTo, sqliteFolder } from '../helpers/sqlite.js';
import { limiterModelTest } from '../limiter/model.js';

const folder = sqliteFolder();
after(folder.remove);
const NOW = 1_800_000_000_000;
let files = 0;

/** Two stores on one file, asked in turn, as two processes would. */
async function shared(): Promise<{ readonly file: string; readonly limiter: LimiterStore; close(): Promise<void> }> {
  files += 1;
  const name = `limiter${files}.db`;
  const stores = [await folder.open(name), await folder.open(name)] as const;
  let turn = 0;
  const next = (): LimiterStore => {
    turn = 1 - turn;
    return turn === 0 ? stores[0].limiter : stores[1].limiter;
  };
  return {
    file: folder.path(name),
    limiter: {
      reserve: (reservation, now) => next().reserve(reservation, now),
      settle: (reservation, amounts, now) => next().settle(reservation, amounts, now),
    },
    async close() {
      for (const store of stores) await store.close();
    },
  };
}

const model = shared();
limiterModelTest('sqliteStore, two of it on one file', async () => (await model).limiter, {
  commands: 5_000,
  further: 1_000,
});

describe('sqliteStore’s limiter', () => {
  const budget = (spent?: number, endsAt = NOW + 1_000): Budget =>
    spent === undefined ? { endsAt } : { endsAt, spent };

  const draw = (fields: Partial<Draw> = {}): Draw => ({
    bucket: 'b',
    capacity: 100,
    refillPerMs: 0,
    amount: 10,
    ...fields,
  });
  let ids = 0;
  const wish = (draws: readonly Draw[], more: Partial<Reservation> = {}): Reservation => {
    ids += 1;
    return { id: `wish ${ids}`, draws, slots: [], ttlMs: 500, ...more };
  };

  it('takes no budget it does not know for untouched', async () => {
    const { limiter, close } = await shared();
    const other = draw({ bucket: 'other' });
    const unknown = { granted: false, retryAfterMs: 0, remaining: [100, 100], unknownBudgets: true };
    assert.deepEqual(await limiter.reserve(wish([other, draw({ budget: budget() })]), NOW), unknown);
    assert.deepEqual((await limiter.reserve(wish([{ ...other, amount: 0 }]), NOW)).remaining, [100]);
    const told = await limiter.reserve(wish([draw({ budget: budget(85) })]), NOW);
    assert.deepEqual(told, { granted: true, retryAfterMs: 0, remaining: [5] });
    // What is known stays known, whatever the ledger would have said.
    const known = await limiter.reserve(wish([draw({ budget: budget(0), amount: 6 })]), NOW);
    assert.deepEqual(known, { granted: false, retryAfterMs: Number.POSITIVE_INFINITY, remaining: [5] });
    assert.equal((await limiter.reserve(wish([draw({ budget: budget(), amount: 5 })]), NOW)).granted, true);
    await close();
  });

  it('tries without taking', async () => {
    const { limiter, close } = await shared();
    const slots = [{ name: 's', capacity: 1 }];
    const dry = () => wish([draw({ budget: budget(90) }), draw({ bucket: 'c' })], { slots, dryRun: true });
    const granted = { granted: true, retryAfterMs: 0, remaining: [10, 100] };
    assert.deepEqual(await limiter.reserve(dry(), NOW), granted);
    assert.deepEqual(await limiter.reserve(dry(), NOW), granted);
    assert.equal((await limiter.reserve(wish([draw({ budget: budget() })]), NOW)).unknownBudgets, true);
    assert.equal((await limiter.reserve(wish([], { slots }), NOW)).granted, true);
    assert.equal((await limiter.reserve(dry(), NOW)).granted, false);
    await close();
  });

  it('refuses a second reservation of an id that is held, alone of those asked with it', async () => {
    const { limiter, close } = await shared();
    const held = wish([draw()]);
    await limiter.reserve(held, NOW);
    const [again, next] = await Promise.allSettled([
      limiter.reserve(held, NOW),
      limiter.reserve(wish([draw()]), NOW),
      limiter.reserve(wish([draw()]), NOW),
    ]);
    assert.ok(again?.status === 'rejected' && again.reason instanceof TypeError);
    assert.equal(next?.status, 'fulfilled');
    assert.deepEqual((await limiter.reserve(wish([draw({ amount: 0 })]), NOW)).remaining, [70]);
    await close();
  });

  it('lets go of what says nothing: full buckets, budgets whose period is over for a day, reservations settled', async () => {
    const { file, limiter, close } = await shared();
    for (let index = 0; index < 300; index += 1) {
      const flowing = draw({ bucket: `flowing ${index}`, refillPerMs: 1 });
      const ended = draw({ bucket: `ended ${index}`, budget: budget(1, NOW + 1_000 - 86_400_000) });
      const lasting = draw({ bucket: `lasting ${index}`, budget: budget(1, NOW + 1_001 - 86_400_000) });
      const one = wish([flowing, ended, lasting], { slots: [{ name: `s${index}`, capacity: 1 }] });
      await limiter.reserve(one, NOW);
      await limiter.settle(one, [1, 1, 1], NOW);
    }
    for (let index = 0; index < 10_000; index += 1) {
      await limiter.reserve(wish([draw({ bucket: 'lasting 0', amount: 0 })]), NOW + 1_000);
    }
    const db = await connectTo(file);
    const left = (sql: string) => db.prepare(sql).get()?.n;
    assert.equal(left('SELECT count(*) AS n FROM buckets'), 300);
    assert.equal(left(`SELECT count(*) AS n FROM buckets WHERE name LIKE 'lasting %'`), 300);
    assert.equal(left('SELECT count(*) AS n FROM held'), 0);
    assert.equal(left('SELECT count(*) AS n FROM slots'), 0);
    db.close();
    const known = await limiter.reserve(
      wish([draw({ bucket: 'lasting 5', amount: 0, budget: budget() })]),
      NOW + 1_000,
    );
    assert.deepEqual(known.remaining, [98]);
    await close();
  });
});
