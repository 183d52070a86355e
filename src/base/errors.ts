import { memberOf } from './checks.js';

/** Fields of a `GatewayError`; all but `status` and `message` have OpenAI's usual value by default. */
export interface GatewayErrorFields {
  /** HTTP status, 400 to 599. */
  readonly status: number;
  /** One sentence for the person behind the client. Never a secret, address or stack. */
  readonly message: string;
  /** @default 'invalid_request_error' below 500, 'server_error' from 500 */
  readonly type?: string | undefined;
  /** Machine-readable reason. @default null */
  readonly code?: string | null | undefined;
  /** Path of the offending field, such as `messages[0].content`. @default null */
  readonly param?: string | null | undefined;
  /** Sent as `retry-after` (whole seconds, at least 1) and `retry-after-ms`. Absent: neither is sent. */
  readonly retryAfterMs?: number | undefined;
  /** Sent as `x-should-retry`, which OpenAI's SDKs obey over their own rules. Absent: not sent. */
  readonly shouldRetry?: boolean | undefined;
  /** Further response headers, such as `allow`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The underlying error, for `hooks.onError` only. */
  readonly cause?: unknown;
}

/** An answer to the client in OpenAI's error shape. Throw it anywhere in the pipeline, upstreams included. */
export class GatewayError extends Error {
  /** Told by shape: the package may be loaded twice, as an ES module and as CommonJS, and has then two of this class. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: a subclass inherits this, and its instances are told as usual.
    return this === GatewayError ? hasErrorShape(value) : super[Symbol.hasInstance](value);
  }

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

function hasErrorShape(value: unknown): boolean {
  const status = memberOf(value, 'status');
  return (
    memberOf(value, 'name') === 'GatewayError' &&
    typeof status === 'number' &&
    status >= 400 &&
    status <= 599 &&
    typeof memberOf(value, 'message') === 'string' &&
    typeof memberOf(value, 'type') === 'string' &&
    typeof memberOf(value, 'headers') === 'object' &&
    memberOf(value, 'headers') !== null
  );
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

/** Codes of our own that say more than OpenAI's, which clients look for. */
const SHOWN_CODES: ReadonlyMap<string | null, string> = new Map([['request_exceeds_limit', 'rate_limit_exceeded']]);

/** The code that the client sees; hooks and records have the error's own. */
export const shownCode = ({ code }: GatewayError): string | null => SHOWN_CODES.get(code) ?? code;

/** The JSON body of an error, for answers and for stream events alike. */
export function errorBody(error: GatewayError): ErrorBody {
  return { error: { message: error.message, type: error.type, param: error.param, code: shownCode(error) } };
}

/** Turns anything thrown into an answer that gives nothing away: all but a `GatewayError` becomes a bare 500. */
export function toGatewayError(thrown: unknown): GatewayError {
  return thrown instanceof GatewayError ? thrown : internalError(causeOf(thrown));
}

/** Turns anything thrown into a cause. A thrown `undefined` is reported, too. */
export function causeOf(thrown: unknown): unknown {
  return thrown === undefined ? new Error('Something threw undefined') : thrown;
}

/** 404 for a path that no route has. */
export const unknownUrl = (method: string, path: string): GatewayError =>
  new GatewayError({ status: 404, message: `Invalid URL (${method} ${path})`, shouldRetry: false });

/** 405 for a path that has routes for other methods. @param allow those methods, separated by commas. */
export const methodNotAllowed = (method: string, path: string, allow: string): GatewayError =>
  new GatewayError({
    status: 405,
    message: `Not allowed to ${method} on ${path}. (HINT: Perhaps you meant to use a different HTTP method?)`,
    shouldRetry: false,
    headers: { allow },
  });

/** 408 for a body that took too long to arrive. */
export const requestTimeout = (): GatewayError =>
  new GatewayError({
    status: 408,
    message: 'The request body did not arrive in time.',
    code: 'request_timeout',
    shouldRetry: true,
  });

/** 409 for a repeated request whose first copy is still being answered. */
export const idempotencyConflict = (): GatewayError =>
  new GatewayError({
    status: 409,
    message: 'A request with this Idempotency-Key is still being answered. Please retry.',
    code: 'idempotency_conflict',
    retryAfterMs: 1_000,
    shouldRetry: true,
  });

/** 413 for a body above the configured maximum. */
export const bodyTooLarge = (maxBytes: number): GatewayError =>
  new GatewayError({
    status: 413,
    message: `Maximum content size limit (${maxBytes}) exceeded`,
    type: 'invalid_request_error',
    code: 'request_too_large',
    shouldRetry: false,
  });

/** 415 for a compressed body. */
export const unsupportedContentEncoding = (encoding: string): GatewayError =>
  new GatewayError({
    status: 415,
    message: `Unsupported content encoding: '${encoding}'. Please send the body without compression.`,
    code: 'unsupported_content_encoding',
    shouldRetry: false,
  });

/** 422 for an `Idempotency-Key` that was sent before with a different request. */
export const idempotencyKeyReused = (): GatewayError =>
  new GatewayError({
    status: 422,
    message: 'This Idempotency-Key was sent before, with another request. A new request needs a new key.',
    code: 'idempotency_key_reused',
    shouldRetry: false,
  });

/** 500 for an upload that the host's own parser consumed before we could pass it on. */
export const bodyReadByHost = (): GatewayError =>
  new GatewayError({
    status: 500,
    message:
      'A body parser of this server (such as multer) read the upload before megallm could pass it on. Mount megallm before that parser.',
    code: 'body_read_by_host',
    shouldRetry: false,
    cause: new Error('A multipart body was read before it reached megallm. Mount megallm before the parser.'),
  });

/** A bug or a failing part of the host. The client learns nothing but the request id. */
export const internalError = (cause: unknown): GatewayError =>
  new GatewayError({
    status: 500,
    message: 'The server had an error while processing your request. Sorry about that!',
    code: 'internal_error',
    shouldRetry: false,
    cause,
  });

/** 502 for an upstream that could not be reached, or that failed. */
export const upstreamError = (message: string, cause?: unknown): GatewayError =>
  new GatewayError({ status: 502, message, code: 'upstream_error', cause });

/** 502 for an answer of the upstream that makes no sense: sending the request again would not help. */
export const upstreamBadResponse = (message: string, cause?: unknown): GatewayError =>
  new GatewayError({ status: 502, message, code: 'upstream_bad_response', shouldRetry: false, cause });

/** 504 for an upstream that did not begin to answer in time. */
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

/** A part without which the gateway cannot work is unavailable; a later try may succeed. */
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

/** 503 for a gateway that is closing. */
export const shuttingDown = (): GatewayError =>
  new GatewayError({
    status: 503,
    message: 'The server is shutting down. Please retry.',
    code: 'shutting_down',
    retryAfterMs: 1_000,
    shouldRetry: true,
  });
