import { once } from 'node:events';
import { createServer } from 'node:http';
import { type GatewayOptions, http, keyRegistry } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import { sqliteStore } from 'megallm-middleware/sqlite';
import type { FromServer, ServerOrder } from './server-process.js';

// The real server, in a process of its own that its parent may kill at any instant. It does nothing until it is told to.

function tell(message: FromServer): void {
  process.send?.(message);
}

async function serve({ file, upstream, tiers, models, timeoutMs }: ServerOrder): Promise<void> {
  const store = await sqliteStore({ file });
  const options: GatewayOptions = {
    upstream: http({ baseUrl: upstream, apiKey: 'sk-upstream' }),
    keys: keyRegistry(store.keys),
    usage: store.usage,
    limiter: store.limiter,
    objects: store.objects,
    tiers,
    models,
    timeoutMs,
    environment: {},
    hooks: { onError: (error) => tell({ kind: 'error', text: error instanceof Error ? told(error) : String(error) }) },
  };
  const handle = megallm(options);
  const server = createServer(handle);
  process.once('SIGTERM', () => void stop());
  async function stop(): Promise<void> {
    const closed = once(server, 'close');
    server.close();
    await handle.gateway.close();
    // What is settled may still be on its way out, and a connection that is kept alive ends with nobody's help.
    const sweep = setInterval(() => server.closeIdleConnections(), 20);
    await closed;
    clearInterval(sweep);
    await store.close();
    process.exit();
  }
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    tell({ kind: 'listening', port: typeof address === 'object' && address !== null ? address.port : 0 });
  });
}

function told(error: Error): string {
  const { cause } = error;
  return `${error.stack ?? error.message}${cause instanceof Error ? ` ← ${cause.stack ?? cause.message}` : ''}`;
}

process.once('message', (order: ServerOrder) => void serve(order));
process.once('disconnect', () => process.exit());
