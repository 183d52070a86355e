import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AdmitResult, admit, type Demand, limitsOf, look, settledAmounts } from '../../src/limiter/admit.js';
import { DEFAULT_TIERS, type Limits } from '../../src/limiter/limits.js';
import { memoryLimiter } from '../../src/limiter/memory.js';

let calls = 0;

function demand(limits: Limits, more: Partial<Demand> = {}): Demand {
  calls += 1;
  return {
    requestId: `call_${calls}`,
    key: { id: 'key_a' },
    limits,
    model: 'gpt-4o',
    inputTokens: 10,
    maxOutputTokens: undefined,
    defaultOutputTokens: 4_096,
    n: 1,
    ttlMs: 60_000,
    ...more,
  };
}

function admitted(result: AdmitResult) {
  assert.equal(result.kind, 'admitted');
  if (result.kind !== 'admitted') throw new Error('unreachable');
  return result.admission;
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
    assert.deepEqual(first.verdict.remaining, [90_000 - 10 - 4_096]);
    const second = admitted(await admit(store, demand({ tokensPerMinute: 90_000 }, { n: 3, maxOutputTokens: 100 }), 0));
    assert.equal(second.reservation.draws[0]?.amount, 310);
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
    await store.settle(first.reservation, settledAmounts(first, 60), 0);
    const second = admitted(await admit(store, demand(limits), 0));
    assert.equal(second.outputCeiling, 30);
    await store.settle(second.reservation, settledAmounts(second, 20), 0);
    const third = refused(await admit(store, demand(limits), 0));
    assert.equal(third.error.code, 'rate_limit_exceeded');
    assert.equal(third.error.type, 'tokens');
    assert.deepEqual(third.remaining, [20]);
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
    assert.deepEqual(second.remaining, [99], 'a refusal takes nothing');
    await store.settle(first.reservation, settledAmounts(first, 0), 0);
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
    const of = { key: { id: 'a' }, limits: { requestsPerMinute: 5, tokensPerMinute: 50 } };
    assert.deepEqual(await look(store, of, 0), [5, 50]);
    assert.deepEqual(await look(store, of, 0), [5, 50]);
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
    assert.deepEqual(limitsOf(key, tiers), { requestsPerMinute: 60, concurrency: 10 });
  });
});
