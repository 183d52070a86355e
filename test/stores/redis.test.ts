import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type RedisClient, type RedisLimiter, type RedisLimiterOptions, redisLimiter } from 'megallm-middleware/redis';
import type { Draw, Reservation } from '../../src/limits/limiter-store.js';
import { memoryLimiter } from '../../src/limits/memory.js';
import { limiterStoreContract } from '../contracts/limiter-store.js';
import { eventually } from '../helpers/deadline.js';
import { noRedis, type RedisServer, redisServer } from '../helpers/redis-server.js';
import { limiterModelTest } from '../limiter/model.js';

const DAY_MS = 86_400_000;

describe('redisLimiter', { skip: noRedis }, () => {
  let server: RedisServer;
  const limiters: RedisLimiter[] = [];
  let clients: { readonly ioredis: RedisClient; readonly nodeRedis: RedisClient };
  before(async () => {
    server = await redisServer();
    clients = { ioredis: server.ioredis(), nodeRedis: await server.nodeRedis() };
  });
  after(async () => {
    for (const limiter of limiters) await limiter.close();
    await server.remove();
  });

  function limiterOn(client: RedisClient, options: Partial<RedisLimiterOptions> = {}): RedisLimiter {
    const limiter = redisLimiter({
      client,
      prefix: randomUUID(),
      time: 'caller',
      settleMs: 0,
      timeoutMs: 10_000,
      ...options,
    });
    limiters.push(limiter);
    return limiter;
  }

  limiterStoreContract('redisLimiter on ioredis', () => limiterOn(clients.ioredis));
  limiterStoreContract('redisLimiter on node-redis', () => limiterOn(clients.nodeRedis));
  limiterModelTest('redisLimiter', () => limiterOn(clients.ioredis), { commands: 1_000 });

  const start = Date.now();
  const one = (id: string, draw: Partial<Draw> = {}): Reservation => ({
    id,
    draws: [{ bucket: 'b', capacity: 10, refillPerMs: 10 / 60_000, amount: 1, ...draw }],
    slots: [{ name: 's', capacity: 5 }],
    ttlMs: 60_000,
  });

  it('settles two draws on a bucket that was full, and that Redis forgot, as their sum', async () => {
    const client = server.ioredis();
    const prefix = randomUUID();
    const limiter = limiterOn(client, { prefix });
    const [draw] = one('').draws;
    assert.ok(draw !== undefined);
    const call = { ...one('call'), draws: [draw, { ...draw, amount: 0 }], ttlMs: 600_000 };
    await limiter.reserve(call, start);
    assert.equal(await client.del(`{${prefix}}:bucket:b`), 1);
    await limiter.settle(call, [0, 1], start + 60_000);
    const { remaining } = await limiter.reserve(one('look', { amount: 0 }), start + 60_000);
    assert.deepEqual(remaining, [10]);
  });

  it('gives back each amount whose time is up on time, though Redis forgot the bucket that was full', async () => {
    const client = server.ioredis();
    const prefix = randomUUID();
    const limiter = limiterOn(client, { prefix });
    const memory = memoryLimiter();
    const both = async (reservation: Reservation, now: number) => {
      const verdict = await limiter.reserve(reservation, now);
      assert.deepEqual(verdict, await memory.reserve(reservation, now));
      return verdict.remaining;
    };
    await both({ ...one('short', { amount: 8 }), ttlMs: 60_000 }, start);
    assert.equal(await client.del(`{${prefix}}:bucket:b`), 1);
    await both({ ...one('long', { amount: 9 }), ttlMs: 600_000 }, start + 59_000);
    assert.deepEqual(await both(one('look', { amount: 0 }), start + 60_000), [9 + 1 / 6]);
  });

  it('asks Redis once for a reservation and once to settle it, and once more when it does not know the script', async () => {
    const sent: string[] = [];
    const client = server.ioredis();
    const limiter = limiterOn((args) => {
      const [command = '', ...rest] = args;
      if (!rest.includes('beat') && command !== 'INFO') sent.push(command);
      return client.call(command, rest);
    });
    await limiter.reserve(one('known'), start);
    sent.length = 0;
    const call = one('1', { budget: { endsAt: start + 60_000, spent: 0 } });
    assert.equal((await limiter.reserve(call, start)).granted, true);
    await limiter.settle(call, [0], start);
    assert.deepEqual(sent, ['EVALSHA', 'EVALSHA']);
    await server.command('SCRIPT', 'FLUSH');
    assert.equal((await limiter.reserve(one('2'), start)).granted, true);
    assert.deepEqual(sent.slice(2), ['EVALSHA', 'EVAL']);
  });

  it('keeps budgets where its user may not ask for INFO', async () => {
    await server.command('ACL', 'SETUSER', 'meek', 'on', '>password', '~*', '&*', '+@all', '-info');
    const client = server.ioredis();
    await client.call('AUTH', 'meek', 'password');
    await assert.rejects(client.call('INFO', 'server'), /NOPERM/);
    const limiter = limiterOn(client);
    const budget = { endsAt: start + 60_000, spent: 3 };
    for (const [id, left] of [
      ['1', 6],
      ['2', 5],
    ] as const) {
      const { granted, remaining } = await limiter.reserve(one(id, { refillPerMs: 0, budget }), start);
      assert.deepEqual([granted, remaining], [true, [left]]);
    }
  });

  it('answers what memoryLimiter answers, to the last bit, where divisions round', async () => {
    const limiter = limiterOn(clients.ioredis);
    const memory = memoryLimiter();
    let count = 0;
    const both = async (draw: Partial<Draw>, used?: number) => {
      count += 1;
      const call = { ...one(`${count}`, draw), slots: [] };
      assert.deepEqual(await limiter.reserve(call, start), await memory.reserve(call, start));
      if (used === undefined) return;
      await limiter.settle(call, [used], start);
      await memory.settle(call, [used], start);
    };
    for (const refillPerMs of [0.1, 0.2, 0.3, 0.7, 1.1, 1 / 3, 1 / 7, 450 / 60_000, 90_001 / 60_000]) {
      for (let waitMs = 1; waitMs <= 2_000; waitMs += 13) {
        const bucket = `${refillPerMs} ${waitMs}`;
        // On the very edge of what the tolerance lets through.
        await both({ bucket, refillPerMs, capacity: 1_500, amount: 1 }, 1_000 + waitMs * refillPerMs + 1e-6);
        await both({ bucket, refillPerMs, capacity: 1_500, amount: 500 });
      }
    }
    await both({ bucket: 'down', refillPerMs: 450 / 60_000, capacity: 4 }, 21.830501);
    await both({ bucket: 'down', refillPerMs: 450 / 60_000, capacity: 4, amount: 0.732 });
  });

  it('answers what wants nothing without asking, and whole', async () => {
    const limiter = limiterOn(() => assert.fail('Redis was asked'), { time: 'server' });
    const nothing = await limiter.reserve({ id: 'nothing', draws: [], slots: [], ttlMs: 1_000 }, start);
    assert.deepEqual(nothing, { granted: true, retryAfterMs: 0, remaining: [] });
  });

  it('asks a Redis that fails five times, and no more until it is back', async () => {
    let failures = 0;
    const notices: string[] = [];
    const limiter = limiterOn(
      ([_command, ...args]) => {
        if (!args.includes('reserve')) return new Promise(() => {});
        failures += 1;
        return Promise.reject(new Error('Not connected'));
      },
      { onNotice: ({ kind }) => void notices.push(`${kind} after ${failures}`) },
    );
    for (let call = 0; call < 20; call += 1) await limiter.reserve(one(`${call}`, { capacity: 100 }), start);
    assert.deepEqual([failures, notices], [5, ['lost after 5']]);
  });

  it('does once what arrives twice, as when a client sends again what it got no answer to', async () => {
    const client = server.ioredis();
    const limiter = limiterOn(async ([command = '', ...args]) => {
      await client.call(command, args);
      return client.call(command, args);
    });
    const call = one('1', { amount: 4 });
    assert.deepEqual(await limiter.reserve(call, start), { granted: true, retryAfterMs: 0, remaining: [6] });
    const large = one('2', { amount: 7 });
    assert.deepEqual(await limiter.reserve(large, start), { granted: false, retryAfterMs: 6_000, remaining: [6] });
    await assert.rejects(limiter.reserve(call, start), TypeError);
    await limiter.settle(call, [1], start);
    assert.deepEqual((await limiter.reserve(one('3', { amount: 0 }), start)).remaining, [9]);
  });

  it('leaves nothing behind that does not expire', async () => {
    await server.command('FLUSHALL');
    const limiter = limiterOn(clients.ioredis, { prefix: 'idle', time: 'server' });
    const budget = { endsAt: Date.now() + 60_000, spent: 2 };
    const draws = [
      one('').draws,
      one('', { bucket: 'c', refillPerMs: 0 }).draws,
      one('', { bucket: 'd', budget }).draws,
    ];
    const calls = ['1', '2', '3'].map((id) => ({ ...one(id), draws: draws.flat() }));
    for (const call of calls) assert.equal((await limiter.reserve(call, 0)).granted, true);
    for (const call of calls.slice(1)) await limiter.settle(call, [2, 0, 1], 0);
    await eventually(async () => keysOf(await server.command('KEYS', '*')).includes('{idle}:machines'), 'a beat');
    const keys = keysOf(await server.command('KEYS', '{idle}:*'));
    assert.ok(keys.length >= 8, keys.join());
    for (const key of keys) assert.ok(Number(await server.command('PTTL', key)) > 0, key);
    // A bucket that is full again goes long before those that nothing flows back to.
    assert.ok(Number(await server.command('PTTL', '{idle}:bucket:b')) < 60_000);
    // A budget stays a day longer than its period, for gateways whose clock is behind.
    const budgetMs = Number(await server.command('PTTL', '{idle}:bucket:d'));
    assert.ok(budgetMs > DAY_MS && budgetMs <= DAY_MS + 60_000, `${budgetMs}`);
  });

  it('goes on at once when the clock of Redis was an hour ahead and is set right', async () => {
    const prefix = randomUUID();
    const ahead = limiterOn(clients.ioredis, { prefix });
    const right = limiterOn(clients.ioredis, { prefix, time: 'server' });
    const fast = { capacity: 10, refillPerMs: 0.1 };
    const slots = [{ name: 's', capacity: 1 }];
    const held = { ...one('held', { ...fast, amount: 10 }), slots };
    assert.equal((await ahead.reserve(held, Date.now() + 3_600_000)).granted, true);
    let calls = 0;
    const ask = (slot: boolean) => {
      calls += 1;
      return right.reserve({ ...one(`${calls}`, { ...fast, amount: 5 }), slots: slot ? slots : [] }, 0);
    };
    const { retryAfterMs } = await ask(false);
    assert.ok(retryAfterMs <= 100, `${retryAfterMs}`);
    await eventually(async () => (await ask(false)).granted, 'what flows back');
    assert.equal((await ask(true)).granted, false);
    await right.settle(held, [0], 0);
    await eventually(async () => (await ask(true)).granted, 'the place that is free again');
  });

  it('refuses a second reservation of an id that is held', async () => {
    const limiter = limiterOn(clients.nodeRedis);
    await limiter.reserve(one('same'), start);
    await assert.rejects(limiter.reserve(one('same'), start), TypeError);
    assert.deepEqual((await limiter.reserve(one('look', { amount: 0 }), start)).remaining, [9]);
  });

  it('gives no credit for amounts that make no sense', async () => {
    const limiter = limiterOn(clients.ioredis);
    for (const amount of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      const { granted, retryAfterMs, remaining } = await limiter.reserve(one(`${amount}`, { amount }), start);
      assert.deepEqual([granted, retryAfterMs, remaining], [false, Number.POSITIVE_INFINITY, [10]]);
    }
    for (const [index, amounts] of [[-3], [Number.NaN], []].entries()) {
      const call = one(`settled ${index}`, { bucket: `b${index}`, amount: 2 });
      await limiter.reserve(call, start);
      await limiter.settle(call, amounts, start);
      const look = await limiter.reserve({ ...one('look', { bucket: `b${index}`, amount: 0 }), slots: [] }, start);
      assert.deepEqual(look.remaining, [8]);
    }
  });

  it('refuses budgets for a moment after Redis has begun to remember them, and not what is none', async () => {
    const limiter = limiterOn(clients.ioredis, { settleMs: 300 });
    const budget = { endsAt: Date.now() + 60_000, spent: 2 };
    await assert.rejects(limiter.reserve(one('1', { budget }), start), /ledger/);
    assert.equal((await limiter.reserve(one('2'), start)).granted, true);
    const ask = () => limiter.reserve(one('3', { bucket: 'c', budget }), start).catch(() => undefined);
    await eventually(async () => (await ask())?.remaining[0] === 7, 'the budget');
  });

  it('checks its options', () => {
    const client = clients.ioredis;
    const bad: unknown[] = [
      { client: undefined },
      { client: {} },
      { client, prefix: '' },
      { client, prefix: 'a{b}' },
      { client, timeoutMs: 0 },
      { client, settleMs: -1 },
      { client, maxRemembered: 0.5 },
      { client, onStoreError: 'open' },
      { client, time: 'local' },
    ];
    for (const options of bad) assert.throws(() => redisLimiter(Object(options)), TypeError);
  });
});

