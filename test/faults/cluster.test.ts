import assert from 'node:assert/strict';
import cluster, { type Worker } from 'node:cluster';
import { describe, it } from 'node:test';
import { createGateway, demo, type GatewayOptions } from 'megallm-middleware';
import { redisLimiter } from 'megallm-middleware/redis';
import { compiledFile } from '../helpers/compiled.js';
import { within } from '../helpers/deadline.js';
import { SECRET } from '../helpers/gateway-options.js';
import { range } from '../helpers/in-parallel.js';
import { rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL } from '../helpers/scene.js';
import { sqliteFolder } from '../helpers/sqlite.js';

const WORKERS = 2;
const LIMIT = 10;
const NOTICE = /In memory, so that each process has its own: `limiter`/;

/** What a worker says once it listens. */
interface Hello {
  readonly port: number;
  readonly notices: readonly string[];
}

describe('I9 workers of a cluster', () => {
  it('I9 with limits in memory say so once each, and admit the limit once each', async () => {
    await withCluster('', async (hellos) => {
      for (const { notices } of hellos) {
        assert.equal(notices.length, 1, notices.join());
        assert.match(notices[0] ?? '', NOTICE);
      }
      assert.deepEqual(await hammer(hellos), { admitted: WORKERS * LIMIT, workers: WORKERS });
    });
  });

  it('I9 with limits in one SQLite file have nothing to say, and admit the limit once together', async () => {
    const folder = sqliteFolder();
    try {
      await withCluster(folder.path('db'), async (hellos) => {
        for (const { notices } of hellos) assert.deepEqual(notices, []);
        assert.deepEqual(await hammer(hellos), { admitted: LIMIT, workers: WORKERS });
      });
    } finally {
      await folder.remove();
    }
  });

  it('I9 limits in Redis are there for several processes: one notice names each store that is in memory', async () => {
    const limiter = redisLimiter({ client: () => Promise.reject(new Error('There is no Redis')) });
    const file = sqliteFolder();
    const { usage, objects, idempotency } = await file.open('db');
    const given: [Partial<GatewayOptions>, string[]][] = [
      [{}, ['usage', 'objects', 'idempotency']],
      [{ usage }, ['objects', 'idempotency']],
      [{ usage, objects, idempotency }, []],
    ];
    for (const [stores, missing] of given) {
      const notices: string[] = [];
      const hooks = { onNotice: (text: string) => void notices.push(text) };
      const gateway = createGateway({
        ...{ upstream: demo(), environment: { MEGALLM_KEYS: SECRET }, hooks, limiter },
        ...stores,
      });
      const told = notices.map((text) =>
        [...(text.split(' Set ')[0]?.matchAll(/`(\w+)`/g) ?? [])].map(([, name]) => name),
      );
      assert.deepEqual(told, missing.length === 0 ? [] : [missing]);
      await gateway.close();
    }
    await limiter.close();
    await file.remove();
  });

  it('I9 a process that is no worker has nothing to say', async () => {
    const notices: string[] = [];
    const hooks = { onNotice: (text: string) => void notices.push(text) };
    const gateway = createGateway({ upstream: demo(), environment: { MEGALLM_KEYS: SECRET }, hooks });
    assert.deepEqual(notices, []);
    await gateway.close();
  });
});

/**
 * Many calls at once, each over a connection of its own, which Node deals out to the workers that are free; then one after
 * the other, in turn, until each worker was asked for more than the limit.
 */
async function hammer([hello]: readonly Hello[]): Promise<{ readonly admitted: number; readonly workers: number }> {
  const origin = `http://127.0.0.1:${hello?.port}`;
  const call = () => rawExchange(origin, rawChat(SECRET, CALL));
  const answers = await Promise.all(range(40).map(call));
  const countOf = (id: string | undefined) => answers.filter(({ headers }) => headers['x-worker'] === id).length;
  const workersSeen = () => [...new Set(answers.map(({ headers }) => headers['x-worker']))];
  const isEnough = () => workersSeen().length === WORKERS && workersSeen().every((id) => countOf(id) > LIMIT);
  for (let more = 0; more < 100 && !isEnough(); more += 1) answers.push(await call());
  for (const { status, body } of answers) assert.ok(status === 200 || status === 429, body);
  return { admitted: answers.filter(({ status }) => status === 200).length, workers: workersSeen().length };
}

/** @param file of the limits; empty: they are in memory. */
async function withCluster(file: string, play: (hellos: readonly Hello[]) => Promise<void>): Promise<void> {
  cluster.setupPrimary({
    exec: compiledFile('test/helpers/cluster-child.ts'),
    execArgv: [],
    args: [file, String(LIMIT)],
  });
  const workers = range(WORKERS).map(() => cluster.fork());
  const exits = workers.map((worker) => new Promise<void>((resolve) => worker.once('exit', () => resolve())));
  try {
    await play(await within(Promise.all(workers.map(helloOf)), 'the workers to listen', 30_000));
  } finally {
    for (const worker of workers) if (worker.isConnected()) worker.send('stop');
    await within(Promise.all(exits), 'the workers to end').catch((error: unknown) => {
      for (const worker of workers) worker.process.kill('SIGKILL');
      throw error;
    });
  }
}

function helloOf(worker: Worker): Promise<Hello> {
  return new Promise((resolve, reject) => {
    worker.once('message', (hello: Hello) => resolve(hello));
    worker.once('exit', (code) => reject(new Error(`A worker ended with ${code}`)));
  });
}
