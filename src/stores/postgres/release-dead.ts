import type { HeldDraw } from '../../limits/limiter-store.js';
import { giveBack } from '../../limits/rules.js';
import { usedByCall } from '../interrupted.js';
import { loadedState } from './limiter-state.js';
import { limiterTables } from './limiter-tables.js';
import { numberOf, type Query, type Row, textOf } from './pool.js';

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
    const draws = held.draws.map((draw) => ({ ...draw, amount: usedBy(draw, row, hasLedger) }));
    giveBack(state, { held, amounts: draws.map(({ amount }) => amount) }, at);
    state.hold(id, { draws, slots: [] }, held.expiresAt);
  }
  await tables.save(query, state.changes());
  return left.length < MAX_RELEASED;
}

/** The part of a draw that a dead instance's call used, or may have used. */
function usedBy(draw: HeldDraw, { state, cost_nano_usd: cost, is_unused: isUnused }: Row, hasLedger: boolean): number {
  if (state === null) return hasLedger ? 0 : draw.amount;
  return usedByCall(draw, { costNanoUsd: cost === null ? undefined : numberOf(cost), isUnused: isUnused === true });
}
