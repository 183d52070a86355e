import assert from 'node:assert/strict';
import type OpenAI from 'openai';
import { toFile } from 'openai';
import { type ForwardScene, forwardsOnBareHost } from '../helpers/forward-scene.js';
import { type ObjectUpstream, objectUpstream } from '../helpers/object-upstream.js';

const PRICES = { inputUsdPerMillion: 10, outputUsdPerMillion: 20 };
const MODELS = {
  dear: { pricing: { ...PRICES, inputUsdPerMillion: 100, serviceTiers: { batch: 0.5 } } },
  half: { pricing: { ...PRICES, serviceTiers: { batch: 0.5, fast: 2 } } },
  whole: { pricing: PRICES },
  // Dearer than `half` in batches, although it is cheaper elsewhere.
  plain: { pricing: { inputUsdPerMillion: 8, outputUsdPerMillion: 16 } },
  tiered: { pricing: { ...PRICES, serviceTiers: { fast: 2 } } },
  unpriced: {},
};
const given = () => ({ start: objectUpstream, models: MODELS });
const USAGE = { input_tokens: 1_000, output_tokens: 100, total_tokens: 1_100 };

async function batchOf(openai: OpenAI, models: readonly string[]): Promise<string> {
  const lines = models.map((model, at) =>
    JSON.stringify({
      custom_id: String(at),
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model, messages: [{ role: 'user', content: 'Hi' }] },
    }),
  );
  const file = await openai.files.create({
    file: await toFile(Buffer.from(lines.join('\n')), 'b.jsonl'),
    purpose: 'batch',
  });
  const made = { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
  return (await openai.batches.create(made)).id;
}

type Scene = ForwardScene<ObjectUpstream>;

function complete({ upstream }: Scene): void {
  for (const batch of upstream.objects('batches')) Object.assign(batch, { status: 'completed', usage: USAGE });
}

const costs = ({ setup }: ForwardScene) =>
  setup.records
    .filter(({ inputTokens }) => inputTokens !== undefined)
    .map(({ model, serviceTier, inputTokens, costNanoUsd }) => [model, serviceTier, inputTokens, costNanoUsd]);

forwardsOnBareHost(
  'a batch costs what its model costs in batches, and else the ordinary price',
  given,
  async (scene) => {
    const openai = scene.client();
    const expected: readonly (readonly [
      models: readonly string[],
      model: string,
      tier: string | undefined,
      cost: number | undefined,
    ])[] = [
      [['half'], 'half', 'batch', 6_000_000],
      [['whole'], 'whole', 'batch', 12_000_000],
      // A price with tiers that says nothing of batches.
      [['tiered'], 'tiered', undefined, 12_000_000],
      // Of several models the dearest, as the upstream tells nothing but a sum.
      [['half', 'dear', 'whole'], 'dear', 'batch', 51_000_000],
      [['plain', 'half'], 'plain', 'batch', 9_600_000],
      [['half', 'unpriced'], 'batches', 'batch', undefined],
    ];
    for (const [models, model, tier, cost] of expected) {
      const id = await batchOf(openai, models);
      complete(scene);
      await openai.batches.retrieve(id);
      assert.deepEqual(costs(scene).at(-1), [model, tier, 1_000, cost], models.join());
    }
  },
);

forwardsOnBareHost(
  'batches of several models that are looked at together are each paid for once',
  given,
  async (scene) => {
    const openai = scene.client();
    for (const model of ['half', 'whole', 'half']) await batchOf(openai, [model]);
    complete(scene);
    for (let look = 0; look < 4; look += 1) await openai.batches.list();
    const paid = costs(scene).map(([model, , tokens, cost]) => [model, tokens, cost]);
    assert.deepEqual(new Set(paid.map(String)), new Set(['half,2000,12000000', 'whole,1000,12000000']));
    assert.equal(paid.length, 2);
  },
);

forwardsOnBareHost('the output of a batch that is not paid for cannot be had', given, async (scene) => {
  const openai = scene.client();
  const outputs = new Map<string, string>();
  for (const model of ['half', 'whole']) outputs.set(await batchOf(openai, [model]), `file-of-${model}`);
  const { upstream } = scene;
  for (const id of outputs.values()) upstream.plant('files', { id, object: 'file' });
  const isHad = async (id: string): Promise<boolean> =>
    openai.files.content(id).then(
      () => true,
      (error: { status?: number }) => {
        assert.equal(error.status, 404);
        return false;
      },
    );
  const had = async (): Promise<number> => {
    const all = await Promise.all([...outputs.values()].map(isHad));
    return all.filter(Boolean).length;
  };
  const told = (status: string): void => {
    for (const batch of upstream.objects('batches')) {
      Object.assign(batch, { status, usage: USAGE, output_file_id: outputs.get(String(batch.id)) });
    }
  };
  told('finalizing');
  await openai.batches.list();
  assert.deepEqual([costs(scene).length, await had()], [0, 0]);
  told('completed');
  for (const looks of [1, 2, 2]) {
    await openai.batches.list();
    assert.deepEqual([costs(scene).length, await had()], [looks, looks]);
  }
});

forwardsOnBareHost('no request can ask for the price of batches', given, async (scene) => {
  const ask = (model: string) =>
    scene.client().post('/chat/completions', {
      body: { model, messages: [{ role: 'user', content: 'x' }], service_tier: 'batch' },
    });
  for (const model of ['half', 'tiered']) {
    await assert.rejects(ask(model), { status: 400, code: 'unsupported_value', param: 'service_tier' }, model);
  }
});
