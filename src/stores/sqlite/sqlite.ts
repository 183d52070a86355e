import { checkOptionNames, positiveInteger, unexpected } from '../../base/checks.js';
import { type Clock, systemClock } from '../../base/clock.js';
import type { KeyRecords } from '../../keys/key-store.js';
import type { LimiterStore } from '../../limits/limiter-store.js';
import type { UsageReader, UsageStore } from '../../usage/usage-store.js';
import type { IdempotencyStore } from '../answer-store.js';
import { type ByteBounds, byteBounds } from '../byte-bounds.js';
import { interruptedCalls } from '../interrupted.js';
import type { ObjectStore } from '../object-store.js';
import { loadDriver } from './driver.js';
import { claimRelease, sqliteIdempotency } from './idempotency.js';
import { thisInstance } from './instance.js';
import { sqliteKeys } from './key-records.js';
import { sqliteLedger } from './ledger.js';
import { sqliteLimiter } from './limiter.js';
import { logWatch } from './log-watch.js';
import { sqliteObjects } from './objects.js';
import { type Connections, closeFile, openFile } from './open.js';
import { keepRecovering, recovery } from './recovery.js';
import { sqliteReports } from './reports.js';
import { behindShared } from './shared-clock.js';
import { groupWriter, transact } from './writer.js';

export type { SumDifference } from '../usage-columns.js';
export { verifySums } from './reports.js';

export interface SqliteStoreOptions {
  /** Path of the file, on a disk of this machine; made when it is not there, readable for its owner alone. */
  readonly file: string;
  /**
   * Whether the ledger's records must survive a power failure, `full`, or only the death of the process, `normal`, for
   * which no write waits for the disk. @default 'full'
   */
  readonly synchronous?: 'full' | 'normal' | undefined;
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
  /** @default the machine's own */
  readonly clock?: Clock | undefined;
}

const OPTIONS: Readonly<Record<keyof SqliteStoreOptions, true>> = {
  file: true,
  synchronous: true,
  maxObjectsPerOwner: true,
  maxObjectBytes: true,
  maxAnswerBytes: true,
  clock: true,
};

/** All stores of a gateway, in one file. */
export interface SqliteStore {
  readonly usage: Required<UsageStore & UsageReader>;
  readonly limiter: LimiterStore;
  readonly keys: KeyRecords;
  readonly objects: ObjectStore;
  readonly idempotency: IdempotencyStore;
  /** Commits waiting writes and closes the file. The next process to use the file settles calls that are still open. */
  close(): Promise<void>;
}

/**
 * Opens a file with all stores of a gateway, for one machine and any number of its processes. Calls that a dead process
 * left open are settled as `interrupted` now, and later every 5 s. The whole file is read once, to check that it is not
 * damaged.
 * @throws {TypeError} for a bad option.
 * @throws {Error} when Node has no SQLite and `@photostructure/sqlite` is not installed, or when the file is damaged,
 * another program's, a newer version's, or locked for 5 s.
 */
export async function sqliteStore(options: SqliteStoreOptions): Promise<SqliteStore> {
  checkOptionNames(options, OPTIONS);
  const { file, synchronous = 'full', clock = systemClock } = options;
  if (typeof file !== 'string' || file === '' || file.startsWith(':')) throw unexpected('file', 'to be a path', file);
  if (synchronous !== 'full' && synchronous !== 'normal') {
    throw unexpected('synchronous', "to be 'full' or 'normal'", synchronous);
  }
  const maxObjectsPerOwner = positiveInteger('maxObjectsPerOwner', options.maxObjectsPerOwner ?? 10_000);
  const bounds = byteBounds(positiveInteger('maxObjectBytes', options.maxObjectBytes ?? 1_073_741_824));
  const answerBounds = byteBounds(positiveInteger('maxAnswerBytes', options.maxAnswerBytes ?? 268_435_456));
  const connections = openFile(await loadDriver(), file, synchronous);
  try {
    return storeOn(connections, { file, maxObjectsPerOwner, bounds, answerBounds, clock });
  } catch (error) {
    connections.quick.close();
    connections.durable.close();
    throw error;
  }
}

/** @throws {Error} when recovery fails: nothing was written then. */
function storeOn(
  connections: Connections,
  {
    file,
    maxObjectsPerOwner,
    bounds,
    answerBounds,
    clock,
  }: { file: string; maxObjectsPerOwner: number; bounds: ByteBounds; answerBounds: ByteBounds; clock: Clock },
): SqliteStore {
  const { durable: db, quick: quickDb } = connections;
  const instance = thisInstance(db, clock);
  const calls = interruptedCalls();
  const recover = recovery(db, { instance, calls });
  const releaseClaims = claimRelease(db);
  const { behindMs, tell } = transact(db, () => {
    const isAlone = instance.isAlone();
    // Whoever opens the file next finds this one there, and goes by the clock that it set.
    instance.renew();
    return { behindMs: behindShared(db, clock, isAlone), tell: recover() };
  });
  tell();
  const durable = groupWriter(db);
  const quick = groupWriter(quickDb);
  let isClosed = false;
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

  const parts = {
    usage: { ...sqliteLedger(db, { writer: durable, instance, calls }), ...sqliteReports(db) },
    limiter: sqliteLimiter(quickDb, { writer: quick, instance, behindMs }),
    keys: sqliteKeys(db, durable),
    objects: sqliteObjects({
      durable: { db, writer: durable },
      quick: { db: quickDb, writer: quick },
      maxObjectsPerOwner,
      bounds,
    }),
    idempotency: sqliteIdempotency(db, { writer: durable, instance, behindMs, bounds: answerBounds }),
  };
  const stopRecovering = keepRecovering(db, { instance, clock, recover, checkLog });
  return {
    ...parts,
    async close() {
      if (isClosed) return;
      isClosed = true;
      stopRecovering();
      quick.close();
      durable.close();
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
    },
  };
}
