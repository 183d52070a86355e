import type { HeldDraw, LimiterState, Reservation, Verdict } from '../../limits/limiter-store.js';
import { giveBack, reserveIn, settleIn } from '../../limits/rules.js';
import { type Database, maybeNumberOf, numberOf, type Row, textOf } from './driver.js';
import type { DeadInstance, Instance } from './instance.js';
import { heldOf, limiterTables } from './limiter-tables.js';
import type { Engine } from './protocol.js';
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
): Pick<Engine, 'reserve' | 'settleReservation'> {
  const tables = limiterTables(db, instance.id);
  let reserved = 0;
  writer.watch(tables);

  function reserve(reservation: Reservation, now: number): Verdict {
    const verdict = reserveIn(tables.state, reservation, now);
    reserved += 1;
    if (reserved % TIDY_EVERY === 0) tables.tidy(Math.floor(now));
    return verdict;
  }

  return {
    reserve: ({ reservation, now }) => writer.write(() => reserve(reservation, now + behindMs)),
    settleReservation: ({ id, amounts, now }) =>
      writer.write(() => settleIn(tables.state, { id, amounts }, now + behindMs)),
  };
}

/**
 * Settles the reservations of a dead instance, once its calls are settled: budgets at the cost of the call, all else as
 * it was reserved. A reservation without a row never became a call and comes back whole, as the row is there before the
 * upstream is asked. Where the process may live after all, the rests stay until their time is up, and its own settlement
 * changes them to the true amounts. Runs within the caller's transaction.
 * @returns a function that tells whether that was all; the rest may be settled later, or comes back when its time is
 * up.
 */
export function heldRecovery(db: Database): (dead: DeadInstance) => boolean {
  // What is held anew is nobody's.
  const tables = limiterTables(db, '');
  const left = db.prepare(`
    SELECT held.id, held.wish, held.expires_at, held.id LIKE '%:shadow' AS is_shadow, calls.state, calls.cost_nano_usd,
      coalesce(calls.input_tokens, calls.output_tokens) IS NULL AS is_unused
    FROM held LEFT JOIN calls ON calls.request_id = held.id WHERE held.instance = ?
  `);
  const change = db.prepare('UPDATE held SET wish = ? WHERE id = ?');

  /** Cost at which budgets are settled; `undefined`: the reserved amount. */
  function costOf(row: Row): number | undefined {
    // Use at an unknown price must not be free.
    return maybeNumberOf(row.cost_nano_usd) ?? (row.is_unused ? 0 : undefined);
  }

  /** Where nobody here knows what was used, for want of the ledger. */
  function freePlaces(state: LimiterState, row: Row): void {
    const held = heldOf(textOf(row.wish));
    if (held.slots.length === 0) return;
    for (const name of held.slots) state.takeSlot(name, -1);
    change.run(JSON.stringify({ ...held, slots: [] }), textOf(row.id));
  }

  function release(state: LimiterState, row: Row, isGone: boolean): void {
    const id = textOf(row.id);
    const held = state.takeHeld(id);
    if (held === undefined) return;
    const cost = costOf(row);
    const used = ({ amount, isBudget }: HeldDraw) => (isBudget ? (cost ?? amount) : amount);
    const draws = held.draws.map((draw) => ({ ...draw, amount: row.state === null ? 0 : used(draw) }));
    giveBack(state, { held, amounts: draws.map(({ amount }) => amount) }, state.advance(0));
    if (!isGone) state.hold(id, { draws, slots: [] }, numberOf(row.expires_at));
  }

  /** @returns whether every reservation was settled. */
  function settleAll(state: LimiterState, { id, isGone, hasLedger }: DeadInstance): boolean {
    let isAll = true;
    for (const row of left.all(id)) {
      const isKnown = row.state === null ? hasLedger || row.is_shadow === 1 : row.state !== 'open';
      if (isKnown) release(state, row, isGone);
      else {
        isAll = false;
        // A call that is open is another instance's by now.
        if (row.state === null) freePlaces(state, row);
      }
    }
    return isAll;
  }

  return (dead) => {
    tables.begin();
    const isAll = settleAll(tables.state, dead);
    tables.finish();
    return isAll;
  };
}
