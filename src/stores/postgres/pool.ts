import { unexpected } from '../../base/checks.js';
import { type Clock, deadlines, inTime } from '../../base/clock.js';

/** The part of the application's pool that is used: `pg`'s `Pool`, or one that behaves like it. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
}

/** A connection that is lent by the pool. */
export interface PostgresClient {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly Readonly<Record<string, unknown>>[] }>;
  /** @param isBroken the pool must not lend it again. */
  release(isBroken?: boolean): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
}

/** One row, as the application's type parsers make it. */
export type Row = Readonly<Record<string, unknown>>;

/** Runs one statement; values are bound, never part of the text. */
export type Query = (text: string, values?: unknown[]) => Promise<readonly Row[]>;

/**
 * The database as the stores see it. A step that takes longer than `timeoutMs` fails, and its connection is given up.
 */
export interface Database {
  /** Name of the schema, quoted: it may stand in a statement as it is. */
  readonly schema: string;
  /** Runs one statement, a transaction of its own. */
  readonly query: Query;
  /**
   * Runs work in one transaction: all of it is committed, or none.
   * @param lock statement that goes first, without a round trip of its own.
   */
  transact<T>(work: (query: Query) => Promise<T>, lock?: string): Promise<T>;
  /** Settles as the promise does, or rejects once it has taken `timeoutMs`, and calls `onLate`. */
  inTime<T>(pending: PromiseLike<T>, onLate: () => void): Promise<T>;
}

export interface DatabaseOptions {
  readonly pool: PostgresPool;
  readonly schema: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** @throws {TypeError} when `schema` is not a plain name. */
export function database({ pool, schema, timeoutMs, clock }: DatabaseOptions): Database {
  // `pg_` is PostgreSQL's own, and it cuts names off after 63 bytes.
  if (typeof schema !== 'string' || !/^(?!pg_)[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    throw unexpected('schema', 'to be a name of at most 63 lower-case letters, digits and underscores', schema);
  }
  const begin = [
    // The stores' statements rely on this isolation, whatever the application's own transactions use.
    'BEGIN ISOLATION LEVEL READ COMMITTED',
    // Sooner than we give the connection up, as it is worth keeping.
    `SET LOCAL statement_timeout = ${Math.ceil(timeoutMs * 0.8)}`,
    // A process that hangs, or is cut off, must not hold its locks for ever.
    `SET LOCAL idle_in_transaction_session_timeout = ${timeoutMs}`,
  ].join('; ');

  const times = deadlines(clock, timeoutMs);
  const late = (): Error => new Error(`PostgreSQL did not answer within ${timeoutMs} ms`);

  function lend<T>(work: (client: PostgresClient) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let lent: PostgresClient | undefined;
      let isOver = false;
      const giveBack = (isBroken: boolean): void => {
        isOver = true;
        cancel();
        lent?.off('error', ignore);
        lent?.release(isBroken);
      };
      const cancel = clock.setTimer(() => {
        giveBack(true);
        reject(late());
      }, timeoutMs);
      const run = async (): Promise<T> => {
        const client = await pool.connect();
        // Too late for this caller.
        if (isOver) client.release();
        else lent = client;
        // Without a listener, a connection that breaks between two statements would end the process.
        lent?.on('error', ignore);
        return isOver ? new Promise(() => {}) : work(client);
      };
      run().then(
        (value) => {
          if (!isOver) giveBack(false);
          resolve(value);
        },
        (error: unknown) => {
          if (!isOver) giveBack(false);
          reject(error);
        },
      );
    });
  }

  return {
    inTime: (pending, onLate) =>
      inTime(pending, times, () => {
        onLate();
        return late();
      }),
    schema: `"${schema}"`,
    query: (text, values) => lend(async (client) => (await client.query(text, values)).rows),
    transact: (work, lock) =>
      lend(async (client) => {
        try {
          await client.query(lock === undefined ? begin : `${begin}; ${lock}`);
          const result = await work(async (text, values) => (await client.query(text, values)).rows);
          await client.query('COMMIT');
          return result;
        } catch (error) {
          // Where the rollback fails, too, the connection is lost, and the pool finds out.
          await client.query('ROLLBACK').catch(ignore);
          throw error;
        }
      }),
  };
}

/** Ignores errors of which the waiter for the connection is told anyway. */
export function ignore(): void {}

/** Reads a column that is declared as text. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new TypeError(`Expected text in the database, got ${typeof value}`);
}

/** Reads a number; `pg` hands large integers out as text, which is exact up to 2^53. */
export function numberOf(value: unknown): number {
  const number = typeof value === 'string' || typeof value === 'bigint' ? Number(value) : value;
  if (typeof number === 'number' && !Number.isNaN(number)) return number;
  throw new TypeError(`Expected a number in the database, got ${typeof value}`);
}
