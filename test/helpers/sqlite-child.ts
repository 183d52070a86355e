import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { sqliteStore } from 'megallm-middleware/sqlite';
import { recordUsage, startOf, usageRecordOf } from '../contracts/usage-store.js';
import { connectTo } from './sqlite.js';

/** One of several processes that share a file: see `sqliteFolder().child`. It does what its first argument says. */
const [role = '', file = '', count = '0'] = process.argv.slice(2);
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (line: string | number) => void process.stdout.write(`${line}\n`);
const told = () => input.next();

/** Reserves as often as it can be asked to, once told; says how often it was granted. */
async function hammer(): Promise<void> {
  const { limiter, close } = await sqliteStore({ file });
  say('ready');
  await told();
  const draws = [{ bucket: 'shared', capacity: 300, refillPerMs: 0, amount: 1 }];
  const now = Date.now();
  let granted = 0;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let index = 0; index < Number(count) / 8; index += 1) {
        const wish = { id: randomUUID(), draws, slots: [{ name: 'shared', capacity: 250 }], ttlMs: 600_000 };
        if ((await limiter.reserve(wish, now)).granted) granted += 1;
      }
    }),
  );
  say(granted);
  await close();
}

/** Opens calls with and without checkpoints and one that it settles, and waits to be killed. */
async function openCalls(): Promise<void> {
  const { usage } = await sqliteStore({ file });
  const startedAt = Math.floor(Date.now() / 3_600_000) * 3_600_000;
  const calls = ['unseen', 'seen', 'beyond', 'boundless', 'unpriced', 'cheap'].map((requestId) =>
    usageRecordOf({
      requestId,
      keyId: 'k',
      startedAt,
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
  await recordUsage(usage, usageRecordOf({ requestId: 'settled', keyId: 'k', startedAt }));
  say('ready');
  await told();
}

/** Opens the store, once told; says so, and closes it when told again. */
async function open(): Promise<void> {
  say('ready');
  await told();
  const { close } = await sqliteStore({ file });
  say('opened');
  await told();
  await close();
}

/** Makes file after file, naming each before, until it is killed. */
async function make(): Promise<void> {
  for (let index = 0; ; index += 1) {
    say(`${file}.${index}`);
    await sqliteStore({ file: `${file}.${index}` });
  }
}

/** Records calls, a few at once. */
async function record(): Promise<void> {
  const { usage, close } = await sqliteStore({ file });
  say('ready');
  await told();
  for (let index = 0; index < Number(count); index += 8) {
    await Promise.all(
      Array.from({ length: 8 }, () => recordUsage(usage, usageRecordOf({ keyId: 'shared', startedAt: 3_600_000 }))),
    );
  }
  await close();
  say('done');
}

/** Keeps every other writer out until it is told. */
async function lock(): Promise<void> {
  const db = await connectTo(file);
  db.exec('BEGIN IMMEDIATE');
  say('locked');
  await told();
  db.exec('COMMIT');
  db.close();
  say('unlocked');
}

const roles: Readonly<Record<string, () => Promise<void>>> = { hammer, openCalls, open, make, record, lock };
await roles[role]?.();
process.exit(0);
