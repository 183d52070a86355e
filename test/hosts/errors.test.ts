import assert from 'node:assert/strict';
import { memoryKeys } from 'megallm-middleware';
import OpenAI, { APIError } from 'openai';
import request from 'supertest';
import { errorReply, reply, wholeChat } from '../helpers/chat-answers.js';
import { SECRET, SMALL_SECRET, UNKNOWN_SECRET } from '../helpers/gateway-options.js';
import { rawExchange, rawRequest } from '../helpers/raw-client.js';
import { CALL, MESSAGES, onBareHost, onEveryHost, UPSTREAM_KEY } from '../helpers/scene.js';

/** What the client throws, once it is sure that the answer was an error in OpenAI's shape. */
async function errorOf(call: PromiseLike<unknown>): Promise<APIError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof APIError, String(error));
    const body: unknown = error.error;
    assert.ok(typeof body === 'object' && body !== null);
    assert.deepEqual(Object.keys(body).sort(), ['code', 'message', 'param', 'type']);
    assert.match(error.requestID ?? '', /^req_[0-9a-f]{32}$/);
    assert.match(error.headers?.get('content-type') ?? '', /^application\/json/);
    return error;
  }
  return assert.fail('the call went through');
}

onEveryHost(
  'no key and a wrong key are AuthenticationErrors in OpenAI’s two forms, for every path below /v1',
  () => ({}),
  async ({ client, host, upstream }) => {
    const wrong = await errorOf(client({ apiKey: UNKNOWN_SECRET }).chat.completions.create(CALL));
    assert.ok(wrong instanceof OpenAI.AuthenticationError);
    assert.equal(wrong.code, 'invalid_api_key');
    assert.equal(wrong.type, 'invalid_request_error');
    assert.equal(wrong.headers.get('www-authenticate'), 'Bearer realm="OpenAI API"');
    assert.ok(!wrong.message.includes(UNKNOWN_SECRET), 'the key is not echoed whole');
    assert.ok((await errorOf(client({ apiKey: UNKNOWN_SECRET }).models.list())) instanceof OpenAI.AuthenticationError);
    for (const path of ['/chat/completions', '/models', '/models/x', '/usage', '/threads/x', '']) {
      const { status, body } = await request(host.baseUrl).get(path);
      assert.deepEqual([status, body.error.code, body.error.param], [401, null, null], path);
      assert.match(body.error.message, /^You didn't provide an API key/);
    }
    assert.equal(upstream.requests.length, 0);
  },
);

onBareHost(
  'what is wrong with a request is a BadRequestError with the name of the field',
  () => ({}),
  async ({ client, upstream }) => {
    const cases: [Record<string, unknown>, string | null, string | null][] = [
      [{ messages: MESSAGES }, null, null],
      [{ model: 'm' }, 'missing_required_parameter', 'messages'],
      [{ model: 'm', messages: [] }, 'empty_array', 'messages'],
      [{ model: 'm', messages: ['x'] }, 'invalid_type', 'messages[0]'],
      [{ ...CALL, n: 0 }, 'integer_below_min_value', 'n'],
      [{ ...CALL, max_tokens: '10' }, 'invalid_type', 'max_tokens'],
      [{ ...CALL, temperature: 200 }, 'decimal_above_max_value', 'temperature'],
      [{ ...CALL, stream: 'yes' }, 'invalid_type', 'stream'],
      [{ ...CALL, stream_options: { include_usage: true } }, null, 'stream_options'],
    ];
    for (const [body, code, param] of cases) {
      const error = await errorOf(client().post('/chat/completions', { body }));
      assert.ok(error instanceof OpenAI.BadRequestError, JSON.stringify(body));
      assert.deepEqual([error.code ?? null, error.param ?? null], [code, param], JSON.stringify(body));
    }
    assert.equal(upstream.requests.length, 0, 'nothing of it reached the upstream');
  },
);

onBareHost(
  'unknown models and paths are NotFoundErrors, models of others PermissionDeniedErrors, wrong methods a 405',
  () => ({
    models: { mine: {}, theirs: {} },
    key: { models: ['mine'] },
    script: () => reply(wholeChat('Hello', { model: 'mine' })),
  }),
  async ({ client, host }) => {
    const openai = client();
    for (const model of ['nobodys', 'constructor', '__proto__', 'toString', 'mine ', '漢字'.repeat(40)]) {
      const error = await errorOf(openai.chat.completions.create({ ...CALL, model }));
      assert.ok(error instanceof OpenAI.NotFoundError, model);
      assert.equal(error.code, 'model_not_found');
      assert.ok((await errorOf(openai.models.retrieve(model))) instanceof OpenAI.NotFoundError, model);
    }
    const theirs = await errorOf(openai.chat.completions.create({ ...CALL, model: 'theirs' }));
    assert.ok(theirs instanceof OpenAI.PermissionDeniedError);
    const nowhere = await errorOf(openai.post('/threads', { body: {} }));
    assert.ok(nowhere instanceof OpenAI.NotFoundError);
    assert.match(nowhere.message, /Invalid URL \(POST .*\/v1\/threads\)/);
    await request(host.baseUrl).get('/embeddings').auth(SECRET, { type: 'bearer' }).expect(405).expect('allow', 'POST');
    assert.equal((await openai.chat.completions.create({ ...CALL, model: 'mine' })).model, 'mine');
  },
);

onBareHost(
  'a key at its limit gets a RateLimitError that says when to come back, with the limit headers on every answer',
  () => ({ small: { requestsPerMinute: 1, tokensPerMinute: 10_000 } }),
  async ({ client, setup }) => {
    const openai = client({ apiKey: SMALL_SECRET });
    const { response } = await openai.chat.completions.create(CALL).withResponse();
    assert.equal(response.headers.get('x-ratelimit-limit-requests'), '1');
    assert.equal(response.headers.get('x-ratelimit-remaining-requests'), '0');
    assert.equal(response.headers.get('x-ratelimit-limit-tokens'), '10000');
    const refused = await errorOf(openai.chat.completions.create(CALL));
    assert.ok(refused instanceof OpenAI.RateLimitError);
    assert.deepEqual([refused.code, refused.type], ['rate_limit_exceeded', 'requests']);
    assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    assert.match(refused.headers.get('retry-after-ms') ?? '', /^[1-9]\d*$/);
    assert.equal(refused.headers.get('x-should-retry'), 'true');
    assert.equal(refused.headers.get('x-ratelimit-remaining-requests'), '0');
    assert.match(refused.headers.get('x-ratelimit-reset-requests') ?? '', /^(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?m?s$/);
    const malformed = await errorOf(openai.chat.completions.create({ ...CALL, n: 0 }));
    assert.ok(malformed instanceof OpenAI.BadRequestError);
    assert.equal(malformed.headers.get('x-ratelimit-limit-requests'), '1');
    assert.equal(setup.records.length, 1, 'a call that was refused costs nothing');
  },
);

onBareHost(
  'what the upstream refuses keeps its status and words; what is between it and us says nothing of either',
  () => ({
    broken: true,
    script: (_request, index) => {
      const told = { message: `No ${UPSTREAM_KEY} at http://10.0.0.7:8080/v1`, type: 'invalid_request_error' };
      const replies = [
        errorReply(400, { message: 'temperature is odd', type: 'invalid_request_error', param: 'temperature' }),
        errorReply(401, { ...told, code: 'invalid_api_key' }),
        errorReply(403, told),
        errorReply(500, told),
        errorReply(503, told),
        reply('<html>http://10.0.0.7 is down</html>', { status: 502, contentType: 'text/html' }),
        errorReply(418, told),
      ];
      return replies[index] ?? [];
    },
  }),
  async ({ client }) => {
    const openai = client();
    const refused = await errorOf(openai.chat.completions.create(CALL));
    assert.ok(refused instanceof OpenAI.BadRequestError);
    assert.match(refused.message, /temperature is odd/);
    assert.equal(refused.param, 'temperature');
    for (const status of [502, 502, 502, 503, 502, 502]) {
      const error = await errorOf(openai.chat.completions.create(CALL));
      assert.ok(error instanceof OpenAI.InternalServerError);
      assert.equal(error.status, status);
      for (const secret of [UPSTREAM_KEY, '10.0.0.7', 'invalid_api_key', 'html']) {
        assert.ok(!JSON.stringify([error.error, [...error.headers]]).includes(secret), secret);
      }
    }
  },
);

onBareHost(
  'the official client retries a 429 and a 5xx as often as it is told to, and gets its answer',
  () => ({
    broken: true,
    script: (_request, index) => {
      if (index === 0) return errorReply(429, { code: 'rate_limit_exceeded' }, { 'retry-after-ms': '1' });
      return index === 1 ? errorReply(503, {}, { 'retry-after-ms': '1' }) : reply(wholeChat('third time'));
    },
  }),
  async ({ client, upstream, setup }) => {
    const answer = await client({ maxRetries: 2 }).chat.completions.create(CALL);
    assert.equal(answer.choices[0]?.message.content, 'third time');
    assert.equal(upstream.requests.length, 3, 'the gateway itself does not retry');
    assert.deepEqual(
      setup.records.map((record) => record.outcome),
      ['error', 'error', 'ok'],
    );
  },
);

onEveryHost(
  'every answer bears a request id of its own, and errors end in the same headers as answers',
  () => ({ keys: memoryKeys([{ secret: SECRET, id: 'key_test', tier: 'open' }]) }),
  async ({ host }) => {
    const path = new URL(host.baseUrl).pathname;
    const ids = new Set<string>();
    for (const [method, below] of [
      ['GET', '/models'],
      ['GET', '/evals'],
      ['DELETE', '/models'],
      ['POST', '/chat/completions'],
    ]) {
      const headers = { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' };
      const response = await rawExchange(host.origin, rawRequest(method ?? '', path + below, headers));
      assert.match(response.headers['x-request-id'] ?? '', /^req_[0-9a-f]{32}$/, below);
      assert.equal(response.headers['x-content-type-options'], 'nosniff');
      ids.add(response.headers['x-request-id'] ?? '');
    }
    assert.equal(ids.size, 4);
  },
);
