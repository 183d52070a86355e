import { postgresStore } from 'megallm-middleware/postgres';
import pg from 'pg';
import { holdSome } from './held.js';
import { hammer, openSomeCalls, play, say, told } from './store-parts.js';

/** One of several processes that share a database: see `postgresServer().child`. */
const [, url = '', schema = ''] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url });
const open = (leaseMs?: number) => postgresStore({ pool, schema, leaseMs });

await play({
  /** Opens the store, once told, and says so. */
  async migrate() {
    say('ready');
    await told();
    const { close } = await open();
    say('opened');
    await close();
  },

  async hammer() {
    const { limiter, close } = await open();
    const budget = { endsAt: Date.now() + 1e9, spent: 400 };
    const draws = [
      { bucket: 'a', capacity: 300, refillPerMs: 0, amount: 1 },
      { bucket: 'b', capacity: 900, refillPerMs: 0, amount: 2, budget },
    ];
    await hammer(limiter, { draws, slot: { name: 'shared', capacity: 280 }, times: 200 });
    await close();
  },

  /** Holds places, amounts and a claim, with and without a call, and waits to be killed. */
  async hold() {
    const { usage, limiter, idempotency } = await open(900);
    await holdSome({ usage, limiter, idempotency });
    say('ready');
    await told();
  },

  /** Waits to be killed. */
  async openCalls() {
    const { usage } = await open();
    await openSomeCalls(usage);
    say('ready');
    await told();
  },
});
