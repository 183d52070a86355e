import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import type { ForwardCall, ForwardReply, Upstream } from 'megallm-middleware';
import { eventually } from '../helpers/deadline.js';
import { answering, type ForwardScene, forwardsOnBareHost } from '../helpers/forward-scene.js';
import { errorAnswer, jsonAnswer } from '../helpers/http-upstream.js';

const SECRET_MODEL = 'secret-up-model';
const models = {
  pub: { upstreamModel: SECRET_MODEL, operation: 'images' as const },
  thinker: { upstreamModel: SECRET_MODEL, responses: 'pass' as const },
};
const JSON_TYPE = { 'content-type': 'application/json' };
const post = (body: unknown): RequestInit => ({ method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) });

/** An upstream that passes requests on so. */
const forwarding = (forward: (call: ForwardCall) => Promise<ForwardReply>): Upstream => ({
  name: 'thrower',
  send: () => Promise.reject(new Error('no calls')),
  forward,
});

const BAD_AUDIO = {
  error: {
    message: 'Audio file is corrupted',
    type: 'invalid_request_error',
    param: 'audio_file',
    code: 'invalid_audio',
  },
};

/** An upstream whose sound never ends, until its call is cancelled. */
let isCancelled = false;
const endless = {
  ...forwarding(async ({ signal }) => ({
    status: 200,
    headers: { 'content-type': 'audio/mpeg' },
    body: (async function* () {
      signal.addEventListener('abort', () => {
        isCancelled = true;
      });
      for (;;) {
        yield Buffer.alloc(1_000);
        await setTimeout(5, undefined, { signal });
      }
    })(),
  })),
  isCancelled: () => isCancelled,
};

/** Values that an upstream without types may throw or answer. */
const failures: Record<string, () => unknown> = {
  'an error': () => Promise.reject(new TypeError('secret-up-model at 10.0.0.7')),
  'something else': () => Promise.reject('a string'),
  'an error at once': () => {
    throw new Error('secret-up-model');
  },
  nothing: () => Promise.resolve(undefined),
  'no promise': () => ({ status: 200, headers: {}, body: undefined }),
  'a reply without a body': () => Promise.resolve({ status: 200, headers: {} }),
  'a reply without headers': () => Promise.resolve({ status: 200, body: (async function* () {})() }),
};

for (const [what, fail] of Object.entries(failures)) {
  forwardsOnBareHost(
    `a forward that gives ${what} is a 502 that tells no more`,
    () => ({
      ...answering((_arrival, res) => jsonAnswer(res, {})),
      models,
      broken: true,
      upstream: forwarding(fail as (call: ForwardCall) => Promise<ForwardReply>),
    }),
    async ({ ask, setup }) => {
      for (const [path, init] of [
        ['/images/generations', post({ model: 'pub', prompt: 'x' })],
        ['/files', {}],
      ] as const) {
        const response = await ask(path, init);
        assert.equal(response.status, 502, path);
        const { error } = JSON.parse(await response.text());
        assert.equal(error.code, 'upstream_error');
        assert.doesNotMatch(error.message, /secret|10\.0\.0|string/);
      }
      assert.equal(setup.errors.length, 2);
    },
  );
}

/** The message of an answer's error, and its status. */
async function refusalOf({ ask }: ForwardScene, path: string, init?: RequestInit) {
  const response = await ask(path, init);
  return { status: response.status, text: await response.text() };
}

forwardsOnBareHost(
  "a refusal of what is passed on bears the client's name of the model",
  () => ({
    ...answering((_arrival, res) => errorAnswer(res, 400, `${SECRET_MODEL} does not take size 5`)),
    models,
  }),
  async (scene) => {
    const { status, text } = await refusalOf(scene, '/images/generations', post({ model: 'pub', prompt: 'x' }));
    assert.equal(status, 400);
    assert.equal(JSON.parse(text).error.message, 'pub does not take size 5');

    const counted = await refusalOf(scene, '/responses/input_tokens', post({ model: 'thinker', input: 'x' }));
    assert.equal(counted.status, 400);
    assert.equal(JSON.parse(counted.text).error.message, 'thinker does not take size 5');
  },
);

forwardsOnBareHost(
  "a refused question about a response bears the client's name of the model",
  () => ({
    ...answering((arrival, res) => {
      if (arrival.method !== 'POST') return errorAnswer(res, 404, `${SECRET_MODEL} has lost it`);
      const response = { id: 'resp_1', object: 'response', status: 'completed', model: SECRET_MODEL, output: [] };
      return jsonAnswer(res, response);
    }),
    models,
  }),
  async (scene) => {
    const made = await scene.ask('/responses', post({ model: 'thinker', input: 'x' }));
    assert.equal(made.status, 200, await made.clone().text());
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/input_items'],
      ['DELETE', ''],
    ] as const) {
      const { status, text } = await refusalOf(scene, `/responses/resp_1${path}`, { method });
      assert.equal(status, 404, `${method} ${path}`);
      assert.equal(JSON.parse(text).error.message, 'thinker has lost it');
    }
  },
);

forwardsOnBareHost(
  'a refused form keeps the words of the upstream, though no model was known when it was asked',
  () => answering((_arrival, res) => jsonAnswer(res, BAD_AUDIO, 400)),
  async ({ ask }) => {
    const body = new FormData();
    body.append('model', 'gpt-4o-transcribe');
    body.append('file', new Blob(['x'.repeat(200)]), 'a.wav');
    const response = await ask('/audio/transcriptions', { method: 'POST', body });
    assert.equal(response.status, 400);
    const { error } = JSON.parse(await response.text());
    assert.deepEqual(
      [error.message, error.param, error.code],
      ['Audio file is corrupted', 'audio_file', 'invalid_audio'],
    );
  },
);

forwardsOnBareHost(
  'a forwarded answer that breaks off before its first byte costs a budget nothing',
  () => ({
    ...answering((_arrival, res) => jsonAnswer(res, {})),
    models: { tts: { pricing: { inputUsdPerMillion: 10, outputUsdPerMillion: 10 } } },
    tiers: { open: { usdPerDay: 5 } },
    upstream: forwarding(() =>
      Promise.resolve({
        status: 200,
        headers: { 'content-type': 'audio/mpeg' },
        body: (async function* () {
          if (Date.now() > 0) throw new Error('gone');
          yield Buffer.from('never');
        })(),
      }),
    ),
  }),
  async ({ ask, setup }) => {
    setup.expectErrors();
    await assert.rejects(async () => {
      const response = await ask('/audio/speech', post({ model: 'tts', voice: 'alloy', input: 'x' }));
      await response.text();
    });
    await setup.usage.allSettled();
    const [record] = setup.records;
    assert.deepEqual([record?.outcome, record?.costNanoUsd, record?.firstByteMs], ['error', undefined, undefined]);
  },
);

forwardsOnBareHost(
  'a forwarded answer is not read on for a client that left, even from an upstream that drains its calls',
  () => ({
    ...answering((_arrival, res) => jsonAnswer(res, {})),
    upstream: { ...endless, onAbort: 'drain' as const },
  }),
  async ({ ask, setup }) => {
    const controller = new AbortController();
    const speech = { ...post({ model: 'tts-1', voice: 'alloy', input: 'x' }), signal: controller.signal };
    const response = await ask('/audio/speech', speech);
    const reader = response.body?.getReader();
    await reader?.read();
    controller.abort();
    await eventually(() => setup.records.length === 1, 'the record');
    assert.equal(setup.records[0]?.outcome, 'aborted');
    await eventually(() => endless.isCancelled(), 'the end of the upstream');
  },
);
