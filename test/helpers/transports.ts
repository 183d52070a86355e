import { createRequire } from 'node:module';
import * as zlib from 'node:zlib';
import { type HttpOptions, http, type Upstream } from 'megallm-middleware';

/** Clients that `http()` can speak through: its own, and undici's of both versions. */
export type TransportName = 'own' | 'undici7' | 'undici8';

const require = createRequire(import.meta.url);
const LOADED = { undici7: (): Undici => require('undici'), undici8: (): Undici => require('undici8') };

/** Whether this Node runs undici 8, whose modules ask for zstd when they are loaded: Node 22.15 and later have it. */
const RUNS_UNDICI_8 = 'createZstdDecompress' in zlib;

/** Every transport that this Node runs. */
export const TRANSPORTS: readonly TransportName[] = RUNS_UNDICI_8 ? ['own', 'undici7', 'undici8'] : ['own', 'undici7'];

/** The transport of this process's tests, as test/run.mjs says: `own` where it says nothing. */
const CHOSEN_TRANSPORT = chosen(process.env.MEGALLM_TRANSPORT);

function chosen(name = 'own'): TransportName {
  const found = TRANSPORTS.find((transport) => transport === name);
  if (found === undefined) throw new TypeError(`Expected MEGALLM_TRANSPORT to be one of ${TRANSPORTS}, got ${name}`);
  return found;
}

/** The part of undici that makes a dispatcher. */
interface Undici {
  readonly Agent: new (options: {
    readonly pipelining: number;
    readonly connect: { readonly timeout: number | undefined };
    readonly connections: number | null;
  }) => NonNullable<HttpOptions['dispatcher']>;
}

/** `http()` over the transport of this process's tests, or that one. */
export function httpOver(options: HttpOptions, transport = CHOSEN_TRANSPORT): Upstream {
  if (transport === 'own') return http(options);
  const { Agent } = LOADED[transport]();
  const { connections = null, connectTimeoutMs, ...rest } = options;
  return http({
    ...rest,
    dispatcher: new Agent({ pipelining: 1, connections, connect: { timeout: connectTimeoutMs } }),
  });
}
