import assert from 'node:assert/strict';
import request from 'supertest';
import { SECRET } from '../helpers/gateway-options.js';
import { HOST_ERROR_PAGE } from '../helpers/hosts/listen.js';
import { CALL, onBareHost, onEveryHost } from '../helpers/scene.js';

const MODELS = {
  'house/model:1': { upstreamModel: 'gpt-4', aliases: ['house-alias'] },
  plain: { contextLength: 1_000, maxOutputTokens: 100, pricing: { inputUsdPerMillion: 2, outputUsdPerMillion: 8 } },
};

onBareHost(
  'the official client lists models and finds each by its id, with the service’s fields beside OpenAI’s',
  () => ({ models: MODELS }),
  async ({ client, host }) => {
    const openai = client();
    const page = await openai.models.list();
    assert.deepEqual(
      page.data.map((model) => model.id),
      ['house/model:1', 'plain'],
    );
    for (const model of page.data) {
      assert.equal(model.object, 'model');
      assert.ok(Number.isSafeInteger(model.created) && typeof model.owned_by === 'string');
      assert.deepEqual(await openai.models.retrieve(model.id), model);
    }
    const { body: plain } = await request(host.baseUrl).get('/models/plain').auth(SECRET, { type: 'bearer' });
    assert.equal(plain.context_length, 1_000);
    assert.equal(plain.max_output_tokens, 100);
    assert.deepEqual(plain.pricing, {
      input_tokens_cost_per_million: 2,
      output_tokens_cost_per_million: 8,
      currency: 'USD',
    });
    assert.equal(plain.capabilities.supports_streaming, true);
    assert.equal((await openai.models.retrieve('house-alias')).id, 'house-alias');
    assert.ok(!JSON.stringify(page.data).includes('gpt-4'), 'the upstream’s model id stays inside');
  },
);

onBareHost(
  'without a table of its own a host serves the service’s four models, and passes other names on',
  () => ({}),
  async ({ client, upstream }) => {
    const ids = (await client().models.list()).data.map((model) => model.id);
    for (const id of ['gpt-4', 'gpt-4-32k', 'gpt-4-turbo', 'gpt-3.5-turbo']) assert.ok(ids.includes(id), id);
    await client().chat.completions.create({ ...CALL, model: 'not-in-the-table' });
    assert.equal((await upstream.request(0)).json().model, 'not-in-the-table');
  },
);

onBareHost(
  'a key sees in lists the models it may call',
  () => ({ models: MODELS, key: { models: ['plain'] } }),
  async ({ client }) => {
    assert.deepEqual(
      (await client().models.list()).data.map((model) => model.id),
      ['plain'],
    );
    await assert.rejects(client().models.retrieve('house/model:1'), { status: 404 });
  },
);

onBareHost(
  'GET /v1/usage tells a key what it used and cost, by model and by hour, and nothing of other keys',
  () => ({ models: { ...MODELS, other: {} } }),
  async ({ client, host }) => {
    const openai = client();
    for (const model of ['plain', 'plain', 'other']) await openai.chat.completions.create({ ...CALL, model });
    const usage = await usageOf(`${host.baseUrl}/usage`, SECRET);
    assert.equal(usage.total_requests, 3);
    assert.equal(usage.total_tokens, 60);
    // 11 input tokens at $2 and 9 output tokens at $8 for a million, twice; `other` has no price.
    assert.equal(usage.total_cost, 0.000188);
    assert.deepEqual(usage.requests_by_model, { plain: 2, other: 1 });
    assert.deepEqual(usage.tokens_by_model, { plain: 40, other: 20 });
    assert.ok(Array.isArray(usage.requests_by_hour));
    const counts = usage.requests_by_hour.map((hour) => hour.count);
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      3,
    );
    const others = await usageOf(`${host.baseUrl}/usage?x=1`, 'small-secret-0123456789');
    assert.deepEqual([others.total_requests, others.total_tokens, others.total_cost], [0, 0, 0]);
  },
);

onEveryHost(
  'the application’s own routes, before and after the gateway, and its own error page are unharmed',
  () => ({}),
  async ({ host }) => {
    const below = host.baseUrl.slice(0, -'/v1'.length);
    const app = request(host.origin);
    await app.get('/host').expect(200, 'host');
    await request(below).get('/after').expect(200, 'after');
    await app
      .post('/echo')
      .send({ hello: ['wörld'] })
      .expect(200, { hello: ['wörld'] });
    await app.get('/nowhere').expect(404);
    await request(below).get('/v1x/models').expect(404);
    assert.deepEqual(host.hostErrors, []);
    await app.get('/boom').expect(500, HOST_ERROR_PAGE);
    assert.deepEqual(host.hostErrors.splice(0).map(String), ['Error: boom']);
  },
);

onEveryHost(
  'a doubled slash after the prefix is taken for one',
  () => ({}),
  async ({ host, client }) => {
    const doubled = client({ baseURL: `${host.baseUrl}//` });
    assert.equal((await doubled.chat.completions.create(CALL)).choices[0]?.message.content, 'Hello');
  },
);

interface UsageReport {
  readonly total_requests: number;
  readonly total_tokens: number;
  readonly total_cost: number;
  readonly requests_by_model: Record<string, number>;
  readonly tokens_by_model: Record<string, number>;
  readonly requests_by_hour: readonly { readonly count: number }[];
}

async function usageOf(url: string, secret: string): Promise<UsageReport> {
  const { body } = await request(url).get('').auth(secret, { type: 'bearer' }).expect(200);
  return body;
}
