import { SECRET } from './gateway-options.js';
import type { Scene } from './scene.js';

/** A request to the gateway as it stands on the wire, for what the SDK would hide. `body`: posts it. */
export function ask(
  { host }: Scene,
  path: string,
  { method, body, secret = SECRET, signal }: AskOptions = {},
): Promise<Response> {
  return fetch(host.baseUrl + path, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  });
}

interface AskOptions {
  readonly method?: string;
  readonly body?: unknown;
  readonly secret?: string;
  readonly signal?: AbortSignal;
}
