import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type LimiterStore, memoryLimiter, type Reservation } from 'megallm-middleware';
import { reply, wholeChat } from '../helpers/chat-answers.js';
import { gate, within } from '../helpers/deadline.js';
import { DEPTH, patience, runs } from '../helpers/depth.js';
import { type FrozenClock, frozenClock } from '../helpers/frozen-clock.js';
import { SECRET } from '../helpers/gateway-options.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { type RawResponse, rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL, inBareHost, type Scene, withScene } from '../helpers/scene.js';

const START_MS = 1_800_000_000_000;
const DAY_MS = 86_400_000;

/** A clock whose wall is set by hand, on which everybody sees another time than on the steady one. */
interface LeapingClock extends FrozenClock {
  leap(ms: number): void;
}

function leapingClock(): LeapingClock {
  const steady = frozenClock(START_MS);
  let offsetMs = 0;
  return {
    ...steady,
    wallMs: () => steady.steadyMs() + offsetMs,
    leap: (ms) => {
      offsetMs = ms;
    },
  };
}

/** What a client is told of its limits. */
function told({ status, headers }: RawResponse): Record<string, unknown> {
  const names = Object.keys(headers).filter((name) => /^(?:x-ratelimit-|retry-after)/.test(name));
  return { status, ...Object.fromEntries(names.map((name) => [name, headers[name]])) };
}

const step = fc.record({
  advanceMs: fc.oneof(fc.nat(50), fc.nat(20_000)),
  leapMs: fc.constantFrom(0, 1, -1, 6_000, -6_000, 3_600_000, -3_600_000, DAY_MS, -DAY_MS, 40 * DAY_MS, -40 * DAY_MS),
  maxTokens: fc.integer({ min: 1, max: 700 }),
});

inBareHost('I7 whatever the wall clock does, a client is told the same of its limits', async () => {
  const calm = frozenClock(START_MS);
  const leaping = leapingClock();
  const options = (clock: FrozenClock) => ({
    clock,
    key: { limits: { requestsPerMinute: 9, tokensPerMinute: 1_500, concurrency: 2 } },
    script: () => reply(wholeChat('Hello')),
  });
  const seen = { admitted: 0, refused: 0, leaps: 0 };
  await withScene(BARE_HOST, options(calm), (one) =>
    withScene(BARE_HOST, options(leaping), async (other) => {
      const ask = ({ host }: Scene, max_tokens: number): Promise<RawResponse> =>
        rawExchange(host.origin, rawChat(SECRET, { ...CALL, max_tokens }));
      const property = fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 40 }), async (steps) => {
        for (const { advanceMs, leapMs, maxTokens } of steps) {
          calm.advance(advanceMs);
          leaping.advance(advanceMs);
          leaping.leap(leapMs);
          const expected = await ask(one, maxTokens);
          assert.deepEqual(told(await ask(other, maxTokens)), told(expected));
          seen[expected.status === 200 ? 'admitted' : 'refused'] += 1;
          if (leapMs !== 0) seen.leaps += 1;
        }
      });
      await within(fc.assert(property, runs(3)), 'the property to be checked', patience(55_000));
    }),
  );
  assert.ok(seen.admitted > DEPTH && seen.refused > DEPTH && seen.leaps > 10 * DEPTH, JSON.stringify(seen));
});

inBareHost(
  'I7 the steady clock does matter: a minute of it fills a bucket, a minute of the wall does not',
  async () => {
    const clock = leapingClock();
    const limits = { requestsPerMinute: 1 };
    await withScene(BARE_HOST, { clock, key: { limits } }, async ({ host }) => {
      const status = async (): Promise<number> => (await rawExchange(host.origin, rawChat(SECRET, CALL))).status;
      assert.deepEqual([await status(), await status()], [200, 429]);
      clock.leap(60_000);
      assert.equal(await status(), 429);
      clock.advance(60_000);
      assert.equal(await status(), 200);
    });
  },
);

