import { createServer } from 'node:http';
import { http, memoryKeys } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import { sqliteStore } from 'megallm-middleware/sqlite';

// A server in a process of its own, for its parent to kill.
const [file = '', upstream = '', secret = ''] = process.argv.slice(2);
const { usage, limiter, objects, idempotency } = await sqliteStore({ file });
const server = createServer(
  megallm({
    upstream: http({ baseUrl: upstream, apiKey: 'sk-upstream' }),
    keys: memoryKeys([{ secret, id: 'key_test', tier: 'open' }]),
    tiers: { open: {} },
    timeoutMs: 60_000,
    environment: {},
    usage,
    limiter,
    objects,
    idempotency,
  }),
);
process.once('disconnect', () => process.exit());
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ port: typeof address === 'object' ? address?.port : 0 });
});
