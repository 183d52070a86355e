import type { Ceiling, Verdict } from '../limits/limiter-store.js';
import type { UsageRecord } from '../usage/usage-store.js';
import type { Call } from './call.js';
import { debugFacts, debugHeaders } from './debug.js';

/** Some SDKs parse these headers into integers of 32 bits. */
const MAX_HEADER_INTEGER = 2_147_483_647;
const MINUTE_MS = 60_000;

/** Measures that are shown, with the names of their headers. */
const SHOWN = (['requests', 'tokens'] as const).map((measure) => ({
  measure,
  limit: `x-ratelimit-limit-${measure}`,
  left: `x-ratelimit-remaining-${measure}`,
  reset: `x-ratelimit-reset-${measure}`,
}));

/** The ceilings in force and the contents of their buckets. */
export interface LimitState {
  readonly ceilings: readonly Ceiling[];
  /** In the order of the ceilings. */
  readonly remaining: Verdict['remaining'];
}

/**
 * `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` as OpenAI writes them; nothing for a measure without a limit. Of
 * several levels it is the one with the least left.
 */
export function limitHeaders({ ceilings, remaining }: LimitState): string[] {
  const headers: string[] = [];
  for (const { measure, limit, left, reset } of SHOWN) {
    let capacity: number | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (let index = 0; index < ceilings.length; index += 1) {
      const held = remaining[index] ?? 0;
      if (ceilings[index]?.measure !== measure || held >= least) continue;
      least = held;
      capacity = ceilings[index]?.capacity;
    }
    if (capacity === undefined) continue;
    const fullInMs = capacity === 0 ? 0 : ((capacity - least) / capacity) * MINUTE_MS;
    headers.push(limit, integer(capacity), left, integer(least), reset, formatDuration(fullInMs));
  }
  return headers;
}

/**
 * A duration as Go's `time.Duration.String()` writes it, rounded up to milliseconds: `0s`, `6ms`, `1.2s`, `6m0s`,
 * `1h0m0s`. go-openai parses the headers with `time.ParseDuration`.
 */
export function formatDuration(durationMs: number): string {
  const ms = Math.max(0, Math.ceil(durationMs - 1e-6));
  if (ms === 0) return '0s';
  if (ms < 1_000) return `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / MINUTE_MS);
  const seconds = `${(ms % MINUTE_MS) / 1_000}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

function integer(value: number): string {
  return String(Math.min(MAX_HEADER_INTEGER, Math.max(0, Math.floor(value))));
}

/** The gateway's own headers of an answer. @param record of a call that is settled already. */
export function answerHeaders(call: Call, record?: UsageRecord): string[] {
  const { exchange, ceilings } = call;
  const remaining = (record === undefined ? call.remaining : call.remainingAfter()) ?? [];
  const headers = limitHeaders({ ceilings, remaining });
  headers.push('x-request-id', exchange.requestId);
  if (exchange.showsDebug) headers.push(...debugHeaders(debugFacts(call, record), exchange.phases));
  return headers;
}
