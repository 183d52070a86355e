/** Servers of the gateway with everything on: a key, its three limits, routing, metering, usage. By host and by store. */
import { createServer, type RequestListener, type Server } from 'node:http';
import { type GatewayOptions, http, keyRegistry, memoryKeys } from 'megallm-middleware';

export const HOSTS = ['node', 'koa', 'express', 'before-express'] as const;
export const STORES = ['memory', 'sqlite-ledger', 'sqlite', 'redis'] as const;
export type Host = (typeof HOSTS)[number];
export type Store = (typeof STORES)[number];

const LIMITS = { requestsPerMinute: 1e9, tokensPerMinute: 1e12, concurrency: 1e5 };

export interface OursOptions {
  readonly host: Host;
  readonly store: Store;
  /** Base URL of the upstream, with its `/v1`. */
  readonly upstream: string;
  /** The secrets of the keys, all with the same limits. */
  readonly secrets: Iterable<string>;
  /** The one model. */
  readonly model: string;
  /** Where the stores of SQLite are. */
  readonly file: string;
  /** Where Redis is. */
  readonly redisUrl: string;
  /** Nothing is printed of upstreams that fail on purpose. */
  readonly isQuiet?: boolean;
}

export interface Ours {
  readonly server: Server;
  /** The secret to call with, where the store makes its own. */
  readonly secret: string | undefined;
  close(): Promise<void>;
}

/** Makes a server that does not listen yet. */
export async function ours(options: OursOptions): Promise<Ours> {
  const { upstream, model, host, isQuiet } = options;
  const { parts, secret, close } = await storeOf(options);
  const { listener, gateway } = await listenerOf(host, {
    // Streams of HTTP/1.1 have a connection each, and thousands of them are measured.
    upstream: http({ baseUrl: upstream, apiKey: 'bench', connections: 16_384 }),
    models: { [model]: { contextLength: 2_000_000 } },
    environment: {},
    hooks: isQuiet ? { onError() {}, onNotice() {} } : {},
    ...parts,
  });
  return {
    server: createServer(listener),
    secret,
    async close() {
      await gateway.close({ graceMs: 1_000 });
      await close();
    },
  };
}

interface Stores {
  readonly parts: Pick<GatewayOptions, 'keys' | 'usage' | 'limiter' | 'objects' | 'idempotency'>;
  readonly secret?: string;
  close(): Promise<void>;
}

async function storeOf({ store, secrets, file, redisUrl }: OursOptions): Promise<Stores> {
  if (store === 'sqlite') {
    const { sqliteStore } = await import('megallm-middleware/sqlite');
    const { keys: records, usage, limiter, objects, idempotency, close } = await sqliteStore({ file });
    const keys = keyRegistry(records);
    const { secret } = await keys.create({ limits: LIMITS }, { by: 'bench' });
    return { parts: { keys, usage, limiter, objects, idempotency }, secret, close };
  }
  const keys = memoryKeys();
  let index = 0;
  for (const secret of secrets) keys.add({ secret, id: `bench-${index++}`, limits: LIMITS });
  if (store === 'sqlite-ledger') {
    const { sqliteStore } = await import('megallm-middleware/sqlite');
    const { usage, close } = await sqliteStore({ file });
    return { parts: { keys, usage }, close };
  }
  if (store === 'redis') {
    const { Redis } = await import('ioredis');
    const { redisLimiter } = await import('megallm-middleware/redis');
    const client = new Redis(redisUrl);
    const limiter = redisLimiter({ client });
    return {
      parts: { keys, limiter },
      async close() {
        await limiter.close();
        client.disconnect();
      },
    };
  }
  return { parts: { keys }, close: () => Promise.resolve() };
}

/** The listener of an application that has nothing but the gateway. */
async function listenerOf(host: Host, options: GatewayOptions) {
  if (host === 'koa') {
    const { default: Koa } = await import('koa');
    const { megallm } = await import('megallm-middleware/koa');
    const app = new Koa();
    const middleware = megallm(options);
    app.use(middleware);
    return { listener: app.callback(), gateway: middleware.gateway };
  }
  if (host === 'express') {
    const { default: express } = await import('express');
    const { megallm } = await import('megallm-middleware/express');
    const app = express();
    const middleware = megallm(options);
    app.use(middleware);
    return { listener: app, gateway: middleware.gateway };
  }
  const { megallm } = await import('megallm-middleware/node');
  const llm = megallm(options);
  if (host === 'node') return { listener: llm, gateway: llm.gateway };
  const { default: express } = await import('express');
  const app = express();
  const listener: RequestListener = (req, res) => llm(req, res, () => app(req, res));
  return { listener, gateway: llm.gateway };
}
