import type { LimiterState } from '../../limits/limiter-store.js';
import { giveBack } from '../../limits/rules.js';
import { usedByCall } from '../interrupted.js';
import { type Database, maybeNumberOf, numberOf, type Row, textOf } from './driver.js';
import type { DeadInstance } from './instance.js';
import { heldOf, limiterTables } from './limiter-tables.js';

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
    const call = { costNanoUsd: maybeNumberOf(row.cost_nano_usd), isUnused: row.is_unused === 1 };
    const draws = held.draws.map((draw) => ({ ...draw, amount: row.state === null ? 0 : usedByCall(draw, call) }));
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
