import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type RedisLimiter, redisLimiter } from 'megallm-middleware/redis';
import type { Reservation } from '../../src/limits/limiter-store.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { noRedis, type RedisServer, redisServer } from '../helpers/redis-server.js';
import { hastyClock } from '../helpers/timer-clock.js';

const CAPACITY = 600;

describe('what was granted without Redis', { skip: noRedis }, () => {
  let server: RedisServer;
  before(async () => {
    server = await redisServer();
  });
  after(() => server.remove());

  /** A limiter whose connection the test cuts, by a clock that it turns; beats come 20 times faster. */
  function scene() {
    const redis = server.ioredis();
    const clock = { ...frozenClock(), setTimer: hastyClock(20).setTimer };
    const notices: string[] = [];
    const charges: number[] = [];
    const seen = { isLost: false, awaited: (_count: number): Promise<void> | undefined => undefined };
    const options = { prefix: randomUUID(), time: 'caller', clock, timeoutMs: 200_000 } as const;
    const limiter = redisLimiter({
      ...options,
      onNotice: ({ kind }) => void notices.push(kind),
      async client([command = '', ...args]) {
        if (seen.isLost && command !== 'INFO') throw new Error('Not connected');
        const place = args.indexOf('charge');
        if (place >= 0 && command === 'EVALSHA') {
          charges.push(Number(args[place + 5]));
          await seen.awaited(charges.length);
        }
        return redis.call(command, args);
      },
    });
    const draw = async (to: RedisLimiter, bucket: string, amount: number) => {
      const draws = [{ bucket, capacity: CAPACITY, refillPerMs: CAPACITY / 60_000, amount }];
      const call: Reservation = { id: randomUUID(), draws, slots: [], ttlMs: 3_600_000 };
      return to.reserve(call, clock.steadyMs());
    };
    return {
      ...{ limiter, clock, notices, charges, seen },
      take: async (bucket: string, amount: number) => {
        assert.equal((await draw(limiter, bucket, amount)).granted, true);
      },
      async lose() {
        seen.isLost = true;
        while (!notices.includes('lost')) await draw(limiter, 'other', 0);
      },
      async find() {
        seen.isLost = false;
        await eventually(() => notices.includes('back'), 'the return of Redis');
      },
      async heldByRedis(bucket: string) {
        const other = redisLimiter({ ...options, client: redis });
        const { remaining } = await draw(other, bucket, 0);
        await other.close();
        return CAPACITY - (remaining[0] ?? 0);
      },
    };
  }

  it('is drawn from it once, less what flowed back in an outage of more than a minute', async () => {
    const { limiter, clock, charges, lose, find, take, heldByRedis } = scene();
    await lose();
    await take('b', CAPACITY);
    await take('gone', 5);
    clock.advance(70_000);
    await take('b', 90);
    await take('b', 8);
    await find();
    assert.equal(await heldByRedis('b'), 98);
    assert.equal(await heldByRedis('gone'), 0);
    assert.deepEqual(charges, [1]);
    await limiter.close();
  });

  it('is drawn from it also where it was granted while others were drawn', async () => {
    const { limiter, charges, seen, lose, find, take, heldByRedis } = scene();
    await lose();
    await take('b', 10);
    const told = gate();
    seen.awaited = (count) => (count === 1 ? told.opened : undefined);
    seen.isLost = false;
    await eventually(() => charges.length === 1, 'the first charge');
    await take('b', 3);
    await take('c', 7);
    told.open();
    await find();
    assert.deepEqual([await heldByRedis('b'), await heldByRedis('c')], [13, 7]);
    assert.deepEqual(charges, [1, 2]);
    await limiter.close();
  });

  it('is told in pieces, and those that arrived are not told again', async () => {
    const { limiter, charges, seen, lose, find, take, heldByRedis } = scene();
    await lose();
    for (let index = 0; index < 250; index += 1) await take(`b${index}`, 2);
    seen.awaited = (count) => (count === 3 ? Promise.reject(new Error('Reset')) : undefined);
    await find();
    assert.deepEqual(charges, [100, 100, 50, 50]);
    for (const index of [0, 99, 100, 249]) assert.equal(await heldByRedis(`b${index}`), 2, `${index}`);
    await limiter.close();
  });

  it('is drawn once when the limiter is closed while it is told', async () => {
    const { limiter, charges, notices, seen, take, heldByRedis } = scene();
    const told = gate();
    seen.awaited = (count) => (count === 1 ? told.opened : undefined);
    seen.isLost = true;
    await take('b', 10);
    seen.isLost = false;
    await eventually(() => charges.length === 1, 'the first charge');
    seen.isLost = true;
    await take('c', 7);
    seen.isLost = false;
    const closed = limiter.close();
    told.open();
    await within(closed, 'the end');
    assert.deepEqual([await heldByRedis('b'), await heldByRedis('c')], [10, 7]);
    assert.deepEqual([charges, notices], [[1, 1], []]);
  });
});