inBareHost(
  'F16 the same Idempotency-Key is asked once, however far the wall clock leaps while its call runs',
  async () => {
    const clock = leapingClock();
    const answered = gate();
    const script = () => [{ kind: 'wait' as const, until: answered.opened }, ...reply(wholeChat('Hello'))];
    await withScene(BARE_HOST, { clock, script }, async ({ host, upstream }) => {
      const ask = (): Promise<RawResponse> =>
        rawExchange(host.origin, rawChat(SECRET, CALL, { 'idempotency-key': 'order 4711' }));
      const first = ask();
      await upstream.request(0);
      for (const leapMs of [3_600_000, -3_600_000, DAY_MS]) {
        clock.leap(leapMs);
        const { status, headers } = await ask();
        assert.deepEqual([status, headers['retry-after']], [409, '1']);
      }
      answered.open();
      assert.equal((await first).status, 200);
      assert.equal((await ask()).headers['idempotency-replayed'], 'true');
      assert.equal(upstream.requests.length, 1);
    });
  },
);

/** A call: so long after the last one, of so many tokens, of which so many were used in the end. */
const call = fc.record({
  pauseMs: fc.oneof(fc.constant(0), fc.nat(3_000), fc.nat(90_000)),
  amount: fc.integer({ min: 1, max: 60 }),
  used: fc.oneof(fc.nat(60), fc.nat(200)),
  /** Which of the latest calls is settled after it; most of them more than once or never. */
  settles: fc.nat(5),
});
const calls = fc.array(call, { minLength: 5, maxLength: 60 });

interface Admitted {
  readonly at: number;
  readonly amount: number;
}

describe('a bucket by the minute', () => {
  // The shortest unit that a rule by the minute gives back is 1/60,000; doubles are off by less than that.
  const OFF = 1e-3;
  const capacity = 60;
  const refillPerMs = capacity / 60_000;
  const drawing = (id: string, amount: number): Reservation => ({
    id,
    draws: [{ bucket: 'b', capacity, refillPerMs, amount }],
    slots: [],
    ttlMs: 1e9,
  });
  const left = async (store: LimiterStore, now: number): Promise<number> =>
    (await store.reserve({ ...drawing('look', 0), dryRun: true }, now)).remaining[0] ?? Number.NaN;

  it('E20 admits in any span no more than it holds and what flows back in it, so in a minute at most twice its limit', async () => {
    let most = 0;
    const property = fc.asyncProperty(calls, async (list) => {
      const store = memoryLimiter({ maxBuckets: 4 });
      const admitted: Admitted[] = [];
      let now = START_MS;
      for (const [index, { pauseMs, amount }] of list.entries()) {
        now += pauseMs;
        if ((await store.reserve(drawing(`${index}`, amount), now)).granted) admitted.push({ at: now, amount });
      }
      for (const [first, from] of admitted.entries()) {
        let sum = 0;
        for (const { at, amount } of admitted.slice(first)) {
          sum += amount;
          const bound = capacity + refillPerMs * (at - from.at);
          assert.ok(sum <= bound + OFF, `${sum} in ${at - from.at} ms, at most ${bound}`);
          if (at - from.at <= 60_000) most = Math.max(most, sum);
        }
      }
    });
    await fc.assert(property, runs(200));
    assert.ok(most > capacity && most <= 2 * capacity, `${most} in a minute`);
  });

  it('E21 never holds more than its capacity, nor gives out what was not there, however calls are settled', async () => {
    let settledTwice = 0;
    const property = fc.asyncProperty(calls, async (list) => {
      const store = memoryLimiter({ maxBuckets: 4 });
      const drawn = new Map<string, number>();
      const open = new Map<string, Reservation>();
      const all: Reservation[] = [];
      let now = START_MS;
      for (const [index, { pauseMs, amount, used, settles }] of list.entries()) {
        now += pauseMs;
        const reservation = drawing(`${index}`, amount);
        all.push(reservation);
        if ((await store.reserve(reservation, now)).granted) {
          drawn.set(reservation.id, amount);
          open.set(reservation.id, reservation);
        }
        const chosen = all.at(-1 - settles);
        if (chosen !== undefined) {
          if (open.delete(chosen.id)) drawn.set(chosen.id, used);
          else settledTwice += 1;
          await store.settle(chosen, [used], now);
        }
        const remaining = await left(store, now);
        assert.ok(remaining <= capacity, `${remaining} left`);
        const sum = [...drawn.values()].reduce((total, one) => total + one, 0);
        const there = capacity + refillPerMs * (now - START_MS);
        assert.ok(sum + remaining <= there + OFF, `${sum} drawn and ${remaining} left, of ${there}`);
      }
    });
    await fc.assert(property, runs(100));
    assert.ok(settledTwice > 100, `${settledTwice}`);
  });
});
