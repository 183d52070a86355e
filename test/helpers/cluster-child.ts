import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { demo, memoryKeys } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import { sqliteStore } from 'megallm-middleware/sqlite';
import { frozenClock } from './frozen-clock.js';
import { SECRET } from './gateway-options.js';

/** A worker of a cluster with a gateway in it, on a port that all workers share: see test/faults/cluster.test.ts. */
const [file = '', limit = '1'] = process.argv.slice(2);
const notices: string[] = [];
const store = file === '' ? undefined : await sqliteStore({ file });
const middleware = megallm({
  // Nothing flows back while the test counts.
  clock: frozenClock(),
  upstream: demo(),
  keys: memoryKeys([{ secret: SECRET, id: 'key_test', tier: 'small' }]),
  tiers: { small: { requestsPerMinute: Number(limit) } },
  environment: {},
  hooks: { onNotice: (text) => void notices.push(text) },
  ...(store === undefined ? {} : { store }),
});
const server = createServer((req, res) => {
  res.setHeader('x-worker', String(cluster.worker?.id));
  middleware(req, res);
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ port: typeof address === 'object' ? address?.port : 0, notices });
});
process.on('message', () => {
  server.close();
  server.closeAllConnections();
  void store?.close();
  process.disconnect();
});
