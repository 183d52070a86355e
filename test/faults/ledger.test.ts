import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { it } from 'node:test';
import { verifySums } from 'megallm-middleware/sqlite';
import { recordUsage, usageRecordOf } from '../contracts/usage-store.js';
import { reply, wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate } from '../helpers/deadline.js';
import { SECRET } from '../helpers/gateway-options.js';
import { range } from '../helpers/in-parallel.js';
import { rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL, inBareHost, withScene } from '../helpers/scene.js';
import { connectTo, type SqliteFolder, sqliteFolder } from '../helpers/sqlite.js';

async function inFolder(test: (folder: SqliteFolder) => Promise<void>): Promise<void> {
  const folder = sqliteFolder();
  try {
    await test(folder);
  } finally {
    await folder.remove();
  }
}

const CALLS = 30;

inBareHost('F4 records whose write failed are kept, and each is written once when writing works again', (kind) =>
  inFolder(async (folder) => {
    const { usage } = await folder.open('db');
    const db = await connectTo(folder.path('db'));
    const countOf = (state: string): number =>
      Number(db.query('SELECT count(*) AS n FROM calls WHERE state = :state', { state })[0]?.n);
    const options = { usage, broken: true };
    await withScene(kind, options, async ({ host, setup, upstream }) => {
      const release = gate();
      upstream.answerWith(async function* () {
        yield { kind: 'wait', until: release.opened };
        yield* reply(wholeChat('Hello'));
      });
      const answers = range(CALLS).map(() => rawExchange(host.origin, rawChat(SECRET, CALL)));
      await eventually(() => countOf('open') === CALLS, 'all calls to be under way');
      db.exec(`CREATE TRIGGER fails BEFORE UPDATE ON calls BEGIN SELECT RAISE(ABORT, 'no writing today'); END`);
      release.open();
      await Promise.all(answers);
      await eventually(() => setup.errors.length >= CALLS, 'every failure to be reported');
      assert.deepEqual([countOf('open'), countOf('settled')], [CALLS, 0]);
      db.exec('DROP TRIGGER fails');
      await eventually(() => countOf('settled') === CALLS, 'all records to be written');
      assert.equal(countOf('open'), 0);
      // The watched store has seen none of them.
      setup.records.length = 0;
    });
    db.close();
    const [group] = await usage.report({ from: 0, to: 4e12, by: [] });
    assert.equal(group?.sums.requests, CALLS);
    assert.deepEqual(await verifySums(folder.path('db')), []);
  }),
);

const MB = 1_048_576;

it('F10 the log stays below 8 MB whatever we read; under another program’s long reader it grows, and is cut to 64 MB after it', () =>
  inFolder(async (folder) => {
    const { usage } = await folder.open('db', { synchronous: 'normal' });
    const logBytes = (): number => statSync(folder.path('db-wal')).size;
    const write = async (rounds: number): Promise<number> => {
      let most = 0;
      for (const round of range(rounds)) {
        await Promise.all(range(20).map(() => recordUsage(usage, usageRecordOf({ keyId: `k${round % 50}` }))));
        // Reports are read while rows are written.
        await usage.report({ from: 0, to: 4e12, by: ['keyId'] });
        most = Math.max(most, logBytes());
      }
      return most;
    };
    const alone = await write(150);
    assert.ok(alone < 8 * MB, `${alone} bytes`);
    const reader = await connectTo(folder.path('db'));
    reader.exec('BEGIN');
    reader.query('SELECT count(*) FROM calls');
    const read = await write(450);
    assert.ok(read > 65 * MB, `${read} bytes, too few to be cut`);
    reader.exec('COMMIT');
    reader.close();
    await write(20);
    assert.ok(logBytes() <= 64 * MB, `${logBytes()} bytes`);
    assert.deepEqual(await verifySums(folder.path('db')), []);
  }));
