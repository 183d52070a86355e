import { closeSync, openSync } from 'node:fs';
import { memberOf } from '../../base/checks.js';
import type { Connect, Database } from './driver.js';
import { assertLogThere } from './log-watch.js';
import { assertOurs, migrate } from './schema.js';

/** Two connections to one file. */
export interface Connections {
  /** Its commits survive a power failure, too, where that was asked for. */
  readonly durable: Database;
  /**
   * Does not wait for the disk: its commits survive the death of the process, but the latest perhaps not a power
   * failure. For limits, which are old by then. NORMAL and not OFF: either connection may be the one that copies the
   * log into the file, and without waiting then, it could tear the other's commits.
   */
  readonly quick: Database;
}

/** SQLITE_CORRUPT and SQLITE_NOTADB. */
const DAMAGED: readonly unknown[] = [11, 26];
/** SQLITE_READONLY. */
const READ_ONLY = 8;
/** SQLITE_BUSY. */
const BUSY = 5;
/** Most tries: each time, another process was in the way and has gone. */
const MAX_BUSY = 100;
const SETTINGS = `
  PRAGMA journal_mode = WAL;
  PRAGMA foreign_keys = ON;
  PRAGMA journal_size_limit = 67108864;
`;

/**
 * Opens the file, or makes it readable for its owner alone, and brings it to its present form.
 * @throws {Error} when the file is damaged, lacks its log, is another program's or a newer version's: it is left as it is then.
 */
export function openFile(connect: Connect, file: string, synchronous: 'full' | 'normal'): Connections {
  if (!made(file)) {
    assertLogThere(file);
    check(connect, file);
  }
  const durable = writerTo(connect, file, synchronous === 'full' ? 'FULL' : 'NORMAL');
  try {
    migrate(durable, file);
    return { durable, quick: writerTo(connect, file, 'NORMAL') };
  } catch (error) {
    durable.close();
    throw error;
  }
}

function writerTo(connect: Connect, file: string, synchronous: 'FULL' | 'NORMAL'): Database {
  const db = connectTo(connect, file);
  try {
    set(db, `${SETTINGS} PRAGMA synchronous = ${synchronous};`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * Runs the settings, by which a file gets its log through the upgrade of a read lock. While another process is at the
 * file, SQLite refuses that at once, whatever `busy_timeout` says: two processes that waited for each other would wait
 * for ever. It does wait to begin a transaction.
 */
function set(db: Database, settings: string): void {
  for (let busy = 0; ; busy += 1) {
    try {
      db.exec(settings);
      return;
    } catch (error) {
      if (resultOf(error) !== BUSY || busy === MAX_BUSY) throw error;
    }
    db.exec('BEGIN EXCLUSIVE; COMMIT');
  }
}

/**
 * Copies all of the log into the file, unless others use it, and closes both connections. The last to close a file
 * would copy it, too, but with @photostructure/sqlite a connection lives on until the garbage collector has found its
 * last statement.
 * @param isOurs whether nobody writes to the file by another log.
 */
export function closeFile({ durable, quick }: Connections, isOurs: boolean): void {
  quick.close();
  try {
    if (isOurs) durable.exec('PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE)');
  } finally {
    durable.close();
  }
}

/** Opens a connection that writes nothing, to a file that is whole. @throws as `openFile` does. */
export function openReadOnly(connect: Connect, file: string, check: 'quick' | 'integrity'): Database {
  assertLogThere(file);
  return openWhole(connect, { file, check, readOnly: true });
}

function openWhole(
  connect: Connect,
  {
    file,
    check,
    readOnly,
  }: { readonly file: string; readonly check: 'quick' | 'integrity'; readonly readOnly: boolean },
): Database {
  const db = connectTo(connect, file, { readOnly });
  try {
    const [verdict] = db.query(check === 'quick' ? 'PRAGMA quick_check(1)' : 'PRAGMA integrity_check(1)');
    const [said] = Object.values(verdict ?? {});
    if (said !== 'ok') throw damaged(file, new Error(String(said)));
    assertOurs(db, file);
    return db;
  } catch (error) {
    db.close();
    throw DAMAGED.includes(resultOf(error)) ? damaged(file, error) : error;
  }
}

/**
 * Checks the file for damage, opened for reading: the last writer to close a file copies its log into it, damaged or
 * not.
 */
function check(connect: Connect, file: string): void {
  try {
    openReadOnly(connect, file, 'quick').close();
  } catch (error) {
    if (resultOf(error) !== READ_ONLY) throw error;
    // A process died while it made the file, and only a writer can take back its half-done work.
    openWhole(connect, { file, check: 'quick', readOnly: false }).close();
  }
}

function connectTo(connect: Connect, file: string, options?: { readonly readOnly: boolean }): Database {
  try {
    const db = connect(file, options);
    db.exec('PRAGMA busy_timeout = 5000');
    return db;
  } catch (cause) {
    throw new Error(`Cannot open ${file}`, { cause });
  }
}

/** Makes an empty file. @returns `false` when it was there: opening and closing it here would free SQLite's locks. */
function made(file: string): boolean {
  try {
    closeSync(openSync(file, 'wx', 0o600));
    return true;
  } catch (error) {
    if (memberOf(error, 'code') === 'EEXIST') return false;
    throw error;
  }
}

/** SQLite's result code; `undefined` for errors of other sorts. */
function resultOf(error: unknown): number | undefined {
  const code = memberOf(error, 'errcode');
  return code === undefined ? undefined : Number(code) % 256;
}

function damaged(file: string, cause: unknown): Error {
  const advice = `stop what uses it and put a backup in its place, or move it away with its -wal and -shm to begin anew`;
  return new Error(`${file} is damaged and was left as it is: ${advice}`, { cause });
}
