import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ApiKey, type Limits, ownerOf, type TierLimits } from '../../src/keys/key-store.js';
import { DEFAULT_TIERS } from '../../src/keys/limits.js';
import { admit as admitOn, look as lookOn } from '../../src/limits/admit.js';
import { amountOf, ceilingsOf, levelsOf, limitsOf, NO_LIMITS, shadowsOf, slotsOf } from '../../src/limits/levels.js';
import type { Admission, AdmitResult, Demand, LimiterStore, LimitLevel } from '../../src/limits/limiter-store.js';
import { memoryLimiter } from '../../src/limits/memory.js';
import { periodsOf } from '../../src/limits/periods.js';

let calls = 0;
const WALL_MS = Date.UTC(2026, 10, 25, 12);
const DAY_END = Date.UTC(2026, 10, 26);

type Wish = Partial<Demand> & { readonly key?: ApiKey; readonly maxOutputTokens?: number; readonly n?: number };

function demand(limits: Limits, { key = { id: 'key_a' }, ...more }: Wish = {}): Demand {
  return demandOn([{ kind: 'owner', id: ownerOf(key), limits }], { key, ...more });
}

function demandOn(
  levels: readonly LimitLevel[],
  { key = { id: 'key_a' }, inputTokens = 10, maxOutputTokens, n = 1, ...more }: Wish = {},
): Demand {
  calls += 1;
  return {
    requestId: `call_${calls}`,
    slots: slotsOf(levels),
    ceilings: ceilingsOf(levels, periodsOf('UTC'), WALL_MS),
    subject: key.owner ?? key.id,
    asks: { model: 'gpt-4o', maxOutputTokens, n },
    inputTokens,
    defaultOutputTokens: 4_096,
    learnsLength: true,
    // 1 nano-dollar for a token of input, 10 for one of output.
    worstNanoUsd: (outputTokens) => inputTokens + 10 * outputTokens,
    doubt: () => {},
    ...more,
  };
}

function limitingAt(store: LimiterStore, now: number, spent = 0) {
  return { store, spent: () => spent, clock: { steadyMs: () => now, wallMs: () => WALL_MS }, ttlMs: 60_000 };
}

function admit(store: LimiterStore, wanted: Demand, now: number) {
  return admitOn(limitingAt(store, now), wanted);
}

/** Gives back what was not used of the tokens. */
function settle(store: LimiterStore, { reservation, ceilings, amounts }: Admission, outputTokens: number) {
  assert.ok(reservation !== undefined);
  const nanoUsd = amounts.inputTokens + 10 * outputTokens;
  const used = { ...amounts, outputTokens, nanoUsd };
  return store.settle(
    reservation,
    ceilings.map((ceiling) => amountOf(ceiling, used)),
    0,
  );
}

function admitted(result: AdmitResult) {
  assert.equal(result.kind, 'admitted');
  if (result.kind !== 'admitted') throw new Error('unreachable');
  return result;
}

function refused(result: AdmitResult) {
  assert.equal(result.kind, 'refused');
  if (result.kind !== 'refused') throw new Error('unreachable');
  return result.refusal;
}

