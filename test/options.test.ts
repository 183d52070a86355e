import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  cachedKeys,
  createGateway,
  createKey,
  demo,
  fromFunction,
  type Gateway,
  GatewayError,
  type GatewayOptions,
  type HttpOptions,
  http,
  keyRegistry,
  memoryIdempotency,
  memoryKeyRecords,
  memoryKeys,
  memoryLimiter,
  memoryObjects,
  memoryUsage,
  openaiClient,
  queued,
  readEnvironment,
} from 'megallm-middleware';
import { redisLimiter } from 'megallm-middleware/redis';
import OpenAI from 'openai';
import { selfSigned } from './helpers/certificate.js';

const SECRET = 'sk-host-secret-0123456789';
const CALL = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Say hello' }] };

function gatewayIn(environment: Record<string, string>, more: GatewayOptions = {}) {
  const notices: string[] = [];
  const hooks = { onNotice: (text: string) => notices.push(text), onError: () => {} };
  return { gateway: createGateway({ environment, hooks, ...more }), notices };
}

async function call(gateway: Gateway, secret?: string) {
  const response = await gateway.handle({
    method: 'POST',
    url: '/v1/chat/completions',
    headers: secret === undefined ? {} : { authorization: `Bearer ${secret}` },
    signal: new AbortController().signal,
    body: { parsed: CALL },
    native: undefined,
  });
  assert.ok(response !== undefined && typeof response.body !== 'object');
  return { status: response.status, body: JSON.parse(response.body) };
}

describe('a gateway without options is never an open proxy', () => {
  it('in production nobody gets in, and a notice says what to set', async () => {
    const { gateway, notices } = gatewayIn({ NODE_ENV: 'production', OPENAI_API_KEY: 'sk-operator' });
    assert.equal((await call(gateway)).status, 401);
    assert.equal((await call(gateway, SECRET)).status, 401);
    assert.match(notices.join('\n'), /MEGALLM_KEYS/);
  });

  it('in production without an upstream a known key gets a 503 that says so, never the demo', async () => {
    const { gateway, notices } = gatewayIn({ NODE_ENV: 'production', MEGALLM_KEYS: SECRET });
    const { status, body } = await call(gateway, SECRET);
    assert.equal(status, 503);
    assert.equal(body.error.code, 'upstream_unavailable');
    assert.match(notices.join('\n'), /OPENAI_API_KEY/);
  });

  it('elsewhere one key is made and shown once; only that key gets in, and the demo answers', async () => {
    const { gateway, notices } = gatewayIn({});
    const secret = /sk-mega-\w+/.exec(notices.join('\n'))?.[0];
    assert.equal(notices.length, 1);
    assert.equal((await call(gateway)).status, 401);
    assert.equal((await call(gateway, SECRET)).status, 401);
    assert.equal((await call(gateway, secret)).body.choices[0].message.content, 'hello');
  });
});

describe('readEnvironment', () => {
  it('reads keys as secret, tier and id; the rest has defaults', () => {
    const { keys, port, production, openaiBaseUrl } = readEnvironment({
      MEGALLM_KEYS: `${SECRET}:pro:ann, ${SECRET}2`,
    });
    assert.deepEqual(keys[0], { secret: SECRET, tier: 'pro', id: 'ann' });
    assert.match(keys[1]?.id ?? '', /^env_[0-9a-f]{12}$/);
    assert.equal(keys[1]?.tier, undefined);
    assert.deepEqual([port, production, openaiBaseUrl], [3_000, false, 'https://api.openai.com/v1']);
    assert.equal(readEnvironment({ PORT: '0' }).port, 0);
    assert.throws(() => readEnvironment({ PORT: 'abc' }), /Expected `PORT` to be a port number, got "abc"/);
  });
});

