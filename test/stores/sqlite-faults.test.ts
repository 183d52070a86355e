import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, describe, it } from 'node:test';
import { type SqliteStore, sqliteStore, verifySums } from 'megallm-middleware/sqlite';
import { systemClock } from '../../src/base/clock.js';
import { thisInstance } from '../../src/stores/sqlite/instance.js';
import { sqliteLedger } from '../../src/stores/sqlite/ledger.js';
import { rowWriter } from '../../src/stores/sqlite/ledger-rows.js';
import { openFile } from '../../src/stores/sqlite/open.js';
import { groupWriter } from '../../src/stores/sqlite/writer.js';
import type { UsageStore } from '../../src/usage/usage-store.js';
import { recordUsage, startOf, sumsOf, usageRecordOf } from '../contracts/usage-store.js';
import { COMPILED } from '../helpers/compiled.js';
import { DEPTH } from '../helpers/depth.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { inParallel, range } from '../helpers/in-parallel.js';
import { connectTo, loadDriver, sqliteFolder } from '../helpers/sqlite.js';

const folder = sqliteFolder();
after(folder.remove);
/** Files that are tried at the same time: each waits for the disk most of its own. */
const AT_ONCE = 4;
const ALL_TIME = { from: 0, to: 4e12, by: [] };

/** A closed file with calls of several hours in it. */
async function filled(name: string, calls: number) {
  const store = await folder.open(name);
  const records = Array.from({ length: calls }, (_, index) =>
    usageRecordOf({
      requestId: `r${index}`,
      keyId: `k${index % 5}`,
      startedAt: index * 600_000,
      inputTokens: index + 10,
    }),
  );
  for (const record of records) await recordUsage(store.usage, record);
  await store.close();
  return { file: folder.path(name), records };
}

/**
 * So much of the log no power failure takes: what stands in the file already, which SQLite has on the disk in the log before it
 * copies it.
 */
function copiedBytes(file: string): number {
  const index = new Uint32Array(new Uint8Array(readFileSync(`${file}-shm`)).buffer);
  // Of the format of the index: the number of frames that were copied, after two heads of 48 bytes.
  const frames = index[24] ?? 0;
  const pageBytes = readFileSync(`${file}-wal`).readUInt32BE(8);
  return frames === 0 ? 0 : 32 + frames * (24 + pageBytes);
}

