import { type Awaitable, isPending } from '../../base/awaitable.js';
import { byteBounds } from '../byte-bounds.js';
import type { InterruptedCalls } from '../interrupted.js';
import type { Connect } from './driver.js';
import { claimRelease, sqliteIdempotency } from './idempotency.js';
import { thisInstance } from './instance.js';
import { sqliteKeys } from './key-records.js';
import { sqliteLedger } from './ledger.js';
import { sqliteLimiter } from './limiter.js';
import { logWatch } from './log-watch.js';
import { sqliteObjects } from './objects.js';
import { type Connections, closeFile, openFile } from './open.js';
import type { Engine, ThreadData } from './protocol.js';
import { recovery, tending } from './recovery.js';
import { sqliteReports } from './reports.js';
import { behindShared, type StoreClock } from './shared-clock.js';
import { groupWriter, transact } from './writer.js';

interface EngineOptions {
  readonly connect: Connect;
  readonly data: ThreadData;
  readonly clock: StoreClock;
  /** Told of calls that were settled in the name of dead processes. */
  readonly tell: InterruptedCalls['tell'];
}

/**
 * Opens the file, settles what dead processes left, and does all of the store's work.
 * @throws {Error} when the file cannot be used, or recovery fails: nothing was written then.
 */
export function openEngine({ connect, data, clock, tell }: EngineOptions): Engine {
  const connections = openFile(connect, data.file, data.synchronous);
  try {
    return engineOn(connections, { data, clock, tell });
  } catch (error) {
    connections.quick.close();
    connections.durable.close();
    throw error;
  }
}

function engineOn(connections: Connections, { data, clock, tell }: Omit<EngineOptions, 'connect'>): Engine {
  const { file, maxObjectsPerOwner } = data;
  const { durable: db, quick: quickDb } = connections;
  const instance = thisInstance(db, { id: data.instance, startedAt: data.processStartedAt, clock });
  const recover = recovery(db, { instance, tell });
  const releaseClaims = claimRelease(db);
  const { behindMs, tellRecovered } = transact(db, () => {
    const isAlone = instance.isAlone();
    // Whoever opens the file next finds this one there, and goes by the clock that it set.
    instance.renew();
    return { behindMs: behindShared(db, clock, isAlone), tellRecovered: recover() };
  });
  tellRecovered();
  const durable = groupWriter(db);
  const quick = groupWriter(quickDb);
  const log = logWatch(file);

  /** Takes no more records that would be lost, once somebody has deleted the log; those before it are saved. */
  function checkLog(): void {
    const found = log.look();
    if (found === undefined) return;
    const lost = new Error(
      `${file}-wal was deleted while it was in use: nothing more is recorded. Start this process anew`,
    );
    durable.close(lost);
    quick.close(lost);
    // Copied into the file, unless another process writes to it by another log.
    if (found === 'gone') db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    throw lost;
  }

  const reports = sqliteReports(db);
  const reading = new Set<PromiseLike<unknown>>();

  /** Keeps the file open for what reads it in turns. */
  function read<T>(result: Awaitable<T>): Awaitable<T> {
    if (!isPending(result)) return result;
    reading.add(result);
    const over = (): void => void reading.delete(result);
    result.then(over, over);
    return result;
  }

  function leave(): void {
    try {
      transact(db, () => {
        releaseClaims(instance.id);
        instance.leave();
      });
    } finally {
      const isOurs = log.look() !== 'other';
      log.close();
      closeFile(connections, isOurs);
    }
  }

  return {
    ...sqliteLedger(db, { writer: durable, instance }),
    report: (query) => read(reports.report(query)),
    spent: ({ scope, period }) => reports.spent(scope, period),
    ...sqliteLimiter(quickDb, { writer: quick, instance, behindMs }),
    ...sqliteKeys(db, durable),
    ...sqliteObjects({
      durable: { db, writer: durable },
      quick: { db: quickDb, writer: quick },
      maxObjectsPerOwner,
      bounds: byteBounds(data.maxObjectBytes),
    }),
    ...sqliteIdempotency(db, { writer: durable, instance, behindMs, bounds: byteBounds(data.maxAnswerBytes) }),
    tend: tending(db, { instance, clock, recover, checkLog }),
    close() {
      quick.close();
      durable.close();
      return reading.size === 0 ? leave() : Promise.allSettled(reading).then(leave);
    },
  };
}
