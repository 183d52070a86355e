import type { LimiterState, LimiterStore, Reservation, Verdict } from '../../limits/limiter-store.js';
import { reserveIn, settleIn } from '../../limits/rules.js';
import { batches } from './batches.js';
import { type LimiterRows, loadedState } from './limiter-state.js';
import { limiterTables, type Wanted } from './limiter-tables.js';
import type { Database, Query } from './pool.js';

/** One call of the limiter: without `amounts` it reserves. */
interface Job {
  readonly reservation: Reservation;
  readonly amounts?: readonly number[];
  readonly now: number;
}

export interface PostgresLimiter extends LimiterStore {
  close(): Promise<void>;
}

/** Number of transactions of which one looks for buckets that may go. */
const TIDY_EVERY = 64;
/** More than the clocks of a database and of its successor differ. */
const TOO_FAR_MS = 60_000;

/**
 * Keeps limit counters in the database. A transaction serves all waiting calls of a process; the transactions of all
 * processes come one after the other, each with the whole state to itself.
 */
export function postgresLimiter(
  db: Database,
  { time, instance }: { time: 'server' | 'caller'; instance: string },
): PostgresLimiter {
  const tables = limiterTables(db.schema, instance);
  let transactions = 0;

  /**
   * Loads rows. After the database's clock was ahead and was set right, the limiter would stand still: it is set back.
   */
  async function load(query: Query, jobs: readonly Job[]): Promise<LimiterRows> {
    const wanted = wantedBy(jobs, time);
    const rows = await tables.load(query, wanted);
    const aheadMs = rows.latest - rows.now;
    if (time === 'caller' || aheadMs <= TOO_FAR_MS) return rows;
    await tables.setBack(query, aheadMs);
    return tables.load(query, wanted);
  }

  async function run(jobs: readonly Job[]): Promise<(Verdict | undefined | Promise<never>)[]> {
    // Draws on a budget must survive a fall of the database; other limits are old by then.
    const isDurable = jobs.some(({ reservation }) => reservation.draws.some(({ budget }) => budget !== undefined));
    const lock = `SET LOCAL synchronous_commit = ${isDurable ? 'on' : 'off'}; ${tables.lock}`;
    return db.transact(async (query) => {
      const rows = await load(query, jobs);
      const state = loadedState(rows);
      const results = jobs.map((job) => decide(state, job, time === 'server' ? rows.now : job.now));
      await tables.save(query, state.changes());
      transactions += 1;
      if (transactions % TIDY_EVERY === 0) await tables.tidy(query, rows.latest);
      return results;
    }, lock);
  }

  const calls = batches<Job, Verdict | undefined>(run, db.inTime);
  return {
    async reserve(reservation, now) {
      const verdict = await calls.add({ reservation, now });
      if (verdict === undefined) throw new TypeError('Expected a verdict');
      return verdict;
    },
    async settle(reservation, amounts, now) {
      await calls.add({ reservation, amounts, now });
    },
    close: calls.close,
  };
}

function wantedBy(jobs: readonly Job[], time: 'server' | 'caller'): Wanted {
  const reservations = jobs.map(({ reservation }) => reservation);
  return {
    ids: reservations.map(({ id }) => id),
    buckets: reservations.flatMap(({ draws }) => draws.map(({ bucket }) => bucket)),
    slots: reservations.flatMap(({ slots }) => slots.map(({ name }) => name)),
    until: time === 'server' ? undefined : Math.floor(Math.max(...jobs.map(({ now }) => now))),
  };
}

/** Decides one job. Its error becomes a promise, which does not stop the others. */
function decide(state: LimiterState, { reservation, amounts }: Job, now: number): Verdict | undefined | Promise<never> {
  try {
    if (amounts === undefined) return reserveIn(state, reservation, now);
    settleIn(state, { id: reservation.id, amounts }, now);
    return undefined;
  } catch (error) {
    const failure = Promise.reject<never>(error);
    failure.catch(() => {});
    return failure;
  }
}