/** The same sequence in each run: what it finds can be found again. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('a file that is not to be used', () => {
  it('is another program’s: refused, and left as it is', async () => {
    const file = folder.path('theirs.db');
    const db = await connectTo(file);
    db.exec('CREATE TABLE notes (text TEXT)');
    db.close();
    const before = readFileSync(file);
    await assert.rejects(sqliteStore({ file }), /theirs\.db is the database of another program/);
    assert.deepEqual(readFileSync(file), before);
  });

  it('is a newer version’s: refused, and left as it is', async () => {
    const { file } = await filled('newer.db', 1);
    const db = await connectTo(file);
    db.exec('PRAGMA user_version = 1000');
    db.close();
    const before = readFileSync(file);
    await assert.rejects(sqliteStore({ file }), /newer\.db was made by a newer version/);
    await assert.rejects(verifySums(file), /newer version/);
    assert.deepEqual(readFileSync(file), before);
  });

  it('F7: is damaged: refused with what to do, and left as it is', async () => {
    const bytes = readFileSync((await filled('whole.db', 200)).file);
    const file = folder.path('damaged.db');
    for (const [name, damaged] of [
      ['no database', Buffer.from('Dear diary, '.repeat(1_000))],
      ['cut', bytes.subarray(0, bytes.length - 8_192)],
      ['overwritten', Buffer.concat([bytes.subarray(0, 8_192), Buffer.alloc(40_960, 7), bytes.subarray(49_152)])],
    ] as const) {
      writeFileSync(file, damaged);
      await assert.rejects(sqliteStore({ file }), /damaged\.db is damaged and was left as it is: .*backup/, name);
      assert.deepEqual(readFileSync(file), damaged, name);
    }
    writeFileSync(file, bytes);
    assert.deepEqual(await verifySums(file), []);
  });

  it('lies where there is no folder, or is none', async () => {
    await assert.rejects(sqliteStore({ file: folder.path('no/such/folder.db') }), /ENOENT/);
    mkdirSync(folder.path('folder'));
    await assert.rejects(sqliteStore({ file: folder.path('folder') }), /Cannot open .*folder/);
    await assert.rejects(verifySums(folder.path('absent.db')), /Cannot open .*absent/);
    assert.ok(!existsSync(folder.path('absent.db')));
  });

  for (const file of ['', ':memory:', 7]) {
    it(`is called ${JSON.stringify(file)}`, async () => {
      const options: object = { file };
      await assert.rejects(async () => sqliteStore({ file: '', ...options }), TypeError);
    });
  }
});

describe('a log that somebody deletes while it is in use', () => {
  /** A store whose clock ticks by hand, with three calls. */
  async function inUse(name: string) {
    const timers: (() => void)[] = [];
    const setTimer = (run: () => void) => {
      timers.push(run);
      return () => {};
    };
    const store = await folder.open(name, { clock: { ...systemClock, setTimer } });
    for (const keyId of ['a', 'b', 'c']) await recordUsage(store.usage, usageRecordOf({ keyId }));
    const file = folder.path(name);
    return { store, file, log: `${file}-wal`, tick: () => timers.shift()?.() };
  }
  const countOf = async ({ usage }: SqliteStore) => (await usage.report(ALL_TIME))[0]?.sums.requests;

  it('is noticed: nothing is promised that would be lost, and what was recorded is saved', async () => {
    const { store, file, log, tick } = await inUse('unlogged.db');
    tick();
    await recordUsage(store.usage, usageRecordOf({ keyId: 'd' }));
    unlinkSync(log);
    await assert.rejects(verifySums(file), /unlogged\.db-wal is missing.*put it back/);
    await assert.rejects(sqliteStore({ file }), /-wal is missing/);
    tick();
    const late = usageRecordOf({ keyId: 'e' });
    await assert.rejects(async () => store.usage.open(startOf(late)), /-wal was deleted while it was in use/);
    await assert.rejects(async () => store.limiter.reserve({ id: 'w', draws: [], slots: [], ttlMs: 1 }, 0), /deleted/);
    await store.close();
    assert.equal(await countOf(await folder.open('unlogged.db')), 4);
    assert.deepEqual(await verifySums(file), []);
  });

  it('is noticed also where another process has begun a new one, which is left alone', async () => {
    const { store, file, log, tick } = await inUse('two-logs.db');
    unlinkSync(log);
    unlinkSync(`${file}-shm`);
    const open = async () => {
      const child = folder.child('open', file);
      assert.equal(await child.line(), 'ready');
      child.send('go');
      assert.equal(await child.line(), 'opened');
      return child;
    };
    const other = await open();
    tick();
    await assert.rejects(async () => store.usage.open(startOf(usageRecordOf({ keyId: 'e' }))), /deleted/);
    await store.close();
    other.send('close');
    await other.ended();
    // It is whole, as each opener checks.
    const next = await open();
    next.send('close');
    await next.ended();
  });
});

