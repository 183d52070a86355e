import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { type SqliteStore, verifySums } from 'megallm-middleware/sqlite';
import { systemClock } from '../../src/base/clock.js';
import { costNanoUsd } from '../../src/models/pricing.js';
import { startOf, sumsOf, usageRecordOf } from '../contracts/usage-store.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { wishOf } from '../helpers/held.js';
import { connectTo, type SqliteChild, type SqliteFolder, sqliteFolder } from '../helpers/sqlite.js';

/** Runs a test in a folder of its own. */
function inFolder(test: (folder: SqliteFolder) => Promise<void>): () => Promise<void> {
  return async () => {
    const folder = sqliteFolder();
    try {
      await test(folder);
    } finally {
      await folder.remove();
    }
  };
}

async function allSay(children: readonly SqliteChild[], expected: string): Promise<void> {
  assert.deepEqual(
    await Promise.all(children.map((child) => child.line())),
    children.map(() => expected),
  );
}

async function rowsOf(file: string) {
  const db = await connectTo(file);
  try {
    return new Map(
      db
        .prepare('SELECT * FROM calls')
        .all()
        .map((row) => [row.request_id, row]),
    );
  } finally {
    db.close();
  }
}

const ALL_TIME = { from: 0, to: 4e12, by: [] };

describe('processes that share a file', () => {
  it(
    'admit together what one bucket and one slot hold, and not one more',
    inFolder(async (folder) => {
      const children = [0, 1, 2, 3].map(() => folder.child('hammer', folder.path('db'), '200'));
      await allSay(children, 'ready');
      for (const child of children) child.send('go');
      const granted = await Promise.all(children.map(async (child) => Number(await child.line())));
      assert.equal(
        granted.reduce((sum, one) => sum + one),
        250,
        String(granted),
      );
      const { limiter } = await folder.open('db');
      const look = { bucket: 'shared', capacity: 300, refillPerMs: 0, amount: 0 };
      const verdict = await limiter.reserve({ id: 'look', draws: [look], slots: [], ttlMs: 1 }, 0);
      assert.deepEqual(verdict.remaining, [50]);
    }),
  );

  it(
    'may all be the first to open it',
    inFolder(async (folder) => {
      for (let round = 0; round < 3; round += 1) {
        const children = [0, 1, 2, 3].map(() => folder.child('open', folder.path(`db${round}`)));
        await allSay(children, 'ready');
        for (const child of children) child.send('go');
        await allSay(children, 'opened');
        for (const child of children) child.send('close');
        for (const child of children) await child.ended();
      }
    }),
  );

  it(
    'wait for each other while one of them makes the file',
    inFolder(async (folder) => {
      const maker = folder.child('lock', folder.path('db'));
      assert.equal(await maker.line(), 'locked');
      const opener = folder.child('open', folder.path('db'));
      assert.equal(await opener.line(), 'ready');
      opener.send('go');
      await setTimeout(200);
      maker.send('go');
      assert.equal(await Promise.race([opener.line(), opener.ended()]), 'opened');
    }),
  );

  it(
    'F9: record their calls side by side; one that waits for 5 s for another says so, and goes on after it',
    inFolder(async (folder) => {
      const file = folder.path('db');
      const children = [0, 1].map(() => folder.child('record', file, '800'));
      await allSay(children, 'ready');
      for (const child of children) child.send('go');
      await allSay(children, 'done');
      const { usage } = await folder.open('db');
      assert.equal((await usage.report(ALL_TIME))[0]?.sums.requests, 1_600);
      const backup = folder.child('lock', file);
      assert.equal(await backup.line(), 'locked');
      const late = usageRecordOf({ keyId: 'late' });
      await assert.rejects(async () => usage.open(startOf(late)), /locked/);
      // What is read needs no lock.
      assert.equal((await usage.report(ALL_TIME))[0]?.sums.requests, 1_600);
      backup.send('go');
      assert.equal(await backup.line(), 'unlocked');
      await usage.open(startOf(late));
      await usage.settle(late);
      assert.equal((await usage.report(ALL_TIME))[0]?.sums.requests, 1_601);
      assert.deepEqual(await verifySums(file), []);
    }),
  );
});

