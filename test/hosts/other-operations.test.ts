import assert from 'node:assert/strict';
import { it } from 'node:test';
import { demo, fromFunction, http, openaiClient } from 'megallm-middleware';
import OpenAI from 'openai';
import { chunkOf, reply, sse, streamHead, streamReply } from '../helpers/chat-answers.js';
import { eventually, within } from '../helpers/deadline.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SMALL_SECRET } from '../helpers/gateway-options.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { responseEvents, wholeResponse } from '../helpers/response-answers.js';
import { ask } from '../helpers/response-client.js';
import { MESSAGES, MODEL, onBareHost, UPSTREAM_KEY, withScene } from '../helpers/scene.js';
import { type Script, scriptedUpstream } from '../helpers/scripted-upstream.js';
import { readEvents } from '../wire/read-events.js';

const USAGE = { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 };
const EMBEDDED = { object: 'list', data: [{ object: 'embedding', index: 0, embedding: 'AACAPwAAAEA=' }], x_kept: 'ü' };

const completion = (model: string): object => ({
  id: 'cmpl-upstr',
  object: 'text_completion',
  created: 1_770_950_813,
  model,
  choices: [{ text: 'Hello', index: 0, logprobs: null, finish_reason: 'stop' }],
  usage: USAGE,
});
/** The events of a streamed legacy completion; with usage only if the request asks for it. */
function completionEvents(model: string, asksUsage: boolean): string[] {
  const base = { id: 'cmpl-upstr', object: 'text_completion', created: 1_770_950_813, model };
  const also = asksUsage ? { usage: null } : {};
  const piece = (text: string, finish_reason: string | null): string =>
    sse({ ...base, choices: [{ text, index: 0, logprobs: null, finish_reason }], ...also });
  const usage = asksUsage ? [sse({ ...base, choices: [], usage: USAGE })] : [];
  return [piece('Hel', null), piece('lo', 'stop'), ...usage, 'data: [DONE]\n\n'];
}
const moderation = (model: string): object => ({
  id: 'modr-1',
  model,
  results: [{ flagged: false, categories: {}, category_scores: {}, category_applied_input_types: {} }],
});

/** Answers each operation under this name of the model. */
const answering =
  (model: string): Script =>
  (request) => {
    const body = request.json();
    if (request.path === '/v1/embeddings')
      return reply({ ...EMBEDDED, model, usage: { prompt_tokens: 8, total_tokens: 8 } });
    if (request.path === '/v1/moderations') return reply(moderation(model));
    if (request.path === '/v1/responses')
      return body.stream === true
        ? streamReply(responseEvents(['Hel', 'lo'], { model }))
        : reply(wholeResponse('Hello', { model }));
    if (body.stream !== true) return reply(completion(model));
    return streamReply(completionEvents(model, 'stream_options' in body));
  };

onBareHost(
  'legacy completions, embeddings and moderations pass through, and their records are exact',
  () => ({ script: answering('m') }),
  async (scene) => {
    const { client, setup, upstream } = scene;
    const whole = await client().completions.create({ model: 'm', prompt: 'Hi' });
    assert.equal(whole.choices[0]?.text, 'Hello');
    const hidden = await (
      await ask(scene, '/completions', { body: { model: 'm', prompt: 'Hi', stream: true } })
    ).text();
    assert.equal(hidden, completionEvents('m', false).join(''));
    const asked = await ask(scene, '/completions', {
      body: { model: 'm', prompt: 'Hi', stream: true, stream_options: { include_usage: true } },
    });
    assert.equal(await asked.text(), completionEvents('m', true).join(''));
    const embedded = await ask(scene, '/embeddings', { body: { model: 'm', input: 'Hi', encoding_format: 'base64' } });
    assert.deepEqual(await embedded.json(), { ...EMBEDDED, model: 'm', usage: { prompt_tokens: 8, total_tokens: 8 } });
    await client().moderations.create({ model: 'm', input: 'Hi' });
    assert.deepEqual(
      upstream.requests.map(({ path }) => path),
      ['/v1/completions', '/v1/completions', '/v1/completions', '/v1/embeddings', '/v1/moderations'],
    );
    assert.deepEqual(
      setup.records
        .map(({ operation, outcome, counted, inputTokens, outputTokens }) =>
          [operation, outcome, counted, inputTokens, outputTokens].join(' '),
        )
        .slice(0, 4),
      ['completions ok exact 5 7', 'completions ok exact 5 7', 'completions ok exact 5 7', 'embeddings ok exact 8 0'],
    );
    const { operation, outcome, counted } = setup.records[4] ?? {};
    assert.deepEqual([operation, outcome, counted], ['moderations', 'ok', 'estimated']);
  },
);

