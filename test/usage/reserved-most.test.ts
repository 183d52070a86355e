import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { UsageRecord } from 'megallm-middleware';
import { reply, wholeChat } from '../helpers/chat-answers.js';
import { SMALL_SECRET } from '../helpers/gateway-options.js';
import { CALL, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';

/** A token of output for a cent, so that only output counts. */
const OUTPUT = { inputUsdPerMillion: 0, outputUsdPerMillion: 1_000 };
const sold = (pricing: object = OUTPUT): SceneOptions => ({
  key: { limits: { usdPerDay: 1_000 } },
  small: {},
  models: { m: { pricing: { ...OUTPUT, ...pricing }, contextLength: 100_000 } },
});

function lastOf({ setup }: Scene): UsageRecord {
  const record = setup.records.at(-1);
  assert.ok(record !== undefined);
  return record;
}

describe('reserved before', () => {
  onBareHost(
    'a cheaper tier is a wish: the ordinary price is reserved, and the tier that the answer names is paid for',
    () => ({
      ...sold({ serviceTiers: { flex: 0.5, fast: 2 } }),
      script: () => {
        const usage = { prompt_tokens: 1, completion_tokens: 100, total_tokens: 101 };
        return reply(wholeChat('Hi', { usage, model: 'm' }));
      },
    }),
    async (scene) => {
      const body = { ...CALL, model: 'm', max_completion_tokens: 100, service_tier: 'flex' };
      await scene.client().post('/chat/completions', { body });
      const { serviceTier, costNanoUsd, reservedNanoUsd, isOverReserved } = lastOf(scene);
      assert.deepEqual([serviceTier, costNanoUsd, reservedNanoUsd, isOverReserved], ['default', 1e8, 1e8, false]);
    },
  );

  onBareHost(
    "a completion without a ceiling gets OpenAI's own, of 16 tokens, where something limits it: other servers know no end",
    () => ({
      ...sold(),
      script: () =>
        reply({
          ...wholeChat('Hi', { model: 'm' }),
          object: 'text_completion',
          choices: [{ index: 0, text: 'Hi', finish_reason: 'length', logprobs: null }],
        }),
    }),
    async (scene) => {
      const sent = async (at: number) => (await scene.upstream.request(at)).json().max_tokens;
      await scene.client().completions.create({ model: 'm', prompt: ['a', 'b'], n: 3 });
      assert.equal(await sent(0), 16);
      assert.equal(lastOf(scene).reservedNanoUsd, 2 * 3 * 16 * 1e6);
      await scene.client().completions.create({ model: 'm', prompt: 'a', max_tokens: 7 });
      assert.equal(await sent(1), 7);
      await scene.client({ apiKey: SMALL_SECRET }).completions.create({ model: 'm', prompt: 'a' });
      assert.equal(await sent(2), undefined);
    },
  );

  onBareHost(
    'pictures and sound in a part without a type count as what they are',
    () => ({
      ...sold({ inputUsdPerMillion: 1, outputUsdPerMillion: 0 }),
      script: () => reply(wholeChat('Hi', { model: 'm' })),
    }),
    async (scene) => {
      for (const part of [
        { image_url: 'https://a.example/a.png' },
        { audio_url: 'https://a.example/a.mp3' },
        { video_url: 'https://a.example/a' },
      ]) {
        await scene.client().post('/chat/completions', {
          body: { model: 'm', messages: [{ role: 'user', content: [part] }], max_tokens: 100 },
        });
        assert.ok((lastOf(scene).reservedNanoUsd ?? 0) > 40_000_000, JSON.stringify(part));
      }
    },
  );
});
