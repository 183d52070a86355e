import { hash, timingSafeEqual } from 'node:crypto';
import { GatewayError, unknownUrl } from '../../base/errors.js';
import type { Exchange } from '../../call/exchange.js';
import { pathOf } from '../../http/url.js';

/**
 * Lets only the admin pass. Nothing of the request but its credential is looked at before that is known to be right.
 * @throws {GatewayError} 404 while there is no secret, 401.
 */
export function checkAdmin({ request, path, state }: Exchange): void {
  const { admin } = state.config;
  if (admin === undefined) throw unknownUrl(request.method, `/v1${pathOf(path)}`);
  if (!isAdmin(request.headers.authorization, admin)) throw notAdmin();
}

/** Whether a request bears the admin's secret. */
export function bearsAdminSecret({ request, state }: Exchange): boolean {
  const { admin } = state.config;
  return admin !== undefined && isAdmin(request.headers.authorization, admin);
}

function isAdmin(authorization: string | string[] | undefined, secretHash: Buffer): boolean {
  if (typeof authorization !== 'string' || !/^bearer +/i.test(authorization)) return false;
  const secret = authorization.slice('bearer '.length).trim();
  return timingSafeEqual(hash('sha256', secret, 'buffer'), secretHash);
}

/** The one answer to every other credential. */
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
