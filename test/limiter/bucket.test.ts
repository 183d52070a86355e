import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drawFrom, fullBucket, remainingOf, waitMsFor } from '../../src/limits/bucket.js';

describe('waitMsFor', () => {
  it('needs exactly a minute for a whole bucket of any limit by the minute', () => {
    for (let capacity = 1; capacity <= 20_000; capacity += 1) {
      const empty = { drawn: capacity, since: 0, refillPerMs: capacity / 60_000 };
      assert.equal(waitMsFor(empty, { amount: capacity, capacity }, 0), 60_000, `capacity ${capacity}`);
      assert.equal(waitMsFor(empty, { amount: capacity, capacity }, 59_999), 1, `capacity ${capacity}`);
    }
  });

  it('names the least wait also where a division rounds the other way than its test', () => {
    const tolerance = 1e-6;
    for (const refillPerMs of [0.1, 0.2, 0.3, 0.7, 1.1, 1 / 3, 1 / 7, 90_001 / 60_000]) {
      for (let waitMs = 1; waitMs <= 2_000; waitMs += 1) {
        // On the very edge of what the tolerance lets through.
        const missing = waitMs * refillPerMs + tolerance;
        const bucket = { drawn: 1_000 + missing, since: 0, refillPerMs };
        const wanted = { amount: 500, capacity: 1_500 };
        const least = waitMsFor(bucket, wanted, 0);
        assert.ok(Math.abs(least - waitMs) <= 1);
        assert.equal(waitMsFor(bucket, wanted, least), 0, `${refillPerMs}, ${waitMs}`);
        assert.notEqual(waitMsFor(bucket, wanted, least - 1), 0, `${refillPerMs}, ${waitMs}`);
      }
    }
  });

  it('names a wait that is enough where a division rounds down', () => {
    const bucket = { drawn: 21.830501, since: 0, refillPerMs: 450 / 60_000 };
    const wanted = { amount: 0.732, capacity: 4 };
    const least = waitMsFor(bucket, wanted, 0);
    assert.equal(least, 2_476);
    assert.equal(waitMsFor(bucket, wanted, least), 0);
    assert.equal(waitMsFor(bucket, wanted, least - 1), 1);
  });

  it('is never for what cannot be', () => {
    const bucket = { ...fullBucket(0, 0), drawn: 1 };
    for (const amount of [5.1, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.equal(waitMsFor(fullBucket(1, 0), { amount, capacity: 5 }, 0), Number.POSITIVE_INFINITY);
    }
    assert.equal(waitMsFor(bucket, { amount: 5, capacity: 5 }, 0), Number.POSITIVE_INFINITY);
    assert.equal(waitMsFor(bucket, { amount: 4, capacity: 5 }, 0), 0);
  });
});

describe('a bucket of 9e15 without refill', () => {
  const capacity = 9e15;
  const fitsInto = (drawn: number, amount: number): boolean =>
    waitMsFor({ drawn, since: 0, refillPerMs: 0 }, { amount, capacity }, 9e12) === 0;

  it('grants to the last unit and not one more', () => {
    for (const amount of [1, 2, 3, 1e6 + 1, 2 ** 28 + 1, 4.5e15 + 1, capacity]) {
      assert.equal(fitsInto(capacity - amount, amount), true, `${amount}`);
      if (amount < capacity) assert.equal(fitsInto(capacity - amount + 1, amount), false, `${amount}`);
      assert.equal(fitsInto(capacity, amount), false, `${amount}`);
    }
    assert.equal(fitsInto(0, capacity + 1), false);
  });

  it('loses no unit in a million draws and refunds', () => {
    const bucket = fullBucket(0, 0);
    drawFrom(bucket, capacity - 3_000_000, 0);
    let drawn = BigInt(capacity) - 3_000_000n;
    for (let step = 1; step <= 1_000_000; step += 1) {
      const amount = step % 2 === 0 ? -step : 2 + step;
      drawFrom(bucket, amount, step);
      drawn += BigInt(amount);
    }
    assert.equal(remainingOf(bucket, capacity, 1_000_001), Number(BigInt(capacity) - drawn));
    assert.ok(drawn > 8_999_999_000_000_000n);
  });

  it('says to the unit what is left, also in debt', () => {
    for (const left of [0, 1, 3, 4.5e15 + 1, -1, -7_000_000_000_001]) {
      assert.equal(remainingOf({ drawn: capacity - left, since: 0, refillPerMs: 0 }, capacity, 9e12), left);
    }
  });
});
