import { randomUUID } from 'node:crypto';
import { sqliteStore } from 'megallm-middleware/sqlite';
import { systemClock } from '../../src/base/clock.js';
import { recordUsage, usageRecordOf } from '../contracts/usage-store.js';
import { holdSome } from './held.js';
import { connectTo } from './sqlite.js';
import { hammer, openSomeCalls, play, say, told } from './store-parts.js';

/** One of several processes that share a file: see `sqliteFolder().child`. */
const [, file = '', count = '0'] = process.argv.slice(2);

await play({
  async hammer() {
    const { limiter, close } = await sqliteStore({ file });
    const draws = [{ bucket: 'shared', capacity: 300, refillPerMs: 0, amount: 1 }];
    await hammer(limiter, { draws, slot: { name: 'shared', capacity: 250 }, times: Number(count) });
    await close();
  },

  /** Reserves so often by the clock of a gateway, each time it is told; says how often it was granted, and the longest wait. */
  async take() {
    const { limiter } = await sqliteStore({ file });
    const draws = [{ bucket: 'shared', capacity: 10, refillPerMs: 10 / 60_000, amount: 1 }];
    say('ready');
    for (;;) {
      if ((await told()).done === true) return;
      const verdicts = await Promise.all(
        Array.from({ length: Number(count) }, () =>
          limiter.reserve({ id: randomUUID(), draws, slots: [], ttlMs: 600_000 }, systemClock.steadyMs()),
        ),
      );
      const granted = verdicts.filter((verdict) => verdict.granted).length;
      say(`${granted} ${Math.max(...verdicts.map(({ retryAfterMs }) => retryAfterMs))}`);
    }
  },

  /** Holds places, amounts and a claim, with and without a call, and waits to be killed. */
  async hold() {
    await holdSome(await sqliteStore({ file }));
    say('ready');
    await told();
  },

  /** Settles one of its calls, and waits to be killed. */
  async openCalls() {
    const { usage } = await sqliteStore({ file });
    const startedAt = Math.floor(Date.now() / 3_600_000) * 3_600_000;
    await openSomeCalls(usage, startedAt);
    await recordUsage(usage, usageRecordOf({ requestId: 'settled', keyId: 'k', startedAt }));
    say('ready');
    await told();
  },

  /** Opens the store, once told; says so, and closes it when told again. */
  async open() {
    say('ready');
    await told();
    const { close } = await sqliteStore({ file });
    say('opened');
    await told();
    await close();
  },

  /** Makes file after file, naming each before, until it is killed. */
  async make() {
    for (let index = 0; ; index += 1) {
      say(`${file}.${index}`);
      await sqliteStore({ file: `${file}.${index}` });
    }
  },

  /** Records calls, a few at once. */
  async record() {
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
  },

  /** Keeps every other writer out until it is told. */
  async lock() {
    const db = await connectTo(file);
    db.exec('BEGIN IMMEDIATE');
    say('locked');
    await told();
    db.exec('COMMIT');
    db.close();
    say('unlocked');
  },
});
