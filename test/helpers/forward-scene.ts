import { memoryKeys } from 'megallm-middleware';
import type OpenAI from 'openai';
import type { ClientOptions } from 'openai';
import { SECRET } from './gateway-options.js';
import type { HostKind } from './hosts.js';
import { type Answer, type HttpUpstream, httpUpstream } from './http-upstream.js';
import { clientOf, type Hosted, type HostedOptions, inBareHost, inEveryHost, withHost } from './scene.js';

/** Secrets by who they are: two keys of one owner, one of another, and one that stands alone. */
export const SECRETS = {
  ann: 'ann-secret-0123456789',
  annToo: 'ann-too-secret-0123456789',
  bob: 'bob-secret-0123456789',
  lone: 'lone-secret-0123456789',
} as const;

/** The keys of `SECRETS`, and that of `SECRET`. */
export const ownersKeys = () =>
  memoryKeys([
    { secret: SECRET, id: 'key_test', tier: 'open' },
    { secret: SECRETS.ann, id: 'key_ann', owner: 'ann', tier: 'open' },
    { secret: SECRETS.annToo, id: 'key_ann_too', owner: 'ann', tier: 'open' },
    { secret: SECRETS.bob, id: 'key_bob', owner: 'bob', tier: 'open' },
    { secret: SECRETS.lone, id: 'ann', tier: 'open' },
  ]);

/** A client, a host with a gateway in it, and an HTTP upstream. */
export interface ForwardScene<U extends HttpUpstream = HttpUpstream> extends Hosted<U> {
  client(secret?: string, options?: ClientOptions): OpenAI;
  /** `fetch` below `/v1`, with the key `SECRET` unless told otherwise. */
  ask(path: string, init?: RequestInit & { readonly secret?: string }): Promise<Response>;
}

/** `withHost`, for a scene of requests that are passed on. */
export function withForwards<U extends HttpUpstream>(
  kind: HostKind,
  options: HostedOptions<U>,
  play: (scene: ForwardScene<U>) => Promise<void>,
): Promise<void> {
  return withHost(kind, options, (hosted) =>
    play({
      ...hosted,
      client: (apiKey = SECRET, given = {}) => clientOf(hosted.host, { apiKey, ...given }),
      ask: (path, { secret = SECRET, ...init } = {}) =>
        fetch(hosted.host.baseUrl + path, { ...init, headers: { authorization: `Bearer ${secret}`, ...init.headers } }),
    }),
  );
}

/** A scene whose upstream answers so. */
export const answering = (answer: Answer) => ({ start: () => httpUpstream(answer) });

/** `inEveryHost`, in a scene whose options are made anew for each. */
export function forwardsOnEveryHost<U extends HttpUpstream>(
  promise: string,
  given: () => HostedOptions<U>,
  play: (scene: ForwardScene<U>) => Promise<void>,
): void {
  inEveryHost(promise, (kind) => withForwards(kind, given(), play));
}

/** `inBareHost`, in such a scene. */
export function forwardsOnBareHost<U extends HttpUpstream>(
  promise: string,
  given: () => HostedOptions<U>,
  play: (scene: ForwardScene<U>) => Promise<void>,
): void {
  inBareHost(promise, (kind) => withForwards(kind, given(), play));
}
