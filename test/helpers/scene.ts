import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HttpOptions } from 'megallm-middleware';
import OpenAI, { type ClientOptions } from 'openai';
import { reply, wholeChat } from './chat-answers.js';
import { SECRET, type Setup, type SetupOptions, testSetup } from './gateway-options.js';
import { BARE_HOST, HOSTS, type HostKind, type RunningHost } from './hosts.js';
import { type Script, type ScriptedUpstream, scriptedUpstream } from './scripted-upstream.js';
import { httpOver } from './transports.js';

/** The upstream's key; nobody but the upstream may ever see it. */
export const UPSTREAM_KEY = 'sk-upstream-canary-4711';

/** An upstream that was started for a scene. */
interface StartedUpstream {
  readonly baseUrl: string;
  close(): Promise<void>;
}

export interface HostedOptions<U extends StartedUpstream> extends SetupOptions {
  readonly start: () => Promise<U>;
  /** Further settings of `http`. */
  readonly http?: Partial<HttpOptions>;
}

/** A host with a gateway in it, and an upstream behind that. */
export interface Hosted<U extends StartedUpstream> {
  readonly host: RunningHost;
  readonly upstream: U;
  readonly setup: Setup;
}

/** Runs `play`; afterwards everything must be given back, and nothing may have reached the host's error handling. */
export async function withHost<U extends StartedUpstream>(
  kind: HostKind,
  { start, http: httpOptions, ...setupOptions }: HostedOptions<U>,
  play: (hosted: Hosted<U>) => Promise<void>,
): Promise<void> {
  const upstream = await start();
  const setup = testSetup({
    upstream: httpOver({ baseUrl: upstream.baseUrl, apiKey: UPSTREAM_KEY, ...httpOptions }),
    ...setupOptions,
  });
  const host = await kind.start(setup.options);
  try {
    await play({ host, upstream, setup });
    await setup.finish();
    assert.deepEqual(host.hostErrors, [], 'no error reached the application');
  } finally {
    await host.close();
    await upstream.close();
  }
}

/** An official client that does not retry, with the key `SECRET`, unless told otherwise. */
export function clientOf({ baseUrl }: RunningHost, options?: ClientOptions): OpenAI {
  return new OpenAI({ baseURL: baseUrl, apiKey: SECRET, maxRetries: 0, ...options });
}

/** One promise, kept by every kind of host. */
export function inEveryHost(promise: string, keep: (kind: HostKind) => Promise<void>): void {
  describe(promise, () => {
    for (const kind of HOSTS) it(`in ${kind.name}`, { timeout: 30_000 }, () => keep(kind));
  });
}

/** One promise of the core, kept where nothing stands between us and the socket. */
export function inBareHost(promise: string, keep: (kind: HostKind) => Promise<void>): void {
  it(promise, { timeout: 60_000 }, () => keep(BARE_HOST));
}

export interface SceneOptions extends Omit<HostedOptions<ScriptedUpstream>, 'start'> {
  /** @default a short whole answer */
  readonly script?: Script;
}

/** A client, a host with a gateway in it, and an upstream that does what it is told. */
export interface Scene extends Hosted<ScriptedUpstream> {
  /** As `clientOf`. */
  client(options?: ClientOptions): OpenAI;
}

/** `withHost`, for a scene. */
export function withScene(
  kind: HostKind,
  { script = () => reply(wholeChat('Hello')), ...options }: SceneOptions,
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
  return withHost(kind, { ...options, start: () => scriptedUpstream(script) }, (hosted) =>
    play({ ...hosted, client: (given) => clientOf(hosted.host, given) }),
  );
}

/** `inEveryHost`, in a scene whose options are made anew for each. */
export function onEveryHost(promise: string, given: () => SceneOptions, play: (scene: Scene) => Promise<void>): void {
  inEveryHost(promise, (kind) => withScene(kind, given(), play));
}

/** `inBareHost`, in a scene. */
export function onBareHost(promise: string, given: () => SceneOptions, play: (scene: Scene) => Promise<void>): void {
  inBareHost(promise, (kind) => withScene(kind, given(), play));
}

export const MODEL = 'gpt-4o-mini';
export const MESSAGES = [{ role: 'user' as const, content: 'Say hello' }];
/** The least that a chat completion needs. */
export const CALL = { model: MODEL, messages: MESSAGES };
