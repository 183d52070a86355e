import assert from 'node:assert/strict';
import { it } from 'node:test';
import { memoryObjects, openaiClient, type StoredObject } from 'megallm-middleware';
import OpenAI from 'openai';
import { chunkOf, errorReply, lastChunk, reply, streamHead, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { SMALL_SECRET } from '../helpers/gateway-options.js';
import { BARE_HOST } from '../helpers/hosts.js';
import {
  ITEM_ID,
  RESPONSE_ID,
  responseEvent,
  responseEvents,
  unfinished,
  wholeResponse,
} from '../helpers/response-answers.js';
import { ask } from '../helpers/response-client.js';
import { MODEL, onBareHost, onEveryHost, type SceneOptions, UPSTREAM_KEY, withScene } from '../helpers/scene.js';
import { type Script, scriptedUpstream } from '../helpers/scripted-upstream.js';
import { hastyClock } from '../helpers/timer-clock.js';
import { readEvents } from '../wire/read-events.js';

const CALL = { model: MODEL, input: 'Say hello' } as const;

/** Answers as `/v1/responses` does: whole or streamed, and questions about what it made. */
const hello: Script = (request) => {
  if (request.method === 'DELETE') return reply({ id: RESPONSE_ID, object: 'response.deleted', deleted: true });
  if (request.path.includes('/input_items')) return reply({ object: 'list', data: [], has_more: false, x: 1 });
  if (request.path.endsWith('/input_tokens')) return reply({ object: 'response.input_tokens', input_tokens: 12 });
  const isQuestion = request.method === 'GET' || request.path.endsWith('/cancel');
  if (isQuestion || request.json().stream !== true) return reply(wholeResponse('Hello'));
  return streamReply(responseEvents(['Hel', 'lo']));
};

onEveryHost(
  'a response passes byte for byte, whole and streamed, and its record is exact',
  () => ({ script: hello }),
  async (scene) => {
    const { setup, upstream } = scene;
    const whole = await ask(scene, '/responses', { body: { ...CALL, x_unknown: { kept: [1, null] } } });
    assert.equal(await whole.text(), JSON.stringify(wholeResponse('Hello')));
    const sent = (await upstream.request(0)).json();
    assert.equal((await upstream.request(0)).path, '/v1/responses');
    assert.deepEqual(sent, { ...CALL, x_unknown: { kept: [1, null] } });
    const streamed = await ask(scene, '/responses', { body: { ...CALL, stream: true } });
    assert.equal(await streamed.text(), responseEvents(['Hel', 'lo']).join(''));
    assert.equal((await upstream.request(1)).json().stream_options, undefined);
    for (const record of setup.records) {
      assert.deepEqual(
        [record.operation, record.outcome, record.counted, record.inputTokens, record.cachedInputTokens],
        ['responses', 'ok', 'exact', 11, 4],
      );
      assert.deepEqual([record.outputTokens, record.reasoningTokens], [9, 3]);
    }
    assert.equal(setup.records.length, 2);
  },
);

onBareHost(
  'what is asked about a response is passed on for its owner alone, and counts no tokens again',
  () => ({ script: hello, small: {} }),
  async (scene) => {
    const { client, setup, upstream } = scene;
    const { responses } = client();
    const others = client({ apiKey: SMALL_SECRET }).responses;
    await responses.create(CALL);
    const questions = [
      (api: typeof responses) => api.retrieve(RESPONSE_ID),
      (api: typeof responses) => api.inputItems.list(RESPONSE_ID, { limit: 2 }),
      (api: typeof responses) => api.cancel(RESPONSE_ID),
      (api: typeof responses) => api.delete(RESPONSE_ID),
    ];
    for (const question of questions) {
      const asked = upstream.requests.length;
      await assert.rejects(Promise.resolve(question(others)), { status: 404, message: /^404 Response with id/ });
      assert.equal(upstream.requests.length, asked, 'never sent');
      await question(responses);
      assert.equal(upstream.requests.length, asked + 1);
    }
    assert.deepEqual(
      upstream.requests.map(({ method, path }) => `${method} ${path}`),
      [
        'POST /v1/responses',
        `GET /v1/responses/${RESPONSE_ID}`,
        `GET /v1/responses/${RESPONSE_ID}/input_items?limit=2`,
        `POST /v1/responses/${RESPONSE_ID}/cancel`,
        `DELETE /v1/responses/${RESPONSE_ID}`,
      ],
    );
    await assert.rejects(responses.retrieve(RESPONSE_ID), { status: 404 });
    assert.deepEqual(
      setup.records.map(({ inputTokens }) => inputTokens),
      [11, undefined, undefined, undefined, undefined],
    );
  },
);

onBareHost(
  'a response is its owner’s before the client knows of it, streamed too',
  () => ({ script: hello, objects: watchedObjects() }),
  async (scene) => {
    for (const stream of [false, true]) {
      puts.length = 0;
      let isAnswered = false;
      held = gate();
      const asking = ask(scene, '/responses', { body: { ...CALL, stream } }).then(async (response) => {
        isAnswered = true;
        return response.text();
      });
      await eventually(() => puts.length === 1, 'the claim');
      await new Promise((resolve) => setTimeout(resolve, 30));
      assert.equal(isAnswered && !stream, false);
      assert.equal(puts[0]?.id, RESPONSE_ID);
      held.open();
      assert.ok((await asking).includes(RESPONSE_ID));
    }
  },
);

const puts: StoredObject[] = [];
let held = gate();
function watchedObjects(): NonNullable<SceneOptions['objects']> {
  const store = memoryObjects();
  return {
    ...store,
    async put(object) {
      puts.push(object);
      await held.opened;
      await store.put(object);
    },
  };
}

onBareHost(
  'what was made by another is never gone on from, referred to or counted, nor a conversation',
  () => ({ script: hello, small: {} }),
  async ({ client, upstream }) => {
    const { responses } = client();
    const others = client({ apiKey: SMALL_SECRET }).responses;
    await responses.create(CALL);
    const goingOn = { ...CALL, previous_response_id: RESPONSE_ID };
    const reference = { model: MODEL, input: [{ type: 'item_reference' as const, id: ITEM_ID }] };
    const unknown = { status: 400, code: 'previous_response_not_found', param: 'previous_response_id' };
    await assert.rejects(others.create(goingOn), unknown);
    await assert.rejects(others.create({ ...goingOn, stream: true }), unknown);
    await assert.rejects(others.inputTokens.count(goingOn), unknown);
    await assert.rejects(others.create(reference), { status: 404, param: 'input' });
    await assert.rejects(responses.create({ ...CALL, conversation: 'conv_1' }), { status: 400, param: 'conversation' });
    assert.equal(upstream.requests.length, 1);
    await responses.create(goingOn);
    await responses.create(reference);
    const { input_tokens } = await responses.inputTokens.count(goingOn);
    assert.equal(input_tokens, 12);
    assert.equal((await upstream.request(1)).json().previous_response_id, RESPONSE_ID);
  },
);

const RENAMED: SceneOptions = {
  script: (request) => {
    const model = 'secret-model-7';
    if (request.method === 'GET' && request.path.includes('stream=true'))
      return streamReply(responseEvents(['a'], { model }));
    if (request.method === 'GET' || request.path.endsWith('/cancel')) return reply(wholeResponse('Hello', { model }));
    return request.json().stream === true
      ? streamReply(responseEvents(['Hel', 'lo'], { model }))
      : reply(wholeResponse('Hello', { model }));
  },
  models: { 'public-model': { upstreamModel: 'secret-model-7' } },
};

onBareHost(
  'the upstream’s name of a model shows in no answer, no snapshot and nothing that is retrieved',
  () => RENAMED,
  async (scene) => {
    const call = { model: 'public-model', input: 'Hi' };
    const texts = [
      await (await ask(scene, '/responses', { body: call })).text(),
      await (await ask(scene, '/responses', { body: { ...call, stream: true } })).text(),
      await (await ask(scene, `/responses/${RESPONSE_ID}`)).text(),
      await (await ask(scene, `/responses/${RESPONSE_ID}?stream=true`)).text(),
      await (await ask(scene, `/responses/${RESPONSE_ID}/cancel`, { method: 'POST' })).text(),
    ];
    assert.deepEqual(
      texts.map((text) => text.split('"model":"public-model"').length - 1),
      [1, 3, 1, 3, 1],
    );
    assert.ok(texts.every((text) => !text.includes('secret')));
    assert.equal((await scene.upstream.request(0)).json().model, 'secret-model-7');
  },
);

onBareHost(
  'a stream that is cut ends with its error in both shapes and the failed response, whose numbers go on',
  () => ({
    broken: true,
    script: () => [streamHead(), ...responseEvents(['Hel', 'lo']).slice(0, 5).map(chunkOf), { kind: 'reset' }],
  }),
  async (scene) => {
    const text = await (await ask(scene, '/responses', { body: { ...CALL, stream: true } })).text();
    const events = readEvents(text);
    assert.deepEqual(
      events.map(({ data }) => data.sequence_number),
      events.map((_, index) => index),
    );
    const [error, failed] = events.slice(-2);
    assert.equal(error?.name, 'error');
    const { message, code, param } = error?.data ?? {};
    assert.deepEqual(error?.data.error, { type: 'server_error', code, message, param });
    assert.equal(failed?.name, 'response.failed');
    const response = failed?.data.response as { id: string; status: string; error: { code: string } };
    assert.deepEqual([response.id, response.status, response.error.code], [RESPONSE_ID, 'failed', 'server_error']);
    const [record] = scene.setup.records;
    assert.deepEqual([record?.outcome, record?.counted], ['error', 'estimated']);
    assert.ok((record?.outputTokens ?? 0) > 0);
  },
);

onBareHost(
  'an error that the upstream reports in its stream is told in its words, with no name of its own for the model',
  () => ({
    ...RENAMED,
    broken: true,
    script: () => [
      ...streamReply([
        ...responseEvents(['Hel'], { model: 'secret-model-7' }).slice(0, 5),
        responseEvent('error', 5, { code: 'server_error', message: 'secret-model-7 is tired', param: null }),
      ]),
    ],
  }),
  async (scene) => {
    const body = { model: 'public-model', input: 'Hi', stream: true };
    const text = await (await ask(scene, '/responses', { body })).text();
    assert.ok(!text.includes('secret'));
    const events = readEvents(text);
    assert.deepEqual(
      events.slice(-2).map(({ name, data }) => [name, data.sequence_number]),
      [
        ['error', 5],
        ['response.failed', 6],
      ],
    );
    assert.equal(events.at(-2)?.data.message, 'public-model is tired');
    assert.equal(scene.setup.records[0]?.outcome, 'error');
  },
);

onBareHost(
  'an upstream that refuses, or whose stream begins with an error, is an HTTP error',
  () => ({
    broken: true,
    script: (_request, index) =>
      index < 2
        ? errorReply(400, { type: 'invalid_request_error', message: 'No', param: 'input' })
        : streamReply([responseEvent('error', 0, { error: { type: 'server_error', message: 'Ouch', code: null } })]),
  }),
  async ({ client, setup }) => {
    await assert.rejects(client().responses.create(CALL), { status: 400, param: 'input' });
    await assert.rejects(client().responses.create({ ...CALL, stream: true }), { status: 400 });
    await assert.rejects(client().responses.create({ ...CALL, stream: true }), { status: 502 });
    assert.ok(setup.records.every(({ outcome, inputTokens }) => outcome === 'error' && inputTokens === undefined));
  },
);

onBareHost(
  'a client that leaves in mid-stream ends the upstream’s work at once, and pays for what it got',
  () => ({
    script: () => [streamHead(), ...responseEvents(['Hel', 'lo']).slice(0, 6).map(chunkOf), { kind: 'stall' }],
  }),
  async (scene) => {
    const abort = new AbortController();
    const response = await ask(scene, '/responses', { body: { ...CALL, stream: true }, signal: abort.signal });
    await response.body?.getReader().read();
    abort.abort();
    await within((await scene.upstream.request(0)).closed, 'the upstream to be left');
    await eventually(() => scene.setup.records.length === 1, 'the record');
    const [record] = scene.setup.records;
    assert.equal(record?.outcome, 'aborted');
    assert.ok((record?.inputTokens ?? 0) > 0);
  },
);

onBareHost(
  'a whole response that says no usage is estimated by what it says',
  () => ({ script: () => reply(wholeResponse('word '.repeat(100), { usage: undefined })) }),
  async ({ client, setup }) => {
    await client().responses.create(CALL);
    assert.equal(setup.records[0]?.counted, 'estimated');
    assert.ok((setup.records[0]?.outputTokens ?? 0) >= 100);
  },
);

onBareHost(
  'an answer is not lost because nobody can note whose it is, but what would have to be fetched is refused',
  () => ({
    broken: true,
    script: (request) => reply(request.json().background === true ? unfinished('queued') : wholeResponse('Hello')),
    objects: { ...memoryObjects(), put: () => Promise.reject(new Error('The disk is full')) },
  }),
  async ({ client, setup }) => {
    assert.equal((await client().responses.create(CALL)).output_text, 'Hello');
    assert.equal(setup.errors.length, 1);
    await assert.rejects(client().responses.create({ ...CALL, background: true }), {
      status: 503,
      code: 'objects_unavailable',
    });
    assert.deepEqual(
      setup.records.map(({ outcome }) => outcome),
      ['ok', 'error'],
    );
  },
);

onBareHost(
  'where ownership cannot be looked up nothing is told: 503',
  () => ({
    broken: true,
    script: hello,
    objects: { ...memoryObjects(), find: () => Promise.reject(new Error('The database is away')) },
  }),
  async ({ client, upstream }) => {
    const gone = { status: 503, code: 'objects_unavailable' };
    await assert.rejects(client().responses.retrieve(RESPONSE_ID), gone);
    await assert.rejects(client().responses.create({ ...CALL, previous_response_id: RESPONSE_ID }), gone);
    assert.equal(upstream.requests.length, 0);
  },
);

/** Queued, then in progress, then what `last` says. */
const working =
  (last: () => unknown): Script =>
  (request) => {
    if (request.method === 'POST' && request.path === '/v1/responses') return reply(unfinished('queued'));
    if (request.method === 'DELETE') return reply({ id: RESPONSE_ID, object: 'response.deleted', deleted: true });
    if (request.path.endsWith('/cancel')) return reply(unfinished('queued', { status: 'cancelled' }));
    return reply(last());
  };
const background = (last: () => unknown, more: SceneOptions = {}): SceneOptions => ({
  script: working(last),
  clock: hastyClock(100),
  key: { limits: { concurrency: 1 } },
  ...more,
});

{
  let isDone = false;
  onBareHost(
    'what the upstream makes in its background is paid for when it is done, and holds its place until then',
    () => background(() => (isDone ? wholeResponse('Hello', { background: true }) : unfinished('in_progress'))),
    async ({ client, setup, upstream }) => {
      const { responses } = client();
      const queued = await responses.create({ ...CALL, background: true });
      assert.equal(queued.status, 'queued');
      await upstream.request(3);
      assert.equal(setup.limiter.open(), 1);
      assert.equal(setup.records.length, 0);
      await assert.rejects(responses.create(CALL), { status: 429 });
      isDone = true;
      await eventually(() => setup.records.length === 1, 'the call to be settled');
      const [record] = setup.records;
      assert.deepEqual(
        [record?.outcome, record?.counted, record?.inputTokens, record?.outputTokens],
        ['ok', 'exact', 11, 9],
      );
      const asked = upstream.requests.length;
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.equal(upstream.requests.length, asked, 'nobody asks any more');
      assert.equal((await responses.retrieve(RESPONSE_ID)).output_text, 'Hello');
      const reference = { type: 'item_reference' as const, id: ITEM_ID };
      await responses.create({ model: MODEL, input: [reference] });
    },
  );
}

onBareHost(
  'a client that leaves does not end it',
  () => background(() => wholeResponse('Hello', { background: true }), { clock: hastyClock(20) }),
  async (scene) => {
    const abort = new AbortController();
    const response = await ask(scene, '/responses', { body: { ...CALL, background: true }, signal: abort.signal });
    await response.text();
    abort.abort();
    await eventually(() => scene.setup.records.length === 1, 'the call to be settled');
    assert.equal(scene.setup.records[0]?.outcome, 'ok');
    assert.equal(scene.setup.records[0]?.inputTokens, 11);
  },
);

for (const action of ['cancel', 'delete'] as const) {
  onBareHost(
    `it is followed no further once the upstream confirmed to ${action} it`,
    () => background(() => unfinished('in_progress')),
    async ({ client, setup, upstream }) => {
      const { responses } = client();
      await responses.create({ ...CALL, background: true });
      await upstream.request(2);
      await responses[action](RESPONSE_ID);
      await eventually(() => setup.records.some(({ outcome }) => outcome === 'aborted'), 'the call to be settled');
      const asked = upstream.requests.length;
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.ok(upstream.requests.length <= asked + 1, 'nobody asks any more');
      assert.equal(setup.limiter.open(), 0);
    },
  );
}

onBareHost(
  'an upstream that does not come to an end is followed no longer than a call may take',
  () => background(() => unfinished('in_progress'), { timeoutMs: 300 }),
  async ({ client, setup }) => {
    await client().responses.create({ ...CALL, background: true });
    await eventually(() => setup.records.length === 1, 'the call to be settled');
    assert.deepEqual([setup.records[0]?.outcome, setup.records[0]?.inputTokens], ['error', undefined]);
  },
);

onBareHost(
  'an upstream that fails in between is asked again; one that has lost the response is not',
  () => background(() => wholeResponse('Hello'), { script: faulty }),
  async ({ client, setup }) => {
    const { responses } = client();
    await responses.create({ ...CALL, background: true });
    await eventually(() => setup.records.length === 1, 'the call to be settled');
    assert.equal(setup.records[0]?.inputTokens, 11);
    await responses.create({ ...CALL, background: true });
    await eventually(() => setup.records.length === 2, 'the call to be settled');
    assert.deepEqual([setup.records[1]?.outcome, setup.records[1]?.inputTokens], ['error', undefined]);
  },
);

function faulty(...[request, index]: Parameters<Script>): ReturnType<Script> {
  if (request.method === 'POST') return reply(unfinished('queued'));
  if (index < 3) return errorReply(500);
  return index === 3 ? reply(wholeResponse('Hello')) : errorReply(404, { type: 'invalid_request_error' });
}

onBareHost(
  'a model may be translated although its upstream has responses',
  () => ({ script: () => reply(wholeChat('Hello')), models: { [MODEL]: { responses: 'translate' } } }),
  async ({ client, upstream }) => {
    await client().responses.create(CALL);
    assert.equal((await upstream.request(0)).path, '/v1/chat/completions');
  },
);

it('where the upstream cannot be asked for what became of it, nobody knows what it took', async () => {
  const far = await scriptedUpstream(() => reply(unfinished('queued')));
  try {
    const upstream = openaiClient(new OpenAI({ baseURL: far.baseUrl, apiKey: UPSTREAM_KEY, logLevel: 'off' }));
    await withScene(BARE_HOST, { upstream }, async ({ client, setup }) => {
      assert.equal((await client().responses.create({ ...CALL, background: true })).status, 'queued');
      const [record] = setup.records;
      assert.deepEqual([record?.outcome, record?.inputTokens, record?.outputTokens], ['ok', undefined, undefined]);
    });
  } finally {
    await far.close();
  }
});

{
  const done = gate();
  const events = responseEvents(['Hel', 'lo']);
  onBareHost(
    'a client that leaves a streamed response in the background does not end it either',
    () => ({
      script: () => [
        streamHead(),
        ...events.slice(0, 5).map(chunkOf),
        { kind: 'wait', until: done.opened },
        ...events.slice(5).map(chunkOf),
        lastChunk(),
      ],
    }),
    async (scene) => {
      const abort = new AbortController();
      const body = { ...CALL, background: true, stream: true };
      const response = await ask(scene, '/responses', { body, signal: abort.signal });
      await response.body?.getReader().read();
      abort.abort();
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(scene.setup.records.length, 0);
      done.open();
      await eventually(() => scene.setup.records.length === 1, 'the call to be settled');
      const [record] = scene.setup.records;
      assert.deepEqual([record?.outcome, record?.inputTokens, record?.outputTokens], ['ok', 11, 9]);
    },
  );
}

onBareHost(
  'E6 with a budget, a response that goes on from another reserves all that the model can read, or is refused',
  () => ({
    script: hello,
    models: {
      [MODEL]: { contextLength: 10_000, pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 1 } },
      endless: { upstreamModel: 'endless', pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 1 } },
    },
    key: { limits: { usdPerDay: 1 } },
  }),
  async ({ client, setup }) => {
    const { responses } = client();
    const bounded = { ...CALL, max_output_tokens: 16 };
    await responses.create(bounded);
    await responses.create({ ...bounded, previous_response_id: RESPONSE_ID });
    const [first = 0, second] = setup.usage.opened.map(({ reservedNanoUsd }) => reservedNanoUsd);
    assert.ok(first > 0 && first < 1_000_000, `${first}`);
    assert.equal(second, (10_000 + 16) * 1_000);
    await assert.rejects(responses.create({ ...bounded, model: 'endless', previous_response_id: RESPONSE_ID }), {
      status: 403,
      code: 'model_not_allowed',
    });
  },
);
