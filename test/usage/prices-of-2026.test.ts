import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ModelOptions, Pricing, UsageRecord } from 'megallm-middleware';
import { reply, USAGE, wholeChat } from '../helpers/chat-answers.js';
import { wholeResponse } from '../helpers/response-answers.js';
import { CALL, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';

/** gpt-6-astra, as its provider sells it. */
const ASTRA: Pricing = {
  inputUsdPerMillion: 10,
  cachedInputUsdPerMillion: 1,
  cacheWriteUsdPerMillion: 12.5,
  cacheWriteLongUsdPerMillion: 25,
  outputUsdPerMillion: 50,
  longContext: { aboveInputTokens: 271_999, inputFactor: 2, outputFactor: 1.5 },
  serviceTiers: { flex: 0.5, fast: 2, ultrafast: 6 },
  toolCallUsd: { web_search: 0.01, file_search: 0.0025 },
  version: '2026-11-01',
};
const MODEL = 'gpt-6-astra';
/** 300,000 tokens of prompt, all written to a cache, and 10,000 of output. */
const BIG = {
  prompt_tokens: 300_000,
  completion_tokens: 10_000,
  total_tokens: 310_000,
  prompt_tokens_details: { cached_tokens: 0, cache_write_tokens: 300_000 },
};

/** A prompt of at least so many tokens at any tokenizer. */
const LONG = 'word '.repeat(61_000);

interface Sold extends ModelOptions {
  readonly pricing: Pricing;
}

const sold = (more: Partial<Sold> = {}): SceneOptions['models'] => ({
  [MODEL]: { pricing: ASTRA, contextLength: 1_050_000, maxOutputTokens: 128_000, ...more },
});

/** Answers by the tier that was asked for, or by another. */
function billed(usage: Record<string, unknown>, tier?: string): Script {
  return (request) => {
    const asked = request.json().service_tier;
    return reply({ ...wholeChat('Hello', { usage, model: MODEL }), service_tier: tier ?? asked ?? 'default' });
  };
}

function budgeted(usd: number, more: SceneOptions = {}): SceneOptions {
  return { key: { limits: { usdPerDay: usd } }, models: sold(), ...more };
}

const inUsd = (nanoUsd: number | undefined): number => (nanoUsd ?? Number.NaN) / 1e9;

function lastOf({ setup }: Scene): UsageRecord {
  const record = setup.records.at(-1);
  assert.ok(record !== undefined);
  return record;
}

/** A call with members that the SDK's types may not know. */
function ask(scene: Scene, more: Record<string, unknown> = {}) {
  return scene
    .client()
    .post<Record<string, unknown>>('/chat/completions', { body: { ...CALL, model: MODEL, ...more } });
}

const messages = [{ role: 'user', content: LONG }];

describe('a bill of 2026', () => {
  onBareHost(
    'is in the ledger as the provider writes it, and was reserved before',
    () => budgeted(1_000, { script: billed(BIG) }),
    async (scene) => {
      await ask(scene, { messages, max_completion_tokens: 10_000 });
      const ordinary = lastOf(scene);
      assert.equal(inUsd(ordinary.costNanoUsd), 8.25);
      assert.equal(ordinary.cacheWriteTokens, 300_000);
      assert.equal(ordinary.serviceTier, 'default');
      assert.equal(ordinary.priceVersion, '2026-11-01');
      assert.equal(ordinary.isOverReserved, false);
      for (const tier of ['priority', 'fast']) {
        await ask(scene, { messages, max_completion_tokens: 10_000, service_tier: tier });
        const dear = lastOf(scene);
        assert.equal(inUsd(dear.costNanoUsd), 16.5);
        assert.equal(dear.serviceTier, tier);
        assert.equal(dear.isOverReserved, false);
        // Reserved: as many tokens as the text has bytes, all of them written for long; and the output, all at the long rates.
        assert.equal(dear.reservedNanoUsd, 2 * (ordinary.reservedNanoUsd ?? 0));
      }
      const bytes = LONG.length;
      const least = (bytes * 25 * 2 + 10_000 * 50 * 1.5) / 1e6;
      const reserved = inUsd(ordinary.reservedNanoUsd);
      assert.ok(reserved >= least && reserved < least * 1.01, `${reserved} for ${least}`);
      const sums = await scene.setup.usage.report?.({ from: 0, to: Number.MAX_SAFE_INTEGER, by: [] });
      assert.equal(sums?.[0]?.sums.cacheWriteTokens, 900_000);
      assert.deepEqual(scene.setup.notices, []);
    },
  );

  onBareHost(
    'follows the tier that the answer names, whatever was asked for',
    () => budgeted(1_000, { script: billed(BIG, 'default') }),
    async (scene) => {
      await ask(scene, { messages, max_completion_tokens: 10_000, service_tier: 'ultrafast' });
      assert.equal(inUsd(lastOf(scene).costNanoUsd), 8.25);
      assert.equal(lastOf(scene).serviceTier, 'default');
      scene.upstream.answerWith(billed(BIG, 'flex'));
      await ask(scene, { messages, max_completion_tokens: 10_000, service_tier: 'auto' });
      assert.equal(inUsd(lastOf(scene).costNanoUsd), 4.125);
    },
  );

  onBareHost(
    'is settled as asked where the answer names no tier, or one that has no price: which is told once',
    () => budgeted(1_000, { script: billed(BIG, 'turbo') }),
    async (scene) => {
      for (let call = 0; call < 2; call += 1) {
        await ask(scene, { messages, max_completion_tokens: 10_000, service_tier: 'fast' });
        assert.equal(inUsd(lastOf(scene).costNanoUsd), 16.5);
        assert.equal(lastOf(scene).serviceTier, 'fast');
      }
      assert.equal(scene.setup.notices.length, 1);
      assert.match(scene.setup.notices[0] ?? '', /`?gpt-6-astra`? names a service tier without a price/);
    },
  );

  onBareHost(
    'of a stream follows the last word of the stream',
    () =>
      budgeted(1_000, {
        script: () => {
          const chunk = (more: object): string =>
            `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: MODEL, ...more })}\n\n`;
          const text = (content: string, tier: string): string =>
            chunk({ service_tier: tier, choices: [{ index: 0, delta: { content }, finish_reason: null }] });
          const events = [
            ...['a', 'b', 'c', 'd', 'e'].map((letter) => text(letter, 'auto')),
            chunk({ service_tier: 'auto', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }),
            chunk({ service_tier: 'priority', choices: [], usage: BIG }),
            'data: [DONE]\n\n',
          ];
          const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n';
          return [{ kind: 'send' as const, bytes: head + events.join('') }, { kind: 'end' as const }];
        },
      }),
    async (scene) => {
      const stream = await scene.client().chat.completions.create({
        ...CALL,
        model: MODEL,
        stream: true,
        max_completion_tokens: 10_000,
        service_tier: 'priority',
        messages: [{ role: 'user', content: LONG }],
      });
      let said = '';
      for await (const { choices } of stream) said += choices[0]?.delta.content ?? '';
      assert.equal(said, 'abcde');
      assert.equal(inUsd(lastOf(scene).costNanoUsd), 16.5);
      assert.equal(lastOf(scene).serviceTier, 'priority');
    },
  );

  onBareHost(
    'that passes its reservation flags its row and is told once',
    () => budgeted(1_000, { script: billed(BIG, 'ultrafast') }),
    async (scene) => {
      for (let call = 0; call < 2; call += 1) {
        await ask(scene, { max_completion_tokens: 100 });
        assert.equal(inUsd(lastOf(scene).costNanoUsd), 49.5);
        assert.equal(lastOf(scene).isOverReserved, true);
      }
      assert.equal(scene.setup.notices.length, 1);
      assert.match(scene.setup.notices[0] ?? '', /gpt-6-astra cost more than was reserved/);
    },
  );

  onBareHost(
    'has two prices: what the caller pays, which budgets are held against, and what the host pays',
    () =>
      budgeted(1_000, {
        models: sold({
          cost: { ...ASTRA, inputUsdPerMillion: 5, cacheWriteUsdPerMillion: 6.25, outputUsdPerMillion: 25 },
        }),
        script: billed(BIG),
      }),
    async (scene) => {
      await ask(scene, { messages, max_completion_tokens: 10_000, service_tier: 'fast' });
      assert.equal(inUsd(lastOf(scene).costNanoUsd), 16.5);
      assert.equal(inUsd(lastOf(scene).upstreamCostNanoUsd), 8.25);
      assert.equal(lastOf(scene).price?.inputNanoUsdPerMillion, 10e9);
    },
  );
});

describe('service tiers', () => {
  onBareHost(
    'that the model has not are refused before anybody is asked',
    () => ({ models: sold() }),
    async (scene) => {
      for (const tier of ['scale', 'Fast', 'constructor', ' fast', 'standard2']) {
        await assert.rejects(ask(scene, { service_tier: tier }), {
          status: 400,
          code: 'unsupported_value',
          param: 'service_tier',
        });
      }
      for (const tier of [1, true, ['fast'], { name: 'fast' }]) {
        await assert.rejects(ask(scene, { service_tier: tier }), { status: 400, param: 'service_tier' });
      }
      await assert.rejects(ask(scene, { Service_Tier: 'fast' }), { status: 400 });
      assert.equal(scene.upstream.requests.length, 0);
      await ask(scene, { service_tier: null });
    },
  );

  onBareHost(
    'whose price nobody knows are refused where money is limited, and of unknown cost elsewhere',
    () => budgeted(1_000, { models: { [MODEL]: { pricing: { inputUsdPerMillion: 10, outputUsdPerMillion: 50 } } } }),
    async (scene) => {
      for (const dear of [{ service_tier: 'priority' }, { service_tier: 'ultrafast' }, { speed: 'fast' }]) {
        await assert.rejects(ask(scene, dear), { status: 400, code: 'unsupported_value' });
      }
      for (const tier of ['default', 'auto', 'flex']) await ask(scene, { service_tier: tier });
    },
  );

  onBareHost(
    'without a price leave the cost of a free key unknown',
    () => ({
      models: { [MODEL]: { pricing: { inputUsdPerMillion: 10, outputUsdPerMillion: 50 } } },
      script: billed(BIG),
    }),
    async (scene) => {
      await ask(scene, { service_tier: 'priority' });
      assert.equal(lastOf(scene).costNanoUsd, undefined);
      assert.equal(lastOf(scene).serviceTier, 'priority');
      await ask(scene);
      assert.equal(inUsd(lastOf(scene).costNanoUsd), 3.5);
    },
  );

  const forbidden = { status: 403, code: 'service_tier_not_allowed', param: 'service_tier' };

  onBareHost(
    'may be forbidden by the key, under either of their names',
    () => ({ key: { serviceTiers: ['default', 'flex'] }, models: sold() }),
    async (scene) => {
      for (const tier of ['priority', 'fast', 'ultrafast', 'scale']) {
        await assert.rejects(ask(scene, { service_tier: tier }), forbidden, tier);
      }
      await assert.rejects(ask(scene, { speed: 'fast' }), forbidden);
      assert.equal(scene.upstream.requests.length, 0);
      for (const tier of ['default', 'flex', 'auto', null]) await ask(scene, { service_tier: tier });
      await ask(scene);
    },
  );

  onBareHost(
    'may be forbidden by the tier, and the default one of a model, too',
    () => ({
      tiers: { open: { serviceTiers: ['flex'] } },
      models: { ...sold(), dear: { pricing: ASTRA, defaultServiceTier: 'priority' } },
    }),
    async (scene) => {
      await ask(scene, { service_tier: 'flex' });
      await assert.rejects(ask(scene), forbidden);
      await assert.rejects(ask(scene, { service_tier: 'auto' }), forbidden);
      await assert.rejects(ask(scene, { model: 'dear' }), forbidden);
    },
  );

  onBareHost(
    'of a project are what is reserved for calls that name none',
    () => budgeted(1_000, { models: sold({ defaultServiceTier: 'priority' }), script: billed(BIG, 'priority') }),
    async (scene) => {
      await ask(scene, { messages, max_completion_tokens: 10_000 });
      assert.equal(inUsd(lastOf(scene).costNanoUsd), 16.5);
      assert.equal(lastOf(scene).isOverReserved, false);
    },
  );
});

describe('hosted tools under a budget', () => {
  const searched = (searches: number): Script => {
    const calls = Array.from({ length: searches }, (_, at) => ({
      type: 'web_search_call',
      id: `ws_${at}`,
      status: 'completed',
    }));
    const response = wholeResponse('Found', { model: MODEL });
    const output = Array.isArray(response.output) ? response.output : [];
    return () => reply({ ...response, service_tier: 'default', output: [...calls, ...output] });
  };
  const tools = [{ type: 'web_search' }];
  const respond = (scene: Scene, more: Record<string, unknown> = {}) =>
    scene
      .client()
      .post('/responses', { body: { model: MODEL, input: 'Search', tools, max_output_tokens: 16, ...more } });
  const passing = (more: SceneOptions): SceneOptions => ({
    ...more,
    models: sold({ responses: 'pass' }),
  });

  onBareHost(
    'may be called ten times unless the client says so, and are paid for by the call',
    () => passing(budgeted(100, { script: searched(3) })),
    async (scene) => {
      await respond(scene);
      assert.equal((await scene.upstream.request(0)).json().max_tool_calls, 10);
      const withTools = lastOf(scene);
      await respond(scene, { max_tool_calls: 2 });
      assert.equal((await scene.upstream.request(1)).json().max_tool_calls, 2);
      assert.equal(lastOf(scene).costNanoUsd, withTools.costNanoUsd);
      // Eight cents less, but for the longer body.
      const less = (withTools.reservedNanoUsd ?? 0) - (lastOf(scene).reservedNanoUsd ?? 0);
      assert.ok(less > 78_000_000 && less <= 80_000_000, String(less));
      await respond(scene, { tools: [{ type: 'function', name: 'f', parameters: {} }] });
      assert.equal((await scene.upstream.request(2)).json().max_tool_calls, undefined);
      const without = lastOf(scene);
      // Three searches at a cent.
      assert.equal((withTools.costNanoUsd ?? 0) - (without.costNanoUsd ?? 0), 30_000_000);
    },
  );

  onBareHost(
    'are reserved at the fee of the tool that is asked for, not of the dearest there is',
    () => ({
      ...budgeted(100, { script: searched(1) }),
      models: sold({
        responses: 'pass',
        pricing: { ...ASTRA, toolCallUsd: { web_search: 0.01, image_generation: 0.25 } },
      }),
    }),
    async (scene) => {
      const reserved = async (type: string): Promise<number> => {
        await respond(scene, { tools: [{ type }], max_tool_calls: 1 });
        return lastOf(scene).reservedNanoUsd ?? 0;
      };
      const dear = await reserved('image_generation');
      const cheap = await reserved('web_search_preview');
      assert.ok(Math.abs(dear - cheap - 240_000_000) < 1_000_000, `${dear} and ${cheap}`);
    },
  );

  onBareHost(
    'are left alone where no money is limited',
    () => passing({ script: searched(1) }),
    async (scene) => {
      await respond(scene);
      assert.equal((await scene.upstream.request(0)).json().max_tool_calls, undefined);
      assert.ok((lastOf(scene).costNanoUsd ?? 0) >= 10_000_000);
    },
  );
});

describe('pieces', () => {
  const free = { inputUsdPerMillion: 0, outputUsdPerMillion: 0 };
  const models: SceneOptions['models'] = {
    painter: { operation: 'images', pricing: { ...free, usdPerImage: 0.04 } },
    speaker: { operation: 'audio', pricing: { ...free, usdPerMillionCharacters: 15 } },
  };
  const pictures: Script = () => reply({ created: 1, data: [{ url: 'https://pictures.example/1' }] });
  const paint = (scene: Scene, more: object) =>
    scene.client().post('/images/generations', { body: { model: 'painter', prompt: 'A cat', ...more } });

  onBareHost(
    'that a request asks for are reserved and paid for, where they are the unit',
    () => ({ key: { limits: { usdPerDay: 0.2 } }, models, script: pictures }),
    async (scene) => {
      await paint(scene, { n: 3 });
      assert.equal(inUsd(lastOf(scene).costNanoUsd), 0.12);
      assert.equal(inUsd(lastOf(scene).reservedNanoUsd), 0.12);
      await paint(scene, {});
      assert.equal(inUsd(lastOf(scene).costNanoUsd), 0.04);
      await assert.rejects(paint(scene, { n: 2 }), { status: 429, code: 'insufficient_quota' });
      scene.upstream.answerWith(() => reply('sound', { contentType: 'audio/mpeg' }));
      await scene.client().post('/audio/speech', { body: { model: 'speaker', voice: 'a', input: 'x'.repeat(1_000) } });
      await scene.setup.finish();
      assert.equal(inUsd(lastOf(scene).costNanoUsd), 0.015);
    },
  );

  onBareHost(
    'that an upstream refuses cost nothing',
    () => ({
      models,
      script: () => reply({ error: { message: 'No', type: 'invalid_request_error' } }, { status: 400 }),
    }),
    async (scene) => {
      await assert.rejects(paint(scene, { n: 3 }), { status: 400 });
      assert.equal(lastOf(scene).costNanoUsd, undefined);
    },
  );
});

describe('a budget is not passed', () => {
  const CALLS = 200;
  const kinds: readonly [string, Record<string, unknown>, Record<string, unknown>][] = [
    [
      'whose prompts are written to a cache',
      {},
      {
        ...USAGE,
        prompt_tokens_details: { cache_write_tokens: 11, cache_write_tokens_details: { ttl_12h_tokens: 11 } },
      },
    ],
    ['in a dear tier', { service_tier: 'ultrafast' }, USAGE],
    ['with long prompts', { messages: [{ role: 'user', content: 'x'.repeat(40) }] }, { ...USAGE, prompt_tokens: 40 }],
  ];
  for (const [kind, more, usage] of kinds) {
    onBareHost(
      `by 200 calls at once ${kind}`,
      () =>
        budgeted(0.05, {
          models: sold({
            pricing: { ...ASTRA, longContext: { aboveInputTokens: 39, inputFactor: 2, outputFactor: 1.5 } },
          }),
          script: billed(usage),
        }),
      async (scene) => {
        const calls = Array.from({ length: CALLS }, () => ask(scene, { max_completion_tokens: 16, ...more }));
        const ends = await Promise.allSettled(calls);
        const done = ends.filter(({ status }) => status === 'fulfilled').length;
        const spent = scene.setup.records.reduce((sum, { costNanoUsd = 0 }) => sum + costNanoUsd, 0);
        assert.ok(done > 0 && done < CALLS, `${done} calls`);
        assert.ok(spent > 0 && spent <= 50_000_000, `${spent} of 50,000,000`);
        assert.ok(scene.setup.records.every(({ isOverReserved }) => isOverReserved === false));
      },
    );
  }
});

describe('options of prices', () => {
  it('are checked', async () => {
    const { createGateway } = await import('megallm-middleware/adapter');
    const bad: readonly [object, RegExp][] = [
      [{ models: { m: { pricing: ASTRA, defaultServiceTier: 'turbo' } } }, /models\.m\.defaultServiceTier/],
      [{ models: { m: { defaultServiceTier: 3 } } }, /models\.m\.defaultServiceTier/],
      [{ models: { m: { cost: { inputUsdPerMillion: 1 } } } }, /models\.m\.cost\.outputUsdPerMillion/],
      [{ tiers: { basic: { serviceTiers: 'flex' } } }, /tiers\.basic\.serviceTiers/],
      [{ tiers: { basic: { serviceTiers: [] } } }, /tiers\.basic\.serviceTiers/],
      [{ tiers: { basic: { serviceTiers: [1] } } }, /tiers\.basic\.serviceTiers/],
      [{ globalLimits: { serviceTiers: ['flex'] } }, /globalLimits\.serviceTiers/],
      [{ defaultMaxToolCalls: 0 }, /defaultMaxToolCalls/],
    ];
    for (const [options, message] of bad) {
      assert.throws(
        () => Reflect.apply(createGateway, undefined, [{ environment: { NODE_ENV: 'test' }, ...options }]),
        {
          name: 'TypeError',
          message,
        },
      );
    }
  });
});