describe('admit', () => {
  it('reserves input plus n times the ceiling, which is the default where the client named none', async () => {
    const store = memoryLimiter();
    const first = admitted(await admit(store, demand({ tokensPerMinute: 90_000 }), 0));
    assert.equal(first.outputCeiling, 4_096);
    assert.deepEqual(first.remaining, [90_000 - 10 - 4_096]);
    const second = admitted(await admit(store, demand({ tokensPerMinute: 90_000 }, { n: 3, maxOutputTokens: 100 }), 0));
    assert.equal(second.reservation?.draws[0]?.amount, 310);
  });

  it('tells a client that named no ceiling to wait for as little as an answer needs, not for the default', async () => {
    const store = memoryLimiter();
    const limits = { tokensPerMinute: 60_000 };
    admitted(await admit(store, demand(limits, { maxOutputTokens: 59_980 }), 0));
    // 10 are left; 10 of input and 16 of output come back in 16 ms.
    const { error } = refused(await admit(store, demand(limits), 0));
    assert.equal(error.retryAfterMs, 16);
    assert.equal(refused(await admit(store, demand(limits), 15)).error.retryAfterMs, 1);
    assert.equal(admitted(await admit(store, demand(limits), 16)).outputCeiling, 16);
  });

  it('says which limit a call is too large for', async () => {
    const { error } = refused(await admit(memoryLimiter(), demand({ requestsPerMinute: 0 }), 0));
    assert.deepEqual([error.type, error.code], ['requests', 'request_exceeds_limit']);
    assert.doesNotMatch(error.message, /tokens/);
  });

  it('shrinks the ceiling to what is left rather than refusing, down to 16 tokens', async () => {
    const store = memoryLimiter();
    const limits = { tokensPerMinute: 100 };
    const first = admitted(await admit(store, demand(limits), 0));
    assert.equal(first.outputCeiling, 90);
    await settle(store, first, 50);
    const second = admitted(await admit(store, demand(limits), 0));
    assert.equal(second.outputCeiling, 30);
    await settle(store, second, 10);
    const third = refused(await admit(store, demand(limits), 0));
    assert.equal(third.error.code, 'rate_limit_exceeded');
    assert.equal(third.error.type, 'tokens');
    assert.deepEqual(third.refused.verdict.remaining, [20]);
  });

  it('tells a call that can never fit apart from one that must wait', async () => {
    const store = memoryLimiter();
    const large = refused(await admit(store, demand({ tokensPerMinute: 100 }, { inputTokens: 90 }), 0));
    assert.equal(large.error.code, 'request_exceeds_limit');
    assert.equal(large.error.shouldRetry, false);
    assert.equal(large.error.retryAfterMs, undefined);
    assert.match(
      large.error.message,
      /^Request too large for gpt-4o in organization key_a on tokens per min \(TPM\): Limit 100, Requested 106\./,
    );
  });

  it('words a refusal as OpenAI does, with the delay that clients read from it', async () => {
    const store = memoryLimiter();
    const limits = { requestsPerMinute: 3 };
    for (let call = 0; call < 3; call += 1) admitted(await admit(store, demand(limits), 0));
    const { error } = refused(await admit(store, demand(limits), 0));
    assert.equal(
      error.message,
      'Rate limit reached for gpt-4o in organization key_a on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.',
    );
    assert.equal(error.retryAfterMs, 20_000);
    assert.equal(error.type, 'requests');
  });

  it('holds one of the places until the call is settled', async () => {
    const store = memoryLimiter();
    const limits = { requestsPerMinute: 100, concurrency: 1 };
    const first = admitted(await admit(store, demand(limits), 0));
    const second = refused(await admit(store, demand(limits), 0));
    assert.equal(second.error.type, 'concurrency');
    assert.deepEqual(second.refused.verdict.remaining, [99], 'a refusal takes nothing');
    await settle(store, first, 0);
    admitted(await admit(store, demand(limits), 0));
  });

  it('shares the limits of an owner among his keys, and not with a key of the same name', async () => {
    const store = memoryLimiter();
    const limits = { requestsPerMinute: 1 };
    admitted(await admit(store, demand(limits, { key: { id: 'a', owner: 'ann' } }), 0));
    refused(await admit(store, demand(limits, { key: { id: 'b', owner: 'ann' } }), 0));
    admitted(await admit(store, demand(limits, { key: { id: 'ann' } }), 0));
  });

  it('sends no ceiling where tokens are not limited', async () => {
    assert.equal(admitted(await admit(memoryLimiter(), demand({ requestsPerMinute: 1 }), 0)).outputCeiling, undefined);
  });
});

describe('look', () => {
  it('takes nothing', async () => {
    const store = memoryLimiter();
    const { ceilings } = demand({ requestsPerMinute: 5, tokensPerMinute: 50 });
    assert.deepEqual(await lookOn(limitingAt(store, 0), ceilings), [5, 50]);
    assert.deepEqual(await lookOn(limitingAt(store, 0), ceilings), [5, 50]);
  });
});