describe('createGateway', () => {
  it('refuses options that cannot be right, naming each and what it got', () => {
    const make = (options: object) => () =>
      createGateway({ environment: {}, hooks: { onNotice: () => {} }, ...options });
    assert.throws(make({ maxBodyBytes: '10mb' }), {
      name: 'TypeError',
      message: 'Expected `maxBodyBytes` to be a positive integer, got "10mb" (string)',
    });
    for (const value of [Number.NaN, -1, 0, '', 1.5]) assert.throws(make({ maxBodyBytes: value }), TypeError);
    assert.throws(make({ maxBody: 1 }), /Unknown option `maxBody`/);
    const middleware: object = Object.assign(() => {}, { gateway: {} });
    assert.throws(() => createGateway(middleware), /write `megallm\(other\.gateway\)`/);
    assert.throws(make({ upstream: {} }), /`upstream` to have a method `send`/);
    assert.throws(make({ basePath: 'ai' }), /`basePath`/);
    assert.throws(make({ models: { a: { aliases: ['b'] }, b: {} } }), /got "b" twice/);
  });

  it('refuses limits, budgets and time zones that cannot be right, naming each', () => {
    const make = (options: object) => () =>
      createGateway({ environment: {}, hooks: { onNotice: () => {} }, ...options });
    const bad: readonly (readonly [options: object, message: RegExp])[] = [
      [{ tiers: { pro: { requestsPerMin: 1 } } }, /^Unknown limit `tiers\.pro\.requestsPerMin`$/],
      [{ tiers: { pro: { tokensPerMinute: 0 } } }, /`tiers\.pro\.tokensPerMinute` to be a positive integer, got 0/],
      [{ tiers: { pro: { inputTokensPerMinute: 1.5 } } }, /`tiers\.pro\.inputTokensPerMinute`/],
      [{ tiers: { pro: { outputTokensPerMinute: '9' } } }, /`tiers\.pro\.outputTokensPerMinute`/],
      [{ tiers: { pro: { concurrency: Number.POSITIVE_INFINITY } } }, /`tiers\.pro\.concurrency`/],
      [{ tiers: { pro: { usdPerDay: 0 } } }, /`tiers\.pro\.usdPerDay` to be US dollars, more than 0/],
      [{ tiers: { pro: { usdPerDay: Number.NaN } } }, /`tiers\.pro\.usdPerDay`/],
      [{ globalLimits: { usdPerMonth: 9_000_001 } }, /`globalLimits\.usdPerMonth` .* at most 9000000, got 9000001/],
      [{ globalLimits: { usdPerMonth: '5' } }, /`globalLimits\.usdPerMonth`/],
      [{ globalLimits: { shared: {} } }, /^Unknown limit `globalLimits\.shared`$/],
      [{ globalLimits: 5 }, /`globalLimits` to be limits, got 5/],
      [{ tiers: { pro: null } }, /`tiers\.pro` to be limits, got \(null\)/],
      [{ tiers: { pro: { shadow: { shadow: {} } } } }, /^Unknown limit `tiers\.pro\.shadow\.shadow`$/],
      [{ tiers: { pro: { shared: { shared: {} } } } }, /^Unknown limit `tiers\.pro\.shared\.shared`$/],
      [{ tiers: { pro: { shadow: { usdPerDay: -1 } } } }, /`tiers\.pro\.shadow\.usdPerDay`/],
      [{ tiers: { pro: { shared: { shadow: { rpm: 1 } } } } }, /^Unknown limit `tiers\.pro\.shared\.shadow\.rpm`$/],
      [{ budgetTimeZone: 'Middle/Earth' }, /`budgetTimeZone` to be a time zone such as 'Europe\/Berlin', got "Middle/],
    ];
    for (const [options, message] of bad) {
      assert.throws(make(options), { name: 'TypeError', message }, JSON.stringify(options));
    }
    const every = { requestsPerMinute: 1, tokensPerMinute: 1, inputTokensPerMinute: 1, outputTokensPerMinute: 1 };
    const all = { ...every, concurrency: 1, usdPerDay: 0.01, usdPerMonth: 9_000_000 };
    make({
      tiers: { pro: { ...all, shadow: all, shared: { ...all, shadow: all } } },
      globalLimits: { ...all, shadow: all },
      budgetTimeZone: 'Asia/Kathmandu',
    })();
  });
});

describe('what an upstream or a key is told wrongly', () => {
  it('is refused when it is made, and no key is shown', () => {
    const baseUrl = 'http://localhost:1/v1';
    const dispatcher = { dispatch: () => true };
    const bad: object[] = [
      { connections: 0 },
      { headersTimeoutMs: -1 },
      { bodyTimeoutMs: '10s' },
      { connectTimeoutMs: Number.NaN },
      { apiKey: 'sk-canary\nx' },
      { headers: { 'a b': 'c' } },
      { timeout: 5 },
      { onAbort: 'wait' },
      { onAbort: { maxMs: 0 } },
      { onAbort: { maxBytes: '1mb' } },
      { onAbort: { maxSeconds: 5 } },
      { onAbort: null },
      { ca: selfSigned().cert },
      { baseUrl: 'https://localhost/v1', ca: 'canary' },
      { baseUrl: 'https://localhost/v1', ca: [7] },
      { baseUrl: 'unix:run/llm.sock' },
      { baseUrl: 'unix://run/llm.sock:/v1' },
      { headers: { 'X-Team': 'a', 'x-team': 'b' } },
      { baseUrl: 'unix:/run/%zz.sock:/v1' },
      { baseUrl: 'unix:/run/%00.sock:/v1' },
      { headers: { Connection: 'close' } },
      { headers: { 'transfer-encoding': 'chunked' } },
      { headers: { 'content-length': '7' } },
      { headers: { host: 'a', Host: 'b' } },
      { dispatcher: {} },
      { dispatcher: null },
      { dispatcher, connections: 7 },
      { dispatcher, connectTimeoutMs: 7 },
      { dispatcher, baseUrl: 'https://localhost/v1', ca: selfSigned().cert },
      { dispatcher, baseUrl: 'unix:/run/llm.sock:/v1' },
    ];
    for (const options of bad) {
      assert.throws(
        () => http({ baseUrl, ...options }),
        (error) => error instanceof TypeError && !error.message.includes('canary'),
        JSON.stringify(options),
      );
    }
    assert.throws(() => fromFunction(JSON.parse('null')), TypeError);
  });

  it('is taken where it is right, whatever it is', () => {
    const every: { readonly [Name in Exclude<keyof HttpOptions, 'dispatcher'>]-?: HttpOptions[Name] } = {
      baseUrl: 'https://localhost:1/v1',
      ca: selfSigned().cert,
      apiKey: 'x',
      headers: { 'x-team': 'a' },
      name: 'mine',
      connections: 1,
      connectTimeoutMs: 1,
      headersTimeoutMs: 1,
      ceiling: 'max_tokens',
      onAbort: 'drain',
      bodyTimeoutMs: 1,
      firstTokenTimeoutMs: 1,
      tokenTimeoutMs: 1,
      openHeadAfterMs: 1,
    };
    const { name, ceiling, onAbort, patience } = http(every);
    assert.deepEqual([name, ceiling, onAbort], ['mine', 'max_tokens', 'drain']);
    assert.deepEqual(patience, { firstTokenTimeoutMs: 1, tokenTimeoutMs: 1, openHeadAfterMs: 1 });
    for (const [option, value] of Object.entries(every)) {
      if (typeof value !== 'number') continue;
      for (const bad of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '1', null])
        assert.throws(() => http({ baseUrl: every.baseUrl, [option]: bad }), TypeError, `${option}: ${bad}`);
    }
  });

  it('keeps its abort policy in every wrapper', () => {
    const onAbort = { maxMs: 5_000 };
    assert.equal(queued(http({ baseUrl: 'http://localhost:1/v1', onAbort }), { concurrency: 1 }).onAbort, onAbort);
    assert.equal(
      queued(
        fromFunction(() => 'x', { onAbort: 'drain' }),
        { concurrency: 1 },
      ).onAbort,
      'drain',
    );
    const client = new OpenAI({ apiKey: 'x' });
    assert.equal(openaiClient(client, { onAbort: 'drain' }).onAbort, 'drain');
    assert.equal('onAbort' in openaiClient(client), false);
    for (const make of [
      () => fromFunction(() => 'x', { onAbort: JSON.parse('"wait"') }),
      () => openaiClient(client, { onAbort: JSON.parse('"wait"') }),
    ])
      assert.throws(make, /Expected `onAbort` to be 'cancel', 'drain' or the bounds of a drain, got "wait"/);
  });

  it('such as a tier that there is not', () => {
    const environment = { MEGALLM_KEYS: 'canary-secret-0123456789:nosuch:bob' };
    assert.throws(
      () => createGateway({ environment }),
      (error) => error instanceof TypeError && /bob.*nosuch/.test(error.message) && !error.message.includes('canary'),
    );
    createGateway({ environment, tiers: { nosuch: {} } });
  });
});

