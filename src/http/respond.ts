import { errorBody, type GatewayError } from '../errors.js';
import { STREAM_HEADERS } from '../wire/sse.js';
import type { AnswerStream, GatewayResponse } from './exchange.js';

/** OpenAI's clients send these on to people who report problems; the SDKs show them as `requestID`. */
const COMMON_HEADERS = { 'x-content-type-options': 'nosniff' };

type Headers = Readonly<Record<string, string>>;

/** A whole JSON answer. */
export function respondJson(body: string | Uint8Array, headers: Headers): GatewayResponse {
  return { status: 200, headers: { 'content-type': 'application/json', ...COMMON_HEADERS, ...headers }, body };
}

/** A stream of events. */
export function respondStream(body: AnswerStream, headers: Headers): GatewayResponse {
  return { status: 200, headers: { ...STREAM_HEADERS, ...COMMON_HEADERS, ...headers }, body };
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
