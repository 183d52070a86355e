import { type Clock, systemClock } from '../base/clock.js';
import { GatewayError } from '../base/errors.js';
import { isJsonObject, type JsonObject } from '../base/json.js';

/** An upstream's answer that is not a good one. */
export interface UpstreamFailure {
  /** Its HTTP status; 502 for an error that came inside a 200. */
  readonly status: number;
  /** Its body as parsed JSON; `undefined` when it was none. */
  readonly body: unknown;
  /** As `retryAfterMsOf` reads it. */
  readonly retryAfterMs?: number;
  /** The error that was thrown, for `hooks.onError` only. @default an error with the status and the message, redacted */
  readonly cause?: unknown;
}

/** How a status reaches the client, and the words for it where the upstream has none or they must not be shown. */
interface Meaning {
  readonly status: number;
  readonly message: string;
  readonly code?: string;
  readonly shouldRetry?: boolean;
}

/** The client's own doing: the upstream's words go through. Statuses not here and not 5xx are between us and it. */
const REFUSALS: ReadonlyMap<number, Meaning> = new Map(
  [
    { status: 400, message: 'The upstream refused the request as invalid.', shouldRetry: false },
    { status: 404, message: 'The upstream does not know what was asked for.', shouldRetry: false },
    { status: 409, message: 'The upstream reports a conflict. Please retry.' },
    { status: 413, message: 'The request is too large for the upstream.', shouldRetry: false },
    { status: 422, message: 'The upstream refused the request as invalid.', shouldRetry: false },
    { status: 429, message: 'The upstream is rate limited.', code: 'rate_limit_exceeded', shouldRetry: true },
  ].map((meaning) => [meaning.status, meaning]),
);

const UNAVAILABLE: Meaning = {
  status: 503,
  message: 'The upstream cannot take the call right now.',
  code: 'upstream_unavailable',
  shouldRetry: true,
};
const TIMED_OUT: Meaning = {
  status: 504,
  message: 'The upstream did not answer in time.',
  code: 'upstream_timeout',
  shouldRetry: true,
};
const FAILED: Meaning = { status: 502, message: 'The upstream failed.', code: 'upstream_error' };

/** Our credentials, address or way of asking is wrong: nothing the client can mend, nothing it should read about. */
const MISCONFIGURED: Meaning = {
  status: 502,
  message: 'The upstream refused the gateway.',
  code: 'upstream_error',
  shouldRetry: false,
};

/** The operator's account is empty or closed. A 429 would tell the client to slow down, which cannot help. */
const OUT_OF_QUOTA: Meaning = { ...UNAVAILABLE, shouldRetry: false };
const OUT_OF_QUOTA_CODES: ReadonlySet<unknown> = new Set([
  'insufficient_quota',
  'billing_not_active',
  'billing_hard_limit_reached',
]);

/**
 * Makes the error that tells the client why the upstream refused or failed. Its message, type, code and param are kept where they are
 * about the client's request, less anything that looks like an address or a key. A 401 or 403 is about the gateway's own
 * key and an `insufficient_quota` about the operator's account: those become a 502 and a 503 that say nothing more. The
 * error has a `cause` where the client is not told all.
 */
export function upstreamFailure({ status, body, retryAfterMs, cause }: UpstreamFailure): GatewayError {
  const said = readError(body);
  const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
  const neutral = neutralMeaning(status, said);
  const refusal = neutral === undefined ? REFUSALS.get(status) : undefined;
  if (refusal !== undefined) return new GatewayError({ ...refusal, ...said, ...wait });
  return new GatewayError({
    ...(neutral ?? { ...failureMeaning(status), ...said }),
    ...wait,
    cause: cause ?? new Error(`The upstream answered ${status}: ${said?.message ?? 'no message'}`),
  });
}

/** `undefined`: the upstream's own words may be shown. */
function neutralMeaning(status: number, said: SaidError | undefined): Meaning | undefined {
  if (status === 402 || OUT_OF_QUOTA_CODES.has(said?.code) || OUT_OF_QUOTA_CODES.has(said?.type)) return OUT_OF_QUOTA;
  if (said?.code === 'invalid_api_key') return MISCONFIGURED;
  // A 404 in no error's shape is a wrong base URL, not an unknown model.
  if (status === 404 && said === undefined) return MISCONFIGURED;
  return status >= 500 || status === 408 || REFUSALS.has(status) ? undefined : MISCONFIGURED;
}

