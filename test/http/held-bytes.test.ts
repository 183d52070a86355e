import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCancellation } from '../../src/base/cancellation.js';
import { GatheredBytes } from '../../src/base/gathered-bytes.js';
import { HeldBytes } from '../../src/http/held-bytes.js';
import { Places } from '../../src/limits/places.js';

/** A request that holds bytes, and a clock that a test sets off. */
function holders(bounds: { maxHeldBytesPerKey: number; maxHeldBytes: number }) {
  const held = new HeldBytes(bounds);
  const timers: (() => void)[] = [];
  const clock = {
    setTimer(run: () => void) {
      timers.push(run);
      return () => void timers.splice(timers.indexOf(run), 1);
    },
  };
  function holder(keyId: string) {
    const cancellation = createCancellation();
    const one = {
      own: 0,
      cancellation,
      async take(bytes: number) {
        const { own } = one;
        await held.addInTime({
          keyId,
          bytes,
          own,
          cancellation,
          clock,
          onHeld() {
            one.own += bytes;
          },
        });
      },
      letGo() {
        const { own } = one;
        one.own = 0;
        held.remove(keyId, own);
      },
    };
    return one;
  }
  return { held, timers, holder };
}

const BOUNDS = { maxHeldBytesPerKey: 100, maxHeldBytes: 1_000 };
const FULL = { status: 429, code: 'rate_limit_exceeded' };

describe('bytes that are held', () => {
  it('wait until others of their key are gone, in the order in which they came', async () => {
    const { holder, timers } = holders(BOUNDS);
    const [one, two, three] = [holder('a'), holder('a'), holder('a')];
    await one.take(90);
    const taken: string[] = [];
    const second = two.take(60).then(() => taken.push('second'));
    const third = three.take(60).then(() => taken.push('third'));
    await holder('b').take(90);
    assert.deepEqual(taken, []);
    one.letGo();
    await second;
    assert.deepEqual(taken, ['second']);
    two.letGo();
    await third;
    assert.deepEqual([taken, timers.length], [['second', 'third'], 0]);
  });

  it('do not wait for those who wait for them', async () => {
    const { holder, timers } = holders(BOUNDS);
    const [one, two] = [holder('a'), holder('a')];
    await one.take(50);
    await two.take(50);
    const waiting = one.take(10);
    await assert.rejects(two.take(10), FULL);
    two.letGo();
    await waiting;
    assert.deepEqual([one.own, timers.length], [60, 0]);
  });

  it('are refused one after the other until the rest has room', async () => {
    const { holder } = holders(BOUNDS);
    const all = [holder('a'), holder('a'), holder('a'), holder('a')];
    for (const one of all) await one.take(25);
    const ended: string[] = [];
    const taking = all.map(async (one, at) => {
      try {
        await one.take(70);
        ended.push(`${at} has room`);
      } catch {
        ended.push(`${at} is refused`);
        one.letGo();
      }
    });
    await Promise.all(taking);
    assert.deepEqual(ended, ['3 is refused', '2 is refused', '1 is refused', '0 has room']);
  });

  it('wait no longer than their time, nor than their call', async () => {
    const { held, holder, timers } = holders(BOUNDS);
    const [one, two, three] = [holder('a'), holder('a'), holder('a')];
    await one.take(90);
    await two.take(10);
    const late = two.take(10);
    const gone = three.take(10);
    timers[0]?.();
    await assert.rejects(late, FULL);
    three.cancellation.abort(new Error('gone'));
    await assert.rejects(gone, { message: 'gone' });
    one.letGo();
    two.letGo();
    held.check('a', 100);
    assert.deepEqual([two.own, three.own, timers.length], [0, 0, 0]);
  });

  it('are not waited for by a call that is over: nobody would give them back', async () => {
    const { held, holder, timers } = holders(BOUNDS);
    const [one, over] = [holder('a'), holder('a')];
    await one.take(100);
    over.cancellation.abort(new Error('gone'));
    const gone = over.take(10);
    one.letGo();
    await assert.rejects(gone, { message: 'gone' });
    assert.deepEqual([over.own, timers.length], [0, 0]);
    held.check('a', 100);
  });

  it('of one call alone find room in any case, and nobody else’s then', async () => {
    const { held, holder } = holders(BOUNDS);
    const one = holder('a');
    await one.take(90);
    await one.take(90);
    assert.throws(() => held.check('a', 1), FULL);
    one.letGo();
    held.check('a', 100);
  });

  it('are known by key, after thousands of others have come and gone', async () => {
    const { held, holder } = holders(BOUNDS);
    const first = holder('first');
    await first.take(60);
    for (let index = 0; index < 5_000; index += 1) {
      const other = holder(`other-${index}`);
      await other.take(100);
      assert.throws(() => held.check(`other-${index}`, 1), FULL);
      other.letGo();
      held.check(`other-${index}`, 100);
    }
    held.check('first', 40);
    assert.throws(() => held.check('first', 41), FULL);
    first.letGo();
    held.check('first', 100);
    held.check('anybody', 100);
  });

  it('are bounded in all, whoever’s they are', async () => {
    const { holder } = holders({ maxHeldBytesPerKey: 100, maxHeldBytes: 150 });
    const [one, two] = [holder('a'), holder('b')];
    await one.take(90);
    await two.take(60);
    const waiting = two.take(30);
    await assert.rejects(one.take(5), { status: 503, code: 'overloaded' });
    one.letGo();
    await waiting;
    assert.equal(two.own, 90);
  });
});

describe('places', () => {
  it('are taken of every kind or of none, and come back', () => {
    const places = new Places();
    const [few, many] = [
      { name: 'few', capacity: 1 },
      { name: 'many', capacity: 2 },
    ];
    assert.equal(places.enter([many, few]), undefined);
    assert.equal(places.enter([many, few]), few);
    assert.equal(places.enter([many]), undefined);
    assert.equal(places.enter([many]), many);
    places.leave([many, few]);
    assert.equal(places.enter([few, many]), undefined);
  });

  it('are whole', () => {
    const places = new Places();
    const half = { name: 's', capacity: 1.5 };
    assert.equal(places.enter([half]), undefined);
    assert.equal(places.enter([half]), half);
  });
});

describe('gathered bytes', () => {
  it('are the same however they were cut', () => {
    const whole = Buffer.from(Array.from({ length: 60_000 }, (_, at) => (at * 7) % 251));
    for (const sizes of [[60_000], [1], [1_023, 1_024, 1, 20_000], [1_025, 3], [16_384], [5_000, 1, 1, 1]]) {
      const gathered = new GatheredBytes();
      for (let at = 0, turn = 0; at < whole.length; turn += 1) {
        const size = sizes[turn % sizes.length] ?? 1;
        gathered.add(whole.subarray(at, at + size));
        at += size;
      }
      assert.equal(gathered.size, whole.length);
      assert.ok(whole.equals(gathered.take()), sizes.join());
      assert.equal(gathered.size, 0);
      gathered.add(whole.subarray(0, 2));
      assert.ok(whole.subarray(0, 2).equals(gathered.take()));
    }
    assert.equal(new GatheredBytes().take().byteLength, 0);
  });
});
