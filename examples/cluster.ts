// A process for each core, all on one port. They share keys, limits and usage in a file of SQLite; on many machines in Postgres
// (DATABASE_URL), with the limits in Redis (REDIS_URL), which is faster. Keys are those of MEGALLM_KEYS and of the store.
import cluster from 'node:cluster';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { availableParallelism } from 'node:os';
import { Redis } from 'ioredis';
import { readEnvironment } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import { postgresStore } from 'megallm-middleware/postgres';
import { redisLimiter } from 'megallm-middleware/redis';
import { sqliteStore } from 'megallm-middleware/sqlite';
import pg from 'pg';

const { WORKERS, SEALING_SECRET, DATABASE_URL, REDIS_URL } = process.env;
const { port, databaseFile } = readEnvironment();

/** Pause before a worker that ended is replaced: one that fails at its first call would be started without end. */
const RESTART_MS = 1_000;

if (cluster.isPrimary) supervise(Number(WORKERS) || availableParallelism());
else await serve();

/** Keeps so many workers running, and ends with them. */
function supervise(workers: number): void {
  // All must know it: a client's next request may reach another worker.
  const shared = { SEALING_SECRET: SEALING_SECRET ?? randomBytes(32).toString('hex') };
  const listening = new Set<number>();
  let isStopping = false;
  const start = (): void => {
    if (!isStopping) cluster.fork(shared);
  };
  for (let i = 0; i < workers; i += 1) start();
  cluster.on('exit', (worker, code) => {
    if (isStopping) return;
    // One that never listened would fail again: the port is taken, or a store cannot be opened.
    if (!listening.has(worker.id)) process.exit(code || 1);
    setTimeout(start, RESTART_MS);
  });
  cluster.on('listening', ({ id }, address) => {
    listening.add(id);
    if (listening.size === workers) console.log('Listening at', address, 'with', workers, 'workers');
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      isStopping = true;
      for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM');
    });
  }
}

async function serve(): Promise<void> {
  const pool = DATABASE_URL === undefined ? undefined : new pg.Pool({ connectionString: DATABASE_URL });
  const store = pool === undefined ? await sqliteStore({ file: databaseFile }) : await postgresStore({ pool });
  const redis = REDIS_URL === undefined ? undefined : new Redis(REDIS_URL);
  const limiter = redis === undefined ? undefined : redisLimiter({ client: redis });
  const llm = megallm({ store, limiter, sealingSecret: SEALING_SECRET });
  const server = createServer(llm);
  server.listen(port);

  // A terminal signals the workers too: the primary alone decides.
  process.on('SIGINT', () => {});
  process.once('SIGTERM', async () => {
    const closed = once(server, 'close');
    server.close();
    await llm.gateway.close({ graceMs: 30_000 });
    server.closeAllConnections();
    await closed;
    await limiter?.close();
    redis?.disconnect();
    await store.close();
    await pool?.end();
    process.exit(0);
  });
}