function failureMeaning(status: number): Meaning {
  // 529 is how some say 503.
  if (status === 503 || status === 529) return UNAVAILABLE;
  return status === 504 || status === 408 ? TIMED_OUT : FAILED;
}

interface SaidError {
  readonly message?: string;
  readonly type?: string;
  readonly code?: string;
  readonly param?: string;
}

/** The shapes in use: `{error:{...}}`, the same in an array (Gemini), `{error:"..."}`, `{message}`, `{detail}`. */
function readError(body: unknown): SaidError | undefined {
  const outer: unknown = Array.isArray(body) ? body[0] : body;
  if (!isJsonObject(outer)) return undefined;
  if (isJsonObject(outer.error)) return errorFields(outer.error);
  const message = outer.error ?? outer.message ?? outer.detail;
  return typeof message === 'string' ? errorFields({ ...outer, message }) : undefined;
}

function errorFields(error: JsonObject): SaidError {
  const message = shown(error.message, 1_000);
  const type = shown(error.type, 100);
  const code = shown(typeof error.code === 'number' ? String(error.code) : error.code, 100);
  const param = shown(error.param, 200);
  return {
    ...(message === undefined ? {} : { message }),
    ...(type === undefined ? {} : { type }),
    ...(code === undefined ? {} : { code }),
    ...(param === undefined ? {} : { param }),
  };
}

/** Addresses, keys and account names, as they are written. */
const PRIVATE = new RegExp(
  [
    String.raw`\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s"'<>]+`,
    String.raw`\bBearer\s+[^\s"',;]+`,
    String.raw`\bsk-[\w*.-]{4,}`,
    String.raw`\b(?:org-|proj_)[a-z0-9]{12,}`,
    String.raw`\bAIza[\w-]{16,}`,
    String.raw`\beyJ[\w-]{8,}(?:\.[\w-]*)*`,
    String.raw`\b[0-9a-f]{32,}\b`,
    String.raw`\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b`,
    String.raw`\b(?:localhost|(?:[\w-]{1,63}\.){1,8}[a-z]{2,24}):\d{2,5}\b`,
  ].join('|'),
  'gi',
);

/** Bounds the time spent on a hostile text; what is left still exceeds what is shown. */
const MAX_EXAMINED_CHARS = 4_000;

function shown(value: unknown, maxChars: number): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined;
  const text = value.slice(0, MAX_EXAMINED_CHARS).replace(PRIVATE, '[redacted]');
  if (text.length <= maxChars) return text;
  // Half a word could be half a name that is to be replaced.
  return text.slice(0, maxChars).replace(/\S*$/, '') || undefined;
}

/** Longest wait that is passed on to a client. */
const MAX_RETRY_AFTER_MS = 60_000;

/**
 * How long an upstream asks to wait: its `retry-after-ms`, or its `retry-after` in seconds or as an HTTP date.
 * @returns Whole milliseconds from 0 to 60,000; `undefined` when it asks nothing or makes no sense.
 */
export function retryAfterMsOf(
  headers: { get(name: string): string | undefined | null },
  clock: Pick<Clock, 'wallMs'> = systemClock,
): number | undefined {
  const waitMs = decimal(headers.get('retry-after-ms')) ?? retryAfter(headers.get('retry-after'), clock);
  return waitMs === undefined ? undefined : Math.ceil(Math.min(Math.max(waitMs, 0), MAX_RETRY_AFTER_MS));
}

function decimal(text: string | undefined | null): number | undefined {
  return typeof text === 'string' && /^\s*\d{1,15}(\.\d{1,15})?\s*$/.test(text) ? Number(text) : undefined;
}

function retryAfter(text: string | undefined | null, clock: Pick<Clock, 'wallMs'>): number | undefined {
  const seconds = decimal(text);
  if (seconds !== undefined) return seconds * 1_000;
  // `Date.parse` alone finds a date in almost anything.
  if (typeof text !== 'string' || !/^\s*[A-Z][a-z]{2,8}, \d\d[ -].* GMT\s*$/.test(text)) return undefined;
  const waitMs = Date.parse(text) - clock.wallMs();
  return Number.isNaN(waitMs) ? undefined : waitMs;
}
