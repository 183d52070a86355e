import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { type PostgresStore, postgresStore, verifySums as verifyPostgres } from 'megallm-middleware/postgres';
import { verifySums } from 'megallm-middleware/sqlite';
import type { UsageReader, UsageStore } from '../../src/usage/usage-store.js';
import { recordUsage, usageRecordOf } from '../contracts/usage-store.js';
import { eventually } from '../helpers/deadline.js';
import { noPostgres, postgresServer } from '../helpers/postgres-server.js';
import { connectTo, sqliteFolder } from '../helpers/sqlite.js';

/** What a store of version 1 held: three settled calls, one left open by a process that is gone, and a key. */
function dump(name: string): string {
  return readFileSync(join('test', 'stores', 'fixtures', name), 'utf8');
}

/** The beginning of the hour of the first calls. */
const AT = 1_789_999_200_000;
const EVER = { from: 0, to: AT + 100 * 3_600_000, by: ['keyId'] as const };

/** Sums of the dump's calls, and of one more by the present version. */
async function checkUsage(usage: UsageStore & UsageReader): Promise<void> {
  const record = usageRecordOf({
    requestId: 'req_new',
    keyId: 'k1',
    startedAt: AT + 2_000,
    cacheWriteTokens: 60,
    cacheWriteLongTokens: 20,
    serviceTier: 'priority',
    priceVersion: '2026-11-01',
    upstreamCostNanoUsd: 12,
    isOverReserved: true,
    status: 200,
    errorCode: 'none',
  });
  await recordUsage(usage, record);
  const groups = await usage.report(EVER);
  const [k1, k2] = groups.map(({ sums }) => sums);
  assert.equal(k1?.requests, 3);
  assert.equal(k1?.inputTokens, 100 + 300_000 + 100);
  assert.equal(k1?.cacheWriteTokens, 60);
  assert.equal(k1?.cacheWriteLongTokens, 20);
  assert.equal(k1?.costNanoUsd, 27_000 + 43_500_000 + 27_000);
  assert.equal(k1?.upstreamCostNanoUsd, 12);
  // The call that was left open is settled: its input as reserved, and the output up to its checkpoint, at its old price.
  assert.equal(k2?.requests, 2);
  assert.equal(k2?.inputTokens, 100 + 120);
  assert.equal(k2?.outputTokens, 20 + 30);
  assert.equal(k2?.costNanoUsd, 120 * 150 + 30 * 600);
  assert.equal(k2?.requestsWithoutCost, 1);
}

const NEW_COLUMNS = 'service_tier, price_version, upstream_cost_nano_usd, over_reserved, status, error_code';

describe('a file of version 1', () => {
  const folder = sqliteFolder();
  after(() => folder.remove());

  async function restore(name: string): Promise<void> {
    const db = await connectTo(folder.path(name));
    db.exec(dump('sqlite-1.sql'));
    db.close();
  }

  it('is brought to the present form, with all it holds', async () => {
    await restore('old.db');
    const store = await folder.open('old.db');
    await checkUsage(store.usage);
    assert.equal((await store.keys.find('a'.repeat(64)))?.id, 'k1');
    assert.deepEqual(await verifySums(folder.path('old.db')), []);
    const db = await connectTo(folder.path('old.db'));
    const [row] = db.query(`SELECT ${NEW_COLUMNS} FROM calls WHERE request_id = 'req_new'`);
    assert.deepEqual(
      { ...row },
      {
        service_tier: 'priority',
        price_version: '2026-11-01',
        upstream_cost_nano_usd: 12n,
        over_reserved: 1n,
        status: 200n,
        error_code: 'none',
      },
    );
    db.close();
  });

  it('may be opened by two processes at once', { timeout: 60_000 }, async () => {
    await restore('shared.db');
    const children = [1, 2].map(() => folder.child('open', folder.path('shared.db')));
    for (const child of children) assert.equal(await child.line(), 'ready');
    for (const child of children) child.send('go');
    for (const child of children) assert.equal(await child.line(), 'opened');
    for (const child of children) child.send('close');
    for (const child of children) await child.ended();
    const store = await folder.open('shared.db');
    await checkUsage(store.usage);
    assert.deepEqual(await verifySums(folder.path('shared.db')), []);
  });
});

describe('a schema of version 1', { skip: noPostgres }, () => {
  it('is brought to the present form by two stores at once, with all it holds', { timeout: 120_000 }, async () => {
    const server = await postgresServer();
    try {
      const [one, other] = [server.pool(), server.pool()];
      await one.query(dump('postgres-1.sql'));
      const stores: PostgresStore[] = await Promise.all(
        [one, other].map((pool) => postgresStore({ pool, leaseMs: 300 })),
      );
      const [store] = stores;
      assert.ok(store !== undefined);
      // The instance of the dump has a longer lease than these stores know of: it is over all the same.
      await one.query('UPDATE megallm.instances SET lease_ms = 300 WHERE lease_ms > 300');
      await eventually(async () => {
        const { rows } = await one.query("SELECT 1 FROM megallm.calls WHERE state = 'open'");
        return rows.length === 0;
      }, 'the call left open is settled');
      await checkUsage(store.usage);
      assert.equal((await store.keys.find('a'.repeat(64)))?.id, 'k1');
      assert.deepEqual(await verifyPostgres(one), []);
      const { rows } = await one.query(`SELECT ${NEW_COLUMNS} FROM megallm.calls WHERE request_id = 'req_new'`);
      assert.deepEqual(rows, [
        {
          service_tier: 'priority',
          price_version: '2026-11-01',
          upstream_cost_nano_usd: '12',
          over_reserved: true,
          status: '200',
          error_code: 'none',
        },
      ]);
      for (const opened of stores) await opened.close();
    } finally {
      await server.close();
    }
  });
});
