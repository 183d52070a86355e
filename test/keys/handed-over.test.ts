import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type ApiKey,
  cachedKeys,
  createGateway,
  fromFunction,
  type GatewayOptions,
  keyRegistry,
  memoryKeyRecords,
  memoryKeys,
  type UsageRecord,
} from 'megallm-middleware';

const SECRET = 'sk-host-secret-0123456789';

/** A gateway whose host hands over what is given, as no type would let it. */
function handing(given: unknown, more: GatewayOptions = {}) {
  const errors: unknown[] = [];
  const notices: string[] = [];
  const hooks = {
    onError: (error: unknown) => void errors.push(error),
    onNotice: (text: string) => void notices.push(text),
  };
  const base = { environment: {}, hooks, ...more };
  const value = given as ApiKey;
  return { base, value, errors, notices };
}

async function ask(options: GatewayOptions, secret?: string) {
  const response = await createGateway(options).handle({
    method: 'POST',
    url: '/v1/chat/completions',
    headers: secret === undefined ? {} : { authorization: `Bearer ${secret}` },
    signal: new AbortController().signal,
    body: { parsed: { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] } },
    native: undefined,
  });
  assert.ok(response !== undefined && typeof response.body === 'string');
  return { status: response.status, error: JSON.parse(response.body).error };
}

/** Ways in which a key comes to the gateway. */
const WAYS: Readonly<
  Record<string, (options: GatewayOptions, value: ApiKey) => Promise<{ status: number; error: object }>>
> = {
  identify: (options, value) => ask({ ...options, identify: () => value }),
  'identify, later': (options, value) => ask({ ...options, identify: async () => value }),
  'a key store': (options, value) => ask({ ...options, keys: { find: () => value } }, SECRET),
  'a key store, later': (options, value) => ask({ ...options, keys: { find: async () => value } }, SECRET),
  'a key store behind a cache': (options, value) =>
    ask({ ...options, keys: cachedKeys({ find: () => value }) }, SECRET),
  'records of a registry': (options, value) =>
    ask({ ...options, keys: keyRegistry({ ...memoryKeyRecords(), find: () => value }) }, SECRET),
};

