import { guarded } from '../base/awaitable.js';
import { limiterAccess, limiterFailure } from '../call/admit.js';
import type { Exchange } from '../call/state.js';
import { reserve } from '../limits/admit.js';
import { drawsOf } from '../limits/levels.js';
import { refusalError } from '../limits/refusal.js';

const ONE_REQUEST = { requests: 1, inputTokens: 0, outputTokens: 0, nanoUsd: 0 };

/**
 * Takes one request from the caller's limits, for a page that the gateway itself answers: it asks no model, and reads much.
 * @throws {GatewayError} 429 when none is left, 503 when the limiter fails.
 */
export async function takeRequest({ plan, requestId, state }: Exchange, what: string): Promise<void> {
  const { config } = state;
  const { clock, limiter } = config;
  const wallMs = clock.wallMs();
  const ceilings = plan.ceilingsAt(wallMs).filter(({ measure }) => measure === 'requests');
  if (ceilings.length === 0) return;
  const access = limiterAccess(config);
  const draws = drawsOf(ceilings, ONE_REQUEST);
  const reservation = { id: `${requestId}:page`, draws, slots: [], ttlMs: access.ttlMs };
  const verdict = await guarded(async () => {
    const asked = await reserve(access, reservation, ceilings);
    const used = draws.map(({ amount }) => amount);
    // Nothing is corrected later.
    if (asked.granted) await limiter.settle(reservation, used, clock.steadyMs());
    return asked;
  }, limiterFailure);
  if (!verdict.granted)
    throw refusalError({ reservation, verdict, ceilings, model: what, subject: plan.subject, wallMs });
}
