import { guarded } from '../base/awaitable.js';
import { limiterFailure, ONE_REQUEST } from '../call/admit.js';
import type { Exchange } from '../call/exchange.js';
import { settleReservation } from '../call/settle.js';
import { reserve } from '../limits/admit.js';
import { drawsOf } from '../limits/levels.js';
import { refusalError } from '../limits/refusal.js';

/**
 * Takes one request from the caller's limits, for a page that the gateway itself answers: it asks no model, and reads much.
 * @throws {GatewayError} 429 when none is left, 503 when the limiter fails.
 */
export async function takeRequest({ plan, caller, requestId, state }: Exchange, what: string): Promise<void> {
  const { access } = state;
  const wallMs = access.clock.wallMs();
  const ceilings = plan.ceilingsAt(wallMs).filter(({ measure }) => measure === 'requests');
  if (ceilings.length === 0) return;
  const draws = drawsOf(ceilings, ONE_REQUEST);
  const reservation = { id: `${requestId}:page`, draws, slots: [], ttlMs: access.ttlMs };
  const verdict = await guarded(() => reserve(access, reservation, ceilings), limiterFailure);
  if (!verdict.granted)
    throw refusalError({ reservation, verdict, ceilings, model: what, subject: plan.subject, wallMs });
  // Nothing is corrected later.
  const used = draws.map(({ amount }) => amount);
  await settleReservation(state, { requestId, keyId: caller.id }, { reservation, used });
}
