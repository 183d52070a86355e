import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, describe, it } from 'node:test';
import OpenAI, { AzureOpenAI } from 'openai';
import { GatewayError } from '../../src/base/errors.js';
import type { JsonObject } from '../../src/base/json.js';
import { openaiClient } from '../../src/upstreams/openai-client.js';
import type { UpstreamReply } from '../../src/upstreams/upstream.js';
import { chunkOf, errorReply, lastChunk, reply, streamEvents, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { within } from '../helpers/deadline.js';
import { type Script, type ScriptedUpstream, type Step, scriptedUpstream } from '../helpers/scripted-upstream.js';
import { callWith } from '../helpers/upstream-call.js';

const KEY = 'sk-CANARY-of-the-operator-0123456789';
const WHOLE = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }], x_unknown: { kept: [1, null] } };
const STREAM = { ...WHOLE, stream: true, stream_options: { include_usage: true } };

describe('openaiClient', () => {
  const servers: ScriptedUpstream[] = [];
  after(() => Promise.all(servers.map((server) => server.close())));

  async function serve(script: Script): Promise<ScriptedUpstream> {
    const server = await scriptedUpstream(script);
    servers.push(server);
    return server;
  }

  /** An upstream on a server that does these steps for every request. `maxRetries` is the SDK's default, 2. */
  async function fixture(steps: () => Iterable<Step> | AsyncIterable<Step>, more: { readonly timeout?: number } = {}) {
    const server = await serve(() => steps());
    const upstream = openaiClient(new OpenAI({ apiKey: KEY, baseURL: server.baseUrl, logLevel: 'off', ...more }));
    const controller = new AbortController();
    const send = (body: JsonObject): Promise<UpstreamReply> => {
      const call = callWith(body, { signal: controller.signal });
      return within(upstream.send(call), 'the answer');
    };
    return { server, upstream, send, controller };
  }

  function chunksOf(answer: UpstreamReply): AsyncIterator<JsonObject> {
    if (answer.kind !== 'chunks') throw new Error(`A reply of kind ${answer.kind}`);
    return answer.chunks[Symbol.asyncIterator]();
  }

  async function collect(answer: UpstreamReply): Promise<JsonObject[]> {
    const chunks: JsonObject[] = [];
    if (answer.kind !== 'chunks') throw new Error(`A reply of kind ${answer.kind}`);
    for await (const chunk of answer.chunks) chunks.push(chunk);
    return chunks;
  }

  async function failure(promise: Promise<unknown>): Promise<GatewayError> {
    const error: unknown = await promise.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof GatewayError, String(error));
    assert.doesNotMatch(error.message, /CANARY|127\.0\.0\.1|https?:/);
    return error;
  }

  const events = streamEvents(['Hel', 'lo']);
  const streamed = (pieces: readonly string[] = events): Step[] => [streamHead(), ...pieces.map(chunkOf), lastChunk()];
  const dataOf = (event: string): unknown => JSON.parse(event.slice('data: '.length));

  it('is named for usage records, and takes nothing that is no client', () => {
    const client = new OpenAI({ apiKey: KEY });
    assert.equal(openaiClient(client).name, 'openai');
    assert.equal(openaiClient(client, { name: 'eu' }).name, 'eu');
    for (const bad of ['null', '{}', '{"chat":{"completions":{}}}', '"sk-CANARY"']) {
      assert.throws(() => openaiClient(JSON.parse(bad)), /^TypeError: Expected `client` to be an instance of OpenAI/);
    }
  });

  it('passes a whole answer and every field of the call on', async () => {
    const chat = wholeChat('Hello');
    const { send, server } = await fixture(() => reply(chat));
    assert.deepEqual(await send(WHOLE), { kind: 'whole', body: chat });
    const [request] = server.requests;
    assert.equal(request?.path, '/v1/chat/completions');
    assert.equal(request?.headers.authorization, `Bearer ${KEY}`);
    assert.deepEqual(request?.json(), WHOLE);
  });

  it('passes a stream on as chunks, unknown fields and all', async () => {
    const { send, server } = await fixture(() => streamed());
    assert.deepEqual(await collect(await send(STREAM)), events.slice(0, -1).map(dataOf));
    assert.deepEqual(server.requests[0]?.json(), STREAM);
  });

  it('speaks through an AzureOpenAI client, with its address and its own header', async () => {
    const server = await serve((request) => (request.json().stream === true ? streamed() : reply(wholeChat('Hello'))));
    const client = new AzureOpenAI({ apiKey: KEY, apiVersion: '2026-01-01', endpoint: server.origin, logLevel: 'off' });
    const upstream = openaiClient(client, { name: 'azure' });
    const whole = await upstream.send(callWith(WHOLE));
    assert.deepEqual(whole, { kind: 'whole', body: wholeChat('Hello') });
    assert.equal((await collect(await upstream.send(callWith(STREAM)))).length, events.length - 1);
    for (const request of server.requests) {
      assert.equal(request.path, '/openai/deployments/gpt-4o-mini/chat/completions?api-version=2026-01-01');
      assert.equal(request.headers['api-key'], KEY);
      assert.equal(request.headers.authorization, undefined);
    }
  });

  for (const body of [WHOLE, STREAM]) {
    const kind = body === STREAM ? 'stream' : 'whole answer';

    it(`maps every status in place of a ${kind}, and asks once`, async () => {
      const statuses = [
        [400, 400],
        [401, 502],
        [402, 503],
        [403, 502],
        [404, 404],
        [405, 502],
        [408, 504],
        [409, 409],
        [413, 413],
        [422, 422],
        [429, 429],
        [500, 502],
        [502, 502],
        [503, 503],
        [504, 504],
        [529, 503],
      ] as const;
      let status = 0;
      const said = { message: 'Words of the upstream.', type: 'a_type', code: 'a_code', param: 'messages' };
      const { send, server } = await fixture(() => errorReply(status, said, { 'retry-after': '3' }));
      for (const [from, to] of statuses) {
        status = from;
        const error = await failure(send(body));
        assert.equal(error.status, to, `${from}`);
        assert.equal(error.retryAfterMs, 3_000);
        if (to >= 500) assert.doesNotMatch(error.message, /Words/);
        else {
          const { message, type, code, param } = error;
          assert.deepEqual({ message, type, code, param }, said);
        }
        if (to >= 500) assert.ok(error.cause instanceof OpenAI.APIError);
      }
      assert.equal(server.requests.length, statuses.length);
    });

    it(`gives nothing away when a ${kind} is refused for our key`, async () => {
      const message = `Incorrect API key provided: ${KEY}. You can find it at https://platform.openai.com.`;
      const { send } = await fixture(() => errorReply(401, { message, code: 'invalid_api_key', param: KEY }));
      const error = await failure(send(body));
      assert.equal(error.status, 502);
      assert.equal(error.code, 'upstream_error');
      assert.equal(error.param, null);
      assert.equal(error.message, 'The upstream refused the gateway.');
    });

    it(`keeps what tells the sender that stream_options are unknown in place of a ${kind}`, async () => {
      const said = {
        message: 'Unknown parameter: stream_options',
        param: 'stream_options',
        type: 'invalid_request_error',
      };
      const { send } = await fixture(() => errorReply(400, said));
      const error = await failure(send(body));
      assert.equal(error.status, 400);
      assert.equal(error.param, 'stream_options');
      assert.match(error.message, /stream_options/);
    });

    it(`stands error bodies of any shape in place of a ${kind}`, async () => {
      const bodies = [
        '',
        'plain text',
        '<html></html>',
        '{',
        '[]',
        'null',
        '{"error":"No."}',
        '{"error":{"message":{"a":1}}}',
      ];
      let text = '';
      const { send } = await fixture(() => reply(text, { status: 500 }));
      for (text of bodies) assert.equal((await failure(send(body))).status, 502, text);
    });

    it(`turns a refused connection into a 502 in place of a ${kind}`, async () => {
      const client = new OpenAI({ apiKey: KEY, baseURL: `http://127.0.0.1:${await closedPort()}/v1`, logLevel: 'off' });
      const error = await failure(within(openaiClient(client).send(callWith(body)), 'the refusal'));
      assert.equal(error.status, 502);
      assert.equal(error.code, 'upstream_error');
      assert.ok(error.cause instanceof OpenAI.APIConnectionError);
    });

    it(`turns a connection that breaks before a ${kind} into a 502`, async () => {
      const { send } = await fixture(() => [{ kind: 'reset' }]);
      const error = await failure(send(body));
      assert.equal(error.status, 502);
      assert.equal(error.code, 'upstream_error');
    });

    it(`turns the client's timeout before a ${kind} into a 504`, async () => {
      const { send } = await fixture(() => [{ kind: 'stall' }], { timeout: 30 });
      const error = await failure(send(body));
      assert.equal(error.status, 504);
      assert.equal(error.code, 'upstream_timeout');
    });

    it(`stops the request and throws the signal's reason when aborted before a ${kind} begins`, async () => {
      const { send, server, controller } = await fixture(() => [{ kind: 'stall' }]);
      const answer = send(body);
      const request = await within(server.request(0), 'the request');
      const gone = new Error('gone');
      controller.abort(gone);
      await assert.rejects(answer, gone);
      await within(request.closed, 'the connection to close');
      await assert.rejects(send(body), gone);
      assert.equal(server.requests.length, 1);
    });
  }

  it('throws the reason and stops the request when aborted inside a whole answer', async () => {
    const steps: Step[] = [
      { kind: 'send', bytes: 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"id"' },
      { kind: 'stall' },
    ];
    const { send, server, controller } = await fixture(() => steps);
    const answer = send(WHOLE);
    const request = await within(server.request(0), 'the request');
    const gone = new Error('gone');
    setImmediate(() => controller.abort(gone));
    await assert.rejects(answer, gone);
    await within(request.closed, 'the connection to close');
  });

  it('refuses a whole answer that is cut, is no JSON, or is no object', async () => {
    const cut = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"id"';
    const cases: Step[][] = [
      [{ kind: 'send', bytes: cut }, { kind: 'end' }],
      [{ kind: 'send', bytes: cut }, { kind: 'reset' }],
      reply('{"id"'),
      reply('[]'),
      reply('null'),
      reply('text', { contentType: 'text/plain' }),
    ];
    for (const steps of cases) {
      const { send } = await fixture(() => steps);
      assert.equal((await failure(send(WHOLE))).status, 502);
    }
  });

  it('fails before the answer has begun when the first event is an error', async () => {
    const event =
      'data: {"error":{"message":"The model is overloaded.","code":"overloaded","type":"server_error"}}\n\n';
    const { send } = await fixture(() => streamed([event]));
    const error = await failure(send(STREAM));
    assert.equal(error.status, 502);
    assert.equal(error.message, 'The model is overloaded.');
    assert.equal(error.code, 'overloaded');
  });

  it('fails before the answer has begun when the first event is no JSON object', async () => {
    for (const event of ['data: {oops\n\n', 'data: 7\n\n', 'data: []\n\n']) {
      const { send } = await fixture(() => streamed([event]));
      const error = await failure(send(STREAM));
      assert.equal(error.code, 'upstream_bad_response', event);
    }
  });

  it('passes on what came before a stream broke, and then the failure', async () => {
    const [first = '', second = ''] = events;
    const breaks: [Step[], string][] = [
      [[{ kind: 'reset' }], 'upstream_error'],
      [[{ kind: 'end' }], 'upstream_error'],
      [[chunkOf('data: {"error":{"message":"Burnt.","code":"burnt"}}\n\n'), lastChunk()], 'burnt'],
      [[chunkOf('data: {oops\n\n'), lastChunk()], 'upstream_bad_response'],
      [[chunkOf('data: 7\n\n'), lastChunk()], 'upstream_bad_response'],
    ];
    for (const [steps, code] of breaks) {
      const { send } = await fixture(() => [streamHead(), chunkOf(first), chunkOf(second), ...steps]);
      const chunks = chunksOf(await send(STREAM));
      assert.deepEqual((await chunks.next()).value, dataOf(first));
      assert.deepEqual((await chunks.next()).value, dataOf(second));
      assert.equal((await failure(within(chunks.next(), 'the failure'))).code, code);
    }
  });

  it('stops the request and throws the reason when aborted inside a stream, read or not', async () => {
    for (const reads of [true, false]) {
      const { send, server, controller } = await fixture(() => [
        streamHead(),
        chunkOf(events[0] ?? ''),
        { kind: 'stall' },
      ]);
      const chunks = chunksOf(await send(STREAM));
      const gone = new Error('gone');
      let next: Promise<unknown> | undefined;
      if (reads) {
        await chunks.next();
        next = chunks.next();
        next.catch(() => {});
      }
      controller.abort(gone);
      await within(server.requests[0]?.closed ?? Promise.reject(new Error('no request')), 'the connection to close');
      await assert.rejects(within(next ?? chunks.next(), 'the reason'), gone);
    }
  });

  it('stops the request when a stream is left early, even while waiting for a chunk', async () => {
    for (const reads of [0, 1, 2]) {
      const { send, server } = await fixture(() => [streamHead(), chunkOf(events[0] ?? ''), { kind: 'stall' }]);
      const chunks = chunksOf(await send(STREAM));
      for (let count = 0; count < reads; count += 1) {
        const next = chunks.next();
        next.catch(() => {});
        if (count === 0) await next;
      }
      await within(chunks.return?.() ?? Promise.reject(new Error('no return')), 'the end');
      await within(server.requests[0]?.closed ?? Promise.reject(new Error('no request')), 'the connection to close');
    }
  });

  it('ends at once where a stream has nothing to say', async () => {
    const { send } = await fixture(() => streamed(['data: [DONE]\n\n']));
    assert.deepEqual(await collect(await send(STREAM)), []);
  });

  it('takes any object of the client’s shape', async () => {
    const seen: unknown[] = [];
    const upstream = openaiClient({
      chat: { completions: { create: async (...given) => seen.push(given) && { choices: [] } } },
    });
    const { signal } = new AbortController();
    assert.deepEqual(await upstream.send(callWith(WHOLE, { signal })), { kind: 'whole', body: { choices: [] } });
    assert.deepEqual(seen, [[WHOLE, { signal, maxRetries: 0, fetchOptions: { redirect: 'manual' } }]]);
    assert.deepEqual(
      await upstream.send(callWith(STREAM)),
      { kind: 'whole', body: { choices: [] } },
      'to be made a stream',
    );
  });

  /** A port on which nobody listens. */
  function closedPort(): Promise<number> {
    return new Promise((resolve) => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const address = server.address();
        server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
      });
    });
  }
});
