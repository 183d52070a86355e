import type { Database } from './driver.js';

/**
 * Runs work in one transaction of the only writer: all of it is committed, or none.
 * @throws what the work or the commit throws; also after 5 s of waiting for another process.
 */
export function transact<T>(db: Database, work: () => T): T {
  return bracketed(db, 'BEGIN IMMEDIATE', work);
}

/** Runs work that only reads, all of it at one instant, whatever others write meanwhile. */
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
