import { hash, timingSafeEqual } from 'node:crypto';
import { GatewayError, methodNotAllowed, unknownUrl } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import type { Environment } from '../../config/environment.js';
import type { Config } from '../../config/options.js';
import type { GatewayRequest } from '../../http/exchange.js';
import { queryOf } from '../../http/url.js';
import type { AdminAction } from '../routes.js';
import { reportOrganization } from './usage.js';

/** How administrators of the host are known. */
export interface AdminOptions {
  /** At least 32 characters that nobody can guess, such as `openssl rand -hex 32` prints. Opens the admin routes and nothing else. */
  readonly secret: string;
}

const EXPECTED = 'to be a random text of at least 32 printable characters, such as `openssl rand -hex 32` prints';
const WELL_FORMED = /^[\x21-\x7e]{32,256}$/;
/** What stands in examples and is forgotten there. */
const PLACEHOLDER =
  /change.?me|replace.?me|placeholder|your.?\w*.?(?:secret|key|token)|example|default|password|sk-1234/i;
const SEQUENCE = /0123456789|1234567890|abcdefghij/i;
/** A short text again and again. */
const REPETITION = /^(.{1,16}?)\1+.{0,15}$/;
const LEAST_CHARACTERS = 8;

/**
 * What the admin's secret is known by: its SHA-256; `undefined`: there is none, and no admin route.
 * @throws {TypeError} for a secret that can be guessed, or that is a key too. It is not repeated.
 */
export function checkedAdmin(
  admin: AdminOptions | undefined,
  { adminSecret, keys }: Pick<Environment, 'adminSecret' | 'keys'>,
): Buffer | undefined {
  if (admin === undefined && adminSecret === undefined) return undefined;
  const secretHash =
    admin === undefined ? hashed('MEGALLM_ADMIN_SECRET', adminSecret) : hashed('admin.secret', admin?.secret);
  if (keys.some(({ secret }) => hash('sha256', secret, 'buffer').equals(secretHash))) {
    throw new TypeError('Expected the admin secret to be none of MEGALLM_KEYS');
  }
  return secretHash;
}

function hashed(name: string, secret: unknown): Buffer {
  if (typeof secret !== 'string' || !WELL_FORMED.test(secret) || isPlaceholder(secret)) {
    throw new TypeError(`Expected \`${name}\` ${EXPECTED}; what is given can be guessed`);
  }
  return hash('sha256', secret, 'buffer');
}

function isPlaceholder(secret: string): boolean {
  const isPattern = [PLACEHOLDER, SEQUENCE, REPETITION].some((pattern) => pattern.test(secret));
  return isPattern || new Set(secret).size < LEAST_CHARACTERS;
}

/**
 * Answers an admin route. Nothing of the request but its credential is looked at before that is known to be right.
 * @throws {GatewayError} 404 while there is no secret, 401, 405, or what is wrong with the query.
 */
export async function answerAdmin(
  { method, url, headers }: GatewayRequest,
  config: Config,
  { action, path }: { readonly action: AdminAction; readonly path: string },
): Promise<JsonObject> {
  if (config.admin === undefined) throw unknownUrl(method, `/v1${path}`);
  if (!isAdmin(headers.authorization, config.admin)) throw notAdmin();
  if (method !== 'GET') throw methodNotAllowed(method, `/v1${path}`, 'GET');
  return reportOrganization(action, config, queryOf(url));
}

function isAdmin(authorization: string | string[] | undefined, secretHash: Buffer): boolean {
  if (typeof authorization !== 'string' || !/^bearer +/i.test(authorization)) return false;
  const secret = authorization.slice('bearer '.length).trim();
  return timingSafeEqual(hash('sha256', secret, 'buffer'), secretHash);
}

/** One answer, whatever was sent. */
function notAdmin(): GatewayError {
  return new GatewayError({
    status: 401,
    message:
      'You need to provide the admin secret in an Authorization header using Bearer auth. API keys do not open this.',
    code: 'invalid_api_key',
    shouldRetry: false,
    headers: { 'www-authenticate': 'Bearer realm="OpenAI API"' },
  });
}
