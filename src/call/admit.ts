import { type Awaitable, isPending } from '../base/awaitable.js';
import { causeOf, GatewayError, unavailable } from '../base/errors.js';
import type { Config } from '../config/config.js';
import { admit, look } from '../limits/admit.js';
import type { AdmitResult, Ceiling, Demand, LimiterAccess, Verdict } from '../limits/limiter-store.js';

/** Never learn a ceiling below this: short answers do not predict the next one. */
const LEAST_LEARNED_TOKENS = 1_024;
/** A little longer than a call may take, so that a reservation is only ever given back when its process is gone. */
const RESERVATION_GRACE_MS = 30_000;

/** The limiter of a gateway, with its clocks and the ledger that knows the losses of budgets. */
export function limiterAccess({ limiter, usage, clock, timeoutMs }: Config): LimiterAccess {
  return {
    store: limiter,
    steadyMs: () => clock.steadyMs(),
    wallMs: () => clock.wallMs(),
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

/**
 * Reserves everything that a call may use.
 * @throws {GatewayError} 503 when the limiter fails.
 */
export function reserveCall(access: LimiterAccess, demand: Demand): Awaitable<AdmitResult> {
  try {
    const result = admit(access, demand);
    return isPending(result) ? result.then(undefined, limiterFailure) : result;
  } catch (error) {
    return limiterFailure(error);
  }
}

function limiterFailure(error: unknown): never {
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
