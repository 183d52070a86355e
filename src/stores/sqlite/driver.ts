// By another name: bundles of ES modules often begin with an import of `createRequire` of their own.
import { createRequire as requireOf } from 'node:module';
import { join } from 'node:path';
import { memberOf } from '../../base/checks.js';
import type { RowReader } from '../usage-columns.js';
import { ownFile } from './own-file.js';

/** A value in a field of SQLite. */
export type SqlValue = string | number | bigint | null | Uint8Array;

/** Values for a statement's parameters, by name. */
export type Bindings = Readonly<Record<string, SqlValue>>;

/** One row, by the names of its columns. */
export type Row = Readonly<Record<string, SqlValue>>;

/** The part of `StatementSync` that is used here. */
export interface Statement {
  run(...values: readonly SqlValue[] | readonly [Bindings]): { readonly changes: number | bigint };
  get(...values: readonly SqlValue[] | readonly [Bindings]): Row | undefined;
  all(...values: readonly SqlValue[] | readonly [Bindings]): Row[];
}

/** One connection to a file. */
export interface Database {
  exec(sql: string): void;
  /** For statements that are run again and again. */
  prepare(sql: string): Statement;
  /**
   * Runs a statement once and reads its rows. Whole numbers are BigInts, as sums may need more than a double's 53 bits.
   */
  query(sql: string, values?: Bindings): readonly Row[];
  close(): void;
}

/** The part of `DatabaseSync` that is used here: `node:sqlite` and `@photostructure/sqlite` both have it. */
interface DriverDatabase {
  exec(sql: string): void;
  prepare(sql: string): DriverStatement;
  close(): void;
}

interface DriverStatement extends Statement {
  setReadBigInts(isOn: boolean): void;
}

interface Driver {
  readonly DatabaseSync: new (file: string, options: { readonly readOnly: boolean }) => DriverDatabase;
}

/** Opens one connection. */
export type Connect = (file: string, options?: { readonly readOnly: boolean }) => Database;

/**
 * Finds the driver for another thread, in which `driverAt` loads it: that thread's code stands nowhere, and finds no package. It is
 * Node's own SQLite where there is one, from 22.13 on, else `@photostructure/sqlite`, which is the same for Node 20.
 * @returns the package's file; `undefined`: it is Node's own.
 * @throws {Error} naming the command that installs it when there is neither, or why it cannot be loaded.
 */
export async function findDriver(): Promise<string | undefined> {
  if (nodeDriver() !== undefined) return undefined;
  await installedDriver();
  return requireOf(ownFile() ?? join(process.cwd(), 'any.js')).resolve('@photostructure/sqlite');
}

/** Loads the driver that `findDriver` found. */
export function driverAt(file: string | undefined): Connect {
  const driver: unknown = file === undefined ? nodeDriver() : requireOf(file)(file);
  if (typeof driver === 'object' && driver !== null && isDriver(driver)) return connectBy(driver);
  throw new Error(`Expected SQLite to be in ${file ?? 'Node'}`);
}

function connectBy({ DatabaseSync }: Driver): Connect {
  return (file, options = { readOnly: false }) => connection(new DatabaseSync(file, options));
}

function connection(db: DriverDatabase): Database {
  return {
    exec: (sql) => db.exec(sql),
    prepare: (sql) => db.prepare(sql),
    query(sql, values = {}) {
      const statement = db.prepare(sql);
      statement.setReadBigInts(true);
      return statement.all(values);
    },
    close: () => db.close(),
  };
}

function nodeDriver(): Driver | undefined {
  const { emitWarning } = process;
  // Node 22 warns every user's terminal that its SQLite is experimental: once, while it is loaded, in this turn.
  process.emitWarning = () => {};
  try {
    const module = process.getBuiltinModule('node:sqlite');
    return module !== undefined && isDriver(module) ? module : undefined;
  } finally {
    process.emitWarning = emitWarning;
  }
}

async function installedDriver(): Promise<Driver> {
  const module: object = await import('@photostructure/sqlite').catch((cause: unknown) => {
    throw new Error(adviceFor(cause), { cause });
  });
  if (isDriver(module)) return module;
  throw new Error('Expected @photostructure/sqlite to be version 1: npm install @photostructure/sqlite@1');
}

/** Tells a package that is missing from one that is there and cannot be loaded. */
function adviceFor(cause: unknown): string {
  const reason = String(memberOf(cause, 'message') ?? cause);
  const isMissing = /MODULE_NOT_FOUND$/.test(String(memberOf(cause, 'code')));
  // Quoted, it is the package itself: another module may be missing inside it.
  return isMissing && reason.includes("'@photostructure/sqlite'")
    ? 'Before Node 22.13, SQLite needs a package: npm install @photostructure/sqlite'
    : `Cannot load @photostructure/sqlite, which bundlers must leave external: ${reason}`;
}

function isDriver(module: object): module is Driver {
  return 'DatabaseSync' in module && typeof module.DatabaseSync === 'function';
}

/** Reads a column that is declared as text. */
export function textOf(value: SqlValue | undefined): string {
  if (typeof value === 'string') return value;
  throw new TypeError(`Expected text in the database, got ${typeof value}`);
}

/** Reads a column that is declared as a number. */
export function numberOf(value: SqlValue | undefined): number {
  if (typeof value === 'number' || typeof value === 'bigint') return Number(value);
  throw new TypeError(`Expected a number in the database, got ${typeof value}`);
}

/** Reads a column that may be NULL, which is `undefined`. */
export function maybeNumberOf(value: SqlValue | undefined): number | undefined {
  return value === null ? undefined : numberOf(value);
}

/** Reads a row's columns by their names. */
export function readerOf(row: Row): RowReader {
  return { numberIn: (column) => numberOf(row[column]), textIn: (column) => textOf(row[column]) };
}
