import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  cachedKeys,
  createGateway,
  demo,
  fromFunction,
  type Gateway,
  type GatewayOptions,
  http,
  keyRegistry,
  memoryIdempotency,
  memoryKeyRecords,
  memoryKeys,
  memoryLimiter,
  memoryObjects,
  memoryUsage,
  queued,
  readEnvironment,
} from 'megallm-middleware';
import { postgresStore } from 'megallm-middleware/postgres';
import { redisLimiter } from 'megallm-middleware/redis';
import { sqliteStore } from 'megallm-middleware/sqlite';

const SECRET = 'sk-host-secret-0123456789';
const price = { inputUsdPerMillion: 1, outputUsdPerMillion: 1 };
const step = { aboveInputTokens: 1, inputFactor: 2, outputFactor: 2 };
const URL_OF = 'http://127.0.0.1:1/v1';
/** Values that no type lets through. */
const untyped = (value: unknown) => value as never;
const more = (members: object) => members as object;
/** An option whose `await` was forgotten. */
const later = Promise.resolve({});
class Getters {
  get requestsPerMinute() {
    return '5';
  }
}

/** Each bad option, as callers without types write it, and the error that it gets. */
const BAD: readonly (readonly [options: unknown, error: RegExp])[] = [
  [{ models: ['gpt-4o'] }, /^Expected `models` to be an object of models by id.*, got \(array\)$/],
  [{ models: 'gpt-4o' }, /^Expected `models` to be an object/],
  [{ models: new Map([['a', {}]]) }, /^Expected `models` to be an object/],
  [{ models: { '': {} } }, /^Expected each id in `models`/],
  [{ models: { a: 'gpt-4o' } }, /^Expected `models.a` to be an object/],
  [{ models: { a: undefined } }, /^Expected `models.a` to be an object/],
  [{ models: { a: { price: 1 } } }, /^Unknown member `models.a.price`: there are upstream, /],
  [{ models: { a: { upstreamModell: 'x' } } }, /^Unknown member `models.a.upstreamModell`/],
  [
    { models: { a: { upstream: 'openai' } } },
    /^Expected `models.a.upstream` to be an upstream.*, got "openai" \(string\)$/,
  ],
  [{ models: { a: { upstream: { name: 'x' } } } }, /^Expected `models.a.upstream`/],
  [{ models: { a: { upstreamModel: 5 } } }, /^Expected `models.a.upstreamModel`/],
  [{ models: { a: { aliases: 'b' } } }, /^Expected `models.a.aliases` to be a list/],
  [{ models: { a: { aliases: [5] } } }, /^Expected `models.a.aliases\[0\]`/],
  [
    { models: { a: { contextLength: '128k' } } },
    /^Expected `models.a.contextLength` to be a positive integer, got "128k"/,
  ],
  [{ models: { a: { maxOutputTokens: 0 } } }, /^Expected `models.a.maxOutputTokens`/],
  [{ models: { a: { pricing: 1 } } }, /^Expected `models.a.pricing` to be prices/],
  [
    { models: { a: { pricing: { ...price, cachedInputUsdPerMilion: 1 } } } },
    /^Unknown member `models.a.pricing.cachedI/,
  ],
  [{ models: { a: { pricing: { inputUsdPerMillion: '1', outputUsdPerMillion: 1 } } } }, /`models.a.pricing.inputUsd/],
  [{ models: { a: { capabilities: ['vision'] } } }, /^Expected `models.a.capabilities` to be an object/],
  [{ models: { a: { capabilities: { Vision: true } } } }, /^Unknown member `models.a.capabilities.Vision`/],
  [{ models: { a: { capabilities: { vision: 'yes' } } } }, /^Expected `models.a.capabilities.vision` to be a boolean/],
  [{ models: { a: { operation: 'chat' } } }, /^Expected `models.a.operation` to be one of 'chat.completions'/],
  [{ models: { a: { responses: true } } }, /^Expected `models.a.responses` to be one of 'pass', 'translate'/],
  [{ models: { a: { createdAt: '2026' } } }, /^Expected `models.a.createdAt`/],
  [{ models: later }, /^Expected `models` to be an object/],
  [{ models: { a: later } }, /^Expected `models.a` to be an object/],
  [{ models: { 'a\n': {} } }, /^Expected each id in `models`/],
  [{ models: { a: Object.create({ upstreamModell: 'x' }) } }, /^Unknown member `models.a.upstreamModell`/],
  [
    { models: { a: { pricing: { ...price, serviceTiers: new Map([['flex', 0.5]]) } } } },
    /`models.a.pricing.serviceTiers`/,
  ],
  [{ models: { a: { pricing: { ...price, toolCallUsd: later } } } }, /`models.a.pricing.toolCallUsd`/],
  [
    { models: { a: { pricing: { ...price, longContext: { ...step, above: 1 } } } } },
    /`models.a.pricing.longContext.above`/,
  ],
  [later, /^Expected `options` to be an object, got \(object\)$/],
  [{ hooks: later }, /^Expected `hooks` to be an object of functions/],
  [{ hooks: Object.create({ onfinish() {} }) }, /^Unknown hook `hooks.onfinish`/],
  [{ tiers: later }, /^Expected `tiers` to be an object/],
  [{ tiers: { pro: later } }, /^Expected `tiers.pro` to be limits/],
  [{ tiers: { pro: new Getters() } }, /^Expected `tiers.pro.requestsPerMinute` to be a positive integer, got "5"/],
  [{ tiers: { pro: Object.create({ rpm: 1 }) } }, /^Unknown limit `tiers.pro.rpm`$/],
  [{ tiers: { pro: { shared: later } } }, /^Expected `tiers.pro.shared` to be limits/],
  [{ tiers: { pro: { serviceTiers: 'flex' } } }, /^Expected `tiers.pro.serviceTiers` to be a list/],
  [{ globalLimits: later }, /^Expected `globalLimits` to be limits/],
  [{ globalLimits: { shared: {} } }, /^Unknown limit `globalLimits.shared`$/],
  [{ globalLimits: new Getters() }, /^Expected `globalLimits.requestsPerMinute`/],
  [{ lingering: [] }, /^Expected `lingering` to be bounds/],
  [{ lingering: { maxByte: 1 } }, /^Unknown option `lingering.maxByte`/],
  [{ cors: { origins: ['https://a.example'], origin: 'https://b.example' } }, /^Unknown member `cors.origin`/],
  [{ cors: true }, /^Expected `cors` to be an object with `origins`, got true \(boolean\)$/],
  [{ admin: { secret: 'b1946ac92492d2347c6235b4d2611184', open: true } }, /^Unknown member `admin.open`/],
  [{ environment: null }, /^Expected `environment` to be an object of variables/],
  [{ environment: { MEGALLM_KEYS: [SECRET] } }, /^Expected `MEGALLM_KEYS` to be a text, got \(array\)$/],
  [{ objects: { find() {} } }, /^Expected `objects` to have a method `list`/],
  [{ idempotency: { claim() {} } }, /^Expected `idempotency` to have a method `finish`/],
  [{ keys: [SECRET] }, /^Expected `keys` to have a method `find`, got \(array\)$/],
  [{ keys: SECRET.slice(0, 9) }, /^Expected `keys` to have a method `find`/],
  [{ keys: new Map() }, /^Expected `keys` to have a method `find`, got \(object\)$/],
  [{ objects: [] }, /^Expected `objects` to have a method `find`, got \(array\)$/],
  [{ limiter: { reserve() {} } }, /^Expected `limiter` to have a method `settle`/],
  [{ usage: { settle() {} } }, /^Expected `usage` to have a method `open`/],
  [{ idempotency: {} }, /^Expected `idempotency` to have a method `claim`/],
  [{ identify: 'x' }, /^Expected `identify` to be a function, got "x" \(string\)$/],
  [{ identify: { id: 'ann' } }, /^Expected `identify` to be a function/],
  [{ hooks: { onfinish() {} } }, /^Unknown hook `hooks.onfinish`: there are onFinish, onError, onRefused/],
  [{ hooks: { onFinish: 'log' } }, /^Expected `hooks.onFinish` to be a function, got "log"/],
  [{ hooks: () => {} }, /^Expected `hooks` to be an object of functions/],
  [{ upstream: 'openai' }, /`baseUrl`/],
  [{ upstream: ['https://api.openai.com/v1'] }, /^Expected `upstream` to have a method `send`, got \(array\)$/],
  [{ upstream: fetch }, /^Expected `upstream` to have a method `send`/],
  [{ tiers: [] }, /^Expected `tiers` to be an object/],
  [{ tiers: { pro: [] } }, /^Expected `tiers.pro` to be limits/],
  [{ tiers: { pro: { rpm: 1 } } }, /^Unknown limit `tiers.pro.rpm`$/],
  [{ store: 'megallm.db' }, /^Expected `store` to be a store/],
  [{ store: {} }, /^Expected `store` to have one of keys, limiter/],
  [{ store: { usage: [] } }, /^Expected `store.usage` to have a method `open`/],
  [{ close() {} }, /^Unknown option `close`$/],
  [{ debug: 'true' }, /^Expected `debug` to be a boolean, got "true"/],
  [{ unversionedPaths: 1 }, /^Expected `unversionedPaths` to be a boolean/],
  [{ clock: { now: Date.now } }, /^Expected `clock` to have a method `wallMs`/],
  [{ timeoutMs: Number.NaN }, /^Expected `timeoutMs` to be a positive integer, got NaN \(number\)$/],
  [{ timeoutMs: 5n }, /^Expected `timeoutMs` to be a positive integer, got 5 \(bigint\)$/],
  [
    { environment: { MEGALLM_KEYS: 'sk-test-1' } },
    /^Expected each secret of `MEGALLM_KEYS` to be 16 to 256 .* got one of 9$/,
  ],
  [{ environment: { MEGALLM_KEYS: `${SECRET}:pro:ann:more` } }, /^Expected `MEGALLM_KEYS` to hold `secret/],
  ['https://api.openai.com/v1', /^Expected `options` to be an object, got "https/],
  [null, /^Expected `options` to be an object, got \(null\)$/],
];

async function status(gateway: Gateway, secret: string): Promise<number | undefined> {
  const response = await gateway.handle({
    method: 'GET',
    url: '/v1/models',
    headers: { authorization: `Bearer ${secret}` },
    signal: new AbortController().signal,
    body: { parsed: undefined },
    native: undefined,
  });
  return response?.status;
}

/** Parts that a host makes for itself, as callers without types write them, and the error that each gets. */
const BAD_PARTS: readonly (readonly [make: () => unknown, error: RegExp])[] = [
  [() => http(untyped(null)), /^Expected `options` to be an object with a `baseUrl`/],
  [() => http({ baseUrl: URL_OF, headers: untyped(new Headers({ 'api-key': 'x' })) }), /^Expected `headers` to be an/],
  [() => http({ baseUrl: URL_OF, headers: untyped(['api-key: x']) }), /^Expected `headers` to be an object/],
  [() => http({ baseUrl: URL_OF, ...more({ apikey: 'x' }) }), /^Unknown option `apikey` of http$/],
  [() => queued(untyped({}), { concurrency: 1 }), /^Expected `upstream` to have a method `send`/],
  [() => queued(demo(), untyped(undefined)), /^Expected `options` to be an object with `concurrency`/],
  [() => queued(demo(), { concurrency: 1, ...more({ maxWait: 5 }) }), /^Unknown member `options.maxWait`/],
  [() => demo(untyped({ delayMs: 5 })), /^Unknown member `options.delayMs`/],
  [() => fromFunction(() => 'Hi', untyped({ nane: 'x' })), /^Unknown member `options.nane`/],
  [() => cachedKeys(untyped([])), /^Expected `store` to have a method `find`/],
  [() => cachedKeys(untyped({})), /^Expected `store` to have a method `find`/],
  [() => cachedKeys(memoryKeys(), untyped({ ttl: 5 })), /^Unknown member `options.ttl`/],
  [() => keyRegistry(untyped({ find() {} })), /^Expected `records` to have a method `list`/],
  [() => keyRegistry(memoryKeyRecords(), untyped({ cacheTtl: 5 })), /^Unknown member `options.cacheTtl`/],
  [() => memoryUsage(untyped({ maxRows: 5 })), /^Unknown member `options.maxRows`/],
  [() => memoryLimiter(untyped({ maxBucket: 5 })), /^Unknown member `options.maxBucket`/],
  [() => memoryObjects(untyped({ maxByte: 5 })), /^Unknown member `options.maxByte`/],
  [() => memoryIdempotency(untyped({ maxAnswer: 5 })), /^Unknown member `options.maxAnswer`/],
  [() => memoryIdempotency(untyped(null)), /^Expected `options` to be an object, got \(null\)$/],
  [() => redisLimiter(untyped({ client: () => {}, lease: 5 })), /^Unknown member `options.lease`/],
  [() => memoryKeys([{ secret: SECRET, id: 'a', ...more({ serviceTiers: 'flex' }) }]), /`serviceTiers`/],
];

describe('options are strict all the way down', () => {
  it('of the parts that a host makes, too', () => {
    for (const [make, message] of BAD_PARTS) assert.throws(make, { name: 'TypeError', message });
  });

  it('and so of stores that open later', async () => {
    const sqlite = { file: 'never.db', synchronus: 'normal' };
    await assert.rejects(sqliteStore(untyped(sqlite)), { name: 'TypeError', message: /`options.synchronus`/ });
    await assert.rejects(sqliteStore(untyped('never.db')), { name: 'TypeError', message: /^Expected `options`/ });
    const postgres = { pool: { connect() {} }, timeout: 5 };
    await assert.rejects(postgresStore(untyped(postgres)), { name: 'TypeError', message: /`options.timeout`/ });
  });

  it('each bad one is a TypeError that names it', (t) => {
    for (const [options, message] of BAD) {
      const isPlain = typeof options === 'object' && options !== null && !(options instanceof Promise);
      const given = isPlain ? quiet(options) : options;
      assert.throws(
        () => createGateway(given as GatewayOptions),
        (error) => {
          assert.ok(error instanceof TypeError, String(error));
          t.diagnostic(error.message);
          assert.match(error.message, message);
          assert.ok(!error.message.includes(SECRET), 'no secret is told');
          return true;
        },
        String(message),
      );
    }
  });

  it('what may be said is taken', () => {
    const model = {
      upstream: demo(),
      upstreamModel: 'x',
      aliases: ['b'],
      contextLength: 1,
      maxOutputTokens: 1,
      pricing: price,
    };
    const more = {
      displayName: 'A',
      ownedBy: 'me',
      capabilities: { vision: true },
      operation: 'audio',
      createdAt: 0,
    } as const;
    createGateway({
      environment: {},
      hooks: { onNotice() {} },
      models: { a: { ...model, ...more, responses: 'pass' } },
    });
    class Upstream {
      readonly name = 'mine';
      send = http({ baseUrl: 'http://localhost:1/v1' }).send;
    }
    createGateway({ environment: {}, hooks: { onNotice() {} }, upstream: new Upstream() });
  });
});

function quiet(options: object): object {
  return { environment: {}, hooks: { onNotice() {} }, ...options };
}

describe('what is taken in place of a longer form', () => {
  it('a base URL is an upstream', async () => {
    const asked: string[] = [];
    const { createServer } = await import('node:http');
    const server = createServer((req, res) => {
      asked.push(`${req.method} ${req.url}`);
      res.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"message":"No."}}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const upstream = `http://127.0.0.1:${address.port}/v1`;
    const gateway = createGateway({ environment: {}, keys: memoryKeys([{ secret: SECRET, id: 'a' }]), upstream });
    try {
      await gateway.handle({
        method: 'POST',
        url: '/v1/chat/completions',
        headers: { authorization: `Bearer ${SECRET}` },
        signal: new AbortController().signal,
        body: { parsed: { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] } },
        native: undefined,
      });
      assert.equal(asked[0], 'POST /v1/chat/completions');
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  it('a whole store has every part of its own, and each may be placed elsewhere', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'megallm-options-'));
    const store = await sqliteStore({ file: join(directory, 'a.db') });
    try {
      const { secret } = await keyRegistry(store.keys).create({ id: 'ann' }, { by: 'test' });
      const notices: string[] = [];
      const hooks = { onNotice: (text: string) => void notices.push(text) };
      const whole = createGateway({ environment: { MEGALLM_KEYS: SECRET }, hooks, store });
      assert.equal(await status(whole, secret), 200);
      assert.equal(await status(whole, SECRET), 200);
      assert.equal(await status(whole, `${SECRET}-of-nobody`), 401);
      const other = createGateway({ environment: {}, hooks, store, keys: memoryKeys([{ secret: SECRET, id: 'bob' }]) });
      assert.equal(await status(other, secret), 401);
      assert.equal(await status(other, SECRET), 200);
      assert.deepEqual(notices, []);
    } finally {
      await store.close();
      rmSync(directory, { recursive: true });
    }
  });

  it('one notice names each store that several processes do not share', () => {
    const told = (options: GatewayOptions): string[] => {
      const notices: string[] = [];
      createGateway({
        environment: {},
        keys: memoryKeys(),
        hooks: { onNotice: (text) => void notices.push(text) },
        ...options,
      });
      return notices;
    };
    const shared = Object.assign(memoryLimiter(), { close: async () => {} });
    const [notice, ...others] = told({ limiter: shared });
    assert.match(notice ?? '', /`usage`.*`objects`.*`idempotency`/);
    assert.doesNotMatch(notice ?? '', /`limiter`/);
    assert.deepEqual(others, []);
    assert.match(told({ limiter: shared, objects: memoryObjects() })[0] ?? '', /`usage` .*`idempotency` /);
    const all = { usage: memoryUsage(), objects: memoryObjects(), idempotency: memoryIdempotency() };
    assert.deepEqual(told({ limiter: shared, ...all }), []);
    assert.deepEqual(told({ limiter: memoryLimiter() }), []);
  });

  it('keys of the environment are read as before', () => {
    assert.equal(readEnvironment({ MEGALLM_KEYS: `${SECRET}:pro` }).keys[0]?.tier, 'pro');
  });
});
