import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe } from 'node:test';
import { memoryObjects } from 'megallm-middleware';
import OpenAI, { toFile } from 'openai';
import { eventually } from '../helpers/deadline.js';
import { answering, type ForwardScene, forwardsOnBareHost } from '../helpers/forward-scene.js';
import { SECRET, SMALL_SECRET } from '../helpers/gateway-options.js';
import { type Arrival, jsonAnswer } from '../helpers/http-upstream.js';
import { rawClient, rawRequest } from '../helpers/raw-client.js';

/** 10,000 billionths of a dollar for a token, going in or out; the other costs a tenth. */
const MODELS = {
  priced: { pricing: { inputUsdPerMillion: 10, outputUsdPerMillion: 10 } },
  cheap: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 1 } },
  unpriced: {},
};
const PICTURE = { model: 'priced', prompt: 'A sphinx' };
const USAGE = { total_tokens: 120, input_tokens: 20, output_tokens: 100 };

function answer({ url }: Arrival, res: ServerResponse): void {
  if (url.includes('/speech')) res.writeHead(200, { 'content-type': 'audio/mpeg' }).end('sound');
  else jsonAnswer(res, { data: [], usage: USAGE });
}

const budgeted = (usdPerDay: number) => () => ({
  ...answering(answer),
  models: MODELS,
  key: { limits: { usdPerDay } },
  small: {},
});

const reserved = ({ setup }: ForwardScene): number => setup.limiter.settled.at(-1)?.reservation.draws[0]?.amount ?? -1;

