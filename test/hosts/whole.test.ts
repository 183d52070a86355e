import assert from 'node:assert/strict';
import type OpenAI from 'openai';
import { reply, USAGE, wholeChat } from '../helpers/chat-answers.js';
import { SECRET } from '../helpers/gateway-options.js';
import { rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL, MESSAGES, MODEL, onBareHost, onEveryHost, UPSTREAM_KEY } from '../helpers/scene.js';

onEveryHost(
  'the official client gets a whole answer, its request id, and the record of it is exact',
  () => ({}),
  async ({ client, setup }) => {
    const { data, response, request_id } = await client().chat.completions.create(CALL).withResponse();
    assert.equal(data.choices[0]?.message.content, 'Hello');
    assert.deepEqual(data.usage, USAGE);
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
    assert.match(request_id ?? '', /^req_[0-9a-f]{32}$/);
    const [record] = setup.records;
    assert.equal(record?.requestId, request_id);
    assert.equal(record?.keyId, 'key_test');
    assert.equal(record?.operation, 'chat.completions');
    assert.equal(record?.model, MODEL);
    assert.equal(record?.outcome, 'ok');
    assert.equal(record?.counted, 'exact');
    assert.equal(record?.inputTokens, 11);
    assert.equal(record?.cachedInputTokens, 4);
    assert.equal(record?.outputTokens, 9);
    assert.equal(record?.reasoningTokens, 3);
    assert.equal(setup.records.length, 1);
  },
);

onEveryHost(
  'what the upstream answers reaches the client byte for byte',
  () => ({ script: () => reply(ODD_ANSWER) }),
  async ({ client }) => {
    const response = await client().chat.completions.create(CALL).asResponse();
    assert.equal(await response.text(), ODD_ANSWER);
  },
);

onEveryHost(
  'what the client asks reaches the upstream with every field, and with the upstream’s key instead of the client’s',
  () => ({}),
  async ({ client, upstream }) => {
    const call = {
      model: MODEL,
      messages: [
        { role: 'developer', content: 'Be brief: „ünïcödé“, 漢字, \u2028' },
        { role: 'user', content: [{ type: 'text', text: 'Hi' }], name: 'somebody', x_in_message: { deep: [null] } },
      ],
      temperature: 0.25,
      max_completion_tokens: 50,
      metadata: { purpose: 'test' },
      seed: -7,
      logit_bias: { '50256': -100 },
      x_nobody_knows_this: { kept: [1, 2.5, 'three', null, true] },
    };
    await client({
      defaultHeaders: { cookie: 'session=secret', 'x-forwarded-for': '1.2.3.4' },
    }).chat.completions.create(
      // The SDK's types do not know the last field, which is the point.
      JSON.parse(JSON.stringify(call)),
    );
    const seen = await upstream.request(0);
    assert.equal(seen.method, 'POST');
    assert.equal(seen.path, '/v1/chat/completions');
    assert.deepEqual(seen.json(), call);
    assert.equal(seen.headers.authorization, `Bearer ${UPSTREAM_KEY}`);
    assert.match(seen.headers['content-type'] ?? '', /^application\/json/);
    const everything = JSON.stringify([seen.headers, seen.body]);
    for (const secret of [SECRET, 'session=secret', '1.2.3.4']) assert.ok(!everything.includes(secret), secret);
  },
);

onBareHost(
  'structured output arrives parsed by the client’s own helper, and a refusal as a refusal',
  () => ({
    script: (_request, index) =>
      reply(index === 0 ? wholeChat('{"city":"Oslo","days":3}') : wholeChat(null, { message: { refusal: 'No.' } })),
  }),
  async ({ client, upstream }) => {
    const response_format: OpenAI.ResponseFormatJSONSchema = {
      type: 'json_schema',
      json_schema: {
        name: 'trip',
        strict: true,
        schema: {
          type: 'object',
          properties: { city: { type: 'string' }, days: { type: 'integer' } },
          required: ['city', 'days'],
          additionalProperties: false,
        },
      },
    };
    const answer = await client().chat.completions.parse({ ...CALL, response_format });
    assert.deepEqual(answer.choices[0]?.message.parsed, { city: 'Oslo', days: 3 });
    assert.deepEqual((await upstream.request(0)).json().response_format, response_format);
    const refused = await client().chat.completions.parse({ ...CALL, response_format });
    assert.equal(refused.choices[0]?.message.parsed, null);
    assert.equal(refused.choices[0]?.message.refusal, 'No.');
  },
);

