import { isRecord, refuseOthers, unexpected } from '../base/checks.js';
import type { GatewayRequest, GatewayResponse } from './exchange.js';

/** Web pages that may call from a browser. */
export interface CorsOptions {
  /** Origins as browsers send them: scheme, host and port, compared letter by letter. No wildcards. */
  readonly origins: readonly string[];
}

/** Time for which a browser may remember a preflight: the most that Chromium takes. */
const MAX_AGE_SECONDS = 7_200;

/** Methods that OpenAI's SDKs use, and headers that they read. */
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

/** Checks the origins. @throws {TypeError} for one that no browser would send. */
export function checkedCors(cors: CorsOptions | undefined): CorsOptions | undefined {
  if (cors === undefined) return undefined;
  if (!isRecord(cors)) throw unexpected('cors', 'to be an object with `origins`', cors);
  refuseOthers('cors', cors, { origins: true });
  const origins: unknown = cors.origins;
  if (!Array.isArray(origins)) throw unexpected('cors.origins', 'to be a list of origins', origins);
  for (const origin of origins) {
    if (typeof origin === 'string' && URL.canParse(origin) && new URL(origin).origin === origin) continue;
    throw unexpected('cors.origins', "to hold origins such as 'https://app.example.com'", origin);
  }
  return { origins: [...origins] };
}

/** Answers a browser's question before its call. It needs no key, as none can be sent with it. */
export function preflight({ method, headers }: GatewayRequest): GatewayResponse | undefined {
  if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) {
    return undefined;
  }
  const allowed = ['access-control-allow-methods', ALLOWED_METHODS, 'access-control-max-age', String(MAX_AGE_SECONDS)];
  const asked = headers['access-control-request-headers'];
  if (typeof asked === 'string') allowed.push('access-control-allow-headers', asked);
  return { status: 204, headers: [...allowed, 'content-length', '0'], body: '' };
}

/** Lets a page of an allowed origin, and no other, read the answer. Cookies are never allowed. */
export function crossOrigin(
  { status, headers, body }: GatewayResponse,
  { headers: { origin } }: GatewayRequest,
  cors: CorsOptions,
): GatewayResponse {
  const shared = [...headers, 'vary', 'Origin'];
  if (typeof origin === 'string' && cors.origins.includes(origin)) {
    shared.push('access-control-allow-origin', origin, 'access-control-expose-headers', EXPOSED_HEADERS);
  }
  return { status, headers: shared, body };
}
