import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import {
  type RedisClient,
  type RedisLimiter,
  type RedisLimiterOptions,
  type RedisNotice,
  redisLimiter,
} from 'megallm-middleware/redis';
import type { Draw, Reservation } from '../../src/limits/limiter-store.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { DEPTH, patience, TOO_SHALLOW } from '../helpers/depth.js';
import { budgetedCalls } from '../helpers/redis-budget.js';
import { noRedis, type RedisServer, redisServer } from '../helpers/redis-server.js';

const OUTAGE_MS = DEPTH * 1_000;

describe('Redis is lost', { skip: noRedis || TOO_SHALLOW, timeout: patience(60_000) }, () => {
  let server: RedisServer;
  let limiters: RedisLimiter[] = [];
  before(async () => {
    server = await redisServer();
  });
  after(() => server.remove());

  function limiterOn(options: Partial<RedisLimiterOptions> = {}): RedisLimiter {
    const limiter = redisLimiter({ client: server.ioredis(), prefix: randomUUID(), settleMs: 1_000, ...options });
    limiters.push(limiter);
    return limiter;
  }

  function test(name: string, run: (context: TestContext) => Promise<void>): void {
    it(name, async (context) => {
      try {
        await run(context);
      } finally {
        server.resume();
        for (const limiter of limiters) await limiter.close();
        limiters = [];
        await server.kill();
        await server.start();
      }
    });
  }

  const reservation = (fields: Partial<Reservation>): Reservation => ({
    id: randomUUID(),
    draws: [],
    slots: [],
    ttlMs: 60_000,
    ...fields,
  });
  const one = (draw: Partial<Draw> = {}): Reservation =>
    reservation({ draws: [{ bucket: 'b', capacity: 10, refillPerMs: 0, amount: 1, ...draw }] });
  const ask = (limiter: RedisLimiter, wanted: Reservation) => limiter.reserve(wanted, Date.now());

  test('I1 killed and restarted empty under load: at most twice the limit, then the limit, and back within seconds', async (context) => {
    const capacity = 240;
    const refillPerMs = capacity / 60_000;
    const prefix = randomUUID();
    const notices: string[] = [];
    const onNotice = ({ kind }: RedisNotice): void => void notices.push(kind);
    const first = server.ioredis();
    const third = server.ioredis();
    // One of them is slower to find Redis again.
    let isBlind = false;
    const slow: RedisClient = ([command = '', ...args]) => {
      return isBlind ? Promise.reject(new Error('Not connected')) : third.call(command, args);
    };
    const machines = [first, await server.nodeRedis(), slow].map((client) =>
      limiterOn({ client, prefix, onNotice, timeoutMs: 200 }),
    );
    const started = performance.now();
    let isOver = false;
    const grantedAt: number[] = [];
    const load = machines.map(async (limiter) => {
      while (!isOver) {
        const call = one({ bucket: 'shared', capacity, refillPerMs });
        const { granted } = await ask(limiter, call);
        if (granted) {
          grantedAt.push(performance.now());
          await limiter.settle(call, [1], Date.now());
        }
        await pause(3);
      }
    });
    await pause(2_500);
    const before = grantedAt.length;
    await server.kill();
    await pause(OUTAGE_MS);
    const during = grantedAt.length - before;
    isBlind = true;
    await server.start();
    await pause(800);
    isBlind = false;
    await eventually(() => notices.filter((kind) => kind === 'back').length === 3, 'the return of Redis');
    await pause(1_000);
    isOver = true;
    await within(Promise.all(load), 'the end of the load');
    const flowed = refillPerMs * (performance.now() - started);
    // While it tells Redis what it granted, each may grant one call more, of which Redis hears a second later.
    const bound = 2 * capacity + flowed + machines.length;
    context.diagnostic(`granted ${before} before, ${during} during, ${grantedAt.length} in all; bound ${bound}`);
    assert.ok(before >= capacity, 'the limit was reached before');
    assert.ok(during >= capacity - 10, 'each machine granted its share');
    assert.ok(grantedAt.length <= bound, `${grantedAt.length} are more than ${bound}`);
  });

  test('I1 budgets are closed while Redis is lost, and never overrun when it comes back with less than it knew', async (context) => {
    const calls = budgetedCalls(limiterOn(), { capacity: 20_000 });
    calls.start(8);
    await eventually(() => calls.spent() > 1_500, 'the first calls', 30_000);
    await server.command('SAVE');
    await eventually(() => calls.spent() > 5_000, 'calls that Redis has not saved', 30_000);
    await server.kill();
    const atKill = calls.granted();
    await pause(1_000);
    assert.ok(calls.granted() - atKill <= 8, 'nothing is granted without Redis');
    await server.start();
    await eventually(() => calls.isUsedUp(), 'the budget is used up', 30_000);
    await calls.stop();
    context.diagnostic(`spent ${calls.spent()} of 20000, ${calls.unavailable()} calls unavailable`);
    assert.ok(calls.spent() <= 20_000, `${calls.spent()}`);
    assert.equal(calls.worst() <= 20_000, true, `at worst ${calls.worst()}`);
  });

  test('what was taken from a budget before a loss is not given back after it', async () => {
    const limiter = limiterOn({ settleMs: 0, timeoutMs: 5_000 });
    const budget = (spent: number) => ({ endsAt: Date.now() + 60_000, spent });
    const settled = one({ amount: 3, budget: budget(0) });
    const expired = { ...one({ amount: 2, budget: budget(0) }), ttlMs: 2_000 };
    for (const call of [settled, expired]) assert.equal((await ask(limiter, call)).granted, true);
    await server.command('SAVE');
    await server.kill();
    await server.start();
    const look = () => ask(limiter, one({ amount: 0, budget: budget(5) })).catch(() => undefined);
    await eventually(async () => (await look())?.remaining[0] === 5, 'what the ledger says');
    await limiter.settle(settled, [0], Date.now());
    await pause(2_100);
    assert.deepEqual((await look())?.remaining, [5]);
  });

  test('I3 FLUSHALL under load overruns no budget', async (context) => {
    const calls = budgetedCalls(limiterOn(), { capacity: 15_000 });
    calls.start(8);
    for (const spent of [1_000, 3_000]) {
      await eventually(() => calls.spent() > spent, `${spent} spent`, 30_000);
      await server.command('FLUSHALL');
    }
    await eventually(() => calls.isUsedUp(), 'the budget is used up', 30_000);
    await calls.stop();
    context.diagnostic(`spent ${calls.spent()} of 15000, ${calls.unavailable()} calls unavailable`);
    assert.ok(calls.worst() <= 15_000, `at worst ${calls.worst()}`);
    assert.ok(calls.unavailable() > 0);
  });

  test('I4 a failover to a replica that lags overruns no budget', async () => {
    const replica = await redisServer(['--replicaof', '127.0.0.1', `${server.port}`]);
    try {
      let current = server.ioredis();
      const other = replica.ioredis();
      const limiter = limiterOn({ client: ([command = '', ...args]) => current.call(command, args) });
      const calls = budgetedCalls(limiter, { capacity: 15_000 });
      calls.start(8);
      await eventually(() => calls.spent() > 1_000, 'the first calls', 30_000);
      await eventually(async () => `${await replica.command('DBSIZE')}` !== '0', 'the replica');
      assert.ok(calls.spent() < 10_000);
      // It goes on waiting for a master that is not there.
      await replica.command('REPLICAOF', '127.0.0.1', '1');
      await eventually(() => calls.spent() > 11_000, 'calls that the replica has not heard of', 30_000);
      await server.kill();
      // READONLY until it is promoted.
      current = other;
      await pause(200);
      await replica.command('REPLICAOF', 'NO', 'ONE');
      await eventually(() => calls.isUsedUp(), 'the budget is used up', 30_000);
      await calls.stop();
      assert.ok(calls.worst() <= 15_000, `at worst ${calls.worst()}`);
      assert.ok(calls.unavailable() > 0);
    } finally {
      await replica.remove();
    }
  });

  test('a reservation that arrives after it was given up is refused', async () => {
    const client = server.ioredis();
    const arrive = gate();
    let late: Promise<unknown> | undefined;
    const limiter = limiterOn({
      timeoutMs: 300,
      client: ([command = '', ...args]) => {
        if (!args.includes('reserve') || late !== undefined) return client.call(command, args);
        late = arrive.opened.then(() => client.call(command, args));
        return late;
      },
    });
    const call = one({ amount: 9 });
    assert.equal((await ask(limiter, call)).granted, true, 'granted here');
    await limiter.settle(call, [0], Date.now());
    await eventually(async () => `${await server.command('KEYS', `*held:${call.id}`)}` !== '', 'it is given up there');
    arrive.open();
    assert.equal(await late, 'held');
    assert.deepEqual((await ask(limiter, one({ amount: 0 }))).remaining, [10]);
  });

  test('I4 SCRIPT FLUSH goes unnoticed, also by budgets', async () => {
    const calls = budgetedCalls(limiterOn({ settleMs: 0, timeoutMs: 10_000 }), { capacity: 1e9 });
    calls.start(4);
    for (let round = 1; round <= 10; round += 1) {
      const before = calls.granted();
      await server.command('SCRIPT', 'FLUSH');
      await eventually(() => calls.granted() > before + 20, 'more calls');
    }
    await calls.stop();
    assert.equal(calls.unavailable(), 0);
  });

  test('I2 stopped, not dead: no call waits for longer than the timeout, and after five none waits at all', async () => {
    const notices: string[] = [];
    const redis = server.ioredis();
    let asked = 0;
    const limiter = limiterOn({
      onNotice: ({ kind }) => void notices.push(kind),
      client: ([command = '', ...args]) => {
        if (args.includes('reserve')) asked += 1;
        return redis.call(command, args);
      },
    });
    await eventually(async () => (await ask(limiter, one({ amount: 0 }))).granted && asked > 0, 'a connection');
    assert.equal((await ask(limiter, one({ capacity: 1_000 }))).granted, true);
    server.pause();
    asked = 0;
    for (let call = 0; call < 5; call += 1) {
      assert.equal((await within(ask(limiter, one({ capacity: 1_000 })), 'an answer')).granted, true);
    }
    assert.deepEqual(notices, ['lost']);
    for (let call = 0; call < 100; call += 1) await ask(limiter, one({ capacity: 1_000 }));
    assert.equal(asked <= 5, true, `${asked} calls were sent to it`);
    server.resume();
    await eventually(() => notices.includes('back'), 'the return of Redis');
    // Those that Redis was asked for while it was stopped are given back; what was granted here is drawn there.
    const look = async () => (await ask(limiter, one({ capacity: 1_000, amount: 0 }))).remaining[0];
    await eventually(async () => (await look()) === 1_000 - 1 - 105, 'the same books in both places');
  });

  test('settles when Redis is back what could not be settled while it was lost', async () => {
    const notices: string[] = [];
    const limiter = limiterOn({ onNotice: ({ kind }) => void notices.push(kind) });
    const slots = [{ name: 's', capacity: 3 }];
    const calls = [1, 2, 3].map(() => reservation({ draws: one({ amount: 3 }).draws, slots }));
    for (const call of calls) assert.equal((await ask(limiter, call)).granted, true);
    server.pause();
    for (const call of calls) await limiter.settle(call, [1], Date.now());
    for (const call of calls) await limiter.settle(call, [0], Date.now());
    server.resume();
    const look = async () => (await ask(limiter, one({ amount: 0 }))).remaining[0];
    await eventually(async () => (await look()) === 7, 'the settlements');
    assert.equal((await ask(limiter, reservation({ slots: [...slots, ...slots, ...slots] }))).granted, true);
  });

  test('denies, or allows, where that is asked for; budgets are closed in every mode', async () => {
    const budget = { endsAt: Date.now() + 60_000, spent: 0 };
    const [deny, allow, local] = (['deny', 'allow', 'local'] as const).map((onStoreError) =>
      limiterOn({ onStoreError }),
    );
    assert.ok(deny !== undefined && allow !== undefined && local !== undefined);
    await server.kill();
    for (let call = 0; call < 12; call += 1) {
      await assert.rejects(ask(deny, one()));
      assert.equal((await ask(allow, one())).granted, true);
      assert.equal((await ask(local, one())).granted, call < 10);
    }
    for (const limiter of [deny, allow, local]) await assert.rejects(ask(limiter, one({ budget })), /budget/);
  });

  test('says once that Redis may throw limits away', async () => {
    await server.command('CONFIG', 'SET', 'maxmemory', '100mb');
    await server.command('CONFIG', 'SET', 'maxmemory-policy', 'volatile-lru');
    const notices: RedisNotice[] = [];
    const limiter = limiterOn({ onNotice: (notice) => void notices.push(notice) });
    await eventually(() => notices.length > 0, 'a notice');
    assert.deepEqual(notices, [{ kind: 'evicts', policy: 'volatile-lru' }]);
    assert.equal((await ask(limiter, one())).granted, true);
  });
});
