// One of several processes on one Redis: asks for a bucket and a slot over and over, as fast as it can, and prints what it
// was granted.
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { type RedisClient, redisLimiter } from 'megallm-middleware/redis';
import { createClient } from 'redis';

const [port = '', kind, skewMs = '0'] = process.argv.slice(2);
const CALLS = 1_500;

async function connected(): Promise<{ readonly client: RedisClient; close(): void }> {
  if (kind === 'ioredis') {
    const client = new Redis({ port: Number(port), host: '127.0.0.1' });
    await client.ping();
    return { client, close: () => client.disconnect() };
  }
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  await client.connect();
  return { client, close: () => client.destroy() };
}

const { client, close } = await connected();
const limiter = redisLimiter({ client, prefix: 'race', timeoutMs: 30_000 });
const seen = { requests: 0, tokens: 0, slots: 0, refused: 0 };

async function call(index: number): Promise<void> {
  const now = Date.now() + Number(skewMs);
  const draws = [
    { bucket: 'requests', capacity: 1_000, refillPerMs: 0, amount: 1 },
    { bucket: 'tokens', capacity: 5_000, refillPerMs: 0, amount: 1 + (index % 9) },
  ];
  const limited = { id: randomUUID(), draws, slots: [], ttlMs: 600_000 };
  const { granted } = await limiter.reserve(limited, now);
  if (!granted) seen.refused += 1;
  // Every third gives back what it took.
  else if (index % 3 === 0) await limiter.settle(limited, [0, 0], now);
  else {
    seen.requests += 1;
    seen.tokens += 1 + (index % 9);
  }
  const held = { id: randomUUID(), draws: [], slots: [{ name: 'place', capacity: 7 }], ttlMs: 600_000 };
  if ((await limiter.reserve(held, now)).granted) seen.slots += 1;
}

for (let index = 0; index < CALLS; index += 50) {
  await Promise.all(Array.from({ length: 50 }, (_, more) => call(index + more)));
}
// What was given back meanwhile, in single units.
for (const [field, capacity] of [
  ['requests', 1_000],
  ['tokens', 5_000],
] as const) {
  const draws = [{ bucket: field, capacity, refillPerMs: 0, amount: 1 }];
  const ask = () => limiter.reserve({ id: randomUUID(), draws, slots: [], ttlMs: 600_000 }, Date.now());
  while ((await ask()).granted) seen[field] += 1;
}
console.log(JSON.stringify(seen));
await limiter.close();
close();
