import type { Database } from './driver.js';

/** Runs writes in the order in which they are asked for. */
export interface Writer {
  /**
   * Runs work in a transaction; resolves with its result once that is committed. The work may be run more than once and
   * must change nothing but the database.
   */
  write<T>(work: () => T): Promise<T>;
  /** Has both ends of each transaction told. */
  watch(ends: TransactionEnds): void;
  /** Commits waiting writes now, and refuses later ones. @param reason of the refusals. @default that the store is closed */
  close(reason?: Error): void;
}

/** Work that all writes of one transaction share. */
export interface TransactionEnds {
  /** Called before the first write, also of a transaction that is run again. */
  begin(): void;
  /** Called after the last write, before the commit. */
  finish(): void;
}

interface Job {
  /** @returns a function that tells the caller. */
  run(): () => void;
  fail(error: unknown): void;
}

/**
 * Commits all writes of one turn of the event loop together: a commit waits for the disk, and one wait serves all. A
 * write that fails, fails alone; a commit that fails, fails them all.
 */
export function groupWriter(db: Database): Writer {
  let jobs: Job[] = [];
  const watching: TransactionEnds[] = [];
  let closed: Error | undefined;

  function flush(): void {
    let waiting = jobs;
    jobs = [];
    while (waiting.length > 0) {
      const failed = commit(waiting);
      waiting = failed === undefined ? [] : waiting.filter((job) => job !== failed);
    }
  }

  /** @returns the job that failed, so that nothing was written; `undefined`: all were answered. */
  function commit(group: readonly Job[]): Job | undefined {
    let current: Job | undefined;
    try {
      const answers = transact(db, () => {
        for (const { begin } of watching) begin();
        const made = group.map((job) => {
          current = job;
          return job.run();
        });
        current = undefined;
        for (const { finish } of watching) finish();
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
        if (closed !== undefined) throw closed;
        if (jobs.length === 0) setImmediate(flush);
        const run = () => {
          const value = work();
          return () => resolve(value);
        };
        jobs.push({ run, fail: reject });
      }),
    watch: (ends) => void watching.push(ends),
    close(reason = new Error('The SQLite store is closed')) {
      closed ??= reason;
      flush();
    },
  };
}

/**
 * Runs work in one transaction of the only writer: all of it is committed, or none.
 * @throws any error of the work or the commit; also after 5 s of waiting for another process.
 */
export function transact<T>(db: Database, work: () => T): T {
  return bracketed(db, 'BEGIN IMMEDIATE', work);
}

/** Runs work that only reads, and sees the database at one instant, whatever others write meanwhile. */
export function snapshot<T>(db: Database, work: () => T): T {
  return bracketed(db, 'BEGIN', work);
}

function bracketed<T>(db: Database, begin: string, work: () => T): T {
  db.exec(begin);
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    rollBack(db);
    throw error;
  }
}

function rollBack(db: Database): void {
  try {
    db.exec('ROLLBACK');
  } catch {
    // A full disk has made SQLite do it already.
  }
}
