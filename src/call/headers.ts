import { JSON_HEADERS } from '../http/respond.js';
import type { Ceiling, Measure, Verdict } from '../limits/limiter-store.js';
import type { UsageRecord } from '../usage/usage-store.js';
import type { Call } from './call.js';
import { debugFacts, debugHeaders } from './debug.js';

/** Some SDKs parse these headers into integers of 32 bits. */
const MAX_HEADER_INTEGER = 2_147_483_647;
const MINUTE_MS = 60_000;

/** Measures that are shown. */
type Shown = Extract<Measure, 'requests' | 'tokens'>;

const NO_HEADERS: readonly string[] = [];

/**
 * Headers of answers with room for their values, by the measures that they show: a copy has its final length, and a list that
 * grows to it takes twice the memory.
 */
class HeaderForms {
  private readonly size: number;
  private readonly forms: readonly (readonly string[])[];

  /** @param before headers that come first. @param after names of those that follow. */
  constructor(before: readonly string[], after: readonly string[]) {
    const rest = after.flatMap((name) => [name, '']);
    this.size = before.length;
    this.forms = [[], namesOf('requests'), namesOf('tokens'), [...namesOf('requests'), ...namesOf('tokens')]].map(
      (shown) => [...before, ...shown, ...rest],
    );
  }

  /** @param last value of the header that follows them, where there is one. */
  filled(limits: LimitState, last?: string): string[] {
    const requests = tightest(limits, 'requests');
    const tokens = tightest(limits, 'tokens');
    const headers = (this.forms[(requests < 0 ? 0 : 1) + (tokens < 0 ? 0 : 2)] ?? NO_HEADERS).slice();
    let at = this.size;
    if (requests >= 0) at = fill(headers, at, limits, requests);
    if (tokens >= 0) at = fill(headers, at, limits, tokens);
    if (last !== undefined) headers[at + 1] = last;
    return headers;
  }
}

function namesOf(measure: Shown): string[] {
  return ['limit', 'remaining', 'reset'].flatMap((what) => [`x-ratelimit-${what}-${measure}`, '']);
}

/** The ceilings in force and the contents of their buckets. */
export interface LimitState {
  readonly ceilings: readonly Ceiling[];
  /** In the order of the ceilings. */
  readonly remaining: Verdict['remaining'];
}

const LIMITS_ALONE = new HeaderForms(NO_HEADERS, []);
const OF_CALL = new HeaderForms(NO_HEADERS, ['x-request-id']);
const OF_JSON = new HeaderForms(JSON_HEADERS, ['x-request-id']);

/**
 * `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` as OpenAI writes them; nothing for a measure without a limit. Of
 * several levels it is the one with the least left.
 */
export function limitHeaders(limits: LimitState): string[] {
  return LIMITS_ALONE.filled(limits);
}

/** Place of the ceiling of that measure with the least left; below 0: there is none. */
function tightest({ ceilings, remaining }: LimitState, measure: Shown): number {
  let place = -1;
  let least = Number.POSITIVE_INFINITY;
  for (let index = 0; index < ceilings.length; index += 1) {
    const held = remaining[index] ?? 0;
    if (ceilings[index]?.measure !== measure || held >= least) continue;
    least = held;
    place = index;
  }
  return place;
}

/** Writes the values of one ceiling after their names. @returns the place after them. */
function fill(headers: string[], at: number, { ceilings, remaining }: LimitState, place: number): number {
  const capacity = ceilings[place]?.capacity ?? 0;
  const left = remaining[place] ?? 0;
  headers[at + 1] = integer(capacity);
  headers[at + 3] = integer(left);
  headers[at + 5] = formatDuration(capacity === 0 ? 0 : ((capacity - left) / capacity) * MINUTE_MS);
  return at + 6;
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
  return headersOf(OF_CALL, call, record);
}

/** All headers of a JSON answer but the size of its body, for `respondSized`. @param record as above. */
export function jsonHeaders(call: Call, record?: UsageRecord): string[] {
  return headersOf(OF_JSON, call, record);
}

function headersOf(forms: HeaderForms, call: Call, record: UsageRecord | undefined): string[] {
  const { exchange, ceilings } = call;
  const remaining = (record === undefined ? call.remaining : call.remainingAfter()) ?? NOTHING_LEFT;
  const headers = forms.filled({ ceilings, remaining }, exchange.requestId);
  if (exchange.showsDebug) headers.push(...debugHeaders(debugFacts(call, record), exchange.phases));
  return headers;
}

const NOTHING_LEFT: readonly number[] = [];
