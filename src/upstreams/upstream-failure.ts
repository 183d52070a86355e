import { memberOf } from '../base/checks.js';
import { type Clock, systemClock } from '../base/clock.js';
import { GatewayError } from '../base/errors.js';
import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import type { ToldUsage } from '../wire/usage.js';
import { redacted } from './redact.js';
import { PROMPT_REFUSED } from './upstream-words.js';

/** An upstream's answer that is not a good one. */
export interface UpstreamFailure {
  /** Its HTTP status; `inside` for an error that came inside a 200, which may tell its own. */
  readonly status: number | 'inside';
  /** Its body as parsed JSON, or its text, of which no client sees anything; `undefined` when it had none. */
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

/** Statuses of the user's own prompt, where the words say so; else they are about the gateway's key or address. */
const PROMPT_STATUSES: ReadonlySet<number> = new Set([403, 421, 451]);

/** The client's own doing: the upstream's words go through. Statuses not here and not 5xx are between us and it. */
const REFUSALS: ReadonlyMap<number, Meaning> = new Map(
  [
    { status: 400, message: 'The upstream refused the request as invalid.', shouldRetry: false },
    { status: 403, message: 'The upstream refused the prompt.', shouldRetry: false },
    { status: 421, message: 'The upstream refused the prompt.', shouldRetry: false },
    { status: 451, message: 'The upstream refused the prompt.', shouldRetry: false },
    { status: 404, message: 'The upstream does not know what was asked for.', shouldRetry: false },
    { status: 409, message: 'The upstream reports a conflict. Please retry.' },
    { status: 413, message: 'The request is too large for the upstream.', shouldRetry: false },
    { status: 422, message: 'The upstream refused the request as invalid.', shouldRetry: false },
    { status: 429, message: 'The upstream is rate limited.', code: 'rate_limit_exceeded', shouldRetry: true },
  ].map((meaning): readonly [number, Meaning] => [
    meaning.status,
    PROMPT_STATUSES.has(meaning.status) ? { ...meaning, status: 403 } : meaning,
  ]),
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

/** Holds all that was said in an error, to be searched and not to be shown, where no log finds it. */
const SAID = Symbol('said');

function withSaid(error: GatewayError, status: number, body: unknown): GatewayError {
  return Object.defineProperty(error, SAID, { value: { status, body } });
}

/** Status with which an upstream told an error, where it was an upstream. */
export function statusIn(error: GatewayError): number {
  const status = memberOf(Reflect.get(error, SAID), 'status');
  return typeof status === 'number' ? status : error.status;
}

/** Whether an error bears an upstream's words, and not the host's own. */
export function isSaid(error: GatewayError): boolean {
  return Reflect.get(error, SAID) !== undefined;
}

/** Usage that was told with an error: of an answer that was made, and failed at its end. */
const USED = Symbol('used');

/** Notes the usage that was told with an error; what was not believable, too, as it is the least. */
export function withUsage(error: GatewayError, usage: ToldUsage | undefined): GatewayError {
  return usage === undefined ? error : Object.defineProperty(error, USED, { value: usage });
}

/** The usage that was told with an error; `undefined`: none was. */
export function usageWith(error: unknown): ToldUsage | undefined {
  return error instanceof GatewayError ? Reflect.get(error, USED) : undefined;
}

/** All that an upstream said in an error, as text. */
export function saidIn(error: GatewayError): string {
  return `${error.message} ${error.param ?? ''} ${error.code ?? ''} ${textOf(memberOf(Reflect.get(error, SAID), 'body'))}`;
}

function textOf(body: unknown): string {
  if (body === undefined || typeof body === 'string') return body ?? '';
  try {
    return JSON.stringify(body) ?? '';
  } catch {
    // The body of a host's own client may be anything.
    return '';
  }
}

/**
 * Makes the error that tells the client why the upstream refused or failed. Its message, type, code and param are kept where they are
 * about the client's request, less anything that looks like an address, a path, an account or a key. A 401 or 403 is about the
 * gateway's own key and an `insufficient_quota` about the operator's account: those become a 502 and a 503 that say nothing more,
 * and the words of a 5xx are for the operator. The error has a `cause` where the client is not told all.
 */
export function upstreamFailure({ status: told, body, retryAfterMs, cause }: UpstreamFailure): GatewayError {
  const said = readError(body);
  const inside = told === 'inside' ? statusInside(body) : undefined;
  const status = told === 'inside' ? (inside ?? 502) : told;
  const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
  const neutral = neutralMeaning(status, said, body);
  const refusal = neutral === undefined ? REFUSALS.get(status) : undefined;
  if (refusal !== undefined) return withSaid(new GatewayError({ ...refusal, ...said, ...wait }), status, body);
  // An error inside a stream may be about the client's request: nobody said that it is not.
  const { message: words, param, ...kind } = said ?? {};
  const shownWords = told === 'inside' && inside === undefined ? said : kind;
  const error = new GatewayError({
    ...(neutral ?? { ...failureMeaning(status), ...shownWords }),
    ...wait,
    cause: cause ?? new Error(`The upstream answered ${status}: ${words ?? 'no message'}`),
  });
  return withSaid(error, status, body);
}

/** Status that an error tells of itself: a numeric `code` or `status` of 400 to 599. */
export function statusInside(body: unknown): number | undefined {
  if (!isJsonObject(body)) return undefined;
  const { error, code, status, status_code, http_status } = body;
  const inner = isJsonObject(error) ? statusInside(error) : undefined;
  const told = [code, status, status_code, http_status]
    .map(Number)
    .find((one) => Number.isInteger(one) && isError(one));
  return inner ?? told;
}

const isError = (status: number): boolean => status >= 400 && status <= 599;

/** `undefined`: the upstream's own words may be shown. */
function neutralMeaning(status: number, said: SaidError | undefined, body: unknown): Meaning | undefined {
  if (status === 402 || OUT_OF_QUOTA_CODES.has(said?.code) || OUT_OF_QUOTA_CODES.has(said?.type)) return OUT_OF_QUOTA;
  if (said?.code === 'invalid_api_key') return MISCONFIGURED;
  // A 404 in no error's shape is a wrong base URL, not an unknown model.
  if (status === 404 && said === undefined) return MISCONFIGURED;
  if (PROMPT_STATUSES.has(status) && said !== undefined && isAboutPrompt(body)) return undefined;
  if (PROMPT_STATUSES.has(status)) return MISCONFIGURED;
  return status >= 500 || status === 408 || REFUSALS.has(status) ? undefined : MISCONFIGURED;
}

function isAboutPrompt(body: unknown): boolean {
  const text = textOf(body).toLowerCase();
  return PROMPT_REFUSED.some((word) => text.includes(word));
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

/**
 * The shapes in use: `{error:{...}}`, the same in an array (Gemini), `{error:"..."}`, `{message}`, `{detail}`, `{msg}`,
 * `{error_message}`, `{errors:[...]}`, a list of texts, and the lists of FastAPI's `detail` in any of these; `{Message}` and
 * `{Error:{Code, Message}}` of AWS, `{fault:{faultstring}}` of Apigee.
 */
function readError(body: unknown): SaidError | undefined {
  const outer: unknown = !Array.isArray(body) ? body : typeof body[0] === 'string' ? { message: body } : body[0];
  if (!isJsonObject(outer)) return undefined;
  for (const inner of [outer.error, outer.Error, outer.fault, outer.Fault]) {
    if (isJsonObject(inner)) return errorFields(inner);
  }
  const message = wordsOf({ ...outer, loc: null, field: null, path: null, param: null });
  return message === undefined ? undefined : errorFields({ ...outer, message });
}

/** Members that hold the words of an error, the likeliest first. */
const MESSAGE_MEMBERS = [
  'message',
  'detail',
  'errors',
  'issues',
  'msg',
  'error_message',
  'error_description',
  'description',
  'reason',
  'details',
  'error_msg',
  'errorMessage',
  'status_msg',
  'Message', // AWS
  'fault', // Apigee
  'faultstring',
  // Where others stand beside it, this is but the name of the status: Nest, Fastify, OAuth.
  'error',
  'Error',
  'title',
];

/** Most errors of a list that are joined, and how deep they may stand. */
const MAX_LISTED = 8;
const MAX_WORDS_DEPTH = 4;

/** The words of an error, whatever their shape: a text, an object with one, a list of either. */
function wordsOf(value: Json | undefined, depth = 0): string | undefined {
  if (typeof value === 'string') return value.trim() === '' ? undefined : value;
  if (depth > MAX_WORDS_DEPTH) return undefined;
  if (Array.isArray(value)) {
    const words = value.slice(0, MAX_LISTED).map((one) => wordsOf(one, depth + 1));
    const said = words.filter((one) => one !== undefined);
    return said.length === 0 ? undefined : said.join('; ');
  }
  if (!isJsonObject(value)) return undefined;
  const said = MESSAGE_MEMBERS.map((name) => wordsOf(value[name], depth + 1)).find((words) => words !== undefined);
  if (said === undefined) return wordsByField(value.errors, depth + 1);
  const place = placeOf(value);
  return place === undefined ? said : `${place}: ${said}`;
}

/** The words of errors that stand under the names of the fields that they are about. */
function wordsByField(errors: Json | undefined, depth: number): string | undefined {
  if (!isJsonObject(errors)) return undefined;
  const said = Object.entries(errors)
    .slice(0, MAX_LISTED)
    .map(([field, value]) => [field, wordsOf(value, depth)] as const)
    .filter(([, words]) => words !== undefined)
    .map(([field, words]) => `${field}: ${words}`);
  return said.length === 0 ? undefined : said.join('; ');
}

/** Path of the member that an error of a list is about: FastAPI's `loc`, or `field`, `path`, `param`. */
function placeOf({ loc, field, path, param }: JsonObject): string | undefined {
  for (const place of [loc, field, path, param]) {
    if (typeof place === 'string' && place !== '') return place;
    if (!Array.isArray(place)) continue;
    const parts = place.slice(0, 16).filter((part) => typeof part === 'string' || typeof part === 'number');
    if (parts.length > 0) return parts.join('.');
  }
  return undefined;
}

function errorFields(error: JsonObject): SaidError {
  const message = shown(wordsOf({ ...error, loc: null, field: null, path: null, param: null }), 1_000);
  const type = shown(error.type, 100);
  const told = error.code ?? error.Code;
  const code = shown(typeof told === 'number' ? String(told) : told, 100);
  const param = shown(error.param, 200);
  return {
    ...(message === undefined ? {} : { message }),
    ...(type === undefined ? {} : { type }),
    ...(code === undefined ? {} : { code }),
    ...(param === undefined ? {} : { param }),
  };
}

function shown(value: unknown, maxChars: number): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined;
  const text = redacted(value);
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
