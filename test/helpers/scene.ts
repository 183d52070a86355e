import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { http } from 'megallm-middleware';
import OpenAI, { type ClientOptions } from 'openai';
import { reply, wholeChat } from './chat-answers.js';
import { SECRET, type Setup, type SetupOptions, testSetup } from './gateway-options.js';
import { BARE_HOST, HOSTS, type HostKind, type RunningHost } from './hosts.js';
import { type Script, type ScriptedUpstream, scriptedUpstream } from './scripted-upstream.js';

/** The upstream's key; nobody but the upstream may ever see it. */
export const UPSTREAM_KEY = 'sk-upstream-canary-4711';

export interface SceneOptions extends SetupOptions {
  /** @default a short whole answer */
  readonly script?: Script;
  /** Further settings of `http`. */
  readonly http?: Partial<Parameters<typeof http>[0]>;
}

/** A client, a host with a gateway in it, and an upstream that does what it is told. */
export interface Scene {
  readonly host: RunningHost;
  readonly upstream: ScriptedUpstream;
  readonly setup: Setup;
  /** An official client that does not retry, with the key `SECRET`, unless told otherwise. */
  client(options?: ClientOptions): OpenAI;
}

/** Runs `play` in a scene; afterwards everything must be given back, and nothing may have reached the host's error handling. */
export async function withScene(
  kind: HostKind,
  given: SceneOptions,
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
  const { script, http: httpOptions, ...setupOptions } = given;
  const upstream = await scriptedUpstream(script ?? (() => reply(wholeChat('Hello'))));
  const setup = testSetup({
    upstream: http({ baseUrl: upstream.baseUrl, apiKey: UPSTREAM_KEY, ...httpOptions }),
    ...setupOptions,
  });
  const host = await kind.start(setup.options);
  try {
    await play({
      host,
      upstream,
      setup,
      client: (options) => new OpenAI({ baseURL: host.baseUrl, apiKey: SECRET, maxRetries: 0, ...options }),
    });
    await setup.finish();
    assert.deepEqual(host.hostErrors, [], 'no error reached the application');
  } finally {
    await host.close();
    await upstream.close();
  }
}

/** One promise, kept by every kind of host. The scene's options are made anew for each. */
export function onEveryHost(promise: string, given: () => SceneOptions, play: (scene: Scene) => Promise<void>): void {
  describe(promise, () => {
    for (const kind of HOSTS) it(`in ${kind.name}`, { timeout: 30_000 }, () => withScene(kind, given(), play));
  });
}

/** One promise of the core, kept where nothing stands between us and the socket. */
export function onBareHost(promise: string, given: () => SceneOptions, play: (scene: Scene) => Promise<void>): void {
  it(promise, { timeout: 60_000 }, () => withScene(BARE_HOST, given(), play));
}

export const MODEL = 'gpt-4o-mini';
export const MESSAGES = [{ role: 'user' as const, content: 'Say hello' }];
/** The least that a chat completion needs. */
export const CALL = { model: MODEL, messages: MESSAGES };