describe('levels', () => {
  const rules = (tiers: Record<string, TierLimits>, globalLimits: Limits = NO_LIMITS) => ({
    tiers: new Map(Object.entries({ basic: {}, ...tiers })),
    globalLimits,
  });
  const one = { requestsPerMinute: 1 };

  it('E18 hold the key, its owner, the tier and all together to their own ceilings, in one step', async () => {
    const store = memoryLimiter();
    const limits = rules({ pro: { requestsPerMinute: 4, shared: { requestsPerMinute: 5 } } }, { requestsPerMinute: 6 });
    const ask = async (id: string, owner: string, tier = 'pro', ownLimits?: Limits) => {
      const key: ApiKey = { id, owner, tier, ...(ownLimits === undefined ? {} : { ownLimits }) };
      const result = await admit(store, demandOn(levelsOf(key, limits), { key }), 0);
      return result.kind === 'admitted' ? 'admitted' : result.refusal.error.message.match(/Limit (\d)/)?.[1];
    };
    assert.equal(await ask('a', 'ann', 'pro', one), 'admitted');
    assert.equal(await ask('a', 'ann', 'pro', one), '1', 'the key itself');
    for (const id of ['b', 'c', 'd']) assert.equal(await ask(id, 'ann'), 'admitted');
    assert.equal(await ask('e', 'ann'), '4', 'her owner');
    assert.equal(await ask('f', 'bob'), 'admitted');
    assert.equal(await ask('f', 'bob'), '5', 'his tier');
    assert.equal(await ask('g', 'cyd', 'basic'), 'admitted');
    assert.equal(await ask('g', 'cyd', 'basic'), '6', 'everybody');
  });

  it('refuse without taking from any of them', async () => {
    const store = memoryLimiter();
    const key: ApiKey = { id: 'a', ownLimits: one };
    const levels = levelsOf(key, rules({ basic: { requestsPerMinute: 9 } }));
    admitted(await admit(store, demandOn(levels), 0));
    assert.deepEqual(refused(await admit(store, demandOn(levels), 0)).refused.verdict.remaining, [8, 0]);
  });

  it('never share a bucket, however they are called', () => {
    const names = ['a', 'shadow:a', 'owner:a', 'key:a', 'one-key:a', 'a:requests', 'all:', 'tier:a'];
    const every = { ...one, usdPerDay: 1, shadow: { ...one, usdPerDay: 1 } };
    const buckets = names.flatMap((id) => {
      const key: ApiKey = { id, tier: id, ownLimits: every };
      const levels = levelsOf(key, rules({ [id]: { ...every, shared: every } }));
      const owned = levelsOf({ id: 'x', owner: id, limits: every }, rules({}));
      const all = [...levels, ...owned];
      return ceilingsOf([...all, ...shadowsOf(all)], periodsOf('UTC'), WALL_MS).map(({ bucket }) => bucket);
    });
    assert.equal(buckets.length, names.length * 4 * 2 * 2);
    assert.equal(new Set(buckets).size, buckets.length);
  });

  it('count input and output tokens apart where they are limited apart', async () => {
    const store = memoryLimiter();
    const limits = { inputTokensPerMinute: 25, outputTokensPerMinute: 100 };
    assert.equal(admitted(await admit(store, demand(limits, { n: 2 }), 0)).outputCeiling, 50);
    assert.match(
      refused(await admit(store, demand(limits), 0)).error.message,
      /on output tokens per min: Limit 100, Used 100, Requested 16/,
    );
    const input = await admit(store, demand(limits, { inputTokens: 26, maxOutputTokens: 1 }), 0);
    assert.equal(refused(input).error.code, 'request_exceeds_limit');
  });
});