const FAULTS: readonly (readonly [given: unknown, field: RegExp])[] = [
  [{ id: undefined, tier: 'pro' }, /`id`/],
  [{ tier: 'pro' }, /`id`/],
  [{ id: '' }, /`id`/],
  [{ id: 5 }, /`id`/],
  [{ id: 7n }, /`id`/],
  [{ id: null }, /`id`/],
  [{ id: ['a'] }, /`id`/],
  [{ id: 'two\nlines' }, /`id`/],
  [{ id: '\u0000' }, /`id`/],
  [{ id: 'x'.repeat(257) }, /`id`/],
  [{ id: '\ud800' }, /`id`/],
  [{ id: 'a', owner: 5 }, /`owner`/],
  [{ id: 'a', owner: '' }, /`owner`/],
  [{ id: 'a', owner: {} }, /`owner`/],
  [{ id: 'a', tier: 3 }, /`tier`/],
  [{ id: 'a', tier: ['pro'] }, /`tier`/],
  [{ id: 'a', models: 'gpt-4o' }, /`models`/],
  [{ id: 'a', models: { 0: 'gpt-4o' } }, /`models`/],
  [{ id: 'a', models: [5] }, /`models`/],
  [{ id: 'a', models: new Set(['gpt-4o']) }, /`models`/],
  [{ id: 'a', expiresAt: '2020-01-01' }, /`expiresAt`/],
  [{ id: 'a', expiresAt: Number.NaN }, /`expiresAt`/],
  [{ id: 'a', expiresAt: new Date(0) }, /`expiresAt`/],
  [{ id: 'a', limits: { rpm: 1 } }, /`limits.rpm`/],
  [{ id: 'a', limits: 5 }, /`limits`/],
  [{ id: 'a', limits: [1] }, /`limits`/],
  [{ id: 'a', limits: { requestsPerMinute: Number.NaN } }, /`limits.requestsPerMinute`/],
  [{ id: 'a', limits: { requestsPerMinute: '60' } }, /`limits.requestsPerMinute`/],
  [{ id: 'a', limits: { usdPerDay: -1 } }, /`limits.usdPerDay`/],
  [{ id: 'a', limits: { usdPerMonth: 1e15 } }, /`limits.usdPerMonth`/],
  [{ id: 'a', limits: { shadow: { tpm: 1 } } }, /`limits.shadow.tpm`/],
  [{ id: 'a', limits: { shadow: { shadow: {} } } }, /`limits.shadow.shadow`/],
  [{ id: 'a', ownLimits: { concurrency: true } }, /`ownLimits.concurrency`/],
  [{ id: 'a', ownLimits: 'none' }, /`ownLimits`/],
  [{ id: 'a', debug: 'false' }, /`debug`/],
  [{ id: 'a', expiresAt: 5n }, /`expiresAt`/],
  [{ id: 'a', models: [undefined, 'gpt-4o-mini'] }, /`models`/],
  [{ id: 'a', models: Promise.resolve(['gpt-4o']) }, /`models`/],
  [{ id: new String('a') }, /`id`/],
  [{ id: 'a', limits: Promise.resolve({ requestsPerMinute: 1 }) }, /`limits`/],
  [{ id: 'a', limits: new Map([['requestsPerMinute', 1]]) }, /`limits`/],
  [{ id: 'a', limits: new Date() }, /`limits`/],
  [
    {
      id: 'a',
      limits: new (class Getters {
        get requestsPerMinute() {
          return '5';
        }
      })(),
    },
    /`limits.requestsPerMinute`/,
  ],
  [{ id: 'a', limits: Object.create({ requestsPerMinute: -1 }) }, /`limits.requestsPerMinute`/],
  [{ id: 'a', limits: Object.create({ rpm: 1 }) }, /`limits.rpm`/],
  [{ id: 'a', limits: { requestsPerMinute: 5n } }, /`limits.requestsPerMinute`/],
  [{ id: 'a', limits: { shadow: Promise.resolve({}) } }, /`limits.shadow`/],
  [{ id: 'a', limits: { shared: { requestsPerMinute: 1 } } }, /`limits.shared`/],
  [{ id: 'a', serviceTiers: 'default' }, /`serviceTiers`/],
  [{ id: 'a', serviceTiers: new Set(['flex']) }, /`serviceTiers`/],
  [{ id: 'a', serviceTiers: [] }, /`serviceTiers`/],
  [{ id: 'a', serviceTiers: ['flex', 5] }, /`serviceTiers`/],
  [new Map([['id', 'a']]), /`id`/],
  [new Date(), /`id`/],
  [Symbol('a'), /answer of/],
  [true, /answer of/],
  ['', /answer of/],
  ['ann', /answer of/],
  [0, /answer of/],
  [5, /answer of/],
  [Number.NaN, /answer of/],
  [0n, /answer of/],
  [[], /answer of/],
  [[{ id: 'a' }], /answer of/],
  [() => ({ id: 'a' }), /answer of/],
];

