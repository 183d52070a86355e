import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { redisLimiter } from 'megallm-middleware/redis';
import { programArgs } from '../helpers/compiled.js';
import { within } from '../helpers/deadline.js';
import { TOO_SHALLOW } from '../helpers/depth.js';
import { noRedis, redisServer } from '../helpers/redis-server.js';

interface Seen {
  readonly requests: number;
  readonly tokens: number;
  readonly slots: number;
  readonly refused: number;
}

const run = promisify(execFile);
const ARGS = programArgs('test/helpers/redis-child.ts');
const HOUR_MS = 3_600_000;

async function child(port: number, kind: string, skewMs: number): Promise<Seen> {
  const { stdout } = await run(process.execPath, [...ARGS, `${port}`, kind, `${skewMs}`], { timeout: 90_000 });
  return JSON.parse(stdout);
}

describe('redisLimiter', { skip: noRedis || TOO_SHALLOW }, () => {
  it('E1 I8 admits exactly the limit of what four processes with clocks apart hammer it with', async (context) => {
    const server = await redisServer();
    try {
      const children = [
        child(server.port, 'ioredis', 0),
        child(server.port, 'node-redis', HOUR_MS),
        child(server.port, 'ioredis', -HOUR_MS),
        child(server.port, 'node-redis', 600_000),
      ];
      const all = await within(Promise.all(children), 'four processes', 100_000);
      const sum = (field: keyof Seen): number => all.reduce((total, seen) => total + seen[field], 0);
      context.diagnostic(`requests ${sum('requests')}, tokens ${sum('tokens')}, refused ${sum('refused')}`);
      const limiter = redisLimiter({ client: server.ioredis(), prefix: 'race', timeoutMs: 10_000 });
      const look = (bucket: string, capacity: number) => ({ bucket, capacity, refillPerMs: 0, amount: 0 });
      const draws = [look('requests', 1_000), look('tokens', 5_000)];
      const { remaining } = await limiter.reserve({ id: 'look', draws, slots: [], ttlMs: 1 }, Date.now());
      await limiter.close();
      assert.deepEqual([sum('requests'), sum('tokens')], [1_000, 5_000]);
      assert.deepEqual(remaining, [0, 0]);
      assert.equal(sum('slots'), 7);
      assert.ok(sum('refused') > 100);
      assert.ok(all.filter(({ requests }) => requests > 0).length > 1, 'they did race');
    } finally {
      await server.remove();
    }
  });
});