describe('processes on either side of a step of the wall clock', () => {
  const HOUR_MS = 3_600_000;
  for (const shiftMs of [HOUR_MS, -HOUR_MS]) {
    it(
      `I7 admit together what one bucket holds, and name waits of a minute at most: ${shiftMs / HOUR_MS} h`,
      inFolder(async (folder) => {
        const file = folder.path('db');
        const early = folder.child('take', file, '12');
        assert.equal(await early.line(), 'ready');
        const late = folder.shiftedChild(shiftMs, 'take', file, '12');
        assert.equal(await late.line(), 'ready');
        const seen = { granted: 0, waitMs: 0 };
        const startedAt = performance.now();
        for (const child of [early, late, early, late]) {
          child.send('go');
          const [granted = Number.NaN, waitMs = Number.NaN] = (await child.line()).split(' ').map(Number);
          seen.granted += granted;
          seen.waitMs = Math.max(seen.waitMs, waitMs);
        }
        const refilled = ((performance.now() - startedAt) * 10) / 60_000;
        assert.ok(seen.granted >= 10 && seen.granted <= 10 + Math.ceil(refilled), JSON.stringify(seen));
        assert.ok(seen.waitMs > 0 && seen.waitMs <= 6_000, JSON.stringify(seen));
      }),
    );
  }

  it(
    'I7 begin anew with the wall clock once nobody has the file open, set forth or back',
    inFolder(async (folder) => {
      const file = folder.path('db');
      const taken: string[] = [];
      for (const shiftMs of [0, HOUR_MS, 0, 2 * HOUR_MS]) {
        const child = folder.shiftedChild(shiftMs, 'take', file, '12');
        assert.equal(await child.line(), 'ready');
        child.send('go');
        taken.push((await child.line()).split(' ')[0] ?? '');
        await child.kill();
      }
      // An hour back, what was drawn stays drawn.
      assert.deepEqual(taken, ['10', '10', '0', '10']);
    }),
  );
});

