import { guarded, whenReady } from '../base/awaitable.js';
import type { Config } from '../config/options.js';
import { reserve } from '../limits/admit.js';
import { ceilingsOf, drawOf, shadowsOf, slotsOf } from '../limits/levels.js';
import type { Admission, LimitLevel } from '../limits/limiter-store.js';
import { refusalReasonOf } from '../limits/refusal.js';
import { limitingOf } from './admit.js';
import type { Call } from './call.js';
import { settledAmounts } from './charge.js';

/**
 * Holds an admitted call against the limits in the shadow, which refuse nothing: what would have been refused is reported.
 * Nobody waits for it, and a store that fails here costs only the report.
 */
export function reserveShadow(levels: readonly LimitLevel[], call: Call, config: Config): void {
  const shadows = shadowsOf(levels);
  if (shadows.length === 0) return;
  const { clock, hooks, limiter } = config;
  const { start, admission } = call;
  const wallMs = clock.wallMs();
  const ceilings = ceilingsOf(shadows, config.findPeriod, wallMs);
  const { amounts } = admission;
  const reservation = {
    id: `${start.requestId}:shadow`,
    draws: ceilings.map((ceiling) => drawOf(ceiling, amounts)),
    slots: slotsOf(shadows),
    ttlMs: admission.reservation.ttlMs,
  };
  const report = (error: unknown): void => hooks.onError(error, { requestId: start.requestId, keyId: start.keyId });

  void guarded(
    () =>
      whenReady(reserve(limitingOf(config), reservation, ceilings), (verdict) => {
        const shadow: Admission = { ...admission, reservation, ceilings, verdict };
        if (verdict.granted) return settleWith(shadow);
        const refused = { reservation, verdict, ceilings, model: start.model, subject: start.owner, wallMs };
        const { ceiling, retryAfterMs } = refusalReasonOf(refused);
        const { requestId, keyId, owner, model } = start;
        const limit = ceiling?.measure ?? 'concurrency';
        hooks.onShadowLimit({ requestId, keyId, owner, model, limit, level: ceiling?.level.kind, retryAfterMs });
      }),
    report,
  );

  function settleWith(shadow: Admission): void {
    call.onSettled((record) => {
      const used = record === undefined ? shadow.ceilings.map(() => 0) : settledAmounts(shadow, record);
      void guarded(() => limiter.settle(reservation, used, clock.steadyMs()), report);
    });
  }
}
