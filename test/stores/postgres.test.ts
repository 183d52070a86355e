import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type PostgresStore, type PostgresStoreOptions, postgresStore, verifySums } from 'megallm-middleware/postgres';
import type pg from 'pg';
import { answerBytesContract, idempotencyStoreContract } from '../contracts/idempotency-store.js';
import { keyRecordsContract } from '../contracts/key-records.js';
import { limiterStoreContract } from '../contracts/limiter-store.js';
import { objectBytesContract, objectStoreContract } from '../contracts/object-store.js';
import {
  recordUsage,
  sumsOf,
  usageLedgerContract,
  usageRecordOf,
  usageStoreContract,
} from '../contracts/usage-store.js';
import { eventually } from '../helpers/deadline.js';
import { noPostgres, type PostgresServer, postgresServer } from '../helpers/postgres-server.js';
import { limiterModelTest } from '../limiter/model.js';

describe('postgresStore', { skip: noPostgres }, () => {
  let server: PostgresServer;
  let pool: pg.Pool;
  let shared: PostgresStore;
  let bounded: PostgresStore;
  let model: PostgresStore;
  const stores: PostgresStore[] = [];
  const open = async (options: Partial<PostgresStoreOptions> = {}): Promise<PostgresStore> => {
    const store = await postgresStore({ pool, time: 'caller', ...options });
    stores.push(store);
    return store;
  };
  /** For what does not get along with what other tests did, such as turning a clock forward. */
  const fresh = (): Promise<PostgresStore> => open({ schema: `fresh_${stores.length}` });

  before(async () => {
    server = await postgresServer();
    pool = server.pool();
    // One for each store.
    pool.setMaxListeners(1_000);
    shared = await open();
    bounded = await open({ maxObjectsPerOwner: 4 });
    model = await open({ schema: 'model' });
  });
  after(async () => {
    for (const store of stores) await store.close();
    await server.close();
  });

  usageStoreContract('postgresStore', () => shared.usage);
  usageLedgerContract('postgresStore', () => shared.usage);
  limiterStoreContract('postgresStore', async () => (await fresh()).limiter);
  limiterModelTest('postgresStore', () => model.limiter, { commands: 500 });
  objectStoreContract('postgresStore', () => bounded.objects, 4);
  objectBytesContract(
    'postgresStore',
    async (maxObjectBytes) => (await open({ schema: `bytes_${maxObjectBytes}`, maxObjectBytes })).objects,
  );
  idempotencyStoreContract('postgresStore', () => shared.idempotency);
  answerBytesContract(
    'postgresStore',
    async (maxAnswerBytes) => (await open({ schema: `answers_${maxAnswerBytes}`, maxAnswerBytes })).idempotency,
  );
  keyRecordsContract('postgresStore', async () => (await fresh()).keys);

  describe('what only it does', () => {
    it('has sums, after all that, that are those of the rows; and says where they are not', async () => {
      const { usage } = shared;
      assert.deepEqual(await verifySums(pool), []);
      const record = usageRecordOf({ keyId: 'verified' });
      await recordUsage(usage, record);
      await pool.query("UPDATE megallm.hours SET output_tokens = output_tokens + 1 WHERE key_id = 'verified'");
      const { keyId, owner, tier, model: called, operation } = record;
      const recomputed = sumsOf([record]);
      const kept = { ...recomputed, outputTokens: recomputed.outputTokens + 1 };
      const startsAt = Math.floor(record.startedAt / 3_600_000) * 3_600_000;
      const difference = { startsAt, keyId, owner, tier, model: called, operation, kept, recomputed };
      assert.deepEqual(await verifySums(pool), [difference]);
      await pool.query("DELETE FROM megallm.hours WHERE key_id = 'verified'");
      assert.deepEqual((await verifySums(pool))[0]?.kept.requests, 0);
    });

    it('adds up exactly beyond 32 bits, and records names that PostgreSQL cannot keep', async () => {
      const { usage } = shared;
      const strange = usageRecordOf({ keyId: 'strange', model: 'a\0b\ud800', costNanoUsd: 9_007_199_254_740_000 });
      await recordUsage(usage, strange);
      await recordUsage(usage, usageRecordOf({ keyId: 'strange', costNanoUsd: 991 }));
      const period = { from: 0, to: Number.POSITIVE_INFINITY };
      assert.equal(await usage.spent({ kind: 'key', id: 'strange' }, period), Number.MAX_SAFE_INTEGER);
      const only = { keyId: ['strange'], model: ['a\0b\ud800'] };
      const [group] = await usage.report({ ...period, only, by: ['model'] });
      assert.deepEqual(group?.of, { model: 'a\uFFFDb\uFFFD' });
      assert.equal(group?.sums.costNanoUsd, 9_007_199_254_740_000);
    });

    it('has no object of a name that PostgreSQL cannot keep', async () => {
      const { objects } = shared;
      assert.equal(await objects.find('o', 'file', 'a\0'), undefined);
      await objects.remove('o', 'file', 'a\0');
    });

    it('forgets full buckets and budgets that ended a day ago, and nothing else', async () => {
      const { limiter } = await open({ schema: 'tidied' });
      const start = Date.now();
      const draw = (bucket: string, amount: number) => ({ bucket, capacity: 10, refillPerMs: 0.01, amount });
      const budget = (bucket: string, endsAt: number) => ({
        ...draw(bucket, 1),
        refillPerMs: 0,
        budget: { endsAt, spent: 1 },
      });
      const draws = [
        draw('full', 1),
        draw('used', 9),
        budget('ended', start + 200 - 86_400_000),
        budget('kept', start + 201 - 86_400_000),
      ];
      await limiter.reserve({ id: 'one', draws, slots: [], ttlMs: 1e9 }, start);
      for (let turn = 0; turn < 70; turn += 1) {
        await limiter.reserve({ id: `look ${turn}`, draws: [draw('x', 0)], slots: [], ttlMs: 1 }, start + 200);
      }
      const { rows } = await pool.query('SELECT name FROM tidied.buckets ORDER BY name');
      assert.deepEqual(rows, [{ name: 'kept' }, { name: 'used' }]);
    });

    it('goes by the database’s time, whatever the callers’ clocks say', async () => {
      const { limiter } = await open({ schema: 'timed', time: 'server' });
      const draws = [{ bucket: 'b', capacity: 1, refillPerMs: 1 / 86_400_000, amount: 1 }];
      const wish = (id: string) => ({ id, draws, slots: [], ttlMs: 1e9 });
      assert.equal((await limiter.reserve(wish('one'), 0)).granted, true);
      const late = await limiter.reserve(wish('two'), Date.now() + 7 * 86_400_000);
      assert.equal(late.granted, false);
      assert.ok(late.retryAfterMs > 86_000_000 && late.retryAfterMs <= 86_400_000, String(late.retryAfterMs));
    });

    it('is set right when the database’s clock was wrong', async () => {
      const { limiter } = await open({ schema: 'leapt', time: 'server' });
      const draws = [{ bucket: 'b', capacity: 1, refillPerMs: 1 / 1_000, amount: 1 }];
      const slots = [{ name: 's', capacity: 1 }];
      const wish = (id: string) => ({ id, draws, slots: [], ttlMs: 1e9 });
      assert.equal((await limiter.reserve({ ...wish('one'), slots }, 0)).granted, true);
      await pool.query(`UPDATE leapt.limiter_clock SET latest = latest + 1e12`);
      await pool.query(`UPDATE leapt.buckets SET since = since + 1e12`);
      await pool.query(`UPDATE leapt.held SET expires_at = expires_at + 1e12`);
      assert.equal((await limiter.reserve(wish('two'), 0)).granted, false);
      await eventually(async () => (await limiter.reserve(wish('three'), 0)).granted, 'the bucket to fill again');
      const { rows } = await pool.query(
        'SELECT expires_at - latest < 2e9 AS soon FROM leapt.held, leapt.limiter_clock',
      );
      assert.deepEqual(rows, [{ soon: true }, { soon: true }]);
    });

    it('keeps its bound of objects while one of those too many is in use', async () => {
      const { objects } = await open({ schema: 'locked', maxObjectsPerOwner: 2 });
      const put = (id: string) => objects.put({ owner: 'o', kind: 'response', id, createdAt: 1, body: {} });
      for (const id of ['a', 'b', 'c']) await put(id);
      await pool.query(
        "INSERT INTO locked.objects (owner, kind, id, created_at, body, used) VALUES ('o', 'response', 'old', 1, '{}', 0)",
      );
      const other = await pool.connect();
      try {
        await other.query('BEGIN');
        // The newest: it must not be passed over in the count.
        await other.query("SELECT FROM locked.objects WHERE id = 'c' FOR UPDATE");
        await put('d');
      } finally {
        await other.query('ROLLBACK');
        other.release();
      }
      assert.deepEqual(
        (await objects.list('o', 'response')).map(({ id }) => id),
        ['c', 'd'],
      );
    });

    it('refuses options that make no sense', async () => {
      const wrong: readonly Partial<PostgresStoreOptions>[] = [
        { schema: 'a"; DROP SCHEMA public; --' },
        { schema: 'Upper' },
        { schema: '' },
        { schema: 'pg_own' },
        { schema: 'x'.repeat(64) },
        { timeoutMs: 0 },
        { leaseMs: 1.5 },
        { maxObjectsPerOwner: -1 },
      ];
      for (const options of wrong) await assert.rejects(postgresStore({ pool, ...options }), TypeError);
    });
  });
});
