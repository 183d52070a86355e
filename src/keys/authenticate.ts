import { type Awaitable, guarded, isPending } from '../base/awaitable.js';
import type { Clock } from '../base/clock.js';
import { causeOf, GatewayError, unavailable } from '../base/errors.js';
import type { GatewayRequest } from '../http/exchange.js';
import { invalidRequest } from '../wire/request-errors.js';
import type { ApiKey, Identify, KeyStore } from './key-store.js';
import { hashSecret, isWellFormedSecret } from './secret.js';

const BEARER = /^bearer +/i;
const AUTHENTICATE = { 'www-authenticate': 'Bearer realm="OpenAI API"' };

export interface AuthenticateOptions {
  readonly keys: KeyStore;
  readonly identify: Identify | undefined;
  readonly clock: Clock;
}

/**
 * Finds the key of a request. Only the hash of its secret is given to the key store.
 * @throws {GatewayError} 401; the same for malformed, unknown, expired and revoked keys. 400 for two different secrets.
 * 503 when the store fails.
 */
export function authenticate(request: GatewayRequest, options: AuthenticateOptions): Awaitable<ApiKey> {
  return options.identify === undefined ? bySecret(request, options) : byHost(options.identify, request, options);
}

/** Asks the host first, and the key store about whom the host does not know. */
async function byHost(identify: Identify, request: GatewayRequest, options: AuthenticateOptions): Promise<ApiKey> {
  const identifying = identify(request);
  const identified = isPending(identifying) ? await identifying : identifying;
  // Hosts without types say `null` for nobody.
  if (identified !== undefined && identified !== null && !isExpired(identified, options.clock)) return identified;
  return bySecret(request, options);
}

/** Finds the key of the presented secret, without a promise where the store knows it at once. */
function bySecret({ headers }: GatewayRequest, { keys, clock }: AuthenticateOptions): Awaitable<ApiKey> {
  const secret = presentedSecret(headers);
  if (secret === undefined) throw missingKey();
  if (!isWellFormedSecret(secret)) throw wrongKey(secret);
  const finding = guarded(() => keys.find(hashSecret(secret)), storeFailure);
  return isPending(finding) ? later(finding, secret, clock) : checked(finding, secret, clock);
}

async function later(finding: PromiseLike<ApiKey | undefined>, secret: string, clock: Clock): Promise<ApiKey> {
  return checked(await finding, secret, clock);
}

function checked(key: ApiKey | undefined, secret: string, clock: Clock): ApiKey {
  // Stores without types say `null` for none.
  if (key === undefined || key === null || isExpired(key, clock)) throw wrongKey(secret);
  return key;
}

/** `Authorization: Bearer` or `x-api-key`; never the URL, which ends up in logs. */
function presentedSecret(headers: GatewayRequest['headers']): string | undefined {
  const authorization = single(headers.authorization);
  const isBearer = authorization !== undefined && BEARER.test(authorization);
  const bearer = isBearer ? authorization.slice('bearer '.length).trim() || undefined : undefined;
  const header = single(headers['x-api-key'])?.trim();
  if (bearer !== undefined && header !== undefined && bearer !== header) {
    throw invalidRequest('Two different API keys were sent. Send one, in the Authorization or the x-api-key header.');
  }
  return bearer ?? header;
}

function single(value: string | string[] | undefined): string | undefined {
  const first = Array.isArray(value) ? value[0] : value;
  return first === '' ? undefined : first;
}

function storeFailure(error: unknown): never {
  if (error instanceof GatewayError) throw error;
  throw unavailable('keys_unavailable', 'API keys cannot be checked right now. Please retry.', causeOf(error));
}

/** @throws {GatewayError} 401 for a key that is refused by now. */
export function checkExpiry(key: ApiKey, clock: Clock): void {
  if (isExpired(key, clock)) throw wrongKey('');
}

function isExpired(key: ApiKey, clock: Clock): boolean {
  return key.expiresAt !== undefined && key.expiresAt <= clock.wallMs();
}

function missingKey(): GatewayError {
  return new GatewayError({
    status: 401,
    message:
      "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or in an x-api-key header.",
    shouldRetry: false,
    headers: AUTHENTICATE,
  });
}

/** The one answer to malformed, unknown, expired and revoked keys. @param secret is echoed masked, as by OpenAI. */
export function wrongKey(secret: string): GatewayError {
  return new GatewayError({
    status: 401,
    message: `Incorrect API key provided: ${maskSecret(secret)}.`,
    code: 'invalid_api_key',
    shouldRetry: false,
    headers: AUTHENTICATE,
  });
}

/** First 8 and last 4 characters, a `*` for each hidden one; short or odd secrets are hidden whole. */
function maskSecret(secret: string): string {
  if (!/^[\x21-\x7e]{17,256}$/.test(secret)) return '****';
  return `${secret.slice(0, 8)}${'*'.repeat(secret.length - 12)}${secret.slice(-4)}`;
}
