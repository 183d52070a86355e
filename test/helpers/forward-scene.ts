import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { http, memoryKeys } from 'megallm-middleware';
import OpenAI, { type ClientOptions } from 'openai';
import { SECRET, type Setup, type SetupOptions, testSetup } from './gateway-options.js';
import { BARE_HOST, HOSTS, type HostKind, type RunningHost } from './hosts.js';
import { type Answer, type HttpUpstream, httpUpstream } from './http-upstream.js';
import { UPSTREAM_KEY } from './scene.js';

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
export interface ForwardScene<U extends HttpUpstream = HttpUpstream> {
  readonly host: RunningHost;
  readonly upstream: U;
  readonly setup: Setup;
  client(secret?: string, options?: ClientOptions): OpenAI;
  /** `fetch` below `/v1`, with the key `SECRET` unless told otherwise. */
  ask(path: string, init?: RequestInit & { readonly secret?: string }): Promise<Response>;
}

export interface ForwardOptions<U extends HttpUpstream> extends Omit<SetupOptions, 'upstream'> {
  readonly start: () => Promise<U>;
}

/** Runs `play`; afterwards everything must be given back, and nothing may have reached the host's error handling. */
export async function withForwards<U extends HttpUpstream>(
  kind: HostKind,
  { start, ...setupOptions }: ForwardOptions<U>,
  play: (scene: ForwardScene<U>) => Promise<void>,
): Promise<void> {
  const upstream = await start();
  const setup = testSetup({ upstream: http({ baseUrl: upstream.baseUrl, apiKey: UPSTREAM_KEY }), ...setupOptions });
  const host = await kind.start(setup.options);
  try {
    await play({
      host,
      upstream,
      setup,
      client: (apiKey = SECRET, options = {}) =>
        new OpenAI({ baseURL: host.baseUrl, apiKey, maxRetries: 0, ...options }),
      ask: (path, { secret = SECRET, ...init } = {}) =>
        fetch(host.baseUrl + path, { ...init, headers: { authorization: `Bearer ${secret}`, ...init.headers } }),
    });
    await setup.finish();
    assert.deepEqual(host.hostErrors, [], 'no error reached the application');
  } finally {
    await host.close();
    await upstream.close();
  }
}

/** A scene whose upstream answers so. */
export const answering = (answer: Answer) => ({ start: () => httpUpstream(answer) });

export function forwardsOnEveryHost<U extends HttpUpstream>(
  promise: string,
  given: () => ForwardOptions<U>,
  play: (scene: ForwardScene<U>) => Promise<void>,
): void {
  describe(promise, () => {
    for (const kind of HOSTS) it(`in ${kind.name}`, { timeout: 30_000 }, () => withForwards(kind, given(), play));
  });
}

export function forwardsOnBareHost<U extends HttpUpstream>(
  promise: string,
  given: () => ForwardOptions<U>,
  play: (scene: ForwardScene<U>) => Promise<void>,
): void {
  it(promise, { timeout: 60_000 }, () => withForwards(BARE_HOST, given(), play));
}
