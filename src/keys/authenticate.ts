import { type Awaitable, guarded, whenReady } from '../base/awaitable.js';
import type { Clock } from '../base/clock.js';
import { causeOf, GatewayError, missingKey, unavailable, wrongKey } from '../base/errors.js';
import type { GatewayRequest } from '../http/exchange.js';
import { invalidRequest } from '../wire/request-errors.js';
import type { ApiKey, KeyStore } from './key-store.js';
import { hashSecret, isWellFormedSecret } from './secret.js';

/** Maps the host's own user to a key; `undefined` sends the request on to the key store. */
export type Identify = (request: GatewayRequest) => Awaitable<ApiKey | undefined>;

export interface AuthenticateOptions {
  readonly keys: KeyStore;
  readonly identify: Identify | undefined;
  readonly clock: Clock;
}

/**
 * Who is asking. The secret goes no further than this file.
 * @throws {GatewayError} 401; the same for malformed, unknown, expired and revoked keys. 400 for two different secrets.
 * 503 when the store fails.
 */
export function authenticate(request: GatewayRequest, options: AuthenticateOptions): Awaitable<ApiKey> {
  if (options.identify === undefined) return findBySecret(request, options);
  return whenReady(options.identify(request), (identified) => {
    // Hosts without types say `null` for nobody.
    const isSomebody = identified !== undefined && identified !== null && !isExpired(identified, options.clock);
    return isSomebody ? identified : findBySecret(request, options);
  });
}

function findBySecret({ headers }: GatewayRequest, { keys, clock }: AuthenticateOptions): Awaitable<ApiKey> {
  const secret = presentedSecret(headers);
  if (secret === undefined) throw missingKey();
  if (!isWellFormedSecret(secret)) throw wrongKey(secret);
  const found = guarded(() => keys.find(hashSecret(secret)), storeFailure);
  return whenReady(found, (key) => {
    if (key === undefined || key === null || isExpired(key, clock)) throw wrongKey(secret);
    return key;
  });
}

/** `Authorization: Bearer` or `x-api-key`; never the URL, which ends up in logs. */
function presentedSecret(headers: GatewayRequest['headers']): string | undefined {
  const bearer = bearerSecret(single(headers.authorization));
  const header = single(headers['x-api-key'])?.trim();
  if (bearer !== undefined && header !== undefined && bearer !== header) {
    throw invalidRequest('Two different API keys were sent. Send one, in the Authorization or the x-api-key header.');
  }
  return bearer ?? header;
}

function bearerSecret(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined;
  const secret = /^bearer +/i.test(authorization) ? authorization.slice('bearer '.length).trim() : '';
  return secret === '' ? undefined : secret;
}

function single(value: string | string[] | undefined): string | undefined {
  const first = Array.isArray(value) ? value[0] : value;
  return first === '' ? undefined : first;
}

function storeFailure(error: unknown): never {
  if (error instanceof GatewayError) throw error;
  throw unavailable('keys_unavailable', 'API keys cannot be checked right now. Please retry.', causeOf(error));
}

function isExpired(key: ApiKey, clock: Clock): boolean {
  return key.expiresAt !== undefined && key.expiresAt <= clock.wallMs();
}
