import type { Database } from './driver.js';
import { transact } from './transact.js';

/** Writes in the order in which they are asked for. */
export interface Writer {
  /**
   * Runs work in a transaction; resolves, with what it gave, once that is committed. The work may be run more than once and
   * must change nothing but the database.
   */
  write<T>(work: () => T): Promise<T>;
  /** Commits what is waiting, now, and refuses what comes later. */
  close(): void;
}

interface Job {
  /** @returns what tells the caller. */
  run(): () => void;
  fail(error: unknown): void;
}

/**
 * What is asked for within one turn of the event loop is committed together: a commit waits for the disk, and one wait
 * serves all. What fails in it fails alone; a commit that fails fails them all.
 */
export function groupWriter(db: Database): Writer {
  let jobs: Job[] = [];
  let isClosed = false;

  function flush(): void {
    let waiting = jobs;
    jobs = [];
    while (waiting.length > 0) {
      const failed = attempt(waiting);
      waiting = failed === undefined ? [] : waiting.filter((job) => job !== failed);
    }
  }

  /** @returns the job that failed, so that nothing was written; `undefined`: all were answered. */
  function attempt(group: readonly Job[]): Job | undefined {
    let current: Job | undefined;
    try {
      const answers = transact(db, () => {
        const made = group.map((job) => {
          current = job;
          return job.run();
        });
        current = undefined;
        return made;
      });
      for (const answer of answers) answer();
      return undefined;
    } catch (error) {
      for (const job of current === undefined ? group : [current]) job.fail(error);
      return current;
    }
  }

  return {
    write: (work) =>
      new Promise((resolve, reject) => {
        if (isClosed) throw new Error('The SQLite store is closed');
        if (jobs.length === 0) setImmediate(flush);
        const run = () => {
          const value = work();
          return () => resolve(value);
        };
        jobs.push({ run, fail: reject });
      }),
    close() {
      isClosed = true;
      flush();
    },
  };
}
