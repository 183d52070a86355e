import type { HeldDraw, LimiterState, LimiterStore, Reservation, Verdict } from '../../limits/limiter-store.js';
import { giveBack, reserveIn, settleIn } from '../../limits/rules.js';
import { type Database, maybeNumberOf, type Row, textOf } from './driver.js';
import type { DeadInstance, Instance } from './instance.js';
import { limiterTables } from './limiter-tables.js';
import type { Writer } from './writer.js';

/** Number of reservations of which one looks for buckets that may go. */
const TIDY_EVERY = 64;

/**
 * Keeps limit counters in the file, for all processes that share it. A transaction serves one or several calls.
 * @param behindMs see `behindShared`.
 */
export function sqliteLimiter(
  db: Database,
  { writer, instance, behindMs }: { writer: Writer; instance: Instance; behindMs: number },
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
    reserve: (reservation, now) => writer.write(() => reserve(reservation, now + behindMs)),
    settle: ({ id }, amounts, now) =>
      writer.write(() => tables.change((state) => settleIn(state, { id, amounts }, now + behindMs))),
  };
}

/**
 * Settles the reservations of a dead instance, once its calls are settled: budgets at the cost of the call, all else as
 * it was reserved. A reservation without a row never became a call and comes back whole, as the row is there before the
 * upstream is asked. Runs within the caller's transaction.
 * @returns a function that tells whether that was all; the rest may be settled later, or comes back when its time is
 * up.
 */
export function heldRecovery(db: Database, instance: Instance): (dead: DeadInstance) => boolean {
  const tables = limiterTables(db, instance.id);
  const left = db.prepare(`
    SELECT held.id, held.id LIKE '%:shadow' AS is_shadow, calls.state, calls.cost_nano_usd,
      coalesce(calls.input_tokens, calls.output_tokens) IS NULL AS is_unused
    FROM held LEFT JOIN calls ON calls.request_id = held.id WHERE held.instance = ?
  `);

  /** Cost at which budgets are settled; `undefined`: the reserved amount. */
  function costOf(row: Row): number | undefined {
    // Use at an unknown price must not be free.
    return maybeNumberOf(row.cost_nano_usd) ?? (row.is_unused ? 0 : undefined);
  }

  /** @returns whether every reservation was settled. */
  function settleAll(state: LimiterState, { id, hasLedger }: DeadInstance): boolean {
    const at = state.advance(0);
    let isAll = true;
    for (const row of left.all(id)) {
      const isCall = row.state !== null;
      // Nobody here knows of a ledger in another file, or of a call that another instance has open.
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
