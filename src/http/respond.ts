import { errorBody, type GatewayError } from '../base/errors.js';
import type { ForwardReply } from '../upstreams/upstream.js';
import type { AnswerStream, GatewayResponse } from './exchange.js';

/** Sent with every answer. */
const COMMON_HEADERS = ['x-content-type-options', 'nosniff'] as const;

/** Headers of an event stream. `no-transform` keeps `compression()`, `x-accel-buffering` keeps nginx from holding events back. */
const UNHELD_HEADERS = ['cache-control', 'no-cache, no-transform', 'x-accel-buffering', 'no'] as const;

/** Keeps browsers from running an uploaded page that they download from the host's own origin. */
const FOREIGN_HEADERS = ['content-security-policy', "default-src 'none'; sandbox"] as const;

/** Headers that describe a body, its size last. */
const DESCRIBING = ['content-type', 'content-disposition', 'content-length'];

/** Values that Node writes as a header; it throws for any other. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Beginning of a JSON answer's headers. Its last value is the body's size, for which there is room. */
export const JSON_HEADERS: readonly string[] = [
  'content-type',
  'application/json',
  ...COMMON_HEADERS,
  'content-length',
  '',
];
const SIZE_AT = JSON_HEADERS.length - 1;

/** The same of a stream. A list that grows past a few headers is copied twice as large: `concat` knows the size. */
const STREAM_HEADERS: readonly string[] = [
  'content-type',
  'text/event-stream; charset=utf-8',
  ...UNHELD_HEADERS,
  ...COMMON_HEADERS,
];

/** Names and values in turn. A list that is passed to a `respond…` function belongs to the answer from then on. */
type HeaderList = string[];

/** A whole JSON answer. */
export function respondJson(body: string | Uint8Array, headers: HeaderList): GatewayResponse {
  return respondSized(body, JSON_HEADERS.concat(headers));
}

/** The same for a list that begins with `JSON_HEADERS`: that of an ordinary call is made once, at its final length. */
export function respondSized(body: string | Uint8Array, headers: HeaderList): GatewayResponse {
  headers[SIZE_AT] = byteLengthOf(body);
  return { status: 200, headers, body };
}

/** A stream of events. */
export function respondStream(body: AnswerStream, headers: HeaderList): GatewayResponse {
  return { status: 200, headers: STREAM_HEADERS.concat(headers), body };
}

/** An upstream's answer, with its status and what describes its body. A body that was read has a size of its own. */
export function respondForwarded(
  { status, headers: given }: Pick<ForwardReply, 'status' | 'headers'>,
  body: string | Uint8Array | AnswerStream,
  headers: HeaderList,
): GatewayResponse {
  const isEvents = /^text\/event-stream/i.test(given['content-type'] ?? '');
  const isWhole = typeof body === 'string' || body instanceof Uint8Array;
  if (isEvents) headers.push(...UNHELD_HEADERS);
  // Events that break off get an event more.
  for (const name of isWhole || isEvents ? DESCRIBING.slice(0, -1) : DESCRIBING) {
    const value = given[name];
    if (value !== undefined && HEADER_VALUE.test(value)) headers.push(name, value);
  }
  if (isWhole) headers.push('content-length', byteLengthOf(body));
  headers.push(...COMMON_HEADERS, ...FOREIGN_HEADERS);
  return { status, headers, body };
}

/** An error in OpenAI's shape. @param debug Shown as `error.debug`, for `X-Debug`. */
export function respondError(
  error: GatewayError,
  headers: HeaderList,
  debug?: Record<string, unknown>,
): GatewayResponse {
  const shown = errorBody(error);
  const body = JSON.stringify(debug === undefined ? shown : { error: { ...shown.error, debug } });
  headers.push('content-length', byteLengthOf(body));
  for (const [name, value] of Object.entries(error.headers)) pushNew(headers, name.toLowerCase(), value);
  pushRetry(headers, error);
  pushNew(headers, 'content-type', 'application/json');
  pushNew(headers, ...COMMON_HEADERS);
  return { status: error.status, headers, body };
}

/** Tells the methods of a path, for `OPTIONS`. */
export function respondMethods(methods: string): GatewayResponse {
  return { status: 204, headers: ['allow', `${methods}, OPTIONS`, ...COMMON_HEADERS], body: '' };
}

/** The same answer for `HEAD`. */
export function withoutBody({ status, headers, body }: GatewayResponse): GatewayResponse {
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) body.leave();
  return { status, headers, body: '' };
}

/** Tells when to come back in each form that clients know: seconds, milliseconds, and yes or no. */
function pushRetry(headers: HeaderList, { retryAfterMs, shouldRetry }: GatewayError): void {
  if (retryAfterMs !== undefined && Number.isFinite(retryAfterMs)) {
    pushNew(headers, 'retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1_000))));
    pushNew(headers, 'retry-after-ms', String(Math.max(1, Math.ceil(retryAfterMs))));
  }
  if (shouldRetry !== undefined) pushNew(headers, 'x-should-retry', String(shouldRetry));
}

/** Adds a header, unless one of that name is there: an error may bring any. */
function pushNew(headers: HeaderList, name: string, value: string): void {
  if (headerOf(headers, name) === undefined) headers.push(name, value);
}

/** A header's first value. */
function headerOf(headers: readonly string[], name: string): string | undefined {
  for (let at = 0; at < headers.length; at += 2) if (headers[at] === name) return headers[at + 1];
  return undefined;
}

function byteLengthOf(body: string | Uint8Array): string {
  return String(typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength);
}
