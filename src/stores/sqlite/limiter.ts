import type { HeldDraw, LimiterState, LimiterStore, Reservation, Verdict } from '../../limits/limiter-store.js';
import { giveBack, reserveIn, settleIn } from '../../limits/rules.js';
import { type Database, maybeNumberOf, type Row, textOf } from './driver.js';
import type { DeadInstance, Instance } from './instance.js';
import { limiterTables } from './limiter-tables.js';
import type { Writer } from './writer.js';

/** Of so many reservations, one looks for buckets that may go. */
const TIDY_EVERY = 64;

/** Limit counters in the file, for all processes that share it. Each call is one transaction's or part of one. */
export function sqliteLimiter(
  db: Database,
  { writer, instance }: { writer: Writer; instance: Instance },
): LimiterStore {
  const tables = limiterTables(db, instance.id);
  let reserved = 0;

  function reserve(reservation: Reservation, now: number): Verdict {
    const verdict = tables.change((state) => reserveIn(state, reservation, now));
    reserved += 1;
    if (reserved % TIDY_EVERY === 0) tables.tidy(Math.floor(now));
    return verdict;
  }

  return {
    reserve: (reservation, now) => writer.write(() => reserve(reservation, now)),
    settle: ({ id }, amounts, now) =>
      writer.write(() => tables.change((state) => settleIn(state, { id, amounts }, now))),
  };
}

/**
 * Settles what an instance holds that is gone, once its calls are settled: budgets at what those cost, everything else as it
 * was reserved. What has no row never came to be a call, and comes back whole: the row is there before the upstream is asked.
 * For a transaction of the caller's own.
 * @returns tells whether that was all; the rest may be settled later, and else comes back when its time is up.
 */
export function heldRecovery(db: Database, instance: Instance): (dead: DeadInstance) => boolean {
  const tables = limiterTables(db, instance.id);
  const left = db.prepare(`
    SELECT held.id, held.id LIKE '%:shadow' AS is_shadow, calls.state, calls.cost_nano_usd,
      coalesce(calls.input_tokens, calls.output_tokens) IS NULL AS is_unused
    FROM held LEFT JOIN calls ON calls.request_id = held.id WHERE held.instance = ?
  `);

  /** What budgets are to be settled at; `undefined`: at what was reserved. */
  function costOf(row: Row): number | undefined {
    // What was used at an unknown price must not be for nothing.
    return maybeNumberOf(row.cost_nano_usd) ?? (row.is_unused ? 0 : undefined);
  }

  /** @returns whether all of it was. */
  function settleAll(state: LimiterState, { id, hasLedger }: DeadInstance): boolean {
    const at = state.advance(0);
    let isAll = true;
    for (const row of left.all(id)) {
      const isCall = row.state !== null;
      // Of a ledger that is not in this file nobody here knows, nor of a call that another instance has open.
      if (isCall ? row.state === 'open' : !hasLedger && row.is_shadow !== 1) {
        isAll = false;
        continue;
      }
      const held = state.takeHeld(textOf(row.id));
      if (held === undefined) continue;
      const cost = costOf(row);
      const used = ({ amount, isBudget }: HeldDraw) => (isBudget ? (cost ?? amount) : amount);
      giveBack(state, { held, amounts: held.draws.map((draw) => (isCall ? used(draw) : 0)) }, at);
    }
    return isAll;
  }

  return (dead) => tables.change((state) => settleAll(state, dead));
}
