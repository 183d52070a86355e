import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type PostgresPool, type PostgresStore, postgresStore, verifySums } from 'megallm-middleware/postgres';
import type pg from 'pg';
import { type Clock, systemClock } from '../../src/base/clock.js';
import { costNanoUsd } from '../../src/models/pricing.js';
import { SCHEMA_VERSION } from '../../src/stores/postgres/schema.js';
import type { UsageRecord } from '../../src/usage/usage-store.js';
import { recordUsage, startOf, sumsOf, usageRecordOf } from '../contracts/usage-store.js';
import { eventually, within } from '../helpers/deadline.js';
import { DEPTH, patience, TOO_SHALLOW } from '../helpers/depth.js';
import { wishOf } from '../helpers/held.js';
import { range } from '../helpers/in-parallel.js';
import { noPostgres, type PostgresServer, postgresServer } from '../helpers/postgres-server.js';

const ALL_TIME = { from: 0, to: Number.POSITIVE_INFINITY };
const EVERYTHING = { ...ALL_TIME, by: [] };
const LEASE_MS = 15_000;

describe('postgresStore among faults', { skip: noPostgres }, () => {
  let server: PostgresServer;
  let pool: pg.Pool;
  const stores: PostgresStore[] = [];
  let schemas = 0;

  async function open(
    schema: string,
    leaseMs = LEASE_MS,
    own: PostgresPool = pool,
    clock = systemClock,
  ): Promise<PostgresStore> {
    const store = await postgresStore({ pool: own, schema, leaseMs, timeoutMs: 2_000, clock });
    stores.push(store);
    return store;
  }
  function newSchema(): string {
    schemas += 1;
    return `faults_${schemas}`;
  }
  async function rowsOf(schema: string): Promise<Map<string, pg.QueryResultRow>> {
    const { rows } = await pool.query(`SELECT * FROM ${schema}.calls`);
    return new Map(rows.map((row) => [row.request_id, row]));
  }
  async function children(role: string, ...args: readonly string[]) {
    const all = range(4).map(() => server.child(role, ...args));
    for (const child of all) assert.equal(await child.line(), 'ready');
    for (const child of all) child.send('go');
    return Promise.all(all.map((child) => child.line()));
  }

  before(async () => {
    server = await postgresServer();
    pool = server.pool({ max: 20 });
    pool.setMaxListeners(1_000);
  });
  after(async () => {
    await Promise.allSettled(stores.map((store) => store.close()));
    await server.close();
  });
  machines();
  recovery();
  losses();

  function machines(): void {
    describe('machines that share a database', () => {
      it('may all be the first to open it', async () => {
        for (const schema of [newSchema(), newSchema()]) {
          assert.deepEqual(await children('migrate', schema), ['opened', 'opened', 'opened', 'opened']);
          const { rows } = await pool.query(`SELECT version FROM ${schema}.schema_version`);
          assert.deepEqual(rows, [{ version: String(SCHEMA_VERSION) }]);
        }
      });

      it('record their calls though one of the same batch has too long a name', async () => {
        const { usage } = await open(newSchema());
        const long = randomBytes(20_000).toString('hex');
        const records = [{}, { owner: long }, {}].map((fields) => usageRecordOf({ keyId: 'k', ...fields }));
        const opened = await Promise.allSettled(records.map((record) => usage.open(startOf(record))));
        assert.deepEqual(
          opened.map(({ status }) => status),
          ['fulfilled', 'rejected', 'fulfilled'],
        );
      });

      it('F13: leave the old schema when a migration is cut off, and refuse one that is newer', async () => {
        const schema = newSchema();
        // A table of that name is in the way of the last step but a few.
        await pool.query(`CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.idempotency (x int)`);
        await assert.rejects(open(schema), /already exists/);
        const { rows } = await pool.query('SELECT tablename FROM pg_tables WHERE schemaname = $1', [schema]);
        assert.deepEqual(rows, [{ tablename: 'idempotency' }]);
        await pool.query(`DROP TABLE ${schema}.idempotency`);
        await open(schema);
        await pool.query(`UPDATE ${schema}.schema_version SET version = 99`);
        await assert.rejects(open(schema), /newer version/);
        await assert.rejects(verifySums(pool, schema), /newer version/);
      });

      it('need no right to make anything once it is made', async () => {
        const schema = newSchema();
        await open(schema);
        await pool.query(`
          CREATE ROLE clerk LOGIN; GRANT USAGE ON SCHEMA ${schema} TO clerk;
          GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO clerk;
          GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${schema} TO clerk;
        `);
        const clerk = await open(schema, 15_000, server.pool({ user: 'clerk' }));
        await recordUsage(clerk.usage, usageRecordOf({ keyId: 'k' }));
        await clerk.objects.put({ owner: 'o', kind: 'file', id: 'f', createdAt: 1, body: {} });
        assert.equal((await clerk.objects.find('o', 'file', 'f'))?.id, 'f');
      });

      it('admit together what buckets, budgets and slots hold, and not one more', async () => {
        const schema = newSchema();
        const granted = (await children('hammer', schema)).map(Number);
        // The budget is the tightest: 500 are left, 2 for each.
        assert.equal(
          granted.reduce((sum, one) => sum + one),
          250,
          String(granted),
        );
        const { limiter } = await open(schema);
        const look = { bucket: 'a', capacity: 300, refillPerMs: 0, amount: 0 };
        const verdict = await limiter.reserve({ id: 'look', draws: [look], slots: [], ttlMs: 1 }, 0);
        assert.deepEqual(verdict.remaining, [50]);
      });

      it('I6: settle a call once, whichever of them does it, however often', async () => {
        const schema = newSchema();
        const [one, other] = [await open(schema), await open(schema, 15_000, server.pool())];
        const records = range(200).map((index) => usageRecordOf({ keyId: `k${index % 3}`, inputTokens: index + 10 }));
        await Promise.all(
          records.map(async (record) => {
            await Promise.all([one.usage.open(startOf(record)), other.usage.open(startOf(record))]);
            await Promise.all([one.usage.settle(record), other.usage.settle(record), one.usage.settle(record)]);
          }),
        );
        assert.deepEqual((await other.usage.report(EVERYTHING))[0]?.sums, sumsOf(records));
        assert.deepEqual(await verifySums(pool, schema), []);
      });
    });
  }

  function recovery(): void {
    describe('calls of a process that is gone', () => {
      it('F1, F2: are settled between what was delivered and what was reserved, once, when its lease is over', async () => {
        const schema = newSchema();
        const child = server.child('openCalls', schema);
        assert.equal(await child.line(), 'ready');
        const [{ id: dead } = {}] = (await pool.query(`SELECT id FROM ${schema}.instances`)).rows;
        const clocks = [turnedClock(LEASE_MS), turnedClock(LEASE_MS)] as const;
        const one = await open(schema, LEASE_MS, pool, clocks[0]);
        await open(schema, LEASE_MS, server.pool(), clocks[1]);
        // Both are in touch long enough to settle what is left, and leave alone what is not.
        for (let beat = 0; beat < 4; beat += 1) await Promise.all(clocks.map((clock) => clock.beat()));
        for (const [id, { state }] of await rowsOf(schema)) assert.equal(state, 'open', id);
        await child.kill();
        await pool.query(`UPDATE ${schema}.instances SET renewed_at = renewed_at - lease_ms WHERE id = $1`, [dead]);
        await Promise.all(clocks.map((clock) => clock.beat()));
        const rows = await rowsOf(schema);
        const outputs = [...rows].map(([id, row]) => [id, Number(row.output_tokens)] as const);
        assert.deepEqual(Object.fromEntries(outputs), {
          unseen: 50,
          seen: 30,
          beyond: 50,
          boundless: 5_000,
          unpriced: 50,
          cheap: 50,
        });
        for (const [id, row] of rows) {
          assert.equal(row.state, 'settled', id);
          assert.deepEqual([row.outcome, row.counted, row.input_tokens], ['interrupted', 'estimated', '120'], id);
        }
        assert.equal(Number(rows.get('seen')?.cost_nano_usd), chargeOf(30));
        assert.equal(Number(rows.get('boundless')?.cost_nano_usd), chargeOf(5_000));
        assert.equal(rows.get('unpriced')?.cost_nano_usd, null);
        assert.equal(Number(rows.get('cheap')?.cost_nano_usd), 7);
        const [all] = await one.usage.report(EVERYTHING);
        assert.equal(all?.sums.requests, 6);
        // One of them had a price of the host's own.
        assert.equal(all?.sums.upstreamCostNanoUsd, chargeOf(30));
        assert.deepEqual(await verifySums(pool, schema), []);
        assert.equal(await instancesOf(schema), 2, 'the dead one is struck off');
      });

      it('are settled at what was reserved where the price cannot be read, and the others with them', async () => {
        const schema = newSchema();
        const clock = turnedClock(LEASE_MS);
        const slow = await open(schema, LEASE_MS, pool, turnedClock(LEASE_MS));
        const [strange, other] = [usageRecordOf({ keyId: 'k' }), usageRecordOf({ keyId: 'k' })];
        for (const record of [strange, other]) await slow.usage.open(startOf(record));
        await pool.query(`UPDATE ${schema}.calls SET price = '{' WHERE request_id = $1`, [strange.requestId]);
        await pool.query(`UPDATE ${schema}.instances SET renewed_at = 0, lease_ms = 0`);
        await open(schema, LEASE_MS, pool, clock);
        await clock.beat();
        const rows = await rowsOf(schema);
        for (const [id, { recovered }] of rows) assert.ok(recovered, id);
        assert.equal(Number(rows.get(strange.requestId)?.cost_nano_usd), strange.reservedNanoUsd);
        assert.equal(Number(rows.get(other.requestId)?.cost_nano_usd), chargeOf(50));
      });

      it('are settled as they truly were by a process that was only thought dead', async () => {
        const schema = newSchema();
        const clock = turnedClock(LEASE_MS);
        const slow = await open(schema, LEASE_MS, pool, turnedClock(LEASE_MS));
        const [settled, going] = [usageRecordOf({ keyId: 'k' }), usageRecordOf({ keyId: 'k', outputTokens: 33 })];
        await slow.usage.open(startOf(settled));
        await slow.usage.open(startOf(going));
        // As when it was asleep.
        await pool.query(`UPDATE ${schema}.instances SET renewed_at = 0, lease_ms = 0`);
        const { usage } = await open(schema, LEASE_MS, pool, clock);
        await clock.beat();
        for (const [id, { recovered }] of await rowsOf(schema)) assert.ok(recovered, id);
        assert.equal((await usage.report(EVERYTHING))[0]?.sums.requests, 2);
        await slow.usage.settle(settled);
        await slow.usage.checkpoint(going.requestId, 40);
        assert.deepEqual((await usage.report(EVERYTHING))[0]?.sums, sumsOf([settled]));
        assert.deepEqual(await verifySums(pool, schema), []);
        assert.equal((await rowsOf(schema)).get(going.requestId)?.checkpoint, '40');
        await slow.usage.settle(going);
        await usage.settle({ ...going, costNanoUsd: 1 });
        assert.deepEqual((await usage.report(EVERYTHING))[0]?.sums, sumsOf([settled, going]));
        assert.deepEqual(await verifySums(pool, schema), []);
      });

      it('give back the places and budgets that they held, at what they cost, and again as they truly were', async () => {
        const schema = newSchema();
        const clock = turnedClock(LEASE_MS);
        const slow = await open(schema, LEASE_MS, pool, turnedClock(LEASE_MS));
        const call = usageRecordOf({ keyId: 'k', costNanoUsd: 2_000 });
        const { requestId: id } = call;
        const endsAt = Date.now() + 86_400_000;
        const draw = { capacity: 100_000, refillPerMs: 0, amount: 60_000 };
        const draws = [
          { ...draw, bucket: 'budget', budget: { endsAt, spent: 0 } },
          { ...draw, bucket: 'tokens' },
        ];
        const slots = [{ name: 'place', capacity: 1 }];
        const wish = { id, draws, slots, ttlMs: 600_000 };
        assert.equal((await slow.limiter.reserve(wish, 0)).granted, true);
        await slow.limiter.reserve({ ...wish, id: `${id}:shadow`, slots: [], draws: draws.slice(0, 1) }, 0);
        await slow.usage.open(startOf(call));
        await pool.query(`UPDATE ${schema}.instances SET renewed_at = 0, lease_ms = 0`);
        const { limiter } = await open(schema, LEASE_MS, pool, clock);
        const look = async () => limiter.reserve({ ...wish, id: 'look', slots, dryRun: true }, 0);
        assert.equal((await look()).granted, false);
        await clock.beat();
        const cost = Number((await rowsOf(schema)).get(id)?.cost_nano_usd);
        assert.equal(cost, chargeOf(50));
        assert.deepEqual((await look()).remaining, [100_000 - cost, 40_000]);
        const taken = await limiter.reserve({ ...wish, id: 'next', draws: [] }, 0);
        assert.equal(taken.granted, true, 'the place is free');
        // It lives after all: the place is another's now, and the budget gets what the call truly cost.
        await slow.limiter.settle(wish, [2_000, 10_000], 0);
        await slow.limiter.settle(wish, [2_000, 10_000], 0);
        assert.deepEqual((await look()).remaining, [100_000 - 2_000, 90_000]);
        assert.equal((await limiter.reserve({ ...wish, id: 'third', draws: [] }, 0)).granted, false);
      });

      it('F1: leave nothing held for longer than its lease, whether or not there was a call, and no claim', async () => {
        const schema = newSchema();
        const child = server.child('hold', schema);
        assert.equal(await child.line(), 'ready');
        const { limiter, idempotency } = await open(schema, 900);
        const look = { ...wishOf('look'), slots: range(3).map(() => ({ name: 'place', capacity: 3 })), dryRun: true };
        const claim = { id: 'claimed', fingerprint: 'f' };
        // It lives, and an hour on another's clock is nothing to it.
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        assert.deepEqual((await limiter.reserve(look, 0)).remaining, [1e6 - 3 * 6e4, 1e6 - 30]);
        assert.equal((await idempotency.claim(claim, Date.now() + 3_600_000, 600_000)).kind, 'in-flight');
        await child.kill();
        await eventually(async () => (await limiter.reserve(look, 0)).granted, 'all places');
        const cost = Number((await rowsOf(schema)).get('called')?.cost_nano_usd);
        assert.equal(cost, chargeOf(50));
        assert.deepEqual((await limiter.reserve(look, 0)).remaining, [1e6 - cost - 2_000, 1e6 - 20]);
        await eventually(
          async () => (await idempotency.claim(claim, Date.now(), 600_000)).kind === 'claimed',
          'the claim',
        );
        assert.equal((await idempotency.claim(claim, Date.now(), 600_000)).kind, 'in-flight');
      });

      it('leave their places, and no amounts, where their ledger is elsewhere; late words count', async () => {
        const schema = newSchema();
        const clock = turnedClock(LEASE_MS);
        const slow = await open(schema, LEASE_MS, pool, turnedClock(LEASE_MS));
        const elsewhere = wishOf('elsewhere');
        await slow.limiter.reserve(elsewhere, 0);
        const claim = { id: 'claimed', fingerprint: 'f' };
        await slow.idempotency.claim(claim, 0, 600_000);
        const die = async () => {
          await pool.query(`UPDATE ${schema}.instances SET renewed_at = 0, lease_ms = 0`);
          await clock.beat();
        };
        const { limiter, usage, idempotency } = await open(schema, LEASE_MS, pool, clock);
        const look = { ...wishOf('look'), slots: range(3).map(() => ({ name: 'place', capacity: 3 })), dryRun: true };
        await die();
        const seen = await limiter.reserve(look, 0);
        assert.deepEqual([seen.granted, seen.remaining], [true, [1e6 - 6e4, 1e6 - 10]]);
        await slow.limiter.settle(elsewhere, [500, 1], 0);
        assert.deepEqual((await limiter.reserve(look, 0)).remaining, [1e6 - 500, 1e6 - 1]);
        // Its claim is another's now.
        assert.equal((await idempotency.claim(claim, 0, 600_000)).kind, 'claimed');
        await slow.idempotency.finish(claim, undefined, 0);
        assert.equal((await idempotency.claim(claim, 0, 600_000)).kind, 'in-flight');
        // Once the ledger is known to be here, what has no row was no call.
        await usage.open(startOf(usageRecordOf({ keyId: 'k' })));
        const uncalled = wishOf('uncalled');
        await slow.limiter.reserve(uncalled, 0);
        await pool.query(
          `INSERT INTO ${schema}.instances SELECT instance, 0, 0 FROM ${schema}.held WHERE id = 'uncalled'`,
        );
        await die();
        assert.deepEqual((await limiter.reserve(look, 0)).remaining, [1e6 - 500, 1e6 - 1]);
        await slow.limiter.settle(uncalled, [700, 2], 0);
        assert.deepEqual((await limiter.reserve(look, 0)).remaining, [1e6 - 1_200, 1e6 - 3]);
      });

      it('are recorded in full where the database was put back to an older copy, which lacks their rows', async () => {
        const schema = newSchema();
        const { usage } = await open(schema);
        const [lost, kept] = [usageRecordOf({ keyId: 'k' }), usageRecordOf({ keyId: 'k' })];
        for (const record of [lost, kept]) await usage.open(startOf(record));
        await pool.query(`DELETE FROM ${schema}.calls WHERE request_id = $1`, [lost.requestId]);
        await Promise.all([usage.settle(lost), usage.settle(kept)]);
        await usage.settle({ ...lost, outputTokens: 1 });
        assert.deepEqual((await usage.report(EVERYTHING))[0]?.sums, sumsOf([lost, kept]));
        assert.deepEqual(await verifySums(pool, schema), []);
      });

      it('F12: keep their sums right while everybody takes everybody for dead', async () => {
        const schema = newSchema();
        const all = [await open(schema, 400), await open(schema, 400), await open(schema, 400)];
        const records: UsageRecord[] = [];
        let isOver = false;
        let recoveries = 0;
        const expire = async () => {
          while (!isOver) await pool.query(`UPDATE ${schema}.instances SET renewed_at = 0`);
        };
        const work = range(12).map(async (worker) => {
          for (let turn = 0; turn < 4 * DEPTH || (recoveries === 0 && turn < 400); turn += 1) {
            const usage = all[worker % 3]?.usage;
            const record = usageRecordOf({ keyId: `k${turn % 2}`, outputTokens: turn + 5, costNanoUsd: turn });
            records.push(record);
            await usage?.open(startOf(record));
            await new Promise((resolve) => setTimeout(resolve, turn % 4 === 0 ? 100 : turn));
            if ((await rowsOf(schema)).get(record.requestId)?.recovered) recoveries += 1;
            if (turn % 3 === 0) await usage?.checkpoint(record.requestId, 5);
            await usage?.settle(record);
          }
        });
        const expiring = expire();
        try {
          await within(Promise.all(work), 'all are settled', patience(60_000));
        } finally {
          isOver = true;
          await expiring;
        }
        const { rows: noted } = await pool.query('SELECT sum(deadlocks)::int AS deadlocks FROM pg_stat_database');
        assert.equal(noted[0]?.deadlocks, 0);
        assert.ok(recoveries > 0, 'none was thought dead');
        const rows = await rowsOf(schema);
        for (const { requestId, outputTokens } of records) {
          assert.equal(Number(rows.get(requestId)?.output_tokens), outputTokens, requestId);
          assert.equal(rows.get(requestId)?.outcome, 'ok');
        }
        assert.deepEqual((await all[0]?.usage.report(EVERYTHING))?.[0]?.sums, sumsOf(records));
        assert.deepEqual(await verifySums(pool, schema), []);
      });

      it('are left to another when their process ends in peace', async () => {
        const schema = newSchema();
        const [one, other] = [await open(schema), await open(schema)];
        const record = usageRecordOf({ keyId: 'k' });
        await one.usage.open(startOf(record));
        await one.close();
        assert.equal((await rowsOf(schema)).get(record.requestId)?.state, 'open');
        assert.equal(await instancesOf(schema), 2);
        await assert.rejects(async () => one.usage.open(startOf(record)), /closed/);
        await other.close();
        assert.equal(await instancesOf(schema), 1);
      });
    });
  }

  function losses(): void {
    describe('a database that is lost', () => {
      it('I5: refuses at once and works again when it is back, without a call that is alive being taken for dead', {
        skip: TOO_SHALLOW,
      }, async () => {
        const schema = newSchema();
        const [late, punctual] = [turnedClock(3_000), turnedClock(900)];
        const [one, other] = [await open(schema, 3_000, pool, late), await open(schema, 900, pool, punctual)];
        const long = usageRecordOf({ keyId: 'long' });
        await one.usage.open(startOf(long));
        await server.crash();
        const call = usageRecordOf({ keyId: 'k' });
        const wish = { id: 'w', draws: [], slots: [{ name: 's', capacity: 1 }], ttlMs: 1_000 };
        const lost = [
          async () => void (await one.usage.open(startOf(call))),
          async () => void (await one.usage.settle(long)),
          async () => void (await one.usage.spent({ kind: 'all' }, ALL_TIME)),
          async () => void (await one.limiter.reserve(wish, 0)),
          async () => void (await one.keys.find('hash')),
          async () => void (await one.objects.find('o', 'file', 'x')),
          async () => void (await one.idempotency.claim({ id: 'i', fingerprint: 'f' }, 0, 1)),
        ];
        for (const attempt of lost) await assert.rejects(within(attempt(), 'a refusal'));
        // Longer than the leases, by the clocks of all of them.
        for (let beat = 0; beat < 12; beat += 1) await punctual.beat();
        late.pass(3_600);
        await server.start();
        await pool.query(`UPDATE ${schema}.instances SET renewed_at = renewed_at - 3600`);
        // The other one finds the database again before this one comes to say that it lives.
        await recordUsage(other.usage, call);
        for (let beat = 0; beat < 5; beat += 1) await punctual.beat();
        assert.equal((await one.limiter.reserve(wish, 0)).granted, true);
        for (let beat = 0; beat < 4; beat += 1) {
          await late.beat();
          for (let short = 0; short < 3; short += 1) await punctual.beat();
        }
        assert.equal((await rowsOf(schema)).get(long.requestId)?.state, 'open');
        await one.usage.settle(long);
        assert.deepEqual((await one.usage.report(EVERYTHING))[0]?.sums, sumsOf([call, long]));
        assert.deepEqual(await verifySums(pool, schema), []);
      });

      it('refuses when it does not answer in time, and no more than that', async () => {
        const schema = newSchema();
        const store = await postgresStore({ pool, schema, timeoutMs: 500 });
        stores.push(store);
        const blocker = await pool.connect();
        const record = usageRecordOf({ keyId: 'k' });
        await blocker.query(`BEGIN; LOCK TABLE ${schema}.calls, ${schema}.buckets, ${schema}.limiter_clock`);
        const wish = { id: 'w', draws: [], slots: [], ttlMs: 1 };
        await assert.rejects(async () => store.usage.open(startOf(record)), /did not answer within 500 ms/);
        await assert.rejects(async () => store.limiter.reserve(wish, 0), /statement timeout/);
        // On the same connection, which is well.
        assert.equal(await store.keys.find('hash'), undefined);
        await blocker.query('COMMIT');
        blocker.release();
        await recordUsage(store.usage, record);
        assert.equal((await store.limiter.reserve(wish, 0)).granted, true);
      });

      it('gives no connection back that hangs: the next who asks gets another', async () => {
        const schema = newSchema();
        const store = await postgresStore({ pool: server.pool({ max: 1 }), schema, timeoutMs: 1_000 });
        stores.push(store);
        const blocker = await pool.connect();
        await blocker.query(`BEGIN; LOCK TABLE ${schema}.calls`);
        const start = startOf(usageRecordOf({ keyId: 'k' }));
        await assert.rejects(async () => store.usage.open(start), /did not answer within 1000 ms/);
        assert.equal(await store.keys.find('hash'), undefined);
        await blocker.query('COMMIT');
        blocker.release();
      });

      it('refuses in that time also what waits behind others for a connection, and does not do it any more', async () => {
        const schema = newSchema();
        const clock = steppedClock();
        const few = server.pool({ max: 1 });
        const store = await postgresStore({ pool: few, schema, timeoutMs: 2_000, clock });
        stores.push(store);
        const borrowed = await few.connect();
        const refusals: string[] = [];
        const refused = (name: string) => (error: unknown) => {
          assert.match(String(error), /did not answer within 2000 ms/);
          refusals.push(name);
        };
        const wish = (id: string) => ({ id, draws: [], slots: [{ name: id, capacity: 1 }], ttlMs: 600_000 });
        const settled = [store.limiter.reserve(wish('first'), 0)];
        await clock.pass(1_000);
        const late = usageRecordOf({ keyId: 'k' });
        settled.push(store.limiter.reserve(wish('second'), 0));
        const opened = [store.usage.open(startOf(usageRecordOf({ keyId: 'k' })))];
        await clock.pass(500);
        opened.push(store.usage.open(startOf(late)));
        const all = [...settled, ...opened].map((one, index) => Promise.resolve(one).catch(refused(`${index}`)));
        await clock.pass(500);
        assert.deepEqual(refusals, ['0']);
        await clock.pass(1_000);
        assert.deepEqual(refusals, ['0', '1', '2']);
        await clock.pass(500);
        assert.deepEqual(refusals, ['0', '1', '2', '3']);
        await Promise.all(all);
        borrowed.release();
        assert.equal((await store.limiter.reserve(wish('third'), 0)).granted, true);
        const { rows } = await pool.query(`SELECT id FROM ${schema}.held`);
        assert.deepEqual(rows, [{ id: 'third' }]);
        assert.equal((await rowsOf(schema)).get(late.requestId), undefined);
      });

      it('F5: counts once what was committed although the answer was lost', async () => {
        const schema = newSchema();
        const losing = { now: false };
        const { usage } = await open(schema, 15_000, deafPool(server.pool(), losing));
        const record = usageRecordOf({ keyId: 'k' });
        for (const write of [() => usage.open(startOf(record)), () => usage.settle(record)]) {
          losing.now = true;
          await assert.rejects(async () => write(), /answer was lost/);
          losing.now = false;
          assert.equal((await rowsOf(schema)).size, 1);
          await write();
        }
        assert.deepEqual((await usage.report(EVERYTHING))[0]?.sums, sumsOf([record]));
        assert.deepEqual(await verifySums(pool, schema), []);
      });

      it('keeps no open row of a call that was refused for want of an answer', async () => {
        const schema = newSchema();
        const losing = { now: false };
        const clock = turnedClock(LEASE_MS);
        const { usage } = await open(schema, LEASE_MS, deafPool(server.pool(), losing), clock);
        const [refused, made] = [usageRecordOf({ keyId: 'k' }), usageRecordOf({ keyId: 'k' })];
        losing.now = true;
        await assert.rejects(async () => usage.open(startOf(refused)), /answer was lost/);
        await assert.rejects(async () => usage.open(startOf(made)), /answer was lost/);
        losing.now = false;
        await usage.open(startOf(made));
        assert.equal((await rowsOf(schema)).size, 2);
        await clock.beat();
        assert.ok(!(await rowsOf(schema)).has(refused.requestId), 'the row is gone');
        for (let beat = 0; beat < 4; beat += 1) await clock.beat();
        assert.equal(await usage.spent({ kind: 'all' }, ALL_TIME), made.reservedNanoUsd);
      });
    });
  }

  async function instancesOf(schema: string): Promise<number> {
    const { rows } = await pool.query(`SELECT count(*)::int AS count FROM ${schema}.instances`);
    return rows[0]?.count;
  }
});

