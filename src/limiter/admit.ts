import { type Awaitable, whenReady } from '../awaitable.js';
import { type GatewayError, rateLimited, requestExceedsLimit } from '../errors.js';
import type { ApiKey } from '../keys/key-store.js';
import { ownerOf } from '../owner.js';
import type { Draw, LimiterStore, Reservation, Verdict } from './limiter-store.js';
import { DEFAULT_TIER, type Limits } from './limits.js';

/** What one call wants. */
export interface Demand {
  readonly requestId: string;
  readonly key: ApiKey;
  readonly limits: Limits;
  /** The public id, for messages. */
  readonly model: string;
  readonly inputTokens: number;
  /** Most output tokens of one answer; `undefined`: the client named none, take what there is room for. */
  readonly maxOutputTokens: number | undefined;
  /** What to reserve where the client named none. */
  readonly defaultOutputTokens: number;
  /** Answers asked for at once. */
  readonly n: number;
  readonly ttlMs: number;
}

/** A granted reservation. */
export interface Admission {
  readonly reservation: Reservation;
  readonly limits: Limits;
  readonly verdict: Verdict;
  /** Output tokens of one answer that were reserved; `undefined` when tokens are not limited. */
  readonly outputCeiling: number | undefined;
}

/** A refusal with what the buckets hold. */
export interface Refusal {
  readonly error: GatewayError;
  readonly limits: Limits;
  readonly remaining: Verdict['remaining'];
}

export type AdmitResult =
  | { readonly kind: 'admitted'; readonly admission: Admission }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** Less than this is no answer: rather refuse than reserve it. */
const LEAST_OUTPUT_TOKENS = 16;
const MINUTE_MS = 60_000;
const LIMITS = ['requestsPerMinute', 'tokensPerMinute', 'concurrency'] as const;

/** The limits of a key: its tier's, overridden field by field. */
export function limitsOf(key: ApiKey, tiers: ReadonlyMap<string, Limits>): Limits {
  const tier = tiers.get(key.tier ?? DEFAULT_TIER) ?? tiers.get(DEFAULT_TIER) ?? {};
  const own = key.limits;
  // Stores without types say `null` for what they do not know.
  if (own === undefined || own === null) return tier;
  const limits: { -readonly [Field in keyof Limits]: Limits[Field] } = {};
  for (const field of LIMITS) {
    const limit = own[field] ?? tier[field];
    if (limit !== undefined && limit !== Number.POSITIVE_INFINITY) limits[field] = limit;
  }
  return limits;
}

/**
 * Reserves a call's request, tokens and place in one atomic step. Where the client named no output ceiling, the
 * reservation shrinks to what is left rather than being refused: a small limit must not make a key useless.
 */
export function admit(store: LimiterStore, demand: Demand, now: number): Awaitable<AdmitResult> {
  const { limits, maxOutputTokens } = demand;

  function attempt(ceiling: number): Awaitable<AdmitResult> {
    const reservation = reservationOf(demand, demand.inputTokens + demand.n * ceiling);
    return whenReady(store.reserve(reservation, now), (verdict) => {
      if (verdict.granted) {
        const outputCeiling = limits.tokensPerMinute === undefined ? undefined : ceiling;
        return { kind: 'admitted', admission: { reservation, limits, verdict, outputCeiling } };
      }
      // Down to the least, whose wait is what to tell a client that waits for any answer at all.
      const smaller = Math.max(LEAST_OUTPUT_TOKENS, ceilingThatFits(demand, verdict));
      if (maxOutputTokens === undefined && smaller < ceiling) return attempt(smaller);
      const error = refusalError({ demand, reservation, verdict });
      return { kind: 'refused', refusal: { error, limits, remaining: verdict.remaining } };
    });
  }
  return attempt(maxOutputTokens ?? defaultCeiling(demand));
}

/** What the key's buckets hold, taking nothing: for the headers of answers that were never admitted. */
export async function look(
  store: LimiterStore,
  { key, limits }: Pick<Demand, 'key' | 'limits'>,
  now: number,
): Promise<Verdict['remaining']> {
  const reservation = { id: '', draws: drawsOf({ key, limits }, 0, 0), slots: [], ttlMs: 0 };
  return (await store.reserve(reservation, now)).remaining;
}

