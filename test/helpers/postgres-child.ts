import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { postgresStore } from 'megallm-middleware/postgres';
import pg from 'pg';
import { startOf, usageRecordOf } from '../contracts/usage-store.js';

/** One of several processes that share a database: see `postgresServer().child`. It does what its first argument says. */
const [role = '', url = '', schema = '', leaseMs = '15000'] = process.argv.slice(2);
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (line: string | number) => void process.stdout.write(`${line}\n`);
const told = () => input.next();
const pool = new pg.Pool({ connectionString: url });
const open = () => postgresStore({ pool, schema, leaseMs: Number(leaseMs) });

/** Opens the store, once told, and says so. */
async function migrate(): Promise<void> {
  say('ready');
  await told();
  const { close } = await open();
  say('opened');
  await close();
}

/** Reserves 200 times, 8 at once, when told; says how often it was granted. */
async function hammer(): Promise<void> {
  const { limiter, close } = await open();
  say('ready');
  await told();
  const draws = [
    { bucket: 'a', capacity: 300, refillPerMs: 0, amount: 1 },
    { bucket: 'b', capacity: 900, refillPerMs: 0, amount: 2, budget: { endsAt: Date.now() + 1e9, spent: 400 } },
  ];
  let granted = 0;
  await Promise.all(
    Array.from({ length: 8 }, async (_, worker) => {
      // Not all in the same order.
      const mine = worker % 2 === 0 ? draws : draws.toReversed();
      for (let index = 0; index < 25; index += 1) {
        const wish = { id: randomUUID(), draws: mine, slots: [{ name: 'shared', capacity: 280 }], ttlMs: 600_000 };
        if ((await limiter.reserve(wish, Date.now())).granted) granted += 1;
      }
    }),
  );
  say(granted);
  await close();
}

/** Opens calls with and without checkpoints, and waits to be killed. */
async function openCalls(): Promise<void> {
  const { usage } = await open();
  const calls = ['unseen', 'seen', 'beyond', 'boundless', 'unpriced', 'cheap'].map((requestId) =>
    usageRecordOf({
      requestId,
      keyId: 'k',
      ...(requestId === 'boundless' ? { reservedOutputTokens: undefined, reservedNanoUsd: undefined } : {}),
      ...(requestId === 'unpriced' ? { price: undefined, reservedNanoUsd: undefined } : {}),
      ...(requestId === 'cheap' ? { reservedNanoUsd: 7 } : {}),
    }),
  );
  await Promise.all(calls.map((call) => usage.open(startOf(call))));
  await usage.checkpoint('seen', 10);
  await usage.checkpoint('seen', 30);
  await usage.checkpoint('seen', 20);
  await usage.checkpoint('beyond', 5_000);
  await usage.checkpoint('boundless', 5_000);
  say('ready');
  await told();
}

const roles: Readonly<Record<string, () => Promise<void>>> = { migrate, hammer, openCalls };
await roles[role]?.();
process.exit(0);