describe('a key that cannot be one lets nobody in, and `onError` hears which field', () => {
  for (const [way, handOver] of Object.entries(WAYS)) {
    it(`from ${way}`, async (t) => {
      for (const [given, field] of FAULTS) {
        const { base, value, errors } = handing(given);
        const { status, error } = await handOver(base, value);
        const told = String(errors[0]);
        if (way === 'identify') t.diagnostic(`${told}`);
        assert.equal(status, 500, told);
        assert.match(told, field);
        assert.match(told, /identify|keys\.find/);
        assert.equal(errors.length, 1);
        assert.ok(!JSON.stringify(error).includes('`'), 'the client learns nothing');
      }
    });
  }

  it('undefined, null and false are nobody: the key store is asked, and without a secret it is a 401', async () => {
    for (const nobody of [undefined, null, false]) {
      const { base, errors } = handing(undefined);
      for (const identify of [() => nobody as undefined, async () => nobody as undefined]) {
        assert.equal((await ask({ ...base, identify })).status, 401);
        const keys = memoryKeys([{ secret: SECRET, id: 'ann' }]);
        assert.equal((await ask({ ...base, identify, keys }, SECRET)).status, 200);
      }
      assert.equal((await ask({ ...base, keys: { find: () => nobody as undefined } }, SECRET)).status, 401);
      assert.deepEqual(errors, []);
    }
  });

  it('nor is it explained what a call of it would get', async () => {
    const body = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] };
    const gateway = createGateway(handing(undefined).base);
    for (const [given, field] of FAULTS) {
      await assert.rejects(gateway.explain(given as ApiKey, { body }), { name: 'TypeError', message: field });
    }
    for (const given of [undefined, null, false] as unknown[]) {
      await assert.rejects(gateway.explain(given as ApiKey, { body }), { name: 'TypeError', message: /`key`/ });
    }
    for (const given of [undefined, null, [], 'x'] as unknown[]) {
      const request = { body: given } as Parameters<typeof gateway.explain>[1];
      await assert.rejects(gateway.explain({ id: 'a' }, request), { name: 'TypeError', message: /`body`/ });
    }
    assert.equal((await gateway.explain({ id: 'a' }, { body })).isAdmitted, true);
  });

  it('an object that cannot be read lets nobody in', async () => {
    const fail = () => {
      throw new Error('not to be read');
    };
    for (const given of [
      Object.defineProperty({}, 'id', { get: fail }),
      new Proxy({}, { get: fail }),
      new Proxy({ id: 'ann' }, { ownKeys: fail }),
    ]) {
      const { base, value, errors } = handing(given);
      for (const way of Object.values(WAYS)) assert.ok((await way(base, value)).status >= 500);
      assert.deepEqual([...new Set(errors.map(String))], ['Error: not to be read']);
    }
  });

  it('what is like a promise is waited for, whatever it does with what it is given', async () => {
    const { base, errors } = handing(undefined);
    for (const status of [200, 401]) {
      const key = status === 200 ? { id: 'ann' } : undefined;
      // biome-ignore lint/suspicious/noThenProperty: a promise of another library.
      const later = () => ({ then: (done: (key?: ApiKey) => void) => void setImmediate(done, key) });
      const find = later as unknown as () => Promise<ApiKey | undefined>;
      assert.equal((await ask({ ...base, keys: { find } }, SECRET)).status, status);
      assert.equal((await ask({ ...base, identify: find })).status, status);
    }
    assert.deepEqual(errors, []);
  });

  it('looks again at an object that its host has changed', async () => {
    const user = { id: 'ann', models: ['gpt-4o-mini'] };
    const { base, errors } = handing(undefined);
    const gateway = createGateway({ ...base, identify: () => user });
    const call = () =>
      gateway.handle({
        method: 'GET',
        url: '/v1/models',
        headers: {},
        signal: new AbortController().signal,
        body: { parsed: undefined },
        native: undefined,
      });
    assert.equal((await call())?.status, 200);
    user.id = '';
    assert.equal((await call())?.status, 500);
    Object.assign(user, { id: 'ann', models: 'gpt-4o-mini' });
    assert.equal((await call())?.status, 500);
    assert.equal(errors.length, 2);
  });
});

