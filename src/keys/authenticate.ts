import type { Clock } from '../clock.js';
import { causeOf, GatewayError, missingKey, unavailable, wrongKey } from '../errors.js';
import type { GatewayRequest } from '../http/exchange.js';
import { invalidRequest } from '../request-errors.js';
import type { ApiKey, KeyStore } from './key-store.js';
import { hashSecret, isWellFormedSecret } from './secret.js';

/** Maps the host's own user to a key; `undefined` sends the request on to the key store. */
export type Identify = (request: GatewayRequest) => ApiKey | undefined | Promise<ApiKey | undefined>;

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
export async function authenticate(request: GatewayRequest, options: AuthenticateOptions): Promise<ApiKey> {
  // Hosts without types say `null` for nobody.
  const identified = (await options.identify?.(request)) ?? undefined;
  if (identified !== undefined && !isExpired(identified, options.clock)) return identified;
  const secret = presentedSecret(request.headers);
  if (secret === undefined) throw missingKey();
  const key = isWellFormedSecret(secret) ? await find(options.keys, hashSecret(secret)) : undefined;
  if (key === undefined || isExpired(key, options.clock)) throw wrongKey(secret);
  return key;
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

async function find(keys: KeyStore, hash: string): Promise<ApiKey | undefined> {
  try {
    return (await keys.find(hash)) ?? undefined;
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw unavailable('keys_unavailable', 'API keys cannot be checked right now. Please retry.', causeOf(error));
  }
}

function isExpired(key: ApiKey, clock: Clock): boolean {
  return key.expiresAt !== undefined && key.expiresAt <= clock.wallMs();
}