function keysOf(reply: unknown): string[] {
  return Array.isArray(reply) ? reply.map(String) : [];
}

describe('redisLimiter in a cluster', { skip: noRedis }, () => {
  it('has all keys of a call in one slot, and so runs there', async () => {
    const server = await redisServer(['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']);
    try {
      await server.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
      await eventually(async () => /cluster_state:ok/.test(`${await server.command('CLUSTER', 'INFO')}`), 'a cluster');
      const cluster = server.cluster();
      const limiter = redisLimiter({ client: cluster, prefix: 'a', timeoutMs: 10_000, settleMs: 0 });
      const budget = { endsAt: Date.now() + 60_000, spent: 0 };
      const draw = { bucket: 'b}{c', capacity: 10, refillPerMs: 1, amount: 1 };
      const draws = [draw, { ...draw, bucket: '{other}' }, { ...draw, bucket: 'd', refillPerMs: 0, budget }];
      const call = { id: '{x}', draws, slots: [{ name: '{s}', capacity: 5 }], ttlMs: 60_000 };
      assert.equal((await limiter.reserve(call, 0)).granted, true);
      await eventually(async () => keysOf(await server.command('KEYS', '*')).includes('{a}:machines'), 'a beat');
      const keys = keysOf(await server.command('KEYS', '*'));
      assert.ok(keys.length >= 10, keys.join());
      const slots = new Set<unknown>();
      for (const key of keys) slots.add(await server.command('CLUSTER', 'KEYSLOT', key));
      assert.equal(slots.size, 1);
      await limiter.settle(call, [0, 0, 0], 0);
      assert.deepEqual((await limiter.reserve({ ...call, id: 'y' }, 0)).remaining, [9, 9, 9]);
      await limiter.close();
    } finally {
      await server.remove();
    }
  });
});
