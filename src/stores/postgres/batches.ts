import { memberOf } from '../../base/checks.js';
import type { Database } from './pool.js';

/** Does jobs of many callers together. */
export interface Batches<Job, Result> {
  add(job: Job): Promise<Result>;
  /** Refuses further jobs, and resolves when all earlier ones are done. */
  close(): Promise<void>;
}

interface Waiting<Job, Result> {
  readonly job: Job;
  readonly resolve: (result: Result | PromiseLike<Result>) => void;
  readonly reject: (error: unknown) => void;
  /** Whether its caller was told that it took too long. */
  isLate: boolean;
}

/** Most jobs of a batch: a longer statement is no faster, and holds its locks for longer. */
const MAX_JOBS = 256;

/**
 * Puts the jobs that come while a batch is under way together into the next one: the round trips, the commit and its
 * wait for the disk are the same for all. A failure that is due to one job fails that job alone.
 * @param run does all jobs of a batch, or none when it rejects, and gives their results in order.
 * @param inTime bounds the time of a job, its wait for earlier batches included. One that is late is not begun any more.
 */
export function batches<Job, Result>(
  run: (jobs: readonly Job[]) => Promise<readonly (Result | PromiseLike<Result>)[]>,
  inTime: Database['inTime'],
): Batches<Job, Result> {
  const waiting: Waiting<Job, Result>[] = [];
  let running: Promise<void> | undefined;
  let isClosed = false;

  async function work(): Promise<void> {
    // Further jobs of this turn come along.
    await undefined;
    while (waiting.length > 0) await doAll(waiting.splice(0, MAX_JOBS).filter(({ isLate }) => !isLate));
    running = undefined;
  }

  async function doAll(batch: readonly Waiting<Job, Result>[]): Promise<void> {
    if (batch.length === 0) return;
    try {
      const results = await run(batch.map(({ job }) => job));
      for (const [index, result] of results.entries()) batch[index]?.resolve(result);
    } catch (error) {
      if (batch.length > 1 && isDueToOne(error)) for (const one of batch) await doAll([one]);
      else for (const { reject } of batch) reject(error);
    }
  }

  return {
    add(job) {
      if (isClosed) return Promise.reject(new Error('The PostgreSQL store is closed'));
      let giveUp = (): void => {};
      const done = new Promise<Result>((resolve, reject) => {
        const one = { job, resolve, reject, isLate: false };
        giveUp = () => {
          one.isLate = true;
        };
        waiting.push(one);
        running ??= work();
      });
      return inTime(done, giveUp);
    },
    async close() {
      isClosed = true;
      await running;
    },
  };
}

/**
 * Whether one job may have caused the failure, and others may succeed: bad data (22), a broken rule (23), a conflict
 * with another transaction (40), a name that is too long for an index (54).
 */
function isDueToOne(error: unknown): boolean {
  return /^(?:22|23|40|54)...$/.test(String(memberOf(error, 'code')));
}
