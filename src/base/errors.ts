/** What `GatewayError` is made of; everything but `status` and `message` has OpenAI's usual value by default. */
export interface GatewayErrorFields {
  /** HTTP status, 400 to 599. */
  readonly status: number;
  /** One sentence for the person behind the client. Never a secret, address or stack. */
  readonly message: string;
  /** @default 'invalid_request_error' below 500, 'server_error' from 500 */
  readonly type?: string;
  /** Machine-readable reason. @default null */
  readonly code?: string | null;
  /** Path of the offending field, such as `messages[0].content`. @default null */
  readonly param?: string | null;
  /** Sent as `retry-after` (whole seconds, at least 1) and `retry-after-ms`. Absent: neither is sent. */
  readonly retryAfterMs?: number;
  /** Sent as `x-should-retry`, which OpenAI's SDKs obey over their own rules. Absent: not sent. */
  readonly shouldRetry?: boolean;
  /** Further response headers, such as `allow`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** What went wrong underneath, for `hooks.onError` only. */
  readonly cause?: unknown;
}

/** An answer to the client in OpenAI's error shape. Throw it anywhere in the pipeline, upstreams included. */
export class GatewayError extends Error {
  readonly status: number;
  readonly type: string;
  readonly code: string | null;
  readonly param: string | null;
  readonly retryAfterMs: number | undefined;
  readonly shouldRetry: boolean | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(fields: GatewayErrorFields) {
    super(fields.message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'GatewayError';
    this.status = fields.status;
    this.type = fields.type ?? (fields.status >= 500 ? 'server_error' : 'invalid_request_error');
    this.code = fields.code ?? null;
    this.param = fields.param ?? null;
    this.retryAfterMs = fields.retryAfterMs;
    this.shouldRetry = fields.shouldRetry;
    this.headers = fields.headers ?? {};
  }
}

/** OpenAI's error envelope: always these four keys, nulls explicit. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** The JSON body of an error, for answers and for stream events alike. */
export function errorBody(error: GatewayError): ErrorBody {
  return { error: { message: error.message, type: error.type, param: error.param, code: error.code } };
}

/** Whatever was thrown, as an answer that gives nothing away: what is not a `GatewayError` becomes a bare 500. */
export function toGatewayError(thrown: unknown): GatewayError {
  return thrown instanceof GatewayError ? thrown : internalError(causeOf(thrown));
}

/** What was thrown, as a cause: whoever throws `undefined` is reported too. */
export function causeOf(thrown: unknown): unknown {
  return thrown === undefined ? new Error('Something threw undefined') : thrown;
}

// 401, 403: who is asking.

const AUTHENTICATE = { 'www-authenticate': 'Bearer realm="OpenAI API"' };

export const missingKey = (): GatewayError =>
  new GatewayError({
    status: 401,
    message:
      "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or in an x-api-key header.",
    shouldRetry: false,
    headers: AUTHENTICATE,
  });

/** One answer for malformed, unknown, expired and revoked keys. @param secret echoed masked, as OpenAI does. */
export const wrongKey = (secret: string): GatewayError =>
  new GatewayError({
    status: 401,
    message: `Incorrect API key provided: ${maskSecret(secret)}.`,
    code: 'invalid_api_key',
    shouldRetry: false,
    headers: AUTHENTICATE,
  });

export const modelNotAllowed = (model: string): GatewayError =>
  new GatewayError({
    status: 403,
    message: `This API key does not have access to model \`${model}\`.`,
    code: 'model_not_found',
    shouldRetry: false,
  });

// 404, 405: what is asked for.

export const unknownUrl = (method: string, path: string): GatewayError =>
  new GatewayError({ status: 404, message: `Invalid URL (${method} ${path})`, shouldRetry: false });

export const methodNotAllowed = (method: string, path: string, allow: string): GatewayError =>
  new GatewayError({
    status: 405,
    message: `Not allowed to ${method} on ${path}. (HINT: Perhaps you meant to use a different HTTP method?)`,
    shouldRetry: false,
    headers: { allow },
  });

/** An unknown model in the body of a call. */
export const modelNotFound = (model: string): GatewayError =>
  new GatewayError({
    status: 404,
    message: `The model \`${model}\` does not exist or you do not have access to it.`,
    code: 'model_not_found',
    shouldRetry: false,
  });

/** An unknown model in the path of `GET /v1/models/{id}`, where OpenAI words it differently. */
export const modelIdNotFound = (model: string): GatewayError =>
  new GatewayError({
    status: 404,
    message: `The model '${model}' does not exist`,
    code: 'model_not_found',
    param: 'model',
    shouldRetry: false,
  });

// 429: too much at once.

/** `requests` and `tokens` refill; `concurrency` frees up when a running call ends. */
export const rateLimited = (
  kind: 'requests' | 'tokens' | 'concurrency',
  message: string,
  retryAfterMs: number,
): GatewayError =>
  new GatewayError({
    status: 429,
    message,
    type: kind,
    code: 'rate_limit_exceeded',
    retryAfterMs,
    shouldRetry: true,
  });

/** One call larger than the whole limit: waiting cannot help. */
export const requestExceedsLimit = (kind: 'requests' | 'tokens', message: string): GatewayError =>
  new GatewayError({ status: 429, message, type: kind, code: 'request_exceeds_limit', shouldRetry: false });

// 5xx: ourselves and the upstream.

/** A bug or a failing part of the host. The client learns nothing but the request id. */
export const internalError = (cause: unknown): GatewayError =>
  new GatewayError({
    status: 500,
    message: 'The server had an error while processing your request. Sorry about that!',
    code: 'internal_error',
    shouldRetry: false,
    cause,
  });

export const upstreamError = (message: string, cause?: unknown): GatewayError =>
  new GatewayError({ status: 502, message, code: 'upstream_error', cause });

export const upstreamBadResponse = (message: string, cause?: unknown): GatewayError =>
  new GatewayError({ status: 502, message, code: 'upstream_bad_response', shouldRetry: false, cause });

export const upstreamTimeout = (cause?: unknown): GatewayError =>
  new GatewayError({
    status: 504,
    message: 'The upstream did not answer in time.',
    code: 'upstream_timeout',
    shouldRetry: true,
    cause,
  });

/** The upstream broke off in the middle of a stream. */
export const upstreamInterrupted = (cause?: unknown): GatewayError =>
  new GatewayError({
    status: 502,
    message: 'The upstream broke off before the answer was complete.',
    code: 'upstream_stream_interrupted',
    cause,
  });

/** The upstream fell silent in the middle of a stream, or took too long for all of it. */
export const upstreamStalled = (cause?: unknown): GatewayError =>
  new GatewayError({
    status: 504,
    message: 'The upstream did not complete the answer in time.',
    code: 'upstream_stall',
    cause,
  });

/** A part that the gateway cannot work without is unavailable; try again shortly. */
export const unavailable = (
  code:
    | 'overloaded'
    | 'keys_unavailable'
    | 'limiter_unavailable'
    | 'ledger_unavailable'
    | 'objects_unavailable'
    | 'idempotency_unavailable'
    | 'upstream_unavailable',
  message: string,
  cause?: unknown,
): GatewayError => new GatewayError({ status: 503, message, code, retryAfterMs: 1_000, shouldRetry: true, cause });

export const shuttingDown = (): GatewayError =>
  new GatewayError({
    status: 503,
    message: 'The server is shutting down. Please retry.',
    code: 'shutting_down',
    retryAfterMs: 1_000,
    shouldRetry: true,
  });

/** First 8 and last 4 characters, a `*` for each hidden one; short or odd secrets are hidden whole. */
function maskSecret(secret: string): string {
  if (!/^[\x21-\x7e]{17,256}$/.test(secret)) return '****';
  return `${secret.slice(0, 8)}${'*'.repeat(secret.length - 12)}${secret.slice(-4)}`;
}