describe('a budget', () => {
  const budget = { usdPerDay: 1e-6 }; // 1,000 nano-dollars

  it('is reserved at what the call may cost at most, and settled at what it did', async () => {
    const store = memoryLimiter();
    const first = admitted(await admit(store, demand(budget, { maxOutputTokens: 60 }), 0));
    assert.deepEqual(first.remaining, [1_000 - 10 - 600]);
    await settle(store, first, 5);
    const [left] = await lookOn(limitingAt(store, 0), demand(budget).ceilings);
    assert.equal(left, 1_000 - 10 - 50);
  });

  it('shrinks the answer of a client that named no ceiling, to the token', async () => {
    const store = memoryLimiter();
    const first = admitted(await admit(store, demand(budget, { n: 3 }), 0));
    assert.equal(first.outputCeiling, 33);
    assert.ok(10 + 3 * 33 * 10 <= 1_000 && 10 + 3 * 34 * 10 > 1_000);
  });

  it('that is used up refuses until its period is over, and tells nobody to try again', async () => {
    const store = memoryLimiter();
    admitted(await admit(store, demand(budget, { maxOutputTokens: 99 }), 0));
    const { error, refused: why } = refused(await admit(store, demand(budget), 0));
    assert.deepEqual([error.status, error.code, error.shouldRetry], [429, 'insufficient_quota', false]);
    assert.match(error.message, /cost up to \$0\.00000017, and \$0\.00 are left of the day's budget of \$0\.000001\./);
    assert.equal(why.ceilings[0]?.period?.to, DAY_END);
  });

  it('that the limiter does not know begins with what the ledger has', async () => {
    const store = memoryLimiter();
    const result = await admitOn(limitingAt(store, 0, 830), demand(budget));
    assert.equal(admitted(result).outputCeiling, 16);
    const [left] = await lookOn(limitingAt(store, 0, 0), demand(budget).ceilings);
    assert.equal(left, 1_000 - 830 - 10 - 160, 'it is known now');
  });

  it('of 9,000,000 dollars is exact to the billionth', async () => {
    const store = memoryLimiter();
    const large = { usdPerMonth: 9_000_000 };
    const spent = 9_000_000 * 1e9 - 20;
    const ask = () => admitOn(limitingAt(store, 0, spent), demand(large, { maxOutputTokens: 1 }));
    admitted(await ask());
    assert.equal(refused(await ask()).error.code, 'insufficient_quota');
  });
});

describe('limitsOf', () => {
  it("overrides the tier's limits field by field", () => {
    const tiers = new Map(Object.entries(DEFAULT_TIERS));
    assert.deepEqual(limitsOf({ id: 'a' }, tiers), { requestsPerMinute: 60, tokensPerMinute: 90_000, concurrency: 10 });
    assert.deepEqual(limitsOf({ id: 'a', tier: 'pro', limits: { concurrency: 2 } }, tiers), {
      requestsPerMinute: 300,
      tokensPerMinute: 450_000,
      concurrency: 2,
    });
    assert.deepEqual(limitsOf({ id: 'a', tier: 'enterprise' }, tiers), {});
    assert.deepEqual(
      limitsOf({ id: 'a', tier: 'constructor' }, tiers),
      DEFAULT_TIERS.basic,
      'an unknown tier is the least',
    );
  });
});

describe('an override', () => {
  const tiers = new Map([['basic', { requestsPerMinute: 60, tokensPerMinute: 90_000, concurrency: 10 }]]);

  it('that is not there leaves the tier’s limit, whether a store says undefined or null', () => {
    const limits = JSON.parse('{"requestsPerMinute":5,"tokensPerMinute":null}');
    const key = { id: 'k', limits: { ...limits, concurrency: undefined } };
    assert.deepEqual(limitsOf(key, tiers), { requestsPerMinute: 5, tokensPerMinute: 90_000, concurrency: 10 });
    assert.deepEqual(limitsOf(JSON.parse('{"id":"k","limits":null}'), tiers), tiers.get('basic'));
  });

  it('of Infinity is no ceiling', () => {
    const key = { id: 'k', limits: { tokensPerMinute: Number.POSITIVE_INFINITY } };
    assert.equal(limitsOf(key, tiers).tokensPerMinute, Number.POSITIVE_INFINITY);
    const levels = levelsOf(key, { tiers, globalLimits: NO_LIMITS });
    assert.deepEqual(
      ceilingsOf(levels, periodsOf('UTC'), WALL_MS).map(({ measure }) => measure),
      ['requests'],
    );
  });
});