describe('calls that a dead process left open', () => {
  it(
    'are settled once, as interrupted, between what was delivered and what was reserved',
    inFolder(async (folder) => {
      const file = folder.path('db');
      const victim = folder.child('openCalls', file);
      assert.equal(await victim.line(), 'ready');
      await victim.kill();
      const children = [0, 1].map(() => folder.child('open', file));
      await allSay(children, 'ready');
      for (const child of children) child.send('go');
      await allSay(children, 'opened');
      for (const child of children) child.send('close');
      for (const child of children) await child.ended();

      const rows = await rowsOf(file);
      assert.equal(rows.size, 7);
      const { price } = usageRecordOf({ keyId: 'k' });
      assert.ok(price !== undefined);
      const costOf = (outputTokens: number) => costNanoUsd(price, startTokens(outputTokens));
      const charges: Readonly<Record<string, readonly [number, number | null]>> = {
        unseen: [50, costOf(50)],
        seen: [30, costOf(30)],
        beyond: [50, costOf(50)],
        boundless: [5_000, costOf(5_000)],
        unpriced: [50, null],
        cheap: [50, 7],
      };
      for (const [requestId, [outputTokens, cost]] of Object.entries(charges)) {
        const row = rows.get(requestId);
        const seen = [
          row?.state,
          row?.outcome,
          row?.counted,
          row?.input_tokens,
          row?.output_tokens,
          row?.cost_nano_usd,
        ];
        assert.deepEqual(seen, ['settled', 'interrupted', 'estimated', 120, outputTokens, cost], requestId);
      }
      assert.equal(rows.get('settled')?.outcome, 'ok');
      const { usage } = await folder.open('db');
      const [all] = await usage.report(ALL_TIME);
      assert.equal(all?.sums.requests, 7);
      assert.equal(all?.sums.outputTokens, 20 + 30 + 4 * 50 + 5_000);
      // One of them had a price of the host's own.
      assert.equal(all?.sums.upstreamCostNanoUsd, costOf(30));
      assert.deepEqual(await verifySums(file), []);
      const db = await connectTo(file);
      assert.equal(db.prepare('SELECT count(*) AS n FROM instances').get()?.n, 1);
      db.close();
    }),
  );

  it(
    'are left alone while their process lives, whoever opens the file',
    inFolder(async (folder) => {
      const alive = folder.child('openCalls', folder.path('db'));
      assert.equal(await alive.line(), 'ready');
      const mine = await folder.open('db');
      await mine.usage.open(startOf(usageRecordOf({ requestId: 'mine', keyId: 'k' })));
      const other = folder.child('open', folder.path('db'));
      assert.equal(await other.line(), 'ready');
      other.send('go');
      assert.equal(await other.line(), 'opened');
      await folder.open('db');
      const rows = await rowsOf(folder.path('db'));
      assert.equal([...rows.values()].filter(({ state }) => state === 'open').length, 7);
    }),
  );

  it(
    'are settled at once when the process is started again under its old pid',
    inFolder(async (folder) => {
      const before = await folder.open('db');
      await before.usage.open(startOf(usageRecordOf({ requestId: 'lost', keyId: 'k' })));
      const db = await connectTo(folder.path('db'));
      db.exec('UPDATE instances SET process_started_at = process_started_at - 1');
      db.close();
      await folder.open('db');
      assert.equal((await rowsOf(folder.path('db'))).get('lost')?.outcome, 'interrupted');
    }),
  );

  it(
    'are settled when a lease is over; where its process lives after all, what it says counts',
    inFolder(async (folder) => {
      const file = folder.path('db');
      const clock = frozenClock();
      const slow = await folder.open('db', { clock });
      const records = ['settles', 'dies', 'opens'].map((requestId) =>
        // Rows of one hour that differ in their key alone.
        usageRecordOf({ requestId, keyId: `key of ${requestId}`, outputTokens: 40, startedAt: clock.wallMs() }),
      );
      const [settles, dies, opens] = records;
      assert.ok(settles !== undefined && dies !== undefined && opens !== undefined);
      await slow.usage.open(startOf(settles));
      await slow.usage.open(startOf(dies));
      // Another machine's, as far as pids go.
      const db = await connectTo(file);
      db.exec(`UPDATE instances SET host = 'elsewhere'`);
      const outcomeOf = (id: string) => db.prepare('SELECT outcome, state FROM calls WHERE request_id = ?').get(id);
      const early = await folder.open('db', { clock: { ...clock, wallMs: () => clock.wallMs() + 14_999 } });
      assert.equal(outcomeOf('settles')?.state, 'open');
      await early.close();
      const later = { ...clock, wallMs: () => clock.wallMs() + 15_000 };
      await folder.open('db', { clock: later });
      assert.equal(outcomeOf('settles')?.outcome, 'interrupted');
      assert.equal(outcomeOf('dies')?.outcome, 'interrupted');
      assert.deepEqual(await verifySums(file), []);

      await slow.usage.settle(settles);
      await slow.usage.settle({ ...settles, outputTokens: 1 });
      await slow.usage.checkpoint('dies', 33);
      assert.equal(outcomeOf('dies')?.state, 'open');
      await slow.usage.open(startOf(opens));
      const [truth] = await slow.usage.report(ALL_TIME);
      assert.deepEqual(truth?.sums, sumsOf([settles]));
      assert.deepEqual(await verifySums(file), []);

      db.exec('DELETE FROM instances');
      await folder.open('db', { clock: later });
      const [end] = await slow.usage.report(ALL_TIME);
      assert.equal(end?.sums.requests, 3);
      assert.equal(end?.sums.outputTokens, 40 + 33 + 50);
      assert.deepEqual(await verifySums(file), []);
      db.close();
    }),
  );

  it(
    'are left alone as long as their process tells that it lives, every 5 s, and no longer',
    inFolder(async (folder) => {
      const clock = frozenClock();
      const timers: (() => void)[] = [];
      const living = await folder.open('db', {
        clock: {
          ...clock,
          setTimer: (run) => {
            timers.push(run);
            return () => {};
          },
        },
      });
      const record = usageRecordOf({ requestId: 'long', keyId: 'k', startedAt: clock.wallMs() });
      await living.usage.open(startOf(record));
      // Another machine's, as far as pids go.
      const db = await connectTo(folder.path('db'));
      db.exec(`UPDATE instances SET host = 'elsewhere'`);
      db.close();
      const stateAsOthersSeeIt = async () => {
        await (await folder.open('db', { clock })).close();
        return (await rowsOf(folder.path('db'))).get('long')?.state;
      };
      for (let tick = 0; tick < 6; tick += 1) {
        clock.advance(5_000);
        timers.shift()?.();
      }
      assert.equal(await stateAsOthersSeeIt(), 'open');
      clock.advance(15_000);
      assert.equal(await stateAsOthersSeeIt(), 'settled');
    }),
  );

  it(
    'are settled by those that run on, too',
    inFolder(async (folder) => {
      const file = folder.path('db');
      const victim = folder.child('openCalls', file);
      assert.equal(await victim.line(), 'ready');
      const timers: (() => void)[] = [];
      const clock = {
        ...frozenClock(Date.now()),
        setTimer: (run: () => void) => {
          timers.push(run);
          return () => {};
        },
      };
      const { usage } = await folder.open('db', { clock });
      await victim.kill();
      timers.shift()?.();
      assert.equal((await usage.report(ALL_TIME))[0]?.sums.requests, 7);
      assert.equal(timers.length, 1);
    }),
  );
});

