import { createServer } from 'node:http';
import { Redis } from 'ioredis';
import { http, memoryKeys } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import { redisLimiter } from 'megallm-middleware/redis';
import { sqliteStore } from 'megallm-middleware/sqlite';

// A server in a process of its own, for its parent to kill: its limits are in Redis, its ledger is a file.
const [port = '', file = '', upstream = '', secret = ''] = process.argv.slice(2);
const { usage, objects, idempotency } = await sqliteStore({ file });
const client = new Redis({ port: Number(port), host: '127.0.0.1' });
const server = createServer(
  megallm({
    upstream: http({ baseUrl: upstream, apiKey: 'sk-upstream' }),
    models: { m: { pricing: { inputUsdPerMillion: 2, outputUsdPerMillion: 10 } } },
    keys: memoryKeys([{ secret, id: 'key_test', limits: { concurrency: 2, usdPerMonth: 10 } }]),
    environment: {},
    usage,
    limiter: redisLimiter({ client, leaseMs: 3_000, settleMs: 0, timeoutMs: 5_000 }),
    objects,
    idempotency,
  }),
);
process.once('disconnect', () => process.exit());
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ port: typeof address === 'object' ? address?.port : 0 });
});