/** What the buckets held before the call was admitted. */
export function remainingBefore({ reservation, verdict }: Admission): number[] {
  return verdict.remaining.map((left, index) => left + (reservation.draws[index]?.amount ?? 0));
}

/** True amounts in the order of the draws, for `settle`. */
export function settledAmounts({ limits }: Admission, tokens: number): number[] {
  const amounts: number[] = [];
  if (limits.requestsPerMinute !== undefined) amounts.push(1);
  if (limits.tokensPerMinute !== undefined) amounts.push(tokens);
  return amounts;
}

function reservationOf(demand: Demand, tokens: number): Reservation {
  const { concurrency } = demand.limits;
  return {
    id: demand.requestId,
    draws: drawsOf(demand, 1, tokens),
    slots: concurrency === undefined ? [] : [{ name: `${ownerOf(demand.key)}:concurrency`, capacity: concurrency }],
    ttlMs: demand.ttlMs,
  };
}

function drawsOf({ key, limits }: Pick<Demand, 'key' | 'limits'>, requests: number, tokens: number): Draw[] {
  const { requestsPerMinute, tokensPerMinute } = limits;
  const subject = ownerOf(key);
  const draws: Draw[] = [];
  if (requestsPerMinute !== undefined) draws.push(drawOf(`${subject}:requests`, requestsPerMinute, requests));
  if (tokensPerMinute !== undefined) draws.push(drawOf(`${subject}:tokens`, tokensPerMinute, tokens));
  return draws;
}

function drawOf(bucket: string, capacity: number, amount: number): Draw {
  return { bucket, capacity, refillPerMs: capacity / MINUTE_MS, amount };
}

function defaultCeiling({ limits, inputTokens, n, defaultOutputTokens }: Demand): number {
  const room = Math.floor(((limits.tokensPerMinute ?? Number.POSITIVE_INFINITY) - inputTokens) / n);
  return room < LEAST_OUTPUT_TOKENS ? LEAST_OUTPUT_TOKENS : Math.min(defaultOutputTokens, room);
}

/** Output tokens that would fit into what the token bucket holds. */
function ceilingThatFits({ limits, inputTokens, n }: Demand, { remaining }: Verdict): number {
  const left = limits.tokensPerMinute === undefined ? undefined : remaining.at(-1);
  return left === undefined ? 0 : Math.floor((left - inputTokens) / n);
}

interface Refused {
  readonly demand: Demand;
  readonly reservation: Reservation;
  readonly verdict: Verdict;
}

/** OpenAI's messages, which clients read the delay from. */
function refusalError({ demand, reservation, verdict }: Refused): GatewayError {
  const { key, limits, model } = demand;
  const where = `for ${model} in organization ${key.owner ?? key.id}`;
  const short = reservation.draws.findIndex((draw, index) => draw.amount > (verdict.remaining[index] ?? 0));
  const draw = reservation.draws[short];
  if (draw === undefined) {
    const message = `Rate limit reached ${where} on concurrent requests: Limit ${limits.concurrency}. Please try again in ${seconds(verdict.retryAfterMs)}.`;
    return rateLimited('concurrency', message, verdict.retryAfterMs);
  }
  const isTokens = draw.bucket.endsWith(':tokens');
  const unit = isTokens ? 'tokens per min (TPM)' : 'requests per min (RPM)';
  const requested = `Limit ${draw.capacity}, Requested ${draw.amount}`;
  if (verdict.retryAfterMs === Number.POSITIVE_INFINITY) {
    return requestExceedsLimit(
      isTokens ? 'tokens' : 'requests',
      `Request too large ${where} on ${unit}: ${requested}.${isTokens ? ' The input or output tokens must be reduced in order to run successfully.' : ''}`,
    );
  }
  const used = Math.ceil(draw.capacity - (verdict.remaining[short] ?? 0));
  return rateLimited(
    isTokens ? 'tokens' : 'requests',
    `Rate limit reached ${where} on ${unit}: Limit ${draw.capacity}, Used ${used}, Requested ${draw.amount}. Please try again in ${seconds(verdict.retryAfterMs)}.`,
    verdict.retryAfterMs,
  );
}

function seconds(ms: number): string {
  return ms < 1_000 ? `${ms}ms` : `${ms / 1_000}s`;
}