onBareHost(
  'the demo serves them all to the official client, which decodes base64 of its own accord',
  () => ({ upstream: demo() }),
  async ({ client, setup }) => {
    const openai = client();
    const { choices } = await openai.completions.create({
      model: 'gpt-3.5-turbo-instruct',
      prompt: 'Hi',
      max_tokens: 20,
    });
    assert.ok((choices[0]?.text.length ?? 0) > 0);
    let text = '';
    for await (const chunk of await openai.completions.create({
      model: 'gpt-3.5-turbo-instruct',
      prompt: 'Hi',
      stream: true,
    }))
      text += chunk.choices[0]?.text ?? '';
    assert.ok(text.length > 0);
    const model = 'text-embedding-3-small';
    const decoded = await openai.embeddings.create({ model, input: ['a', 'b'] });
    const floats = await openai.embeddings.create({ model, input: ['a', 'b'], encoding_format: 'float' });
    assert.equal(decoded.data.length, 2);
    assert.ok(Math.abs((decoded.data[1]?.embedding[3] ?? 0) - (floats.data[1]?.embedding[3] ?? 1)) < 1e-6);
    const { results } = await openai.moderations.create({ input: 'I like you', model: 'omni-moderation-latest' });
    assert.equal(results[0]?.flagged, false);
    assert.ok(setup.records.every(({ outcome, inputTokens }) => outcome === 'ok' && (inputTokens ?? 0) > 0));
  },
);

onBareHost(
  'the upstream’s name of a model shows in none of them',
  () => ({ script: answering('secret-7'), models: { public: { upstreamModel: 'secret-7' } } }),
  async (scene) => {
    const calls: [string, object][] = [
      ['/completions', { prompt: 'Hi' }],
      ['/completions', { prompt: 'Hi', stream: true }],
      ['/embeddings', { input: 'Hi' }],
      ['/moderations', { input: 'Hi' }],
    ];
    for (const [path, body] of calls) {
      const text = await (await ask(scene, path, { body: { model: 'public', ...body } })).text();
      assert.ok(text.includes('"model":"public"') && !text.includes('secret'), text);
    }
    assert.ok(scene.upstream.requests.every((request) => request.json().model === 'secret-7'));
  },
);

onBareHost(
  'they draw on the limits of their key, each for what it may use',
  () => ({ script: answering('m'), small: { requestsPerMinute: 3, tokensPerMinute: 10_000 }, clock: frozenClock() }),
  async (scene) => {
    const openai = scene.client({ apiKey: SMALL_SECRET });
    const completions = await openai.completions.create({ model: 'm', prompt: 'Hi', max_tokens: 10 }).withResponse();
    assert.equal(completions.response.headers.get('x-ratelimit-remaining-tokens'), '9988');
    const embeddings = await openai.embeddings.create({ model: 'm', input: 'Hi' }).withResponse();
    assert.equal(embeddings.response.headers.get('x-ratelimit-remaining-tokens'), '9980');
    const tooMuch = openai.embeddings.create({ model: 'm', input: 'word '.repeat(20_000) });
    await assert.rejects(tooMuch, { status: 429 });
    await openai.moderations.create({ model: 'm', input: 'Hi' });
    await assert.rejects(openai.moderations.create({ model: 'm', input: 'Hi' }), { status: 429 });
  },
);

