import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { demo, type GatewayOptions, queued } from 'megallm-middleware';
import { reply, wholeChat } from '../helpers/chat-answers.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET } from '../helpers/gateway-options.js';
import type { RunningHost } from '../helpers/hosts.js';
import { CALL, inBareHost, onBareHost, withScene } from '../helpers/scene.js';

const AUTH = { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' };
const USAGE = { prompt_tokens: 1_000, completion_tokens: 100, total_tokens: 1_100 };
const answered = () => reply(wholeChat('Hello', { usage: USAGE }));

async function statuses(
  { baseUrl }: RunningHost,
  model: string,
): Promise<{ chat: number; found: number; body: unknown }> {
  const body = JSON.stringify({ ...CALL, model });
  const chat = await fetch(`${baseUrl}/chat/completions`, { method: 'POST', headers: AUTH, body });
  await chat.arrayBuffer();
  const path = model.split('/').map(encodeURIComponent).join('/');
  const found = await fetch(`${baseUrl}/models/${path}`, { headers: AUTH });
  return { chat: chat.status, found: found.status, body: await found.json() };
}

const NAMES = [
  ...[
    'gpt-4o',
    'gpt-4o-2024-08-06',
    'claude-opus-5-5',
    'anthropic/claude-sonnet-4.5',
    'mistral-large-2411',
    'llama3:8b',
  ],
  ...[
    'house',
    'nobody-lists-this',
    'constructor',
    '__proto__',
    'toString',
    'org/model',
    'ft:gpt-4o-2024-08-06:acme::1',
    'x'.repeat(257),
  ],
];

const CASES: readonly (readonly [string, Partial<GatewayOptions>])[] = [
  ['with no models of the host', {}],
  ['with models of the host', { models: { house: { upstreamModel: 'gpt-4o' }, 'gpt-4o': {} } }],
  ['with models of the host and others passed on', { models: { house: {} }, unlistedModels: 'pass' }],
  ['with none but the known', { unlistedModels: 'refuse' }],
  ['with a demo', { upstream: demo() }],
  ['with a demo in a queue', { upstream: queued(demo(), { concurrency: 4 }) }],
];

describe('a model is found by the names that calls may bear, and by no others', () => {
  for (const [given, options] of CASES) {
    onBareHost(
      given,
      () => ({ script: answered, ...options }),
      async ({ host }) => {
        for (const name of NAMES) {
          const { chat, found } = await statuses(host, name);
          assert.equal(found === 200, chat === 200, `${name.slice(0, 40)}: chat ${chat}, model ${found}`);
          assert.ok([200, 404].includes(found), name);
        }
      },
    );
  }

  onBareHost(
    'with a key that may call few',
    () => ({ script: answered, key: { models: ['gpt-4o', 'llama3:8b'] } }),
    async ({ host }) => {
      for (const name of NAMES) {
        const { chat, found } = await statuses(host, name);
        assert.equal(found === 200, chat === 200, name);
      }
    },
  );
});

describe('what is told of a model', () => {
  onBareHost(
    'its vendor and facts, by the name that was asked',
    () => ({ script: answered }),
    async ({ host }) => {
      const told = async (name: string) => {
        const { body } = await statuses(host, name);
        const { id, owned_by, context_length, max_output_tokens, pricing } = JSON.parse(JSON.stringify(body));
        return [id, owned_by, context_length, max_output_tokens, pricing?.input_tokens_cost_per_million];
      };
      assert.deepEqual(await told('claude-opus-5-5-20261101'), [
        'claude-opus-5-5-20261101',
        'anthropic',
        1_000_000,
        128_000,
        4,
      ]);
      assert.deepEqual(await told('gemini-2.5-pro'), ['gemini-2.5-pro', 'google', 1_048_576, 65_536, 1.25]);
      assert.deepEqual(await told('x-ai/grok-4.6'), ['x-ai/grok-4.6', 'xai', 500_000, undefined, 2]);
      assert.deepEqual(await told('llama3:8b'), ['llama3:8b', 'system', undefined, undefined, undefined]);
    },
  );

  onBareHost(
    "a host's own words come before the table's",
    () => ({
      script: answered,
      models: {
        'gpt-6-astra': {
          pricing: { inputUsdPerMillion: 3, outputUsdPerMillion: 4 },
          contextLength: 5_000,
          ownedBy: 'me',
        },
      },
    }),
    async ({ host, setup }) => {
      const { body } = await statuses(host, 'gpt-6-astra');
      const { owned_by, context_length, pricing } = JSON.parse(JSON.stringify(body));
      assert.deepEqual([owned_by, context_length, pricing.input_tokens_cost_per_million], ['me', 5_000, 3]);
      assert.equal(setup.records[0]?.costNanoUsd, 1_000 * 3_000 + 100 * 4_000);
    },
  );
});

describe('what a call costs', () => {
  inBareHost('follows the price in force when it begins', async (kind) => {
    const clock = frozenClock(Date.parse('2026-07-29T23:59:59Z'));
    await withScene(kind, { script: answered, clock }, async ({ host, setup }) => {
      await statuses(host, 'gpt-5.6-luna');
      clock.advance(1_000);
      await statuses(host, 'gpt-5.6-luna');
      assert.deepEqual(
        setup.records.map(({ costNanoUsd }) => costNanoUsd),
        [1_000 * 1_000 + 100 * 6_000, 1_000 * 200 + 100 * 1_200],
      );
    });
  });

  onBareHost(
    'is unknown where nobody says the price, and a key with a budget cannot spend it',
    () => ({ script: answered, key: { limits: { usdPerDay: 1 } } }),
    async ({ host, setup }) => {
      assert.equal((await statuses(host, 'claude-haiku-5-5-20261007')).chat, 200);
      for (const name of ['gpt-oss-120b', 'groq/gpt-4o', 'mistralai/mistral-large-2411', 'constructor']) {
        assert.notEqual((await statuses(host, name)).chat, 200, name);
      }
      assert.deepEqual(
        setup.records.map(({ costNanoUsd }) => costNanoUsd),
        [1_000 * 100 + 100 * 500],
      );
    },
  );
});
