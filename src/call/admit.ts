import { type Awaitable, isPending } from '../base/awaitable.js';
import { causeOf, GatewayError, unavailable } from '../base/errors.js';
import type { Config } from '../config/config.js';
import { admit, look, reserve } from '../limits/admit.js';
import type { KeyPlan } from '../limits/key-plan.js';
import { laneOf } from '../limits/lane.js';
import { ceilingsOf, drawsOf, slotsOf } from '../limits/levels.js';
import type {
  Admission,
  AdmitResult,
  Ceiling,
  Demand,
  LimiterAccess,
  Reservation,
  Verdict,
} from '../limits/limiter-store.js';
import { refusalError, refusalReasonOf } from '../limits/refusal.js';
import type { UsageStart, UsageStore } from '../usage/usage-store.js';

/** Never learn a ceiling below this: short answers do not predict the next one. */
const LEAST_LEARNED_TOKENS = 1_024;
/** A little longer than a call may take, so that a reservation is only ever given back when its process is gone. */
const RESERVATION_GRACE_MS = 30_000;

/** The limiter of a gateway, with its clocks and the ledger that knows the losses of budgets. */
export function limiterAccess({ limiter, usage, clock, timeoutMs }: Config): LimiterAccess {
  return {
    store: limiter,
    lane: laneOf(limiter),
    clock,
    ttlMs: timeoutMs + RESERVATION_GRACE_MS,
    spent({ level: { kind, id }, period }) {
      if (period === undefined) return 0;
      return usage.spent?.(kind === 'all' ? { kind } : { kind, id }, period) ?? 0;
    },
  };
}

/** Output tokens to reserve for one answer to that owner where the client named no ceiling. */
export function usualOutputTokens(
  { learned, defaultMaxOutputTokens }: Config,
  owner: string,
  { id, maxOutputTokens }: { readonly id: string; readonly maxOutputTokens: number | undefined },
): number {
  const ceiling = learned.ceilingOf(owner, id);
  const usual = ceiling === undefined ? defaultMaxOutputTokens : Math.max(LEAST_LEARNED_TOKENS, ceiling);
  return Math.min(usual, maxOutputTokens ?? Number.POSITIVE_INFINITY);
}

/** @throws {GatewayError} 503 when there are too many calls already. */
export function checkRoom({
  config,
  running,
}: {
  readonly config: Config;
  readonly running: { readonly size: number };
}): void {
  if (running.size < config.maxConcurrentCalls) return;
  throw unavailable('overloaded', 'The server is handling too many calls. Please retry.');
}

/**
 * Reserves everything that a call may use.
 * @throws {GatewayError} 503 when the limiter fails.
 */
export function reserveCall(access: LimiterAccess, demand: Demand): Awaitable<AdmitResult> {
  try {
    const result = admit(access, demand);
    return isPending(result) ? Promise.resolve(result).then(undefined, limiterFailure) : result;
  } catch (error) {
    return limiterFailure(error);
  }
}

/** The amounts of a request whose answer costs nothing else. */
export const ONE_REQUEST = { requests: 1, inputTokens: 0, outputTokens: 0, nanoUsd: 0 };

/**
 * Looks, before a large body is read, whether the limiter would let any request of the key in now. Nothing is taken. A limiter that
 * fails is asked once more when the call is known, and then refuses it.
 * @throws {GatewayError} 429
 */
export async function checkRequest(access: LimiterAccess, plan: KeyPlan, requestId: string): Promise<void> {
  const wallMs = access.clock.wallMs();
  const ceilings = plan.ceilingsAt(wallMs).filter(({ measure }) => measure === 'requests');
  const { slots, subject } = plan;
  if (ceilings.length === 0 && slots.length === 0) return;
  const draws = drawsOf(ceilings, ONE_REQUEST);
  const reservation = { id: `${requestId}:body`, draws, slots, ttlMs: access.ttlMs, dryRun: true };
  let verdict: Verdict;
  try {
    verdict = await reserve(access, reservation, ceilings);
  } catch {
    return;
  }
  if (!verdict.granted) throw refusalError({ reservation, verdict, ceilings, model: 'requests', subject, wallMs });
}

/** @throws {GatewayError} 503, in place of an error of the limiter. */
export function limiterFailure(error: unknown): never {
  if (error instanceof GatewayError) throw error;
  throw unavailable('limiter_unavailable', 'Limits cannot be checked right now. Please retry.', causeOf(error));
}

/** Contents of the buckets, for the headers of an error; a store that fails here costs only the headers. */
export async function lookQuietly(
  access: LimiterAccess,
  ceilings: readonly Ceiling[],
): Promise<Verdict['remaining'] | undefined> {
  try {
    return await look(access, ceilings);
  } catch {
    return undefined;
  }
}

/**
 * Writes down that a call begins: an unrecorded call is not made.
 * @throws {GatewayError} 503 when the ledger fails.
 */
export function recordStart({ usage }: { readonly usage: UsageStore }, start: UsageStart): Awaitable<void> {
  try {
    const written = usage.open(start);
    return isPending(written) ? Promise.resolve(written).then(undefined, ledgerFailure) : written;
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
): Promise<(Admission & { readonly reservation: Reservation }) | undefined> {
  const { clock, hooks } = config;
  const { requestId, keyId, owner, model } = start;
  const wallMs = clock.wallMs();
  const ceilings = ceilingsOf(shadows, config.findPeriod, wallMs);
  const reservation = {
    id: `${requestId}:shadow`,
    draws: drawsOf(ceilings, admission.amounts),
    slots: slotsOf(shadows),
    ttlMs: access.ttlMs,
  };
  try {
    const reserving = reserve(access, reservation, ceilings);
    const verdict = isPending(reserving) ? await reserving : reserving;
    const { remaining } = verdict;
    if (verdict.granted) return { ...admission, reservation, ceilings, slots: reservation.slots, remaining };
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