describe('the driver', () => {
  /** What is printed where Node has no SQLite, and the package's name is resolved by `resolved`. */
  function withPackage(resolved: string): string {
    const open = `
      import { register } from 'node:module';
      const resolve = 'export const resolve = (name, context, next) =>'
        + ' name === "@photostructure/sqlite" ? ${resolved} : next(name, context)';
      register('data:text/javascript,' + encodeURIComponent(resolve));
      process.getBuiltinModule = () => undefined;
      const { sqliteStore } = await import('megallm-middleware/sqlite');
      await sqliteStore({ file: '/nowhere/at/all' });
    `;
    return String(spawnSync(process.execPath, ['--input-type=module', '-e', open], { cwd: COMPILED }).stderr);
  }

  it('says how to get it where there is none', () => {
    const printed = withPackage('next(name, { ...context, parentURL: "file:///nowhere/at.js" })');
    assert.match(printed, /needs a package: npm install @photostructure\/sqlite/);
  });

  it('says why it cannot be loaded where there is one', () => {
    for (const [source, cause] of [
      ['throw new Error(`No build for this machine`)', 'No build for this machine'],
      [
        'throw Object.assign(new Error(`Cannot find module a.node`), { code: `MODULE_NOT_FOUND` })',
        'Cannot find module',
      ],
    ] as const) {
      const url = `data:text/javascript,${source}`;
      const printed = withPackage(`{ url: "${url}", shortCircuit: true }`.replaceAll('`', '%22'));
      assert.match(printed, /Error: Cannot load @photostructure\/sqlite, which bundlers must leave external: /);
      assert.ok(printed.includes(`external: ${cause}`), printed);
      assert.doesNotMatch(printed, /npm install/);
    }
  });

  it('is loaded without a word', async () => {
    const loud = `
      const { driverAt, findDriver } = await import('./src/stores/sqlite/driver.js');
      driverAt(await findDriver())(':memory:').close();
      process.emitWarning('still heard');
    `;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', loud], { cwd: COMPILED });
    assert.doesNotMatch(String(child.stderr), /Experimental/);
    assert.match(String(child.stderr), /still heard/);
    assert.equal(child.status, 0);
  });
});

describe('options', () => {
  for (const bad of [{ synchronous: 'off' }, { maxObjectsPerOwner: 0 }]) {
    it(`refuse ${JSON.stringify(bad)}`, async () => {
      const options: object = bad;
      await assert.rejects(async () => sqliteStore({ file: folder.path('bad.db'), ...options }), TypeError);
      assert.ok(!existsSync(folder.path('bad.db')));
    });
  }

  it('make a file that others cannot read', async () => {
    await (await folder.open('private.db')).close();
    assert.equal(statSync(folder.path('private.db')).mode & 0o777, 0o600);
  });
});

