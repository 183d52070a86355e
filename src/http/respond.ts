import { errorBody, type GatewayError } from '../base/errors.js';
import type { ForwardReply } from '../upstreams/upstream.js';
import { STREAM_HEADERS } from '../wire/sse.js';
import type { AnswerStream, GatewayResponse } from './exchange.js';

/** OpenAI's clients send these on to people who report problems; the SDKs show them as `requestID`. */
const COMMON_HEADERS = { 'x-content-type-options': 'nosniff' };

/** A page that somebody uploaded is not run by a browser that downloads it from the host's own origin. */
const FOREIGN_HEADERS = { 'content-security-policy': "default-src 'none'; sandbox" };

/** Headers that describe a body, its size last. */
const DESCRIBING = ['content-type', 'content-disposition', 'content-length'];

/** What Node writes as a header; it throws for anything else. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

type Headers = Readonly<Record<string, string>>;

/** A whole JSON answer. */
export function respondJson(body: string | Uint8Array, headers: Headers): GatewayResponse {
  return { status: 200, headers: { 'content-type': 'application/json', ...COMMON_HEADERS, ...headers }, body };
}

/** A stream of events. */
export function respondStream(body: AnswerStream, headers: Headers): GatewayResponse {
  return { status: 200, headers: { ...STREAM_HEADERS, ...COMMON_HEADERS, ...headers }, body };
}

/** What an upstream answered, with its status and what describes its body. A body that was read has a size of its own. */
export function respondForwarded(
  { status, headers }: Pick<ForwardReply, 'status' | 'headers'>,
  body: string | Uint8Array | AnswerStream,
  ours: Headers,
): GatewayResponse {
  const isWhole = typeof body === 'string' || body instanceof Uint8Array;
  const isEvents = /^text\/event-stream/i.test(headers['content-type'] ?? '');
  const described: Record<string, string> = {};
  // Events that break off get an event more.
  for (const name of isWhole || isEvents ? DESCRIBING.slice(0, -1) : DESCRIBING) {
    const value = headers[name];
    if (value !== undefined && HEADER_VALUE.test(value)) described[name] = value;
  }
  const common = { ...COMMON_HEADERS, ...FOREIGN_HEADERS };
  return { status, headers: { ...(isEvents ? STREAM_HEADERS : {}), ...described, ...common, ...ours }, body };
}

/** An error in OpenAI's shape. @param debug what `X-Debug` shows, as `error.debug` */
export function respondError(error: GatewayError, headers: Headers, debug?: Record<string, unknown>): GatewayResponse {
  const body = errorBody(error);
  const shown = debug === undefined ? body : { error: { ...body.error, debug } };
  return {
    status: error.status,
    headers: {
      'content-type': 'application/json',
      ...COMMON_HEADERS,
      ...retryHeaders(error),
      ...error.headers,
      ...headers,
    },
    body: JSON.stringify(shown),
  };
}

/** When to come back, in each of the forms that clients know: seconds, milliseconds, and yes or no. */
function retryHeaders({ retryAfterMs, shouldRetry }: GatewayError): Headers {
  const headers: Record<string, string> = {};
  if (retryAfterMs !== undefined && Number.isFinite(retryAfterMs)) {
    headers['retry-after'] = String(Math.max(1, Math.ceil(retryAfterMs / 1_000)));
    headers['retry-after-ms'] = String(Math.max(1, Math.ceil(retryAfterMs)));
  }
  if (shouldRetry !== undefined) headers['x-should-retry'] = String(shouldRetry);
  return headers;
}
