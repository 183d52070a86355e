import { type Awaitable, isPending } from '../base/awaitable.js';
import type { Clock } from '../base/clock.js';
import { causeOf, GatewayError, unavailable } from '../base/errors.js';
import type { GatewayRequest } from '../http/exchange.js';
import { invalidRequest } from '../wire/request-errors.js';
import type { CheckKey } from './check-key.js';
import type { ApiKey, Identify, KeyStore } from './key-store.js';
import { hashSecret, isWellFormedSecret } from './secret.js';

const BEARER = /^bearer +/i;
const BASIC = /^basic +/i;
const AUTHENTICATE = { 'www-authenticate': 'Bearer realm="OpenAI API"' };

export interface AuthenticateOptions {
  readonly keys: KeyStore;
  readonly identify: Identify | undefined;
  readonly checkKey: CheckKey;
  readonly clock: Clock;
}

/**
 * Finds the key of a request. Only the hash of its secret is given to the key store.
 * @throws {GatewayError} 401; the same for malformed, unknown, expired and revoked keys. 400 for two different secrets.
 * 503 when the store fails, 500 for a key that cannot be one.
 */
export function authenticate(request: GatewayRequest, options: AuthenticateOptions): Awaitable<ApiKey> {
  return options.identify === undefined ? bySecret(request, options) : byHost(options.identify, request, options);
}

/** Asks the host first, and the key store about whom the host does not know. */
async function byHost(identify: Identify, request: GatewayRequest, options: AuthenticateOptions): Promise<ApiKey> {
  const identifying = identify(request);
  const identified = options.checkKey('identify', isPending(identifying) ? await identifying : identifying);
  if (identified !== undefined && !isExpired(identified, options.clock)) return identified;
  return bySecret(request, options);
}

/** Finds the key of the presented secret, without a promise where the store knows it at once. */
function bySecret({ headers }: GatewayRequest, options: AuthenticateOptions): Awaitable<ApiKey> {
  const secret = presentedSecret(headers);
  if (secret === undefined) throw missingKey();
  if (!isWellFormedSecret(secret)) throw wrongKey(secret);
  let finding: Awaitable<unknown>;
  try {
    finding = options.keys.find(hashSecret(secret));
  } catch (error) {
    storeFailure(error);
  }
  return isPending(finding) ? later(finding, secret, options) : checked(finding, secret, options);
}

async function later(finding: PromiseLike<unknown>, secret: string, options: AuthenticateOptions): Promise<ApiKey> {
  // A host's thenable may call what it is given without looking: a true promise stands between.
  const found = await Promise.resolve(finding).then(undefined, storeFailure);
  return checked(found, secret, options);
}

function checked(found: unknown, secret: string, { checkKey, clock }: AuthenticateOptions): ApiKey {
  const key = checkKey('keys.find', found);
  if (key === undefined || isExpired(key, clock)) throw wrongKey(secret);
  return key;
}

/**
 * `Authorization`, `x-api-key` or `api-key`; never the URL, which ends up in logs.
 * @throws {GatewayError} 400 for two that differ: what a proxy in front has checked may be the other one.
 */
function presentedSecret(headers: GatewayRequest['headers']): string | undefined {
  const authorization = only(headers.authorization, secretOf);
  const ours = only(headers['x-api-key'], trimmed);
  const azures = only(headers['api-key'], trimmed);
  const secret = authorization ?? ours ?? azures;
  if ((ours ?? secret) !== secret || (azures ?? secret) !== secret) throw differentSecrets();
  return secret;
}

/** The one secret of a header. @throws {GatewayError} 400 for two that differ. */
function only(value: string | string[] | undefined, read: (value: string) => string | undefined): string | undefined {
  if (value === undefined || typeof value === 'string') return value === undefined ? undefined : read(value);
  let secret: string | undefined;
  for (const one of value) {
    const presented = read(one);
    if (secret !== undefined && presented !== undefined && presented !== secret) throw differentSecrets();
    secret ??= presented;
  }
  return secret;
}

function trimmed(value: string): string | undefined {
  return value.trim() || undefined;
}

/** The secret of an `Authorization` header: what follows `Bearer`, or the password of `Basic`, as OpenAI takes it. */
function secretOf(authorization: string): string | undefined {
  if (BEARER.test(authorization)) return authorization.slice('bearer '.length).trim() || undefined;
  if (!BASIC.test(authorization)) return undefined;
  const pair = Buffer.from(authorization.slice('basic '.length).trim(), 'base64').toString();
  const colon = pair.indexOf(':');
  // Without a password, some clients put the key where the user's name goes.
  return pair.slice(colon + 1) || pair.slice(0, Math.max(0, colon)) || undefined;
}

function differentSecrets(): GatewayError {
  return invalidRequest(
    'Two different API keys were sent. Send one, in the Authorization, the x-api-key or the api-key header.',
  );
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
  // `null` is as good as absent.
  return typeof key.expiresAt === 'number' && key.expiresAt <= clock.wallMs();
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
