import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { checkOptionNames, positiveInteger, unexpected } from '../../base/checks.js';
import { type Clock, systemClock } from '../../base/clock.js';
import type { KeyRecords } from '../../keys/key-store.js';
import type { LimiterStore } from '../../limits/limiter-store.js';
import type { UsageReader, UsageStore } from '../../usage/usage-store.js';
import type { IdempotencyStore } from '../answer-store.js';
import { interruptedCalls } from '../interrupted.js';
import type { ObjectStore } from '../object-store.js';
import { findDriver } from './driver.js';
import { type Link, openLink } from './link.js';
import { partsOver } from './parts.js';
import { momentOf } from './shared-clock.js';

export type { SumDifference } from '../usage-columns.js';
export { verifySums } from './verify-sums.js';

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

const TEND_MS = 5_000;

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
 * damaged. All work on it is done by a thread of its own: the event loop never waits for the disk or for another process.
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
  const maxObjectBytes = positiveInteger('maxObjectBytes', options.maxObjectBytes ?? 1_073_741_824);
  const maxAnswerBytes = positiveInteger('maxAnswerBytes', options.maxAnswerBytes ?? 268_435_456);
  const facts = {
    ...{ file, synchronous, maxObjectsPerOwner, maxObjectBytes, maxAnswerBytes },
    driver: await findDriver(),
    instance: randomUUID(),
    processStartedAt: performance.timeOrigin,
    isMachines: clock === systemClock,
  };
  const calls = interruptedCalls();
  const link = await openLink({
    data: () => ({ ...facts, now: momentOf(clock) }),
    clock,
    interrupted: calls.tell,
  });
  const stopTending = keepTending(link, clock);
  return {
    ...partsOver(link, calls),
    close() {
      stopTending();
      return link.close();
    },
  };
}

/** Has the thread tend the file every 5 s. @returns a function that ends it. */
function keepTending(link: Link, clock: Clock): () => void {
  let cancel = (): void => {};
  function tick(): void {
    // A failure is told to whoever asks for something.
    link.ask('tend', undefined).catch(() => {});
    cancel = clock.setTimer(tick, TEND_MS);
  }
  cancel = clock.setTimer(tick, TEND_MS);
  return () => cancel();
}
