/** Starts the gateway for a benchmark from outside, such as `wrk` or `oha`. The variables are in README.md beside this file. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { HOSTS, type Ours, ours, STORES } from './ours.js';

const SECRET = 'bench-secret-0000000000';

/** One of the names given, or the first where the variable is not set. */
function oneOf<const Name extends string>(variable: string, names: readonly Name[]): Name {
  const value = process.env[variable] || names[0];
  const found = names.find((name) => name === value);
  if (found === undefined) throw new TypeError(`Expected ${variable} to be one of ${names.join(', ')}, got "${value}"`);
  return found;
}

const upstream = process.env.UPSTREAM;
if (!upstream)
  throw new TypeError(
    'Expected UPSTREAM to be the base URL of an OpenAI-like server, such as http://127.0.0.1:9000/v1',
  );
mkdirSync('.cache/bench', { recursive: true });
const folder = mkdtempSync('.cache/bench/gateway-');
const host = oneOf('HOST', HOSTS);
const store = oneOf('STORE', STORES);
const gateway: Ours = await ours({
  host,
  store,
  upstream,
  secrets: [SECRET],
  model: process.env.MODEL || 'gpt-4o-mini',
  file: join(folder, 'bench.db'),
  redisUrl: process.env.REDIS_URL || 'redis://127.0.0.1:6379',
});
gateway.server.keepAliveTimeout = 120_000;
gateway.server.listen(Number(process.env.PORT || 3_000), '127.0.0.1', 4_096, () => {
  const address = gateway.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : '';
  console.log(`http://127.0.0.1:${port}/v1 with the key ${gateway.secret ?? SECRET} (${host}, ${store})`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    gateway.server.close();
    gateway.server.closeAllConnections();
    await gateway.close();
    rmSync(folder, { recursive: true, force: true });
    process.exit(0);
  });
}
