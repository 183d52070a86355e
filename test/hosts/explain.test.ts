import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type ApiKey,
  createGateway,
  type ExplainedRequest,
  type Explanation,
  type Gateway,
  type Limits,
  memoryKeys,
  type TierLimits,
  type Upstream,
} from 'megallm-middleware';
import { wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate } from '../helpers/deadline.js';
import { patience, runs } from '../helpers/depth.js';
import { type FrozenClock, frozenClock } from '../helpers/frozen-clock.js';
import { SECRET, type Setup, testSetup } from '../helpers/gateway-options.js';
import { CALL, onBareHost } from '../helpers/scene.js';

const MODELS = {
  priced: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 10 } },
  short: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 10 }, maxOutputTokens: 50 },
  unpriced: {},
  forbidden: {},
};
const DAY_MS = 86_400_000;
const ALLOWED = ['priced', 'short', 'unpriced', 'nowhere'];

interface World {
  readonly gateway: Gateway;
  readonly setup: Setup;
  readonly key: ApiKey;
  readonly clock: FrozenClock;
  /** Bodies that the upstream got. */
  readonly bodies: Record<string, unknown>[];
}

function worldOf(key: ApiKey, tier: TierLimits): World {
  const clock = frozenClock();
  const bodies: Record<string, unknown>[] = [];
  const upstream: Upstream = {
    name: 'test',
    operations: ['chat.completions', 'completions'],
    async send(call) {
      const body = call.body();
      bodies.push(body);
      const most = Number(body.max_completion_tokens ?? body.max_tokens ?? body.max_output_tokens ?? 16);
      const usage = { prompt_tokens: 10, completion_tokens: most, total_tokens: 10 + most };
      return { kind: 'whole', body: JSON.parse(JSON.stringify(wholeChat('Hello', { usage }))) };
    },
  };
  const setup = testSetup({
    upstream,
    clock,
    models: MODELS,
    tiers: { open: tier },
    keys: memoryKeys([{ secret: SECRET, ...key }]),
  });
  return { gateway: createGateway(setup.options), setup, key, clock, bodies };
}

const URLS = { 'chat.completions': '/v1/chat/completions', completions: '/v1/completions', responses: '/v1/responses' };
type Asked = ExplainedRequest & { readonly operation: keyof typeof URLS };

async function call({ gateway }: World, { operation, body }: Asked) {
  const response = await gateway.handle({
    method: 'POST',
    url: URLS[operation],
    headers: { authorization: `Bearer ${SECRET}` },
    signal: new AbortController().signal,
    body: { parsed: body },
    native: undefined,
  });
  assert.ok(
    response !== undefined && (typeof response.body === 'string' || response.body instanceof Uint8Array),
    'whole',
  );
  return { status: response.status, body: JSON.parse(Buffer.from(response.body).toString()) };
}