onBareHost(
  'a client that leaves a streamed legacy completion ends it and pays for what it got',
  () => ({ script: () => [streamHead(), ...completionEvents('m', true).slice(0, 1).map(chunkOf), { kind: 'stall' }] }),
  async (scene) => {
    const abort = new AbortController();
    const body = { model: 'm', prompt: 'Hi', stream: true };
    const response = await ask(scene, '/completions', { body, signal: abort.signal });
    await response.body?.getReader().read();
    abort.abort();
    await within((await scene.upstream.request(0)).closed, 'the upstream to be left');
    await eventually(() => scene.setup.records.length === 1, 'the record');
    assert.equal(scene.setup.records[0]?.outcome, 'aborted');
    assert.ok((scene.setup.records[0]?.outputTokens ?? 0) > 0);
  },
);

onBareHost(
  'what a model’s upstream does not offer is a 404, before anything is counted',
  () => ({
    upstream: fromFunction(() => 'Hello'),
    models: {
      talks: {},
      passes: { responses: 'pass' },
      only: { upstream: { ...http({ baseUrl: 'http://127.0.0.1:9/v1' }), operations: ['embeddings'] } },
    },
  }),
  async ({ client, setup }) => {
    const openai = client();
    const refused = { status: 404, code: 'unsupported_operation' };
    await assert.rejects(openai.completions.create({ model: 'talks', prompt: 'Hi' }), refused);
    await assert.rejects(openai.embeddings.create({ model: 'talks', input: 'Hi' }), refused);
    await assert.rejects(openai.moderations.create({ model: 'talks', input: 'Hi' }), refused);
    await assert.rejects(openai.chat.completions.create({ model: 'only', messages: MESSAGES }), refused);
    await assert.rejects(openai.responses.create({ model: 'passes', input: 'Hi' }), refused);
    await assert.rejects(openai.responses.create({ model: 'only', input: 'Hi' }), refused);
    await assert.rejects(openai.responses.inputTokens.count({ model: 'only', input: 'Hi' }), refused);
    assert.equal((await openai.responses.create({ model: 'talks', input: 'Hi' })).output_text, 'Hello');
    assert.deepEqual(
      setup.records.map(({ operation }) => operation),
      ['responses'],
    );
  },
);

it('an instance of OpenAI’s SDK serves every operation that it has, and adds nothing of its own', async () => {
  const far = await scriptedUpstream(answering('m'));
  try {
    const sdk = new OpenAI({ baseURL: far.baseUrl, apiKey: UPSTREAM_KEY, logLevel: 'off' });
    await withScene(BARE_HOST, { upstream: openaiClient(sdk) }, async (scene) => {
      const openai = scene.client();
      assert.equal((await openai.completions.create({ model: 'm', prompt: 'Hi' })).choices[0]?.text, 'Hello');
      const embedded = await ask(scene, '/embeddings', {
        body: { model: 'm', input: 'Hi', encoding_format: 'base64' },
      });
      assert.deepEqual(((await embedded.json()) as typeof EMBEDDED).data, EMBEDDED.data);
      const floats = await ask(scene, '/embeddings', { body: { model: 'm', input: 'Hi' } });
      assert.deepEqual(((await floats.json()) as { data: { embedding: unknown }[] }).data[0]?.embedding, [1, 2]);
      await openai.moderations.create({ model: 'm', input: 'Hi' });
      const whole = await ask(scene, '/responses', { body: { model: MODEL, input: 'Hi' } });
      assert.deepEqual(await whole.json(), wholeResponse('Hello', { model: 'm' }));
      const streamed = await ask(scene, '/responses', { body: { model: MODEL, input: 'Hi', stream: true } });
      const events = readEvents(await streamed.text());
      assert.deepEqual(
        events.map(({ data }) => data),
        readEvents(responseEvents(['Hel', 'lo'], { model: 'm' }).join('')).map(({ data }) => data),
      );
      const { id } = wholeResponse('');
      await assert.rejects(openai.responses.retrieve(String(id)), { status: 404, code: 'unsupported_operation' });
      assert.ok(scene.setup.records.every(({ outcome }) => outcome === 'ok'));
    });
  } finally {
    await far.close();
  }
});