interface TurnedClock extends Clock {
  /** So long goes by, and nothing is due. */
  pass(ms: number): void;
  /** The time until the store says again that it lives goes by. Resolves when it has done what it does then. */
  beat(): Promise<void>;
}

/** Time stands still, but for what tests let go by. Other timers than those of a lease run on the machine's own time. */
function turnedClock(leaseMs: number): TurnedClock {
  let nowMs = Date.now();
  let due: (() => void) | undefined;
  return {
    wallMs: () => nowMs,
    steadyMs: () => nowMs,
    setTimer(run, delayMs) {
      if (delayMs !== leaseMs / 3) return systemClock.setTimer(run, delayMs);
      due = run;
      return () => {
        due = undefined;
      };
    },
    pass(ms) {
      nowMs += ms;
    },
    async beat() {
      const run = due;
      assert.ok(run !== undefined);
      due = undefined;
      nowMs += leaseMs / 3;
      run();
      await eventually(() => due !== undefined, 'the end of a beat');
    },
  };
}

/** A clock whose time passes by hand, and whose timers run then. */
function steppedClock(): Clock & { pass(ms: number): Promise<void> } {
  let nowMs = Date.now();
  const timers = new Set<{ readonly at: number; readonly run: () => void }>();
  return {
    wallMs: () => nowMs,
    steadyMs: () => nowMs,
    setTimer(run, delayMs) {
      const timer = { at: nowMs + delayMs, run };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    async pass(ms) {
      nowMs += ms;
      for (const timer of timers) if (timer.at <= nowMs && timers.delete(timer)) timer.run();
      for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

function chargeOf(outputTokens: number): number {
  const { price } = usageRecordOf({ keyId: 'k' });
  if (price === undefined) throw new Error('Expected a price');
  const unknown = {
    cachedInputTokens: undefined,
    inputAudioTokens: undefined,
    inputImageTokens: undefined,
    reasoningTokens: undefined,
    outputAudioTokens: undefined,
  };
  return costNanoUsd(price, { ...unknown, inputTokens: 120, outputTokens });
}

/** The pool, of which no answer is heard while it is losing: what was asked was done. */
function deafPool(pool: pg.Pool, losing: { readonly now: boolean }): PostgresPool {
  return {
    on: (event, listener) => pool.on(event, listener),
    off: (event, listener) => pool.off(event, listener),
    async connect() {
      const client = await pool.connect();
      return {
        on: (event, listener) => client.on(event, listener),
        off: (event, listener) => client.off(event, listener),
        release: (isBroken) => client.release(isBroken),
        async query(text, values) {
          const result = await client.query(text, values);
          if (losing.now) throw new Error('The answer was lost');
          return result;
        },
      };
    },
  };
}