describe('what is promised is there', () => {
  it('F5: a call whose commit was not heard of is asked for again, and counts once', async () => {
    const { usage } = await folder.open('f5.db');
    const records = Array.from({ length: 300 }, () => usageRecordOf({ keyId: 'k' }));
    for (let round = 0; round < 3; round += 1) {
      await Promise.all(records.flatMap((record) => [usage.open(startOf(record)), usage.settle(record)]));
    }
    assert.deepEqual((await usage.report(ALL_TIME))[0]?.sums, sumsOf(records));
    assert.deepEqual(await verifySums(folder.path('f5.db')), []);
  });

  it('F6: after a power failure that took the end of the log, the rows are the first ones, and whole', async () => {
    const random = randomNumbers(6);
    const file = folder.path('f6.db');
    const { usage } = await folder.open('f6.db');
    let [lost, most] = [0, 0];
    const copies: { readonly name: string; readonly written: number }[] = [];
    const keeper = await connectTo(file);
    for (let round = 0; round < 40; round += 1) {
      for (let index = 0; index < 10; index += 1) {
        await recordUsage(usage, usageRecordOf({ requestId: `r${round * 10 + index}`, keyId: 'k', inputTokens: 10 }));
      }
      const isCopied = round % 8 === 7;
      if (isCopied) keeper.exec('PRAGMA wal_checkpoint');
      const copy = folder.path(`f6-${round}.db`);
      copyFileSync(file, copy);
      copyFileSync(`${file}-wal`, `${copy}-wal`);
      const safe = copiedBytes(file);
      assert.ok(safe > 0 || !isCopied);
      truncateSync(`${copy}-wal`, safe + random(statSync(`${copy}-wal`).size - safe));
      copies.push({ name: `f6-${round}.db`, written: (round + 1) * 10 });
    }
    keeper.close();
    await inParallel(copies, AT_ONCE, async ({ name, written }) => {
      const copy = folder.path(name);
      const survivor = await folder.open(name);
      const db = await connectTo(copy);
      const ids = db.prepare('SELECT request_id AS id FROM calls ORDER BY rowid').all();
      db.close();
      assert.deepEqual(
        ids.map(({ id }) => id),
        ids.map((_, index) => `r${index}`),
      );
      assert.deepEqual(await verifySums(copy), []);
      await recordUsage(survivor.usage, usageRecordOf({ keyId: 'k' }));
      await survivor.close();
      lost += written - ids.length;
      most = Math.max(most, ids.length);
    });
    assert.ok(lost > 100 && most > 100, `${lost} lost, at most ${most} left: nothing was tried`);
  });

  it('F7: bytes that changed on the disk never change sums unseen', async () => {
    const { file, records } = await filled('f7.db', 120);
    const bytes = readFileSync(file);
    const random = randomNumbers(7);
    const truth = sumsOf(records);
    const seen = { refused: 0, different: 0, harmless: 0 };
    const flips = DEPTH < 10 ? 60 : 20 * DEPTH;
    const places = range(flips).map((flip) => ({ flip, at: random(bytes.length), bit: 1 << random(8) }));
    await inParallel(places, AT_ONCE, async ({ flip, at, bit }) => {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ bit;
      const copy = folder.path(`f7-${flip}.db`);
      writeFileSync(copy, damaged);
      let told: unknown;
      try {
        const store = await folder.open(`f7-${flip}.db`, { synchronous: 'normal' });
        const report = async () => (await store.usage.report(ALL_TIME))[0]?.sums;
        told = await report().catch((error: unknown) => error);
        await store.close();
        if ((await verifySums(copy)).length > 0) {
          seen.different += 1;
          return;
        }
      } catch (error) {
        assert.ok(error instanceof Error, String(error));
        seen.refused += 1;
        return;
      }
      assert.deepEqual(told, truth, `byte ${at}`);
      seen.harmless += 1;
    });
    assert.ok(
      Object.values(seen).every((count) => count > flips / 50),
      JSON.stringify(seen),
    );
  });

  it('F12: sums that are not those of the rows are found', async () => {
    const { file, records } = await filled('f12.db', 50);
    assert.deepEqual(await verifySums(file), []);
    const db = await connectTo(file);
    db.exec(`
      UPDATE hours SET cost_nano_usd = cost_nano_usd + 1 WHERE key_id = 'k0' AND at = 0;
      DELETE FROM calls WHERE request_id = 'r1';
      DELETE FROM hours WHERE key_id = 'k2' AND at = 0;
    `);
    db.close();
    const differences = await verifySums(file);
    const none = sumsOf([]);
    const sumOf = (id: string) => sumsOf(records.filter(({ requestId }) => requestId === id));
    const row = (keyId: string) => ({
      startsAt: 0,
      keyId,
      owner: `key:${keyId}`,
      tier: 'basic',
      model: 'gpt-4o-mini',
      operation: 'chat.completions',
    });
    const first = records.filter(({ keyId, startedAt }) => keyId === 'k0' && startedAt < 3_600_000);
    assert.deepEqual(differences, [
      {
        ...row('k0'),
        kept: { ...sumsOf(first), costNanoUsd: sumsOf(first).costNanoUsd + 1 },
        recomputed: sumsOf(first),
      },
      { ...row('k1'), kept: sumOf('r1'), recomputed: none },
      { ...row('k2'), kept: none, recomputed: sumOf('r2') },
    ]);
  });

  it('F13: a process that is killed while it makes the file leaves none or a whole one', async () => {
    const random = randomNumbers(13);
    const kills = range(8).map((kill) => ({ kill, lines: 1 + random(12), afterMs: random(8) }));
    await inParallel(kills, AT_ONCE, async ({ kill, lines, afterMs }) => {
      const child = folder.child('make', folder.path(`f13-${kill}`));
      let last = await child.line();
      for (let line = 0; line < lines; line += 1) last = await child.line();
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      await child.kill();
      // Those it made whole, the one it was at, and the next, if it got there.
      for (const name of [`f13-${kill}.0`, last.split('/').at(-1) ?? '', `f13-${kill}.${lines + 1}`]) {
        const store = await folder.open(name);
        await recordUsage(store.usage, usageRecordOf({ keyId: 'k' }));
        assert.equal((await store.usage.report(ALL_TIME))[0]?.sums.requests, 1);
        await store.close();
      }
    });
  });
});

