import { type Awaitable, isPending } from '../base/awaitable.js';
import { causeOf, unavailable } from '../base/errors.js';
import type { Config } from '../config/config.js';
import { reserve } from '../limits/admit.js';
import type { KeyPlan } from '../limits/key-plan.js';
import { ceilingsOf, drawOf, slotsOf } from '../limits/levels.js';
import type { Admission, LimiterAccess } from '../limits/limiter-store.js';
import { refusalReasonOf } from '../limits/refusal.js';
import type { UsageStart, UsageStore } from '../usage/usage-store.js';
import type { GatewayState } from './state.js';

/** @throws {GatewayError} 503 when there are too many calls already. */
export function checkRoom({ config, running }: Pick<GatewayState, 'config' | 'running'>): void {
  if (running.size < config.maxConcurrentCalls) return;
  throw unavailable('overloaded', 'The server is handling too many calls. Please retry.');
}

/**
 * Writes down that a call begins: an unrecorded call is not made.
 * @throws {GatewayError} 503 when the ledger fails.
 */
export function recordStart({ usage }: { readonly usage: UsageStore }, start: UsageStart): Awaitable<void> {
  try {
    const written = usage.open(start);
    return isPending(written) ? written.then(undefined, ledgerFailure) : written;
  } catch (error) {
    return ledgerFailure(error);
  }
}

function ledgerFailure(error: unknown): never {
  throw unavailable('ledger_unavailable', 'Usage cannot be recorded right now. Please retry.', causeOf(error));
}

/**
 * Holds an admitted call against the limits in the shadow, which refuse nothing: a refusal is only reported. Nobody waits
 * for it, and a store that fails here costs only the report.
 * @returns the shadow's own admission, to be settled with the call; `undefined` when there is none.
 */
export async function reserveShadow(
  { shadows }: KeyPlan,
  { config, access }: { readonly config: Config; readonly access: LimiterAccess },
  { start, admission }: { readonly start: UsageStart; readonly admission: Admission },
): Promise<Admission | undefined> {
  const { clock, hooks } = config;
  const { requestId, keyId, owner, model } = start;
  const wallMs = clock.wallMs();
  const ceilings = ceilingsOf(shadows, config.findPeriod, wallMs);
  const reservation = {
    id: `${requestId}:shadow`,
    draws: ceilings.map((ceiling) => drawOf(ceiling, admission.amounts)),
    slots: slotsOf(shadows),
    ttlMs: access.ttlMs,
  };
  try {
    const reserving = reserve(access, reservation, ceilings);
    const verdict = isPending(reserving) ? await reserving : reserving;
    if (verdict.granted) return { ...admission, reservation, ceilings, verdict };
    const { ceiling, retryAfterMs } = refusalReasonOf({
      reservation,
      verdict,
      ceilings,
      model,
      subject: owner,
      wallMs,
    });
    const limit = ceiling?.measure ?? 'concurrency';
    hooks.onShadowLimit({ requestId, keyId, owner, model, limit, level: ceiling?.level.kind, retryAfterMs });
  } catch (error) {
    hooks.onError(error, { requestId, keyId });
  }
  return undefined;
}
