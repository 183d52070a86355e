import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { after, describe, it } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { type SqliteStore, verifySums } from 'megallm-middleware/sqlite';
import { systemClock } from '../../src/base/clock.js';
import { turn } from '../../src/base/turns.js';
import type { Connect } from '../../src/stores/sqlite/driver.js';
import { openEngine } from '../../src/stores/sqlite/engine.js';
import { rowWriter } from '../../src/stores/sqlite/ledger-rows.js';
import { recordUsage, startOf, usageRecordOf } from '../contracts/usage-store.js';
import { reply, streamChat, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { COMPILED } from '../helpers/compiled.js';
import { gate } from '../helpers/deadline.js';
import { type FrozenClock, frozenClock } from '../helpers/frozen-clock.js';
import { SECRET } from '../helpers/gateway-options.js';
import { wishOf } from '../helpers/held.js';
import { range } from '../helpers/in-parallel.js';
import { rawChat, rawExchange, rawRequest } from '../helpers/raw-client.js';
import { CALL, inBareHost, withScene } from '../helpers/scene.js';
import { connectTo, loadDriver, sqliteFolder } from '../helpers/sqlite.js';

const LIST = rawRequest('GET', '/v1/models', { authorization: `Bearer ${SECRET}` });
const folder = sqliteFolder();
after(folder.remove);

/** Has another process keep every writer out of the file, until it is told to end. */
async function locked(file: string): Promise<() => Promise<void>> {
  const child = folder.child('lock', file);
  assert.equal(await child.line(), 'locked');
  return async () => {
    child.send('go');
    assert.equal(await child.line(), 'unlocked');
  };
}

/** Whether a promise is settled, and how. */
function watched<T>(promise: Promise<T>): { readonly promise: Promise<T>; isSettled: boolean } {
  const state = { promise, isSettled: false };
  const settled = (): void => {
    state.isSettled = true;
  };
  promise.then(settled, settled);
  return state;
}

inBareHost('a process that keeps the file locked delays only who needs the file: others are answered', async (kind) => {
  const { usage, close } = await folder.open('locked.db');
  await withScene(kind, { usage, script: () => reply(wholeChat('Hello')) }, async ({ host, setup }) => {
    const unlock = await locked(folder.path('locked.db'));
    const call = watched(rawExchange(host.origin, rawChat(SECRET, CALL)));
    for (const _ of range(50)) {
      const { status } = await rawExchange(host.origin, LIST);
      assert.equal(status, 200);
    }
    assert.equal(call.isSettled, false);
    await unlock();
    assert.equal((await call.promise).status, 200);
    // The watched store has seen none of them.
    setup.records.length = 0;
  });
  await close();
});

for (const [what, more, script] of [
  ['a whole answer', {}, () => reply(wholeChat('Hello'))],
  ['a stream', { stream: true }, () => streamReply([streamChat(['Hello'])])],
] as const) {
  inBareHost(`${what} does not end before its row is on the disk`, async (kind) => {
    const name = `${what.length}.db`;
    const { usage, close } = await folder.open(name);
    const release = gate();
    await withScene(kind, { usage }, async ({ host, upstream, setup }) => {
      upstream.answerWith(async function* () {
        yield { kind: 'wait', until: release.opened };
        yield* script();
      });
      const call = watched(rawExchange(host.origin, rawChat(SECRET, { ...CALL, ...more })));
      await upstream.request(0);
      const unlock = await locked(folder.path(name));
      release.open();
      for (const _ of range(50)) await rawExchange(host.origin, LIST);
      assert.equal(call.isSettled, false);
      await unlock();
      assert.equal((await call.promise).status, 200);
      const db = await connectTo(folder.path(name));
      assert.equal(db.prepare('SELECT state FROM calls').get()?.state, 'settled');
      db.close();
      setup.records.length = 0;
    });
    await close();
  });
}

describe('statements of one call', () => {
  /** A driver that counts the statements that are run, each with the transaction around it. */
  function counting(connect: Connect, count: (sql: string) => void): Connect {
    return (file, options) => {
      const db = connect(file, options);
      return {
        ...db,
        exec(sql) {
          count(sql);
          db.exec(sql);
        },
        prepare(sql) {
          const statement = db.prepare(sql);
          return {
            run(...values) {
              count(sql);
              return statement.run(...values);
            },
            get(...values) {
              count(sql);
              return statement.get(...values);
            },
            all(...values) {
              count(sql);
              return statement.all(...values);
            },
          };
        },
      };
    };
  }

  it('are as few as can be, and many calls at once share most of them', async (t) => {
    let counted: string[] = [];
    const clock = { ...systemClock, isMachines: true };
    const engine = openEngine({
      connect: counting(await loadDriver(), (sql) => void counted.push(sql)),
      data: {
        ...{ file: folder.path('counted.db'), synchronous: 'normal', driver: undefined, instance: 'i' },
        ...{ processStartedAt: 0, maxObjectsPerOwner: 1, maxObjectBytes: 1e6, maxAnswerBytes: 1e6, isMachines: true },
        now: { wallMs: Date.now(), steadyMs: Date.now(), machineMs: 0 },
      },
      clock,
      tell() {},
    });
    const { startRow, recordRow } = rowWriter();
    const now = systemClock.steadyMs();
    const countOf = async (run: () => Promise<unknown>): Promise<number> => {
      counted = [];
      await run();
      return counted.length;
    };
    const calls = async (count: number) => {
      const records = range(count).map(() => usageRecordOf({ keyId: 'k' }));
      const wishes = records.map(({ requestId }) => ({
        ...wishOf(requestId),
        slots: [{ name: 's', capacity: 1_000 }],
      }));
      return {
        reserve: await countOf(() => Promise.all(wishes.map((reservation) => engine.reserve({ reservation, now })))),
        open: await countOf(() => Promise.all(records.map((record) => engine.open(startRow(startOf(record)))))),
        settle: await countOf(() => Promise.all(records.map((record) => engine.settle(recordRow(record))))),
        giveBack: await countOf(() =>
          Promise.all(wishes.map(({ id }) => engine.settleReservation({ id, amounts: [5, 5], now }))),
        ),
      };
    };
    const one = await calls(1);
    const fifty = await calls(50);
    t.diagnostic(`one call ${JSON.stringify(one)}, fifty at once ${JSON.stringify(fifty)}`);
    const most = (counts: typeof one): number => Math.max(...Object.values(counts));
    assert.ok(one.open + one.settle <= 8, JSON.stringify(one));
    assert.ok(most(one) <= 12, JSON.stringify(one));
    assert.ok(fifty.open + fifty.settle <= 2 * 50 + 8, JSON.stringify(fifty));
    assert.ok(fifty.reserve + fifty.giveBack <= 3 * 50 + 24, JSON.stringify(fifty));
    engine.close(undefined);
  });
});

describe('the thread of a store', () => {
  /** A store and its thread. */
  async function withThread(name: string, clock: FrozenClock): Promise<{ store: SqliteStore; thread: Worker }> {
    let thread: Worker | undefined;
    process.once('worker', (worker) => {
      thread = worker;
    });
    const store = await folder.open(name, { clock });
    assert.ok(thread !== undefined);
    return { store, thread };
  }

  it('that fails is started anew: what waited is refused, and calls that were open go on', async () => {
    const clock = frozenClock();
    const { store, thread } = await withThread('failing.db', clock);
    const before = usageRecordOf({ keyId: 'k' });
    await store.usage.open(startOf(before));
    const unlock = await locked(folder.path('failing.db'));
    const waiting = watched(Promise.resolve(store.usage.settle(before)));
    const other = await folder.open('other.db');
    await other.usage.report({ from: 0, to: 1, by: [] });
    assert.equal(waiting.isSettled, false);
    await unlock();
    const ended = once(thread, 'exit');
    await thread.terminate();
    await ended;
    await waiting.promise.catch((error) => assert.match(String(error), /thread of the SQLite store has ended/));
    // Not tried again within a second, however often somebody asks.
    for (const _ of range(2)) {
      await assert.rejects(async () => store.usage.open(startOf(usageRecordOf({ keyId: 'k' }))), /thread .* has ended/);
      clock.advance(500);
    }
    await store.usage.settle(before);
    await recordUsage(store.usage, usageRecordOf({ keyId: 'k' }));
    assert.equal((await store.usage.report({ from: 0, to: 4e12, by: [] }))[0]?.sums.requests, 2);
    await store.close();
  });

  it('has at most 10,000 questions wait, and refuses more at once', async () => {
    const store = await folder.open('full-queue.db');
    const unlock = await locked(folder.path('full-queue.db'));
    const asked = range(10_000).map((index) => store.usage.checkpoint(`r${index}`, 1));
    await assert.rejects(async () => store.usage.checkpoint('more', 1), /Too much waits/);
    await unlock();
    await Promise.all(asked);
    await store.usage.checkpoint('more', 1);
    await store.close();
  });

  it('has at most 64 MB of large texts wait', async () => {
    const store = await folder.open('full-bytes.db');
    const unlock = await locked(folder.path('full-bytes.db'));
    const put = (index: number) =>
      store.objects.put({
        owner: 'o',
        kind: 'response',
        id: `${index}`,
        createdAt: 1,
        body: { text: 'x'.repeat(8e6) },
      });
    const asked = range(8).map(put);
    await assert.rejects(async () => put(8), /Too much waits/);
    await unlock();
    await Promise.all(asked);
    await put(8);
    await store.close();
  });

  it('is told a value that cannot be copied: that alone is refused', async () => {
    const store = await folder.open('copies.db');
    const period: object = { from: 0, to: () => 1 };
    const spent = async (more: object) => store.usage.spent({ kind: 'all' }, { from: 0, to: 1, ...more });
    const [bad, good] = await Promise.allSettled([spent(period), spent({})]);
    assert.ok(bad?.status === 'rejected' && bad.reason instanceof TypeError);
    assert.equal(good?.status, 'fulfilled');
    await store.close();
    await assert.rejects(async () => store.usage.open(startOf(usageRecordOf({ keyId: 'k' }))), /store is closed/);
  });

  it('is sent in one message what is asked in three turns that follow each other', async () => {
    const { store, thread } = await withThread('gathered.db', frozenClock());
    const sizes: number[] = [];
    const post = thread.postMessage.bind(thread);
    thread.postMessage = (batch) => {
      sizes.push(batch.names.length);
      post(batch);
    };
    const asked = [];
    for (const index of range(9)) {
      asked.push(store.usage.checkpoint(`r${index}`, 1), store.usage.checkpoint(`s${index}`, 1));
      await turn();
    }
    await Promise.all(asked);
    assert.deepEqual(sizes, [6, 6, 6]);
    await store.close();
  });

  it('answers all that was asked before its end, also a report that it reads in many turns', async () => {
    const store = await folder.open('asked-before.db');
    await recordUsage(store.usage, usageRecordOf({ keyId: 'k', startedAt: 0 }));
    const db = await connectTo(folder.path('asked-before.db'));
    const columns = db
      .query('PRAGMA table_info(calls)')
      .map(({ name }) => String(name))
      .filter((name) => name !== 'request_id' && name !== 'started_at');
    db.exec(`
      INSERT INTO calls (request_id, started_at, ${columns.join(', ')})
      WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 9999)
      SELECT 'more ' || n, n, ${columns.join(', ')} FROM calls, numbers
    `);
    db.close();
    const report = store.usage.report({ from: 0, to: 10_000, by: [], every: 'minute' });
    const written = store.usage.open(startOf(usageRecordOf({ keyId: 'k' })));
    await Promise.all([store.close(), store.close()]);
    await written;
    assert.equal((await report)[0]?.sums.requests, 10_000);
  });

  it('is needed: where threads are forbidden, opening says so', () => {
    const program = `
      const { sqliteStore } = await import('megallm-middleware/sqlite');
      await sqliteStore({ file: process.argv[1] }).catch(({ message, cause }) => console.log(message, cause.code));
    `;
    const permission = process.allowedNodeEnvironmentFlags.has('--permission')
      ? '--permission'
      : '--experimental-permission';
    const allowed = [permission, '--allow-fs-read=*', '--allow-fs-write=*', '--allow-addons', '--no-warnings'];
    const args = [...allowed, '--input-type=module', '-e', program, folder.path('forbidden.db')];
    const { stdout } = spawnSync(process.execPath, args, { cwd: COMPILED, timeout: 30_000 });
    assert.equal(String(stdout), 'Cannot start the thread of the SQLite store ERR_ACCESS_DENIED\n');
  });

  it('keeps the process alive as long as an answer is awaited, and no longer', () => {
    const program = `
      const { sqliteStore } = await import('megallm-middleware/sqlite');
      const store = await sqliteStore({ file: process.argv[1] });
      store.usage.checkpoint('r', 1).then(() => console.log('written'));
    `;
    const args = ['--input-type=module', '-e', program, folder.path('left-open.db')];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: COMPILED, timeout: 30_000 });
    assert.deepEqual([status, String(stdout), String(stderr)], [0, 'written\n', '']);
  });
});

it('the event loop stays free while the sums of a file are verified', async () => {
  const store = await folder.open('verified.db');
  await recordUsage(store.usage, usageRecordOf({ keyId: 'k' }));
  let isOver = false;
  const verified = verifySums(folder.path('verified.db')).finally(() => {
    isOver = true;
  });
  let turns = 0;
  for (; !isOver; turns += 1) await turn();
  assert.deepEqual(await verified, []);
  // It takes a turn or two where it is done in this thread.
  assert.ok(turns > 20, `${turns} turns`);
  await store.close();
});
