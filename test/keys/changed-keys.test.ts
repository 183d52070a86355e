import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ApiKey, createGateway, type GatewayOptions, type Limits, memoryKeys } from 'megallm-middleware';
import { createCancellation } from 'megallm-middleware/adapter';
import { keyPlans } from '../../src/limits/key-plan.js';
import { NO_LIMITS } from '../../src/limits/levels.js';
import { periodsOf } from '../../src/limits/periods.js';
import { wholeChat } from '../helpers/chat-answers.js';
import { frozenClock } from '../helpers/frozen-clock.js';

const SECRET = 'sk-foreign-0123456789abcdef';
const answer = Buffer.from(JSON.stringify(wholeChat('hi')));

/** Asks once; the clock stands still, so that nothing flows back. */
function asking(options: GatewayOptions) {
  const gateway = createGateway({
    upstream: { name: 'instant', send: async () => ({ kind: 'whole', body: answer }) },
    clock: frozenClock(),
    environment: {},
    ...options,
  });
  return async () => {
    const response = await gateway.handle({
      method: 'POST',
      url: '/v1/chat/completions',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${SECRET}` },
      signal: createCancellation(),
      body: { parsed: { model: 'gpt-4o', max_tokens: 5, messages: [{ role: 'user', content: 'hi' }] } },
      native: undefined,
    });
    const limit = response?.headers[response.headers.indexOf('x-ratelimit-limit-requests') + 1];
    return [response?.status, limit];
  };
}

type Found = { -readonly [Field in keyof ApiKey]: ApiKey[Field] };

describe('a key that is found anew for each call', () => {
  it('is refused from the moment it is revoked, and none of its calls before is', async () => {
    const keys = memoryKeys([{ secret: SECRET, id: 'ann' }]);
    const ask = asking({ keys });
    for (let call = 0; call < 3; call += 1) assert.equal((await ask())[0], 200);
    keys.revoke('ann');
    assert.equal((await ask())[0], 401);
    keys.add({ secret: SECRET, id: 'ann' });
    assert.equal((await ask())[0], 200);
  });

  it('has its limits from the next call on, whether its object was changed or is another', async () => {
    const mutable: { -readonly [Field in keyof Limits]: Limits[Field] } = { requestsPerMinute: 9 };
    let key: Found = { id: 'ann', limits: mutable };
    const ask = asking({ keys: { find: () => key } });
    assert.deepEqual(await ask(), [200, '9']);
    mutable.requestsPerMinute = 8;
    assert.deepEqual(await ask(), [200, '8']);
    key.limits = { requestsPerMinute: 7 };
    assert.deepEqual(await ask(), [200, '7']);
    key = { id: 'ann', limits: { requestsPerMinute: 4 } };
    assert.deepEqual(await ask(), [200, '4'], 'three were used, and one is left');
    assert.deepEqual(await ask(), [429, '4']);
    key = { id: 'ann', limits: { requestsPerMinute: 4, concurrency: 3 } };
    assert.deepEqual(await ask(), [429, '4'], 'another limit changes nothing about this one');
    key = { id: 'ann', tier: 'pro' };
    assert.deepEqual(await ask(), [200, '300']);
    key.owner = 'ann and bob';
    assert.deepEqual(await ask(), [200, '300']);
  });

  it('has limits of its own, in the shadow, and of its tier that were changed from the next call on', async () => {
    const shadow = { requestsPerMinute: 5 };
    const tier = { requestsPerMinute: 9, shadow, shared: { requestsPerMinute: 8 } };
    const told: unknown[] = [];
    let key: Found = { id: 'ann', tier: 'mine' };
    const ask = asking({
      keys: { find: () => ({ ...key }) },
      tiers: { mine: tier },
      hooks: { onShadowLimit: ({ level }) => void told.push(level) },
    });
    assert.deepEqual(await ask(), [200, '8']);
    tier.shared.requestsPerMinute = 7;
    assert.deepEqual(await ask(), [200, '7']);
    tier.requestsPerMinute = 6;
    assert.deepEqual(await ask(), [200, '6']);
    assert.deepEqual(told, []);
    shadow.requestsPerMinute = 3;
    assert.deepEqual(await ask(), [200, '6']);
    assert.deepEqual(told, ['owner']);
    key = { ...key, ownLimits: { requestsPerMinute: 1 } };
    assert.deepEqual(await ask(), [200, '1']);
    assert.deepEqual(await ask(), [429, '1']);
  });

  it('may ask for the service tiers that are on its list now', async () => {
    const serviceTiers = ['default', 'flex'];
    const ask = asking({ keys: { find: () => ({ id: 'ann', serviceTiers }) } });
    assert.equal((await ask())[0], 200);
    serviceTiers.shift();
    assert.equal((await ask())[0], 403);
  });
});

describe('plans of keys', () => {
  const rules = { tiers: new Map([['basic', { requestsPerMinute: 60 }]]), globalLimits: NO_LIMITS };
  const plans = (most?: number) => keyPlans(rules, periodsOf('UTC'), () => 0, most);

  it('are kept from the second time on, however often a store makes the key', () => {
    const planOf = plans();
    const key = () => ({ id: 'a', limits: { concurrency: 3, shadow: { usdPerDay: 1 } }, serviceTiers: ['flex'] });
    assert.notEqual(planOf(key()), planOf(key()), 'most of a million keys come but once');
    assert.equal(planOf(key()), planOf(key()));
    assert.notEqual(planOf(key()), planOf({ ...key(), owner: 'ann' }));
  });

  it('are kept for the keys that were used latest, and for twice as many at most', () => {
    const planOf = plans(3);
    const plan = (id: string) => planOf({ id }) && planOf({ id });
    const known = new Map(['a', 'b', 'c', 'd', 'e'].map((id) => [id, plan(id)]));
    const isKept = (id: string) => planOf({ id }) === known.get(id);
    assert.deepEqual(['e', 'd', 'a'].map(isKept), [true, true, true]);
    for (const id of ['f', 'g', 'h', 'i', 'j', 'k']) plan(id);
    assert.deepEqual(['a', 'e'].map(isKept), [false, false]);
  });

  it('are one for each id: two secrets of a key with limits of their own have what each was given', () => {
    const planOf = plans();
    for (const limit of [1, 2, 1, 2]) {
      const [ceiling] = planOf({ id: 'a', limits: { requestsPerMinute: limit } }).ceilingsAt(0);
      assert.equal(ceiling?.capacity, limit);
    }
  });

  it('are not changed by a change of another key that had the same limits', () => {
    const planOf = plans();
    const key = (id: string) => ({ id, limits: { shadow: { requestsPerMinute: 5 } } });
    const one = key('one');
    planOf(one);
    one.limits.shadow.requestsPerMinute = 1;
    assert.equal(planOf(key('two')).shadows[0]?.limits.requestsPerMinute, 5);
  });
});