const limit = (least: number) => fc.integer({ min: least, max: 20 * least });
const usd = fc.constantFrom(0.000_5, 0.005, 0.05);
const limits = fc.record(
  {
    requestsPerMinute: fc.integer({ min: 1, max: 6 }),
    tokensPerMinute: limit(300),
    inputTokensPerMinute: limit(100),
    outputTokensPerMinute: limit(200),
    usdPerDay: usd,
    usdPerMonth: usd,
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Limits>;
const key: fc.Arbitrary<ApiKey> = fc
  .record({ limits, ownLimits: limits, isListed: fc.boolean() })
  .map(({ isListed, ...own }) => ({
    id: 'k',
    owner: 'ann',
    tier: 'open',
    ...own,
    ...(isListed ? { models: ALLOWED } : {}),
  }));
const max = fc.option(fc.integer({ min: 1, max: 1_200 }), { nil: null });
const asked: fc.Arbitrary<Asked> = fc
  .record({
    operation: fc.constantFrom<Asked['operation']>('chat.completions', 'completions', 'responses'),
    model: fc.constantFrom(...Array<string>(12).fill('priced'), 'short', 'unpriced', 'forbidden', 'nowhere'),
    text: fc.constantFrom('x', 'x'.repeat(300), 'x'.repeat(900)),
    n: fc.constantFrom(1, 1, 1, 1, 1, 1, 2, 500),
    max,
  })
  .map(({ operation, model, text, n, max: most }) => {
    if (operation === 'responses') return { operation, body: { model, input: text, max_output_tokens: most ?? null } };
    const input = operation === 'completions' ? { prompt: text } : { messages: [{ role: 'user', content: text }] };
    return { operation, body: { model, ...input, n, max_tokens: most } };
  });

const step = fc.oneof(
  { weight: 8, arbitrary: asked },
  { weight: 1, arbitrary: fc.constantFrom(1, 1_000, 5_000, 20_000, DAY_MS) },
);

/** The one and the other: what is said beforehand, and what happens. */
async function explainAndCall(world: World, request: Asked): Promise<Explanation> {
  const { gateway, setup } = world;
  const explained = await gateway.explain(world.key, request);
  assert.deepEqual(await gateway.explain(world.key, request), explained, 'explaining changes nothing');
  const [granted, errors] = [setup.limiter.granted(), setup.errors.length];
  const { status, body } = await call(world, request);
  assert.equal(setup.errors.length, errors, 'no error');
  if (!explained.isAdmitted) {
    assert.equal(status, explained.error.status, JSON.stringify(body));
    const { code, message } = explained.error;
    // The host is told more exactly than the client.
    const shown = code === 'request_exceeds_limit' ? 'rate_limit_exceeded' : code;
    assert.deepEqual([body.error.code, body.error.message], [shown, message]);
    assert.equal(setup.limiter.granted(), granted);
    return explained;
  }
  assert.equal(status, 200, JSON.stringify(body));
  const { reservation } = setup.limiter.settled.at(-1) ?? {};
  const { requests, inputTokens, outputTokens, nanoUsd } = explained.reserved;
  const amounts = { requests, tokens: inputTokens + outputTokens, inputTokens, outputTokens };
  for (const { bucket, amount } of reservation?.draws ?? []) {
    const measure = bucket.split(':')[2] ?? '';
    assert.equal(amount, Object.hasOwn(amounts, measure) ? Reflect.get(amounts, measure) : nanoUsd, bucket);
  }
  const sent = world.bodies.at(-1) ?? {};
  const named = request.body.max_tokens ?? request.body.max_output_tokens;
  if (request.operation === 'chat.completions' && named === null) {
    assert.equal(sent.max_completion_tokens, explained.maxOutputTokens, 'the ceiling that goes upstream');
  }
  return explained;
}

/** As it says: not a millisecond sooner. */
async function assertWhen({ gateway, clock, key: of }: World, request: Asked, explained: Explanation): Promise<void> {
  if (explained.isAdmitted || explained.limit === undefined || !Number.isFinite(explained.retryAfterMs)) return;
  clock.advance(explained.retryAfterMs - 1);
  assert.equal((await gateway.explain(of, request)).isAdmitted, false, 'a millisecond sooner');
  clock.advance(1);
  assert.equal((await gateway.explain(of, request)).isAdmitted, true, `after ${explained.retryAfterMs}`);
}

describe('explain', () => {
  it('agrees with what happens next, changes nothing, and says exactly when', {
    timeout: patience(100_000),
  }, async () => {
    const seen = { admitted: 0, refused: 0, waits: 0 };
    const property = fc.asyncProperty(
      key,
      limits,
      fc.array(step, { minLength: 6, maxLength: 20 }),
      async (of, tier, steps) => {
        const world = worldOf(of, { shared: tier });
        for (const one of steps) {
          if (typeof one === 'number') {
            world.clock.advance(one);
            continue;
          }
          const explained = await explainAndCall(world, one);
          seen[explained.isAdmitted ? 'admitted' : 'refused'] += 1;
          if (!explained.isAdmitted && Number.isFinite(explained.retryAfterMs)) seen.waits += 1;
          await assertWhen(world, one, explained);
        }
        await world.setup.finish();
      },
    );
    await fc.assert(property, runs(25));
    for (const [what, count] of Object.entries(seen)) assert.ok(count > 0, `only ${count} ${what}`);
  });

  it('says which limit is short, and whose', async () => {
    const hello: Asked = { operation: 'chat.completions', body: { ...CALL, model: 'priced', max_tokens: 40 } };
    const cases: readonly (readonly [ApiKey, TierLimits, limit: string, level: string | undefined])[] = [
      [{ id: 'k', tier: 'open', ownLimits: { requestsPerMinute: 1 } }, {}, 'requests', 'key'],
      [{ id: 'k', tier: 'open' }, { tokensPerMinute: 55 }, 'tokens', 'owner'],
      [{ id: 'k', tier: 'open' }, { shared: { outputTokensPerMinute: 45 } }, 'outputTokens', 'tier'],
      [{ id: 'k', tier: 'open', limits: { usdPerDay: 0.000_45 } }, {}, 'usdPerDay', 'owner'],
    ];
    for (const [of, tier, limitName, level] of cases) {
      const world = worldOf(of, tier);
      assert.equal((await world.gateway.explain(of, hello)).isAdmitted, true);
      assert.equal((await call(world, hello)).status, 200);
      const explained = await world.gateway.explain(of, hello);
      assert.ok(!explained.isAdmitted, 'refused');
      assert.deepEqual([explained.limit, explained.level], [limitName, level]);
      await assertWhen(world, hello, explained);
    }
  });

  it('says that a budget begins anew with its period', async () => {
    const of: ApiKey = { id: 'k', tier: 'open', limits: { usdPerMonth: 0.000_45 } };
    const world = worldOf(of, {});
    const hello: Asked = { operation: 'chat.completions', body: { ...CALL, model: 'priced', max_tokens: 40 } };
    await call(world, hello);
    const explained = await world.gateway.explain(of, hello);
    assert.ok(!explained.isAdmitted, 'refused');
    // The clock stands in January 2027.
    assert.equal(explained.retryAfterMs, Date.UTC(2027, 1, 1) - world.clock.wallMs());
  });

  it('tells of places that are taken, of keys that have expired, and of what no limit refuses', async () => {
    const of: ApiKey = { id: 'k', tier: 'open' };
    const release = gate();
    const world = worldOf(of, { concurrency: 1 });
    const slow: Upstream = {
      name: 'slow',
      async send() {
        await release.opened;
        return { kind: 'whole', body: JSON.parse(JSON.stringify(wholeChat('Hello'))) };
      },
    };
    const gateway = createGateway({ ...world.setup.options, upstream: slow });
    const body = { ...CALL, model: 'priced' };
    const running = call({ ...world, gateway }, { operation: 'chat.completions', body });
    await eventually(() => world.setup.limiter.open() === 1, 'the call to run');
    const taken = await gateway.explain(of, { body });
    assert.ok(!taken.isAdmitted, 'refused');
    assert.deepEqual([taken.limit, taken.level, taken.retryAfterMs], ['concurrency', undefined, 1_000]);
    const expired = await gateway.explain({ ...of, expiresAt: world.clock.wallMs() }, { body });
    assert.ok(!expired.isAdmitted, 'refused');
    assert.deepEqual(
      [expired.error.status, expired.limit, expired.retryAfterMs],
      [401, undefined, Number.POSITIVE_INFINITY],
    );
    const unknown = await gateway.explain(of, { body: { ...body, model: 'nowhere' } });
    assert.ok(!unknown.isAdmitted, 'refused');
    assert.deepEqual([unknown.error.code, unknown.limit, unknown.level], ['model_not_found', undefined, undefined]);
    release.open();
    assert.equal((await running).status, 200);
    await gateway.close();
    const closed = await gateway.explain(of, { body });
    assert.ok(!closed.isAdmitted, 'refused');
    assert.equal(closed.error.code, 'shutting_down');
  });
});

onBareHost(
  'what the gateway of a host explains is what its clients meet',
  () => ({ clock: frozenClock(), key: { limits: { requestsPerMinute: 1 } } }),
  async ({ host, client, setup }) => {
    const of = { id: 'key_test', tier: 'open', limits: { requestsPerMinute: 1 } };
    assert.equal((await host.gateway.explain(of, { body: CALL })).isAdmitted, true);
    await client().chat.completions.create(CALL);
    const explained = await host.gateway.explain(of, { body: CALL });
    assert.ok(!explained.isAdmitted, 'refused');
    assert.equal(explained.retryAfterMs, 60_000);
    await assert.rejects(client().chat.completions.create(CALL), {
      status: 429,
      message: `429 ${explained.error.message}`,
    });
    assert.equal(setup.records.length, 1);
  },
);
