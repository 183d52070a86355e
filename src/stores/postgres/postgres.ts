import { checkOptionNames, positiveInteger, unexpected, withMethod } from '../../base/checks.js';
import { type Clock, systemClock } from '../../base/clock.js';
import type { KeyRecords } from '../../keys/key-store.js';
import type { LimiterStore } from '../../limits/limiter-store.js';
import type { UsageReader, UsageStore } from '../../usage/usage-store.js';
import type { IdempotencyStore } from '../answer-store.js';
import { byteBounds } from '../byte-bounds.js';
import { interruptedCalls } from '../interrupted.js';
import type { ObjectStore } from '../object-store.js';
import { postgresIdempotency } from './idempotency.js';
import { postgresKeys } from './keys.js';
import { postgresLedger } from './ledger.js';
import { postgresLimiter } from './limiter.js';
import { postgresObjects } from './objects.js';
import { database, ignore, type PostgresPool } from './pool.js';
import { keepRecovering, thisInstance } from './recovery.js';
import { postgresReports } from './reports.js';
import { migrate } from './schema.js';

export type { SumDifference } from '../usage-columns.js';
export type { PostgresClient, PostgresPool } from './pool.js';
export { verifySums } from './reports.js';

export interface PostgresStoreOptions {
  /**
   * The application's own pool, a `Pool` of `pg`, with PostgreSQL's default isolation, read committed. It may serve
   * other purposes, too, and is not ended here. Errors of its idle connections are listened to, so that they do not end
   * the process. Make it with `new Pool({ statement_timeout: 4_000 })`, a little less than `timeoutMs`: else a
   * statement that was given up goes on in the server.
   */
  readonly pool: PostgresPool;
  /** Name of the schema that holds the tables; made when it is not there. @default 'megallm' */
  readonly schema?: string | undefined;
  /** Most milliseconds of one step, waiting for a connection included; a slower one is refused. @default 5_000 */
  readonly timeoutMs?: number | undefined;
  /**
   * Milliseconds, by the database's time, for which a process that is not heard of may still be alive. After that its
   * open calls are settled as `interrupted`. Each process tells three times in this time that it lives. @default 15_000
   */
  readonly leaseMs?: number | undefined;
  /** Most objects of one owner; above it, the owner's object unused for longest goes. @default 10_000 */
  readonly maxObjectsPerOwner?: number | undefined;
  /**
   * Largest sum of all objects in bytes; above it, the oldest go, whoever's they are. One owner's may have a quarter of it;
   * above that, the owner's unused for longest go. Looked at after each 64th part. @default 1_073_741_824
   */
  readonly maxObjectBytes?: number | undefined;
  /**
   * Largest sum of the answers kept for `Idempotency-Key`, in bytes; above it, the oldest go. One owner's may have a quarter of
   * it. Looked at after each 64th part. @default 268_435_456
   */
  readonly maxAnswerBytes?: number | undefined;
  /** Clock of the limits: the database's, which all machines share, or each caller's, for tests. @default 'server' */
  readonly time?: 'server' | 'caller' | undefined;
  /** @default the machine's own */
  readonly clock?: Clock | undefined;
}

const OPTIONS: Readonly<Record<keyof PostgresStoreOptions, true>> = {
  pool: true,
  schema: true,
  timeoutMs: true,
  leaseMs: true,
  maxObjectsPerOwner: true,
  maxObjectBytes: true,
  maxAnswerBytes: true,
  time: true,
  clock: true,
};

/** All stores of a gateway, in one database. */
export interface PostgresStore {
  readonly usage: Required<UsageStore & UsageReader>;
  /** Exact limits of all machines; calls come one after the other. For thousands of calls a second, use Redis. */
  readonly limiter: LimiterStore;
  readonly keys: KeyRecords;
  readonly objects: ObjectStore;
  readonly idempotency: IdempotencyStore;
  /** Makes waiting writes. Another process settles calls that are still open, once this one's lease is over. */
  close(): Promise<void>;
}

/**
 * Keeps all stores of a gateway in PostgreSQL 12 or newer, for any number of machines, and makes the tables. While the
 * database is away every method rejects, at the latest after `timeoutMs`; once it is back, they work again. Calls that
 * dead processes left open are settled as soon as their leases are over and this process has been in touch for as long.
 * @throws {TypeError} for a bad option.
 * @throws {Error} when the database does not answer or a newer version has made the tables.
 */
export async function postgresStore(options: PostgresStoreOptions): Promise<PostgresStore> {
  checkOptionNames(options, OPTIONS);
  const { pool, schema = 'megallm', time = 'server', clock = systemClock } = options;
  if (withMethod('pool', pool, 'connect') === undefined) throw unexpected('pool', 'to be a pool of `pg`', pool);
  if (time !== 'server' && time !== 'caller') throw unexpected('time', "to be 'server' or 'caller'", time);
  const timeoutMs = positiveInteger('timeoutMs', options.timeoutMs ?? 5_000);
  const leaseMs = positiveInteger('leaseMs', options.leaseMs ?? 15_000);
  const maxObjectsPerOwner = positiveInteger('maxObjectsPerOwner', options.maxObjectsPerOwner ?? 10_000);
  const bounds = byteBounds(positiveInteger('maxObjectBytes', options.maxObjectBytes ?? 1_073_741_824));
  const answerBounds = byteBounds(positiveInteger('maxAnswerBytes', options.maxAnswerBytes ?? 268_435_456));
  const db = database({ pool, schema, timeoutMs, clock });
  // Without a listener, an idle connection that breaks would end the process.
  pool.on('error', ignore);
  try {
    await migrate(db);
    const instance = thisInstance(db, leaseMs);
    const ledger = postgresLedger(db, instance);
    const limiter = postgresLimiter(db, { time, instance: instance.id });
    const calls = interruptedCalls();
    const recovery = await keepRecovering(db, { instance, ledger, calls, clock });
    const { open, settle, checkpoint } = ledger;
    return {
      usage: { open, settle, checkpoint, onInterrupted: calls.listen, ...postgresReports(db) },
      limiter,
      keys: postgresKeys(db),
      objects: postgresObjects(db, { maxObjectsPerOwner, bounds }),
      idempotency: postgresIdempotency(db, { bounds: answerBounds, time, instance: instance.id }),
      async close() {
        await Promise.all([ledger.close(), limiter.close()]);
        // Where the database is away, the lease ends by itself.
        await recovery.stop().catch(ignore);
        pool.off('error', ignore);
      },
    };
  } catch (error) {
    pool.off('error', ignore);
    throw error;
  }
}