describe('a field that is there and `undefined` is as good as absent', () => {
  const declarations = readFileSync('test/package/public-api.txt', 'utf8');

  /** All optional fields of a public interface, as `undefined`. */
  function absent(name: string): Record<string, undefined> {
    const [, fields = ''] =
      new RegExp(`^export interface ${name}(?:<[^>]+>)?(?: extends \\w+)? {\\n(.*?)\\n}`, 'ms').exec(declarations) ??
      [];
    const names = [...fields.matchAll(/^ {4}readonly (\w+)\?:/gm)].map(([, field = '']) => field);
    assert.ok(names.length > 0, name);
    return Object.fromEntries(names.map((field) => [field, undefined]));
  }
  const secret = SECRET;

  async function get(gateway: Gateway, url: string) {
    const response = await gateway.handle({
      method: 'GET',
      url,
      headers: { authorization: `Bearer ${secret}` },
      signal: new AbortController().signal,
      body: { parsed: undefined },
      native: undefined,
    });
    assert.ok(response !== undefined && typeof response.body === 'string');
    return response.body;
  }

  it('in the options of a gateway, its tiers, keys and models', async () => {
    const { hooks: _, ...options } = absent('GatewayOptions');
    const hooks = { onNotice: () => {}, onError: undefined, onFinish: undefined, onShadowLimit: undefined };
    assert.equal((await call(createGateway({ ...options, hooks }))).status, 401);

    const clock = { wallMs: () => 1_800_000_000_000, steadyMs: () => 0, setTimer: () => () => {} };
    const capabilities = {
      functionCalling: undefined,
      vision: undefined,
      streaming: undefined,
      structuredOutput: undefined,
    };
    const limits = absent('Limits');
    const of = (given: Pick<GatewayOptions, 'models' | 'tiers' | 'globalLimits'>, key: object) =>
      createGateway({
        ...{ environment: {}, hooks, clock },
        ...given,
        keys: memoryKeys([{ secret, id: 'key', ...key }]),
      });
    const models = { 'gpt-4o': { ...absent('ModelOptions'), capabilities } };
    const blank = of(
      { models, tiers: { basic: { requestsPerMinute: 7, shared: undefined } }, globalLimits: limits },
      { ...absent('ApiKey'), limits },
    );
    const plain = of({ models: { 'gpt-4o': {} }, tiers: { basic: { requestsPerMinute: 7 } } }, {});
    assert.equal(await get(blank, '/v1/models'), await get(plain, '/v1/models'));
    const explained = { body: { model: 'gpt-4o', messages: [], max_tokens: 1 } };
    const key = { id: 'key', limits };
    for (let calls = 0; calls < 7; calls += 1) assert.equal((await call(blank, secret)).status, 200);
    const refusal = await blank.explain(key, explained);
    assert.equal(refusal.isAdmitted, false);
    await blank.close();
  });

  it('in what upstreams, stores, keys and errors are made of', async () => {
    const upstream = http({ baseUrl: 'http://localhost:1/v1', ...absent('HttpOptions') });
    assert.equal(upstream.name, 'http');
    assert.equal(queued(upstream, { concurrency: 1, ...absent('QueuedOptions') }).name, 'http');
    assert.equal(demo(absent('DemoOptions')).name, 'demo');
    const unnamed = { name: undefined, onAbort: undefined };
    assert.equal(fromFunction(() => 'x', unnamed).name, fromFunction(() => 'x').name);
    assert.equal(openaiClient(new OpenAI({ apiKey: 'x' }), unnamed).name, 'openai');
    assert.equal(
      http({ baseUrl: 'http://localhost:1/v1', onAbort: { maxMs: undefined, maxBytes: undefined } }).name,
      'http',
    );

    memoryLimiter(absent('MemoryLimiterOptions'));
    memoryUsage(absent('MemoryUsageOptions'));
    memoryObjects(absent('MemoryObjectsOptions'));
    memoryIdempotency(absent('MemoryIdempotencyOptions'));
    await redisLimiter({ client: async () => '', ...absent('RedisLimiterOptions') }).close();
    const records = memoryKeyRecords(absent('MemoryKeyRecordsOptions'));
    const registry = keyRegistry(records, absent('KeyRegistryOptions'));
    const { secret } = await registry.create({ ...absent('ApiKey'), id: undefined }, { by: 'test' });
    assert.equal((await registry.list({ after: undefined, limit: undefined })).length, 1);
    const made = createKey({ ...absent('ApiKey'), id: undefined });
    const keys = cachedKeys(memoryKeys([{ hash: made.hash, ...made.key }]), absent('CachedKeysOptions'));
    assert.equal((await keys.find(made.hash))?.id, made.key.id);
    assert.match(secret, /^sk-/);

    const error = new GatewayError({ status: 400, message: 'No.', ...absent('GatewayErrorFields') });
    assert.deepEqual(error, new GatewayError({ status: 400, message: 'No.' }));
  });
});
