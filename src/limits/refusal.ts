import { type GatewayError, rateLimited, requestExceedsLimit } from '../base/errors.js';
import { quotaExceeded } from '../wire/budget-errors.js';
import { type Ceiling, NANO } from './levels.js';
import type { Reservation, Verdict } from './limiter-store.js';

/** A reservation that was refused. */
export interface Refused {
  readonly reservation: Reservation;
  readonly verdict: Verdict;
  /** In the order of the draws. */
  readonly ceilings: readonly Ceiling[];
  /** The public id. */
  readonly model: string;
  /** The owner's or the key's name as messages show it. */
  readonly subject: string;
  /** Unix time in milliseconds. */
  readonly wallMs: number;
}

/** Why a call was refused, and when it would not be. */
export interface RefusalReason {
  /** The ceiling that is short; `undefined`: the places are all taken. */
  readonly ceiling: Ceiling | undefined;
  /** `Infinity`: never, as the call asks for more than there ever is. */
  readonly retryAfterMs: number;
}

const UNITS = {
  requests: 'requests per min (RPM)',
  tokens: 'tokens per min (TPM)',
  inputTokens: 'input tokens per min',
  outputTokens: 'output tokens per min',
} as const;

/** What is never granted outweighs a budget, the later of two budgets the sooner, and both what refills: to wait for the lesser would be in vain. */
export function reasonOf({ reservation, verdict, ceilings, wallMs }: Refused): RefusalReason {
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

/** OpenAI's messages, which clients read the delay from. */
export function refusalError(refused: Refused): GatewayError {
  const { ceiling, retryAfterMs } = reasonOf(refused);
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
  return `$${(nanoUsd / NANO).toFixed(9).replace(/0{1,7}$/, '')}`;
}
