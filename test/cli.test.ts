import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { DatabaseSync } from '@photostructure/sqlite';
import { createGateway, demo, memoryKeys } from 'megallm-middleware';
import { postgresStore } from 'megallm-middleware/postgres';
import { type SqliteStore, sqliteStore } from 'megallm-middleware/sqlite';
import { programArgs } from './helpers/compiled.js';
import { DEADLINE_MS } from './helpers/deadline.js';
import { noPostgres, postgresServer } from './helpers/postgres-server.js';

const SECRET = 'sk-test-0123456789abcdef';

const folder = mkdtempSync(join(tmpdir(), 'megallm-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function megallm(...args: string[]): Promise<Ended> {
  const command = [...programArgs('src/cli/cli.ts'), ...args];
  return new Promise((resolve) => {
    execFile(process.execPath, command, { timeout: DEADLINE_MS }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err });
    });
  });
}

/** Three calls of one key. */
async function callThrice({ usage, limiter }: Pick<SqliteStore, 'usage' | 'limiter'>): Promise<void> {
  const keys = memoryKeys([{ id: 'key_test', secret: SECRET }]);
  const gateway = createGateway({ usage, limiter, keys, upstream: demo(), environment: {} });
  for (let call = 0; call < 3; call += 1) {
    const response = await gateway.handle({
      method: 'POST',
      url: '/v1/chat/completions',
      headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
      signal: new AbortController().signal,
      body: { parsed: { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Say hello' }] } },
      native: undefined,
    });
    assert.equal(response?.status, 200);
  }
  await gateway.close();
}

async function ledger(name: string): Promise<string> {
  const file = join(folder, name);
  const store = await sqliteStore({ file });
  await callThrice(store);
  await store.close();
  return file;
}

describe('F12 megallm verify', () => {
  it('ends with 0 when every sum equals its rows', async () => {
    const file = await ledger('good.db');
    assert.deepEqual(await megallm('verify', file), { code: 0, out: 'Every sum equals its rows.\n', err: '' });
    assert.deepEqual(await megallm('verify', '--json', file), { code: 0, out: '[]\n', err: '' });
  });

  it('prints sums that differ and ends with 1', async () => {
    const file = await ledger('false.db');
    const db = new DatabaseSync(file);
    db.exec('UPDATE hours SET output_tokens = output_tokens + 1');
    db.close();
    const { code, out } = await megallm('verify', file);
    assert.equal(code, 1, out);
    assert.match(out, /key_test[\s\S]*\n1 sum differs\.\n$/);
    const asJson = await megallm('verify', file, '--json');
    assert.equal(asJson.code, 1);
    assert.equal(JSON.parse(asJson.out).length, 1);
  });

  it('finds rows without a sum', async () => {
    const file = await ledger('lost.db');
    const db = new DatabaseSync(file);
    db.exec('DELETE FROM hours');
    db.close();
    assert.equal((await megallm('verify', file)).code, 1);
  });

  it('ends with 2, and makes no file, where there is none', async () => {
    const file = join(folder, 'none.db');
    const { code, err } = await megallm('verify', file);
    assert.equal(code, 2);
    assert.match(err, /There is no file .*none\.db/);
    assert.ok(!existsSync(file));
  });

  it('ends with 2 where the file cannot be read: damaged, or of another program', async () => {
    const damaged = await ledger('damaged.db');
    // Whatever is still in the log comes into the file, so that there is something to cut off.
    const db = new DatabaseSync(damaged);
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    db.close();
    truncateSync(damaged, 8_192);
    const cut = await megallm('verify', damaged);
    assert.equal(cut.code, 2, cut.out);
    assert.ok(cut.err.includes(damaged), cut.err);
    const text = join(folder, 'text.db');
    writeFileSync(text, 'This is no database, and long enough not to be taken for an empty one.'.repeat(100));
    const { code, err } = await megallm('verify', text);
    assert.equal(code, 2);
    assert.ok(err.includes(text), err);
  });

  it('verifies Postgres too', { skip: noPostgres }, async (test) => {
    const server = await postgresServer();
    test.after(() => server.close());
    const pool = server.pool();
    const store = await postgresStore({ pool });
    await callThrice(store);
    await store.close();
    assert.deepEqual(await megallm('verify', server.url), { code: 0, out: 'Every sum equals its rows.\n', err: '' });
    await pool.query('UPDATE megallm.hours SET requests = requests + 1');
    const { code, out } = await megallm('verify', server.url);
    assert.equal(code, 1, out);
    assert.match(out, /key_test[\s\S]*\n1 sum differs\.\n$/);
    const elsewhere = await megallm('verify', server.url, '--schema', 'elsewhere');
    assert.equal(elsewhere.code, 2, elsewhere.out);
  });

  it('ends with 2 and its usage for what it does not know', async () => {
    for (const args of [[], ['verify'], ['verify', 'a', 'b'], ['check', 'a'], ['verify', '--fast', 'a']]) {
      const { code, out, err } = await megallm(...args);
      assert.deepEqual([code, out], [2, ''], args.join(' '));
      assert.match(err, /Usage: megallm verify/);
    }
    const help = await megallm('--help');
    assert.equal(help.code, 0);
    assert.match(help.out, /Usage: megallm verify/);
  });

  it('prints the version of the package', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
    assert.deepEqual(await megallm('--version'), { code: 0, out: `${version}\n`, err: '' });
  });
});