describe('what a dead process holds of limits', () => {
  const draws = [
    { bucket: 'b', capacity: 100, refillPerMs: 0, amount: 10 },
    { bucket: 'm', capacity: 1e9, refillPerMs: 0, amount: 1e6, budget: { endsAt: 4e12, spent: 0 } },
  ];
  const wish = (id: string) => ({ id, draws, slots: [{ name: 's', capacity: 4 }], ttlMs: 60_000 });
  const record = (requestId: string) => usageRecordOf({ requestId, keyId: 'k', reservedNanoUsd: 1e6 });

  /** Of both buckets, and of places. */
  async function left({ limiter }: SqliteStore, now: number) {
    const look = { ...wish('look'), draws: draws.map((draw) => ({ ...draw, amount: 0 })), slots: [] };
    const { remaining } = await limiter.reserve(look, now);
    const fits = async (count: number) => {
      const places = Array.from({ length: count }, () => ({ name: 's', capacity: 4 }));
      return (await limiter.reserve({ ...look, slots: places, dryRun: true }, now)).granted;
    };
    let free = 0;
    for (const count of [1, 2, 3, 4]) if (await fits(count)) free = count;
    return [...remaining, free];
  }

  async function change(file: string, sql: string): Promise<void> {
    const db = await connectTo(file);
    db.exec(sql);
    db.close();
  }

  it(
    'comes back: but for its cost where there was a call, and whole where there was none yet',
    inFolder(async (folder) => {
      const clock = frozenClock();
      const now = clock.steadyMs();
      const before = await folder.open('db', { clock });
      for (const id of ['called', 'uncalled', 'called:shadow']) await before.limiter.reserve(wish(id), now);
      await before.usage.open(startOf(record('called')));
      assert.deepEqual(await left(before, now), [70, 1e9 - 3e6, 1]);
      await change(folder.path('db'), 'UPDATE instances SET process_started_at = process_started_at - 1');
      const after = await folder.open('db', { clock });
      const cost = (await rowsOf(folder.path('db'))).get('called')?.cost_nano_usd;
      assert.ok(typeof cost === 'number' && cost > 0 && cost < 1e6, String(cost));
      assert.deepEqual(await left(after, now), [90, 1e9 - cost, 4]);
    }),
  );

  it(
    'stays until its time is up where the ledger is another one, but for its places, and budgets stay drawn',
    inFolder(async (folder) => {
      const clock = frozenClock();
      const now = clock.steadyMs();
      const before = await folder.open('db', { clock });
      for (const id of ['elsewhere', 'elsewhere:shadow']) await before.limiter.reserve(wish(id), now);
      await change(folder.path('db'), 'UPDATE instances SET process_started_at = process_started_at - 1');
      const after = await folder.open('db', { clock });
      assert.deepEqual(await left(after, now), [90, 1e9 - 1e6, 4]);
      assert.deepEqual(await left(after, now + 60_000), [100, 1e9 - 1e6, 4]);
    }),
  );

  it(
    'comes back whole when it died before its first call, once others have shown whose ledger it is',
    inFolder(async (folder) => {
      const clock = frozenClock();
      const now = clock.steadyMs();
      const before = await folder.open('db', { clock });
      await before.limiter.reserve(wish('uncalled'), now);
      await change(folder.path('db'), 'UPDATE instances SET process_started_at = process_started_at - 1');
      const next = await folder.open('db', { clock });
      assert.deepEqual(await left(next, now), [90, 1e9 - 1e6, 4]);
      await next.usage.open(startOf({ ...record('called'), startedAt: clock.wallMs() }));
      const after = await folder.open('db', { clock });
      assert.deepEqual(await left(after, now), [100, 1e9, 4]);
    }),
  );

  it(
    'stays its own where it is only thought dead, and is settled when it wakes',
    inFolder(async (folder) => {
      const clock = frozenClock();
      const now = clock.steadyMs();
      const slow = await folder.open('db', { clock });
      for (const id of ['called', 'uncalled']) await slow.limiter.reserve(wish(id), now);
      await slow.usage.open(startOf(record('called')));
      const other = await folder.open('db', { clock: { ...clock, wallMs: () => clock.wallMs() + 15_000 } });
      assert.equal((await rowsOf(folder.path('db'))).get('called')?.outcome, 'interrupted');
      assert.deepEqual(await left(other, now), [80, 1e9 - 2e6, 2]);
      await slow.limiter.settle(wish('called'), [7, 5e5], now);
      assert.deepEqual(await left(other, now), [83, 1e9 - 15e5, 3]);
    }),
  );

  it(
    'comes back with its lease where it ran in another container, and what it tells after all counts',
    inFolder(async (folder) => {
      const clock = frozenClock();
      const now = clock.steadyMs();
      const slow = await folder.open('db', { clock });
      for (const id of ['called', 'uncalled']) await slow.limiter.reserve(wish(id), now);
      await slow.usage.open(startOf(record('called')));
      const claim = { id: 'claimed', fingerprint: 'f' };
      await slow.idempotency.claim(claim, now, 600_000);
      await change(folder.path('db'), `UPDATE instances SET host = 'elsewhere'`);
      const other = await folder.open('db', { clock: { ...clock, wallMs: () => clock.wallMs() + 15_000 } });
      const cost = (await rowsOf(folder.path('db'))).get('called')?.cost_nano_usd;
      assert.ok(typeof cost === 'number' && cost > 0 && cost < 1e6, String(cost));
      assert.deepEqual(await left(other, now), [90, 1e9 - cost, 4]);
      assert.equal((await other.idempotency.claim(claim, now, 600_000)).kind, 'claimed');
      await slow.idempotency.finish(claim, undefined, now);
      assert.equal((await other.idempotency.claim(claim, now, 600_000)).kind, 'in-flight');
      await slow.limiter.settle(wish('called'), [7, 5e5], now);
      await slow.limiter.settle(wish('uncalled'), [1, 2e5], now);
      assert.deepEqual(await left(other, now), [92, 1e9 - 7e5, 4]);
    }),
  );

  it(
    'comes back when it is killed in its sleep, and not before',
    inFolder(async (folder) => {
      const file = folder.path('db');
      const victim = folder.child('hold', file);
      assert.equal(await victim.line(), 'ready');
      await change(file, 'UPDATE instances SET renewed_at = renewed_at - 60000');
      victim.process.kill('SIGSTOP');
      const timers: (() => void)[] = [];
      const setTimer = (run: () => void) => {
        timers.push(run);
        return () => {};
      };
      const { limiter, idempotency } = await folder.open('db', { clock: { ...systemClock, setTimer } });
      const look = async () => (await limiter.reserve({ ...wishOf('look'), dryRun: true }, Date.now())).granted;
      const claim = { id: 'claimed', fingerprint: 'f' };
      timers.shift()?.();
      assert.equal((await rowsOf(file)).get('called')?.outcome, 'interrupted');
      assert.deepEqual([await look(), (await idempotency.claim(claim, Date.now(), 1)).kind], [false, 'in-flight']);
      await victim.kill();
      assert.equal((await idempotency.claim(claim, Date.now(), 600_000)).kind, 'claimed');
      timers.shift()?.();
      assert.equal(await look(), true);
    }),
  );

  it(
    'leaves no trace of who failed to settle it',
    inFolder(async (folder) => {
      const before = await folder.open('db');
      await before.usage.open(startOf(record('called')));
      await change(
        folder.path('db'),
        `UPDATE instances SET process_started_at = process_started_at - 1;
         CREATE TRIGGER broken BEFORE DELETE ON instances BEGIN SELECT RAISE(ABORT, 'broken'); END`,
      );
      await assert.rejects(folder.open('db'), /broken/);
      const db = await connectTo(folder.path('db'));
      assert.equal(db.prepare('SELECT count(*) AS n FROM instances').get()?.n, 1);
      db.exec('DROP TRIGGER broken');
      db.close();
      await folder.open('db');
      assert.equal((await rowsOf(folder.path('db'))).get('called')?.outcome, 'interrupted');
    }),
  );
});