describe('F8: a full disk', () => {
  it('refuses calls, keeps what was promised, and takes calls again once there is room', async () => {
    // As SQLite sees it: no page more.
    const connections = openFile(await loadDriver(), folder.path('full.db'), 'full');
    const db = connections.durable;
    const writer = groupWriter(db);
    const clock = { ...systemClock, isMachines: true };
    const instance = thisInstance(db, { id: 'full', startedAt: performance.timeOrigin, clock });
    const { open, settle } = sqliteLedger(db, { writer, instance });
    const { startRow, recordRow } = rowWriter();
    await assertFillsUp(
      { open: (start) => open(startRow(start)), settle: (record) => settle(recordRow(record)) },
      {
        fill: () => db.exec('PRAGMA max_page_count = 1'),
        free: () => db.exec('PRAGMA max_page_count = 1000000'),
      },
    );
    connections.quick.close();
    db.close();
    assert.deepEqual(await verifySums(folder.path('full.db')), []);
  });

  it('also a real one', async (t) => {
    const mount = folder.path('disk');
    mkdirSync(mount);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', mount]).status !== 0) {
      t.skip('needs the right to mount a tmpfs, as root has it');
      return;
    }
    try {
      const store = await folder.open('disk/db');
      const ballast = `${mount}/ballast`;
      await assertFillsUp(store.usage, {
        fill: () => assert.throws(() => writeFileSync(ballast, Buffer.alloc(1_048_576)), /ENOSPC/),
        free: () => truncateSync(ballast, 0),
      });
      await store.close();
      assert.deepEqual(await verifySums(`${mount}/db`), []);
    } finally {
      // Its files may be open until the garbage collector comes.
      spawnSync('umount', ['--lazy', mount]);
    }
  });

  async function assertFillsUp(
    usage: UsageStore,
    disk: { readonly fill: () => void; readonly free: () => void },
  ): Promise<void> {
    const promised = usageRecordOf({ keyId: 'k' });
    await usage.open(startOf(promised));
    disk.fill();
    const outcomes: string[] = [];
    for (let batch = 0; batch < 20 && !outcomes.includes('rejected'); batch += 1) {
      const starts = Array.from({ length: 30 }, () => startOf(usageRecordOf({ keyId: 'k'.repeat(500) })));
      const results = await Promise.allSettled(starts.map((start) => usage.open(start)));
      outcomes.push(...results.map(({ status }) => status));
    }
    assert.ok(outcomes.includes('rejected'), 'the disk was never full');
    disk.free();
    await usage.settle(promised);
    await recordUsage(usage, usageRecordOf({ keyId: 'k' }));
  }
});

describe('the limiter’s clock', () => {
  it('I7: is set right when the file was told a time that is yet to come', async () => {
    const clock = frozenClock();
    const draw = { bucket: 'b', capacity: 60, refillPerMs: 1 / 1_000, amount: 60 };
    const reserve = async (store: Awaited<ReturnType<typeof folder.open>>, id: string, now: number) =>
      store.limiter.reserve({ id, draws: [draw], slots: [{ name: 's', capacity: 1 }], ttlMs: 30_000 }, now);
    const store = await folder.open('clock.db', { clock });
    const wrong = clock.steadyMs() + 100 * 365 * 86_400_000;
    assert.equal((await reserve(store, '1', wrong)).granted, true);
    await store.close();
    const again = await folder.open('clock.db', { clock });
    const refused = await reserve(again, '2', clock.steadyMs());
    assert.deepEqual(refused, { granted: false, retryAfterMs: 60_000, remaining: [0] });
    const other = await folder.open('clock.db', { clock });
    // Given back after 30 s, as it would have been.
    assert.equal((await reserve(other, '3', clock.steadyMs() + 30_000)).granted, true);
  });
});