onBareHost(
  'n answers, tool calls and log probabilities of a whole answer pass unharmed',
  () => ({ script: () => reply(RICH_ANSWER) }),
  async ({ client }) => {
    const answer = await client().chat.completions.create({ ...CALL, n: 2, logprobs: true });
    assert.equal(answer.choices.length, 2);
    assert.deepEqual(JSON.parse(JSON.stringify(answer)), RICH_ANSWER);
  },
);

onBareHost(
  'a renamed model is known to the client by its public name alone',
  () => ({
    script: () => reply(wholeChat('Hello', { model: 'vendor/secret-model-2026' })),
    models: { 'house-model': { upstreamModel: 'vendor/secret-model', aliases: ['house-alias'] } },
  }),
  async ({ client, upstream, setup, host }) => {
    for (const model of ['house-model', 'house-alias']) {
      const answer = await client().chat.completions.create({ ...CALL, model });
      assert.equal(answer.choices[0]?.message.content, 'Hello');
      assert.ok(!JSON.stringify(answer).includes('secret-model'), 'the upstream’s model id stays inside');
      assert.match(answer.model, /^house-/);
    }
    assert.equal((await upstream.request(1)).json().model, 'vendor/secret-model');
    assert.equal(setup.records[0]?.model, 'house-model');
    const raw = await rawExchange(host.origin, chatTo(host.baseUrl, { model: 'house-model', messages: MESSAGES }));
    assert.ok(!JSON.stringify(raw.headers).includes('secret-model'));
  },
);

onBareHost(
  'a key in x-api-key is as good as one in authorization',
  () => ({}),
  async ({ host }) => {
    const response = await fetch(`${host.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { 'x-api-key': SECRET, 'content-type': 'application/json; charset=utf-8' },
      body: JSON.stringify(CALL),
    });
    assert.equal(response.status, 200);
    assert.equal(JSON.parse(await response.text()).choices[0].message.content, 'Hello');
  },
);

onEveryHost(
  'answers keep the number of calls apart: fifty at once each get their own',
  () => ({ script: (request) => reply(wholeChat(`echo ${lastContent(request.json())}`)) }),
  async ({ client, setup }) => {
    const openai = client();
    const texts = Array.from({ length: 50 }, (_, index) => `call ${index}`);
    const answers = await Promise.all(
      texts.map((content) => openai.chat.completions.create({ model: MODEL, messages: [{ role: 'user', content }] })),
    );
    assert.deepEqual(
      answers.map((answer) => answer.choices[0]?.message.content),
      texts.map((text) => `echo ${text}`),
    );
    assert.equal(setup.records.length, 50);
  },
);

/** Spaces, escapes, number forms, member order and a repeated member that a rebuilt answer would lose. */
const ODD_ANSWER =
  '{ "usage" : {"prompt_tokens":11,"completion_tokens":9,"total_tokens":20},\n\t"id":"chatcmpl-odd", "object":"chat.completion","created":1770950813,"model":"gpt-4o-mini",' +
  '"choices":[{"index":0,"message":{"role":"assistant","content":"\\u00fc \\/ ü 漢","refusal":null},"logprobs":null,"finish_reason":"stop"}],"x":1.0,"y":1E2,"x":2 }\n';

const RICH_ANSWER = {
  ...wholeChat(null),
  choices: [0, 1].map((index) => ({
    index,
    message: {
      role: 'assistant',
      content: null,
      tool_calls: [
        { id: `call_a${index}`, type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
        { id: `call_b${index}`, type: 'function', function: { name: 'time', arguments: '{}' } },
      ],
      refusal: null,
      annotations: [],
    },
    logprobs: { content: [{ token: 'a', logprob: -9999, bytes: [97], top_logprobs: [] }], refusal: null },
    finish_reason: 'tool_calls',
  })),
};

function lastContent(body: Record<string, unknown>): unknown {
  const messages: unknown = body.messages;
  return Array.isArray(messages) ? messages.at(-1)?.content : undefined;
}

function chatTo(baseUrl: string, body: unknown): Buffer {
  const path = `${new URL(baseUrl).pathname}/chat/completions`;
  return Buffer.from(rawChat(SECRET, body).toString('latin1').replace('/v1/chat/completions', path), 'latin1');
}

onBareHost(
  'an answer that is written anew has each member once, the last of its name, whoever reads it',
  () => ({
    models: { house: { upstreamModel: MODEL } },
    script: () => reply(JSON.stringify(wholeChat('Hello')).replace('{', '{"id":"chatcmpl-other","x":1,"x":2,')),
  }),
  async ({ client }) => {
    const text = await (
      await client()
        .chat.completions.create({ ...CALL, model: 'house' })
        .asResponse()
    ).text();
    assert.equal(text, JSON.stringify({ id: wholeChat('').id, x: 2, ...wholeChat('Hello'), model: 'house' }));
  },
);