function json(body: object, secret = SECRET): RequestInit & { readonly secret: string } {
  return { method: 'POST', secret, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

forwardsOnBareHost(
  'pictures and sound reserve what they may cost at most, and are settled at what they did',
  budgeted(2),
  async (scene) => {
    const { client, setup, upstream } = scene;
    await client().images.generate(PICTURE);
    assert.ok(reserved(scene) >= 6_240 * 10_000, String(reserved(scene)));
    assert.deepEqual(setup.limiter.settled[0]?.amounts, [120 * 10_000]);
    await client().images.generate({ ...PICTURE, n: 3 });
    assert.ok(reserved(scene) >= 3 * 6_240 * 10_000);
    // 10 of them may cost $0.63 and more, of which there is enough; but 1.99 dollars are left, and no 10 fit three times.
    await client().audio.speech.create({ model: 'priced', voice: 'alloy', input: 'x'.repeat(1_000) });
    await eventually(() => setup.records.length === 3, 'the speech to be settled');
    assert.ok(reserved(scene) >= 2_000 * 10_000, String(reserved(scene)));
    assert.equal(setup.records[2]?.costNanoUsd, reserved(scene), 'what nobody says is charged as it was reserved');
    assert.equal(upstream.arrivals.length, 3);
  },
);

forwardsOnBareHost('a query does not make them cheaper', budgeted(2), async (scene) => {
  const speech = { model: 'priced', voice: 'alloy', input: 'x'.repeat(1_000) };
  for (const query of ['', '?', '?a=/images/generations', '?/audio/speech']) {
    const response = await scene.ask(`/audio/speech${query}`, json(speech));
    assert.equal(response.status, 200);
    await response.text();
    await eventually(() => scene.setup.limiter.open() === 0, 'the call to be settled');
    assert.ok(reserved(scene) >= 2_000 * 10_000, `${query}: ${reserved(scene)}`);
  }
});

forwardsOnBareHost(
  'what does not fit into the budget is refused before it is passed on',
  budgeted(0.05),
  async (scene) => {
    await assert.rejects(scene.client().images.generate(PICTURE), (error: unknown) => {
      assert.ok(error instanceof OpenAI.RateLimitError);
      assert.equal(error.code, 'insufficient_quota');
      return true;
    });
    assert.equal(scene.upstream.arrivals.length, 0);
  },
);

forwardsOnBareHost(
  'E13 a key with a budget asks for pictures and sound of priced models only; others ask for any',
  budgeted(50),
  async ({ client, ask, upstream, setup }) => {
    const image = await toFile(Buffer.from('x'), 'a.png', { type: 'image/png' });
    for (const secret of [SECRET, SMALL_SECRET]) {
      const openai = client(secret);
      const unpriced: readonly (() => PromiseLike<unknown>)[] = [
        () => openai.images.generate({ model: 'unpriced', prompt: 'x' }),
        () => openai.audio.speech.create({ model: 'unpriced', voice: 'alloy', input: 'x' }),
        () => openai.images.edit({ image, prompt: 'x', model: 'unpriced' }),
        () => openai.audio.transcriptions.create({ file: image, model: 'unpriced' }),
      ];
      for (const call of unpriced) {
        if (secret === SMALL_SECRET) await call();
        else await assert.rejects(async () => await call(), { status: 403, code: 'model_not_allowed' });
      }
      const forms = [() => openai.images.edit({ image, prompt: 'x' }), () => openai.images.createVariation({ image })];
      for (const call of forms) {
        if (secret === SMALL_SECRET) await call();
        else await assert.rejects(async () => await call(), { status: 403 }, 'a form without a model');
      }
      const unnamed = await ask('/images/generations', json({ prompt: 'x' }, secret));
      assert.equal(unnamed.status, secret === SECRET ? 403 : 200, 'a request without a model');
      await unnamed.text();
    }
    await client().images.edit({ image, prompt: 'x', model: 'priced' });
    assert.ok(upstream.arrivals.every((arrival) => arrival.isWhole() === !arrival.isGone()));
    assert.equal(setup.records.at(-1)?.model, 'priced');
    assert.equal(setup.records.at(-1)?.costNanoUsd, 120 * 10_000);
  },
);

forwardsOnBareHost(
  'a form reserves as much as the dearest model that its key may call, until it names its own',
  () => ({ ...budgeted(50)(), key: { limits: { usdPerDay: 50 }, models: ['cheap'] } }),
  async (scene) => {
    const image = await toFile(Buffer.alloc(10_000), 'a.png', { type: 'image/png' });
    await scene.client().images.edit({ image, prompt: 'x', model: 'cheap' });
    // 16 pictures given, 10 made, each with three on the way.
    assert.ok(reserved(scene) >= (16 * 6_240 + 10 * 6_540) * 1_000, String(reserved(scene)));
    assert.ok(reserved(scene) < (16 * 6_240 + 10 * 6_540) * 2_000, 'not at the price of what it may not call');
    assert.equal(scene.setup.records[0]?.costNanoUsd, 120 * 1_000);
  },
);

describe('a batch of a key with a budget', () => {
  const objects = () => {
    const store = memoryObjects();
    for (const kind of ['file', 'batch'] as const) {
      for (const owner of ['key:key_test', 'key:key_small']) {
        store.put({ owner, kind, id: `${kind}-1`, createdAt: 1, body: {} });
      }
    }
    return store;
  };
  forwardsOnBareHost(
    'is refused, as nobody knows what it costs; it can be looked at and cancelled',
    () => ({ ...budgeted(50)(), objects: objects() }),
    async ({ ask, client, upstream }) => {
      upstream.answerWith((_arrival, res) => jsonAnswer(res, { id: 'batch-1', object: 'batch', data: [] }));
      const batch = { input_file_id: 'file-1', endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
      await assert.rejects(client().batches.create(batch), { status: 403, code: 'model_not_allowed' });
      for (const query of ['?a=/cancel', '?/cancel', '?x=%2Fcancel']) {
        assert.equal((await ask(`/batches${query}`, json(batch))).status, 403, query);
      }
      assert.equal(upstream.arrivals.length, 0);
      await client().batches.cancel('batch-1');
      assert.equal((await ask('/batches/batch-1/cancel?a=b', { method: 'POST' })).status, 200);
      assert.equal((await ask('/batches/batch-1')).status, 200);
    },
  );
});

forwardsOnBareHost(
  'sound that breaks off on its way is charged as it was reserved: its budget is not spent unseen',
  budgeted(5),
  async (scene) => {
    const { ask, upstream, setup } = scene;
    setup.expectErrors();
    upstream.answerWith((_arrival, res) => {
      res.writeHead(200, { 'content-type': 'audio/mpeg', 'content-length': '1000' });
      res.write('sound', () => res.destroy());
    });
    const speech = { model: 'priced', voice: 'alloy', input: 'x'.repeat(100) };
    const response = await ask('/audio/speech', json(speech));
    await assert.rejects(response.text());
    await eventually(() => setup.records.length === 1, 'the record');
    const [record] = setup.records;
    assert.equal(record?.outcome, 'error');
    assert.equal(record?.costNanoUsd, reserved(scene));
    // What never began costs nothing.
    upstream.answerWith((_arrival, res) => jsonAnswer(res, { error: { message: 'No', type: 'server_error' } }, 500));
    assert.equal((await ask('/audio/speech', json(speech))).status, 502);
    assert.deepEqual([setup.records[1]?.costNanoUsd, setup.limiter.settled[1]?.amounts], [undefined, [0]]);
  },
);

forwardsOnBareHost(
  'a client that leaves while its sound is made pays what was reserved',
  budgeted(5),
  async (scene) => {
    const { host, upstream, setup } = scene;
    upstream.answerWith(() => {});
    const client = await rawClient(host.origin);
    const headers = { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' };
    const speech = JSON.stringify({ model: 'priced', voice: 'alloy', input: 'x'.repeat(100) });
    client.send(rawRequest('POST', '/v1/audio/speech', headers, speech));
    await upstream.arrival(0);
    client.reset();
    await eventually(() => setup.records.length === 1, 'the record');
    assert.deepEqual([setup.records[0]?.outcome, setup.records[0]?.costNanoUsd], ['aborted', reserved(scene)]);
    // Nobody wants it any more: the upstream must not go on making it.
    await eventually(() => upstream.arrivals[0]?.isGone() === true, 'the upstream to be told');
  },
);

/** Sends a form in chunks: nobody is told how long it is. */
async function sendChunked({ ask }: ForwardScene, path: string, model: string): Promise<Response> {
  const fields = new FormData();
  fields.append('file', new Blob(['x'.repeat(200)]), 'a.wav');
  fields.append('model', model);
  const { body, headers } = new Response(fields);
  const type = { 'content-type': headers.get('content-type') ?? '' };
  return ask(path, { method: 'POST', headers: type, body, duplex: 'half' } as RequestInit);
}

forwardsOnBareHost(
  'a form that does not say how long it is reserves what the longest one may cost, at the price of its model',
  () => ({ ...budgeted(5)(), models: { priced: MODELS.priced }, maxUploadBytes: 900_000 }),
  async (scene) => {
    const { setup, upstream } = scene;
    assert.equal((await sendChunked(scene, '/audio/transcriptions', 'priced')).status, 200);
    await eventually(() => setup.limiter.settled.length === 1, 'the call to be settled');
    // 45 bytes to a token that is heard, and half a token that is written for each.
    assert.equal(reserved(scene), (20_000 + 10_000) * 10_000);
    assert.equal(setup.usage.opened[0]?.reservedNanoUsd, reserved(scene));
    assert.equal(upstream.arrivals[0]?.headers['content-length'], undefined, 'it was sent in chunks');
  },
);

forwardsOnBareHost(
  'nor is it passed on where the longest one does not fit into the budget',
  () => ({ ...budgeted(0.29)(), models: { priced: MODELS.priced }, maxUploadBytes: 900_000 }),
  async (scene) => {
    const refused = await sendChunked(scene, '/audio/transcriptions', 'priced');
    assert.equal(refused.status, 429, await refused.text());
    assert.equal(scene.upstream.arrivals.length, 0);
    assert.equal((await scene.ask('/audio/transcriptions', form('priced'))).status, 200, 'a short one does');
  },
);

const form = (model: string): RequestInit & { readonly secret: string } => {
  const body = new FormData();
  body.append('file', new Blob(['x'.repeat(200)]), 'a.wav');
  body.append('model', model);
  return { method: 'POST', secret: SECRET, body };
};

forwardsOnBareHost(
  'E13 a form cannot name a model that was not reserved for: one that is not listed, or dearer',
  () => ({ ...budgeted(2)(), models: { cheap: MODELS.cheap }, unlistedModels: 'pass' as const }),
  async ({ ask, setup }) => {
    const response = await ask('/audio/transcriptions', form('gpt-4o-audio-preview'));
    assert.equal(response.status, 403);
    assert.match(await response.text(), /may cost more than was reserved/);
    assert.equal((await ask('/audio/transcriptions', form('cheap'))).status, 200);
    await eventually(() => setup.records.length === 2, 'both to be settled');
  },
);

forwardsOnBareHost(
  'E13 a model that a key may call by its alias alone is reserved for',
  () => ({
    ...answering(answer),
    models: { hidden: { ...MODELS.priced, upstreamModel: 'shown', aliases: ['shown'] } },
    key: { limits: { usdPerDay: 2 }, models: ['shown'] },
    small: {},
  }),
  async (scene) => {
    assert.equal((await scene.ask('/audio/transcriptions', form('shown'))).status, 200);
    assert.ok((scene.setup.usage.opened[0]?.reservedNanoUsd ?? 0) > 0);
  },
);

forwardsOnBareHost(
  'a model name that is longer than any is refused, in JSON and in a form: it has no place in a ledger',
  () => ({ ...answering(answer), small: {} }),
  async ({ ask, setup }) => {
    const name = 'm'.repeat(3_000);
    for (const [path, init] of [
      ['/images/generations', json({ ...PICTURE, model: name })],
      ['/audio/transcriptions', form(name)],
    ] as const) {
      const response = await ask(path, init);
      assert.equal(response.status, 400, await response.text());
    }
    for (const { model } of setup.usage.settled) assert.ok(model.length <= 256);
  },
);