describe('close', () => {
  it(
    'F3: commits what was asked for before it, and refuses what comes after',
    inFolder(async (folder) => {
      const store = await folder.open('db');
      const records = Array.from({ length: 50 }, () => usageRecordOf({ keyId: 'k' }));
      const opened = records.map((record) => store.usage.open(startOf(record)));
      const settled = records.map((record) => store.usage.settle(record));
      await store.close();
      await Promise.all([...opened, ...settled]);
      await assert.rejects(async () => store.usage.open(startOf(usageRecordOf({ keyId: 'k' }))), /closed/);
      const again = await folder.open('db');
      assert.deepEqual((await again.usage.report(ALL_TIME))[0]?.sums, sumsOf(records));
      const rows = await connectTo(folder.path('db'));
      assert.equal(rows.prepare('SELECT count(*) AS n FROM instances').get()?.n, 1);
      rows.close();
    }),
  );
});

function startTokens(outputTokens: number) {
  const { reservedInputTokens } = usageRecordOf({ keyId: 'k' });
  return {
    inputTokens: reservedInputTokens,
    cachedInputTokens: undefined,
    inputAudioTokens: undefined,
    inputImageTokens: undefined,
    outputTokens,
    reasoningTokens: undefined,
    outputAudioTokens: undefined,
  };
}