describe('a key that is odd', () => {
  it('may have more members, and null in place of what is absent; no stranger becomes an owner called null', async () => {
    const row = { id: 'ann', email: 'ann@example.com', ip: '::1', created_at: new Date(), password: undefined };
    const blank = {
      owner: null,
      tier: null,
      limits: null,
      ownLimits: null,
      expiresAt: null,
      models: null,
      debug: null,
    };
    const { base, value, errors, notices } = handing({ ...row, ...blank });
    const owners: string[] = [];
    const hooks = { ...base.hooks, onFinish: ({ owner }: { owner: string }) => void owners.push(owner) };
    assert.equal((await ask({ ...base, hooks, identify: () => value })).status, 200);
    assert.deepEqual([errors, notices, owners], [[], [], ['key:ann']]);
    const open = {
      id: 'ann',
      limits: { requestsPerMinute: Number.POSITIVE_INFINITY, shadow: null },
      expiresAt: Infinity,
    };
    const other = handing(open);
    assert.equal((await ask({ ...other.base, identify: () => other.value })).status, 200);
  });

  it('with a member that is a slip of the pen is told of once, by the field that is meant', async () => {
    const slips = {
      expires_at: 'expiresAt',
      Models: 'models',
      limit: 'limits',
      teir: 'tier',
      ownlimits: 'ownLimits',
      service_tiers: 'serviceTiers',
    };
    for (const [slip, field] of Object.entries(slips)) {
      const { base, notices } = handing(undefined);
      const gateway = createGateway({ ...base, identify: () => Object.assign({ id: 'ann' }, { [slip]: [] }) });
      for (let calls = 0; calls < 3; calls += 1) {
        await gateway.handle({
          method: 'GET',
          url: '/v1/models',
          headers: {},
          signal: new AbortController().signal,
          body: { parsed: undefined },
          native: undefined,
        });
      }
      assert.equal(notices.length, 1, slip);
      assert.ok(notices[0]?.includes(`\`${slip}\``) && notices[0].includes(`\`${field}\``), notices[0]);
    }
  });

  it('of a tier that there is not, or of one without limits that nobody set, is told of once', async () => {
    const gold = handing({ id: 'ann', tier: 'gold' });
    const options = { ...gold.base, identify: () => gold.value };
    assert.equal((await ask(options)).status, 200);
    assert.match(gold.notices.join('\n'), /^A key from identify is of the tier `gold`, which is not in `tiers`.*$/);
    const enterprise = handing({ id: 'ann', tier: 'enterprise' });
    await ask({ ...enterprise.base, identify: () => enterprise.value });
    assert.match(enterprise.notices.join('\n'), /^The tier `enterprise` has no limits.*$/);
    const meant = handing({ id: 'ann', tier: 'enterprise' }, { tiers: { enterprise: {} } });
    await ask({ ...meant.base, identify: () => meant.value });
    assert.deepEqual(meant.notices, []);
  });

  it('is refused where keys are made', async () => {
    const keys = keyRegistry(memoryKeyRecords());
    const { base } = handing(undefined);
    await keys.create({ tier: 'gold' }, { by: 'test' });
    createGateway({ ...base, keys, tiers: { silver: {} } });
    await keys.create({ tier: 'silver' }, { by: 'test' });
    const { record } = await keys.create({}, { by: 'test' });
    await assert.rejects(
      keys.create({ tier: 'gold' }, { by: 'test' }),
      /`tier` to be one of basic, .*silver, got "gold"/,
    );
    await assert.rejects(keys.update(record.key.id, { tier: 'gold' }, { by: 'test' }), TypeError);
    assert.throws(() => memoryKeys([{ secret: SECRET, ...handing({ id: 'a', models: 'gpt-4o' }).value }]), /`models`/);
  });
});

describe('a key that has expired', () => {
  const now = 1_800_000_000_000;
  const clock = { wallMs: () => now, steadyMs: () => now, setTimer: () => () => {} };
  for (const [way, hand] of Object.entries(WAYS)) {
    it(`lets nobody in from its last millisecond on, given by ${way}`, async () => {
      for (const [expiresAt, status] of [
        [now - 1, 401],
        [now, 401],
        [now + 1, 200],
        [0, 401],
      ] as const) {
        const { base, value } = handing({ id: 'a', expiresAt }, { upstream: fromFunction(() => 'Hi'), clock });
        const answer = await hand(base, value);
        assert.equal(answer.status, status, String(expiresAt));
      }
    });
  }

  it('leaves a request of the host’s user to the secret that it bears, and to that alone', async () => {
    const keys = memoryKeys([{ secret: SECRET, id: 'b' }]);
    const { base, value } = handing({ id: 'a', expiresAt: now }, { upstream: fromFunction(() => 'Hi'), clock, keys });
    const records: UsageRecord[] = [];
    const options = {
      ...base,
      identify: () => value,
      hooks: { ...base.hooks, onFinish: (one: UsageRecord) => void records.push(one) },
    };
    assert.equal((await ask(options, SECRET)).status, 200);
    assert.equal((await ask(options, `${SECRET}x`)).status, 401);
    assert.deepEqual(
      records.map(({ keyId }) => keyId),
      ['b'],
    );
  });
});
