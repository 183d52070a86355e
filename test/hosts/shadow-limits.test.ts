import assert from 'node:assert/strict';
import { type Limits, memoryLimiter } from 'megallm-middleware';
import { reply, wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate, settleSockets } from '../helpers/deadline.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET } from '../helpers/gateway-options.js';
import { rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL, onBareHost, type Scene } from '../helpers/scene.js';

const MODELS = { [CALL.model]: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 10 } } };

async function ask({ host }: Scene, more: object = {}): Promise<void> {
  const answer = await rawExchange(host.origin, rawChat(SECRET, { ...CALL, ...more }));
  assert.equal(answer.status, 200, answer.body);
  const shown = Object.keys(answer.headers).filter((name) => name.startsWith('x-ratelimit'));
  assert.deepEqual(shown, [], 'nobody is told of it');
}

onBareHost(
  'a shadow limit is counted and reported, and refuses nothing',
  () => ({ key: { limits: { shadow: { requestsPerMinute: 2 } } } }),
  async ({ client, setup }) => {
    for (let call = 0; call < 4; call += 1) await client().chat.completions.create(CALL);
    assert.deepEqual(
      setup.shadows.map(({ requestId, limit }) => [requestId, limit]),
      setup.records.slice(2).map(({ requestId }) => [requestId, 'requests']),
    );
  },
);

for (const [level, options, owner] of [
  ['key', (shadow: Limits) => ({ key: { ownLimits: { shadow } } }), 'key:key_test'],
  ['owner', (shadow: Limits) => ({ key: { owner: 'ann', limits: { shadow } } }), 'owner:ann'],
  ['tier', (shadow: Limits) => ({ tiers: { open: { shared: { shadow } }, small: {} } }), 'key:key_test'],
  ['all', (shadow: Limits) => ({ globalLimits: { shadow } }), 'key:key_test'],
] as const) {
  const clock = frozenClock();
  onBareHost(
    `a shadow limit on the level \`${level}\` says whose it is, what is short, and exactly until when`,
    () => ({ clock, ...options({ requestsPerMinute: 2 }) }),
    async (scene) => {
      const { shadows, records } = scene.setup;
      for (let call = 0; call < 4; call += 1) await ask(scene);
      const common = { keyId: 'key_test', owner, model: CALL.model, limit: 'requests', level, retryAfterMs: 30_000 };
      const refused = records.slice(2).map(({ requestId }) => ({ requestId, ...common }));
      assert.deepEqual(shadows, refused);
      clock.advance(30_000);
      await ask(scene);
      assert.equal(shadows.length, 2);
    },
  );
}

onBareHost(
  'what is reserved in the shadow is settled as the call is, and given back',
  () => ({
    models: MODELS,
    clock: frozenClock(),
    key: { limits: { shadow: { tokensPerMinute: 200, usdPerDay: 0.002 } } },
  }),
  async (scene) => {
    const { shadows, limiter } = scene.setup;
    // Each reserves some 110 tokens, of which it uses 20: 200 hold five of them, one after the other.
    for (let call = 0; call < 5; call += 1) await ask(scene, { max_tokens: 100 });
    assert.equal(shadows.length, 0);
    await ask(scene, { max_tokens: 100 });
    assert.deepEqual(
      shadows.map(({ limit, level }) => [limit, level]),
      [['tokens', 'owner']],
    );
    await ask(scene, { max_tokens: 199 });
    assert.equal(shadows[1]?.retryAfterMs, Number.POSITIVE_INFINITY, 'more than there ever is');
    await limiter.allBack();
    const budgets = limiter.settled.filter(({ reservation }) => reservation.id.endsWith(':shadow'));
    assert.deepEqual(budgets[0]?.amounts, [20, 11 * 1_000 + 9 * 10_000]);
    assert.deepEqual(
      budgets[0]?.reservation.draws.map(({ bucket }) => bucket.replace(/\d{4}-\d\d-\d\d/, 'today')),
      ['shadow:key:key_test:tokens', 'shadow:key:key_test:usdPerDay:today'],
    );
  },
);

onBareHost(
  'a budget in the shadow needs no price, and begins with what the ledger knows of whose it is',
  () => {
    const asked: unknown[] = [];
    return {
      clock: frozenClock(),
      models: MODELS,
      key: { owner: 'ann', limits: { shadow: { usdPerDay: 0.001 } } },
      limiter: memoryLimiter(),
      usage: {
        open: () => {},
        settle: () => {},
        spent: (scope) => {
          asked.push(scope);
          assert.deepEqual(scope, { kind: 'owner', id: 'owner:ann' });
          return 999_999;
        },
      },
    };
  },
  async (scene) => {
    await ask(scene, { max_tokens: 1 });
    assert.deepEqual(
      scene.setup.shadows.map(({ limit }) => limit),
      ['usdPerDay'],
    );
    scene.setup.records.length = 0;
  },
);

onBareHost(
  'places in the shadow are held while a call runs',
  () => ({ key: { limits: { shadow: { concurrency: 1 } } } }),
  async (scene) => {
    const { upstream, setup } = scene;
    const release = gate();
    upstream.answerWith(async function* () {
      yield { kind: 'wait', until: release.opened };
      yield* reply(wholeChat('Hello'));
    });
    const both = [ask(scene), ask(scene)];
    await eventually(() => upstream.requests.length === 2, 'both calls at the upstream');
    release.open();
    await Promise.all(both);
    assert.deepEqual(
      setup.shadows.map(({ limit, level, retryAfterMs }) => [limit, level, retryAfterMs]),
      [['concurrency', undefined, 1_000]],
    );
    await setup.limiter.allBack();
    await ask(scene);
    assert.equal(setup.shadows.length, 1, 'the place is free again');
  },
);

const failing = new Error('The store is gone');
const limiter = memoryLimiter();
for (const fails of ['reserve', 'settle'] as const) {
  onBareHost(
    `a store that fails to ${fails} in the shadow costs a report, and no call`,
    () => ({
      key: { limits: { requestsPerMinute: 10, shadow: { requestsPerMinute: 10 } } },
      broken: true,
      limiter: {
        async reserve(reservation, now) {
          if (fails === 'reserve' && reservation.id.endsWith(':shadow')) throw failing;
          return limiter.reserve(reservation, now);
        },
        async settle(reservation, amounts, now) {
          if (fails === 'settle' && reservation.id.endsWith(':shadow')) throw failing;
          return limiter.settle(reservation, amounts, now);
        },
      },
    }),
    async ({ client, setup }) => {
      assert.equal((await client().chat.completions.create(CALL)).choices[0]?.message.content, 'Hello');
      await eventually(() => setup.errors.length > 0, 'the report');
      await settleSockets();
      assert.deepEqual(
        setup.errors.map(({ error, context }) => [error, context.requestId]),
        [[failing, setup.records[0]?.requestId]],
      );
    },
  );
}

onBareHost(
  'a hook that throws is nobody’s trouble',
  () => ({
    key: { limits: { shadow: { requestsPerMinute: 1 } } },
    hooks: {
      onShadowLimit: () => {
        throw failing;
      },
    },
  }),
  async ({ client, setup }) => {
    for (let call = 0; call < 3; call += 1) await client().chat.completions.create(CALL);
    await setup.usage.allSettled();
    assert.equal(setup.usage.settled.length, 3);
    // The hooks that fill it are not these.
    setup.records.push(...setup.usage.settled);
  },
);
