import { unexpected } from '../base/checks.js';
import type { GatewayRequest, GatewayResponse } from './exchange.js';

/** Which web pages may call from a browser. */
export interface CorsOptions {
  /** Origins as browsers send them: scheme, host and port, compared letter by letter. No wildcards. */
  readonly origins: readonly string[];
}

/** How long a browser may remember that it may call, in seconds: the most that Chromium takes. */
const MAX_AGE_SECONDS = 7_200;

/** What OpenAI's SDKs send from a browser. */
const ALLOWED_METHODS = 'GET, POST, DELETE';
const EXPOSED_HEADERS = [
  'x-request-id',
  'retry-after',
  'retry-after-ms',
  'x-should-retry',
  'idempotency-replayed',
  'x-ratelimit-limit-requests',
  'x-ratelimit-limit-tokens',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-remaining-tokens',
  'x-ratelimit-reset-requests',
  'x-ratelimit-reset-tokens',
].join(', ');

/** @throws {TypeError} for what no browser would send as an origin. */
export function checkedCors(cors: CorsOptions | undefined): CorsOptions | undefined {
  if (cors === undefined) return undefined;
  const origins: unknown = cors?.origins;
  if (!Array.isArray(origins)) throw unexpected('cors.origins', 'to be a list of origins', origins);
  for (const origin of origins) {
    if (typeof origin === 'string' && URL.canParse(origin) && new URL(origin).origin === origin) continue;
    throw unexpected('cors.origins', "to hold origins such as 'https://app.example.com'", origin);
  }
  return { origins: [...origins] };
}

/** Answers what a browser asks before it sends a call: no key is needed for that, as none can be sent. */
export function preflight({ method, headers }: GatewayRequest): GatewayResponse | undefined {
  if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) {
    return undefined;
  }
  const asked = headers['access-control-request-headers'];
  return {
    status: 204,
    headers: {
      'access-control-allow-methods': ALLOWED_METHODS,
      ...(typeof asked === 'string' ? { 'access-control-allow-headers': asked } : {}),
      'access-control-max-age': String(MAX_AGE_SECONDS),
    },
    body: '',
  };
}

/** The same answer, readable for a page of an allowed origin and for no other. Cookies are never allowed. */
export function crossOrigin(
  response: GatewayResponse,
  { headers }: GatewayRequest,
  cors: CorsOptions,
): GatewayResponse {
  const { origin } = headers;
  const isAllowed = typeof origin === 'string' && cors.origins.includes(origin);
  return {
    ...response,
    headers: {
      ...response.headers,
      vary: 'Origin',
      ...(isAllowed ? { 'access-control-allow-origin': origin, 'access-control-expose-headers': EXPOSED_HEADERS } : {}),
    },
  };
}
