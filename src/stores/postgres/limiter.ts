import type { HeldDraw, LimiterState, LimiterStore, Reservation, Verdict } from '../../limits/limiter-store.js';
import { giveBack, reserveIn, settleIn } from '../../limits/rules.js';
import { batches } from './batches.js';
import { type LimiterRows, loadedState } from './limiter-state.js';
import { limiterTables, type Wanted } from './limiter-tables.js';
import { type Database, numberOf, type Query, type Row, textOf } from './pool.js';

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

/** Most reservations released at once. */
const MAX_RELEASED = 500;

/**
 * Gives back what a dead instance held, once its calls are settled: its places, and the amounts that the ledger does not have.
 * Budgets keep the cost of a call, and all else of it stays as it was reserved. A reservation without a row never became a call and
 * comes back whole, as the row is there before the upstream is asked. Rests of the reservations stay until their time is up:
 * should the process live after all, its own settlement changes them to the true amounts. Runs within the caller's transaction.
 * @param hasLedger whether the ledger of its calls is here; otherwise nobody knows what they used, and only places come back.
 * @returns whether that was all.
 */
export async function releaseDead(
  query: Query,
  schema: string,
  { id: instance, hasLedger }: { readonly id: string; readonly hasLedger: boolean },
): Promise<boolean> {
  const tables = limiterTables(schema, instance);
  await query(tables.lock);
  const left = await query(
    `SELECT held.id, calls.state, calls.cost_nano_usd,
       coalesce(calls.input_tokens, calls.output_tokens) IS NULL AS is_unused
     FROM ${schema}.held LEFT JOIN ${schema}.calls ON calls.request_id = regexp_replace(held.id, ':shadow$', '')
     WHERE held.instance = $1 AND calls.state IS DISTINCT FROM 'open' LIMIT ${MAX_RELEASED}`,
    [instance],
  );
  if (left.length === 0) return true;
  const ids = left.map(({ id }) => textOf(id));
  const rows = await tables.load(query, { ids, buckets: [], slots: [], until: 0 });
  const state = loadedState(rows);
  const at = state.advance(0);
  for (const row of left) {
    const id = textOf(row.id);
    const held = rows.held.get(id);
    if (held === undefined) continue;
    state.takeHeld(id);
    const used = usedBy(row, hasLedger);
    const draws = held.draws.map((draw) => ({ ...draw, amount: used(draw) }));
    giveBack(state, { held, amounts: draws.map(({ amount }) => amount) }, at);
    state.hold(id, { draws, slots: [] }, held.expiresAt);
  }
  await tables.save(query, state.changes());
  return left.length < MAX_RELEASED;
}

/** The part of each draw that a dead instance's call used, or may have used. */
function usedBy({ state, cost_nano_usd: cost, is_unused: isUnused }: Row, hasLedger: boolean) {
  return ({ amount, isBudget }: HeldDraw): number => {
    if (state === null) return hasLedger ? 0 : amount;
    if (!isBudget) return amount;
    // Use at an unknown price must not be free.
    if (cost === null) return isUnused === true ? 0 : amount;
    return numberOf(cost);
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
