import { GatewayError } from '../base/errors.js';
import { NANO_PER_USD } from '../base/money.js';
import { quotaExceeded } from '../wire/request-errors.js';
import type { Ceiling, Refused, Reservation } from './limiter-store.js';

/** The ceiling for which a call was refused, and the wait until it would be granted. */
export interface RefusalReason {
  /** The ceiling that blocks longest; `undefined`: all places are taken. */
  readonly ceiling: Ceiling | undefined;
  /** `Infinity`: the call asks for more than there ever is. */
  readonly retryAfterMs: number;
}

const UNITS = {
  requests: 'requests per min (RPM)',
  tokens: 'tokens per min (TPM)',
  inputTokens: 'input tokens per min',
  outputTokens: 'output tokens per min',
} as const;

/** Reports the ceiling that blocks longest: "never" first, then the budget that ends last, then buckets that refill. */
export function refusalReasonOf({ reservation, verdict, ceilings, wallMs }: Refused): RefusalReason {
  const { draws } = reservation;
  const isShort = (_: Ceiling, index: number): boolean => (draws[index]?.amount ?? 0) > (verdict.remaining[index] ?? 0);
  const short = ceilings.filter(isShort);
  const never = short.find(({ bucket, capacity }) => isTooMuch(draws, bucket, capacity));
  if (never !== undefined) return { ceiling: never, retryAfterMs: Number.POSITIVE_INFINITY };
  let last: RefusalReason | undefined;
  for (const ceiling of short) {
    if (ceiling.period === undefined) continue;
    const retryAfterMs = ceiling.period.to - wallMs;
    if (last === undefined || retryAfterMs > last.retryAfterMs) last = { ceiling, retryAfterMs };
  }
  if (last !== undefined) return last;
  return { ceiling: short[0], retryAfterMs: verdict.retryAfterMs };
}

/** The error of a refusal, in OpenAI's words, from which clients read the delay. */
export function refusalError(refused: Refused): GatewayError {
  const { ceiling, retryAfterMs } = refusalReasonOf(refused);
  const { reservation, verdict, ceilings, model, subject } = refused;
  const where = `for ${model} in organization ${subject}`;
  if (ceiling === undefined) {
    const slots = reservation.slots.map(({ capacity }) => capacity);
    const message = `Rate limit reached ${where} on concurrent requests: Limit ${Math.min(...slots)}. Please try again in ${seconds(verdict.retryAfterMs)}.`;
    return rateLimited('concurrency', message, verdict.retryAfterMs);
  }
  const { measure, capacity } = ceiling;
  const index = ceilings.indexOf(ceiling);
  const amount = reservation.draws[index]?.amount ?? 0;
  if (measure === 'usdPerDay' || measure === 'usdPerMonth') {
    const span = measure === 'usdPerDay' ? 'day' : 'month';
    const left = Math.max(0, verdict.remaining[index] ?? 0);
    return quotaExceeded(
      `You exceeded your current quota: this call may cost up to ${usd(amount)}, and ${usd(left)} are left of the ${span}'s budget of ${usd(capacity)}.`,
    );
  }
  const kind = measure === 'requests' ? 'requests' : 'tokens';
  const requested = `Limit ${capacity}, Requested ${amount}`;
  if (retryAfterMs === Number.POSITIVE_INFINITY) {
    const advice = kind === 'tokens' ? ' The input or output tokens must be reduced in order to run successfully.' : '';
    return requestExceedsLimit(kind, `Request too large ${where} on ${UNITS[measure]}: ${requested}.${advice}`);
  }
  const used = Math.ceil(capacity - (verdict.remaining[index] ?? 0));
  return rateLimited(
    kind,
    `Rate limit reached ${where} on ${UNITS[measure]}: Limit ${capacity}, Used ${used}, Requested ${amount}. Please try again in ${seconds(verdict.retryAfterMs)}.`,
    verdict.retryAfterMs,
  );
}

function isTooMuch(draws: Reservation['draws'], bucket: string, capacity: number): boolean {
  return draws.some((draw) => draw.bucket === bucket && draw.amount > capacity);
}

function seconds(ms: number): string {
  return ms < 1_000 ? `${ms}ms` : `${ms / 1_000}s`;
}

function usd(nanoUsd: number): string {
  return `$${(nanoUsd / NANO_PER_USD).toFixed(9).replace(/0{1,7}$/, '')}`;
}

/** A limit that recovers: `requests` and `tokens` refill, `concurrency` frees up when a running call ends. */
function rateLimited(kind: 'requests' | 'tokens' | 'concurrency', message: string, retryAfterMs: number): GatewayError {
  return new GatewayError({
    status: 429,
    message,
    type: kind,
    code: 'rate_limit_exceeded',
    retryAfterMs,
    shouldRetry: true,
  });
}

/** One call larger than the whole limit, for which waiting cannot help. */
function requestExceedsLimit(kind: 'requests' | 'tokens', message: string): GatewayError {
  return new GatewayError({ status: 429, message, type: kind, code: 'request_exceeds_limit', shouldRetry: false });
}
