import assert from 'node:assert/strict';
import { type IdempotencyStore, memoryIdempotency } from 'megallm-middleware';
import OpenAI from 'openai';
import {
  chunkOf,
  errorReply,
  lastChunk,
  reply,
  streamEvents,
  streamHead,
  streamReply,
  wholeChat,
} from '../helpers/chat-answers.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { answering, forwardsOnBareHost, forwardsOnEveryHost } from '../helpers/forward-scene.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET, SMALL_SECRET } from '../helpers/gateway-options.js';
import { jsonAnswer } from '../helpers/http-upstream.js';
import { range } from '../helpers/in-parallel.js';
import { CALL, MESSAGES, MODEL, onBareHost, onEveryHost, type Scene } from '../helpers/scene.js';
import { textsOf } from '../helpers/stream-client.js';

// F16: an `Idempotency-Key` sent again.

const KEY = { 'idempotency-key': 'order 4711' };

interface Asked {
  readonly body?: object | string;
  readonly path?: string;
  readonly secret?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** One request with the key, as it stands on the wire. */
function ask(
  { host }: Pick<Scene, 'host'>,
  { body = CALL, path = '/chat/completions', secret = SECRET, headers = KEY, ...init }: Asked = {},
): Promise<Response> {
  const request = fetch(host.baseUrl + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...init,
  });
  return within(request, 'the head of the answer');
}

/** Of an answer: what must be the same the second time. */
async function seen(response: Response) {
  const bytes = Buffer.from(await within(response.arrayBuffer(), 'the end of the answer'));
  const { status, headers } = response;
  return { status, type: headers.get('content-type'), body: bytes.toString('latin1') };
}

const isReplay = ({ headers }: Response): boolean => headers.get('idempotency-replayed') === 'true';

{
  const held = () => {
    const answered = gate();
    return {
      answered,
      script: () => [{ kind: 'wait' as const, until: answered.opened }, ...reply(wholeChat('Hello'))],
    };
  };
  onBareHost(
    'F16: 50 requests with one key at once are one call and one charge; the others are told to come again, and get the same',
    () => ({}),
    async ({ client, upstream, setup }) => {
      const { answered, script } = held();
      upstream.answerWith(script);
      let refused = 0;
      const asked = range(50).map(async () => {
        try {
          return await client().chat.completions.create(CALL, { headers: KEY }).withResponse();
        } catch (error) {
          assert.ok(error instanceof OpenAI.ConflictError, String(error));
          assert.equal(error.code, 'idempotency_conflict');
          assert.equal(error.headers?.get('x-should-retry'), 'true');
          refused += 1;
          if (refused === 49) answered.open();
          return undefined;
        }
      });
      const [first, ...others] = (await within(Promise.all(asked), 'all answers')).filter((one) => one !== undefined);
      assert.ok(first !== undefined && others.length === 0);
      assert.equal(isReplay(first.response), false);

      const again = await client().chat.completions.create(CALL, { headers: KEY }).withResponse();
      assert.equal(isReplay(again.response), true);
      assert.deepEqual(again.data, first.data);
      assert.ok(again.request_id !== null && again.request_id !== first.request_id);
      assert.deepEqual([upstream.requests.length, setup.records.length], [1, 1]);
    },
  );
}

onBareHost(
  'F16: a client that retries by itself gets the one answer, 50 times',
  () => ({}),
  async ({ client, upstream, setup }) => {
    const answered = gate();
    upstream.answerWith(() => [{ kind: 'wait', until: answered.opened }, ...reply(wholeChat('Hello'))]);
    const asked = range(50).map(() => client({ maxRetries: 8 }).chat.completions.create(CALL, { headers: KEY }));
    await upstream.request(0);
    answered.open();
    const answers = await within(Promise.all(asked), 'all answers', 45_000);
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    assert.deepEqual([upstream.requests.length, setup.records.length], [1, 1]);
  },
);

onBareHost(
  'F16: the same key with another body is refused, and not tried again',
  () => ({}),
  async ({ client, upstream, setup }) => {
    await client().chat.completions.create(CALL, { headers: KEY });
    const other = { ...CALL, messages: [{ role: 'user' as const, content: 'Say something else' }] };
    const error = await client({ maxRetries: 2 })
      .chat.completions.create(other, { headers: KEY })
      .then(
        () => assert.fail('It was answered'),
        (thrown: unknown) => thrown,
      );
    assert.ok(error instanceof OpenAI.UnprocessableEntityError, String(error));
    assert.deepEqual([error.code, error.headers?.get('x-should-retry')], ['idempotency_key_reused', 'false']);
    assert.ok(error.requestID);
    assert.deepEqual([upstream.requests.length, setup.records.length], [1, 1]);
  },
);

onBareHost(
  'F16: what failed is not kept: the next try asks again, and that answer is kept',
  () => ({ script: () => errorReply(400, { message: 'No' }), broken: true }),
  async (scene) => {
    const { upstream, setup } = scene;
    const failed = await ask(scene);
    assert.equal(failed.status, 400);
    await failed.text();
    upstream.answerWith(() => reply(wholeChat('Hello')));
    const first = await ask(scene);
    const again = await ask(scene);
    assert.deepEqual([isReplay(failed), isReplay(first), isReplay(again)], [false, false, true]);
    assert.deepEqual(await seen(again), await seen(first));
    assert.deepEqual([upstream.requests.length, setup.records.length], [2, 2]);
  },
);

onEveryHost(
  'F16: a stream comes again byte for byte',
  () => ({ script: () => streamReply(streamEvents(['Once', ' upon', ' a ', 'tïme 🌍'])) }),
  async (scene) => {
    const body = { ...CALL, stream: true, stream_options: { include_usage: true } };
    const headers = { ...KEY, 'x-debug': 'true' };
    const first = await ask(scene, { body, headers });
    const sent = await seen(first);
    const again = await ask(scene, { body });
    assert.deepEqual([isReplay(first), isReplay(again)], [false, true]);
    assert.deepEqual(await seen(again), sent);
    assert.match(sent.body, /data: \[DONE\]\n\n$/);
    assert.match(sent.body, /: debug|debug/);
    assert.notEqual(again.headers.get('x-request-id'), first.headers.get('x-request-id'));
    assert.deepEqual([scene.upstream.requests.length, scene.setup.records.length], [1, 1]);
    const client = scene.client();
    const stream = await client.chat.completions.create(
      { ...CALL, stream: true },
      { headers: { 'idempotency-key': 'x' } },
    );
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    assert.equal(text, 'Once upon a tïme 🌍');
  },
);

onBareHost(
  'F16: two API keys do not meet, though they send the same key',
  () => ({}),
  async (scene) => {
    for (const secret of [SECRET, SMALL_SECRET]) assert.equal(isReplay(await ask(scene, { secret })), false);
    for (const secret of [SECRET, SMALL_SECRET]) {
      const again = await ask(scene, { secret });
      assert.equal(isReplay(again), true);
      // What was left of the limits then is not what is left now.
      assert.deepEqual(
        [...again.headers.keys()].filter((name) => name.startsWith('x-ratelimit-')),
        [],
      );
    }
    assert.deepEqual(
      scene.setup.records.map(({ keyId }) => keyId),
      ['key_test', 'key_small'],
    );
  },
);

forwardsOnEveryHost(
  'F16: what is passed on comes again too, bytes and all; a form does not, as it was never read',
  () =>
    answering(({ url }, res) => {
      if (url.endsWith('/speech')) res.writeHead(200, { 'content-type': 'audio/mpeg' }).end(Buffer.from(range(256)));
      else if (url.endsWith('/transcriptions')) jsonAnswer(res, { text: 'Hello' });
      else jsonAnswer(res, { created: 1, data: [{ b64_json: 'AAAA' }] });
    }),
  async (scene) => {
    const speech = { path: '/audio/speech', body: { model: 'tts-1', input: 'x', voice: 'alloy' } };
    const first = await seen(await ask(scene, speech));
    assert.equal(first.body, Buffer.from(range(256)).toString('latin1'));
    const again = await ask(scene, speech);
    assert.equal(isReplay(again), true);
    assert.deepEqual(await seen(again), first);

    const picture = { path: '/images/generations', body: { model: 'gpt-image-1', prompt: 'x' } };
    const headers = { 'idempotency-key': 'picture' };
    const drawn = await seen(await ask(scene, { ...picture, headers }));
    const redrawn = await ask(scene, { ...picture, headers });
    assert.equal(isReplay(redrawn), true);
    assert.deepEqual(await seen(redrawn), drawn);
    // The same key and body, but another path.
    assert.equal((await ask(scene, { ...picture, path: '/images/edits', headers })).status, 422);
    assert.equal(scene.upstream.arrivals.length, 2);

    for (let turn = 0; turn < 2; turn += 1) {
      const body = new FormData();
      body.set('model', 'whisper-1');
      body.set('file', new Blob(['sound']), 'a.mp3');
      const heard = await scene.ask('/audio/transcriptions', { method: 'POST', headers: KEY, body });
      assert.deepEqual([heard.status, isReplay(heard)], [200, false]);
      await heard.text();
    }
    assert.equal(scene.upstream.arrivals.length, 4);
  },
);

forwardsOnBareHost(
  'F16: a request without a body has a key as well',
  () => ({
    ...answering((_, res) => jsonAnswer(res, { id: 'vs_1', object: 'vector_store' })),
  }),
  async (scene) => {
    for (const replayed of [false, true]) {
      const made = await ask(scene, { path: '/vector_stores', body: '' });
      assert.deepEqual([made.status, isReplay(made)], [200, replayed]);
      await made.text();
    }
    assert.equal(scene.upstream.arrivals.length, 1);
  },
);

onBareHost(
  'F16: an answer of more than a megabyte is not kept, whole or streamed; one of a megabyte is',
  () => ({}),
  async (scene) => {
    const { upstream } = scene;
    let asked = 0;
    async function replays(stream: boolean, length: number): Promise<boolean> {
      asked += 1;
      const headers = { 'idempotency-key': String(asked) };
      const text = 'x'.repeat(length);
      upstream.answerWith(() => (stream ? streamReply(streamEvents([text])) : reply(wholeChat(text))));
      const body = { ...CALL, stream };
      const first = await seen(await ask(scene, { body, headers }));
      assert.ok(first.body.length > length);
      const again = await ask(scene, { body, headers });
      assert.deepEqual(await seen(again), first);
      return isReplay(again);
    }
    for (const stream of [false, true]) {
      assert.equal(await replays(stream, 1_048_576), false);
      assert.equal(await replays(stream, 1_040_000), true);
    }
  },
);

onBareHost(
  'F16: a stream that breaks off, or that its client leaves, is not kept',
  () => ({ broken: true }),
  async (scene) => {
    const { upstream, setup } = scene;
    const body = { ...CALL, stream: true };
    const [start = '', piece = '', ...rest] = streamEvents(['Once', ' upon']);
    upstream.answerWith(() => [streamHead(), chunkOf(start), chunkOf(piece), { kind: 'reset' }]);
    assert.match((await seen(await ask(scene, { body }))).body, /"error"/);

    upstream.answerWith(() => [streamHead(), chunkOf(start), chunkOf(piece), { kind: 'stall' }]);
    const leaving = new AbortController();
    const left = await ask(scene, { body, signal: leaving.signal });
    for await (const text of textsOf(left)) if (text.includes('Once')) break;
    // In flight as long as somebody reads it.
    const inFlight = await ask(scene, { body });
    assert.deepEqual([inFlight.status, inFlight.headers.get('retry-after')], [409, '1']);
    leaving.abort();
    await eventually(() => setup.records.length === 2, 'the call to be settled');

    upstream.answerWith(() => [streamHead(), ...[start, piece, ...rest].map(chunkOf), lastChunk()]);
    const first = await ask(scene, { body });
    const sent = await seen(first);
    assert.equal(isReplay(first), false);
    assert.match(sent.body, /\[DONE\]/);
    assert.deepEqual(await seen(await ask(scene, { body })), sent);
    assert.deepEqual(
      setup.records.map(({ outcome }) => outcome),
      ['error', 'aborted', 'ok'],
    );
  },
);

onBareHost(
  'F16: what a client gave up waiting for is not kept, and may be tried again at once',
  () => ({ script: () => [{ kind: 'stall' }] }),
  async (scene) => {
    const { upstream, setup } = scene;
    const leaving = new AbortController();
    const left = ask(scene, { signal: leaving.signal }).catch(() => undefined);
    await upstream.request(0);
    leaving.abort();
    await left;
    await eventually(() => setup.records.length === 1, 'the call to be settled');
    upstream.answerWith(() => reply(wholeChat('Hello')));
    const first = await ask(scene);
    assert.deepEqual([first.status, isReplay(first)], [200, false]);
  },
);

{
  const answered = gate();
  let text = '';
  let isKeeping = false;
  const memory = memoryIdempotency();
  const slow: IdempotencyStore = {
    claim: memory.claim,
    async finish(...of) {
      isKeeping = true;
      await answered.opened;
      return memory.finish(...of);
    },
  };
  onBareHost(
    'F16: nobody has the end of an answer that is not kept yet',
    () => ({ idempotency: slow, script: () => streamReply(streamEvents(['Once', ' upon'])) }),
    async (scene) => {
      const response = await ask(scene, { body: { ...CALL, stream: true } });
      const reading = (async () => {
        for await (const piece of textsOf(response)) text += piece;
      })();
      await eventually(() => isKeeping && text.includes(' upon'), 'the answer to be kept');
      // What was on its way to the client is there when another has gone to and fro.
      for (let turn = 0; turn < 5; turn += 1) await ask(scene, { headers: {} }).then((other) => other.text());
      assert.ok(!text.includes('[DONE]'), text);
      answered.open();
      await within(reading, 'the end of the stream');
      assert.match(text, /\[DONE\]/);
    },
  );
}

{
  const clock = frozenClock();
  const memory = memoryIdempotency();
  let forgets = true;
  /** As after a crash between the call and its answer. */
  const forgetful: IdempotencyStore = {
    claim: memory.claim,
    finish: (...of) => (forgets ? undefined : memory.finish(...of)),
  };
  onBareHost(
    'F16: a claim that a crash left behind ends 30 s after the longest call, an answer after a day',
    () => ({ clock, idempotency: forgetful, timeoutMs: 5_000 }),
    async (scene) => {
      const statuses: [number, boolean][] = [];
      async function note(): Promise<void> {
        const response = await ask(scene);
        await response.text();
        statuses.push([response.status, isReplay(response)]);
      }
      await note();
      clock.advance(34_999);
      await note();
      forgets = false;
      clock.advance(1);
      await note();
      clock.advance(86_399_999);
      await note();
      clock.advance(1);
      await note();
      assert.deepEqual(statuses, [
        [200, false],
        [409, false],
        [200, false],
        [200, true],
        [200, false],
      ]);
    },
  );
}

{
  const broken = (): never => {
    throw new Error('The disk is full');
  };
  const memory = memoryIdempotency();
  onBareHost(
    'F16: a store that cannot tell whether a request was answered lets nothing be asked twice',
    () => ({ idempotency: { claim: broken, finish: broken }, broken: true }),
    async (scene) => {
      const refused = await ask(scene);
      assert.equal(refused.status, 503);
      assert.match(await refused.text(), /"idempotency_unavailable"/);
      assert.equal(scene.upstream.requests.length, 0);
      assert.equal(scene.setup.errors.length, 1);
      // And is not asked about other requests at all.
      assert.equal((await ask(scene, { headers: {} })).status, 200);
      assert.equal((await ask(scene, { headers: { 'idempotency-key': '' } })).status, 200);
      assert.equal(scene.setup.errors.length, 1);
    },
  );
  onBareHost(
    'F16: a store that cannot keep an answer costs the client nothing',
    () => ({ idempotency: { claim: memory.claim, finish: async () => broken() }, broken: true }),
    async (scene) => {
      for (const stream of [false, true]) {
        const headers = { 'idempotency-key': String(stream) };
        if (stream) scene.upstream.answerWith(() => streamReply(streamEvents(['Hello'])));
        const response = await ask(scene, { body: { ...CALL, stream }, headers });
        assert.equal(response.status, 200);
        assert.match(await response.text(), /Hello/);
      }
      assert.equal(scene.setup.errors.length, 2);
    },
  );
}

onBareHost(
  'F16: a replay takes nothing of any limit, and is given even to who has none left',
  () => ({ key: { limits: { requestsPerMinute: 1 } }, clock: frozenClock() }),
  async (scene) => {
    await ask(scene);
    assert.equal((await ask(scene, { headers: {} })).status, 429);
    assert.equal(isReplay(await ask(scene)), true);
    // What was refused may come again.
    const other = { headers: { 'idempotency-key': 'other' } };
    for (let turn = 0; turn < 2; turn += 1) {
      const refused = await ask(scene, other);
      assert.deepEqual([refused.status, isReplay(refused)], [429, false]);
    }
  },
);

onBareHost(
  'F16: a response in the background comes again as it was told of, whole and streamed',
  () => ({
    models: { [MODEL]: { responses: 'translate' } },
    script: ({ body }) =>
      JSON.parse(body).stream === true ? streamReply(streamEvents(['Once', ' upon'])) : reply(wholeChat('Hello')),
  }),
  async (scene) => {
    for (const stream of [false, true]) {
      const body = { model: MODEL, input: MESSAGES, background: true, stream };
      const request = { path: '/responses', body, headers: { 'idempotency-key': String(stream) } };
      const first = await seen(await ask(scene, request));
      assert.match(first.body, stream ? /response\.completed/ : /"queued"/);
      const again = await ask(scene, request);
      assert.equal(isReplay(again), true);
      assert.deepEqual(await seen(again), first);
    }
    await eventually(() => scene.setup.records.length === 2, 'both to be settled');
    assert.equal(scene.upstream.requests.length, 2);
  },
);

{
  const held = gate();
  const [start = '', ...rest] = streamEvents(['Once', ' upon']);
  onBareHost(
    'F16: a response in the background whose client left goes on, and the key is free again when it is done',
    () => ({
      models: { [MODEL]: { responses: 'translate' } },
      script: () => [
        streamHead(),
        chunkOf(start),
        { kind: 'wait', until: held.opened },
        ...rest.map(chunkOf),
        lastChunk(),
      ],
    }),
    async (scene) => {
      const request = { path: '/responses', body: { model: MODEL, input: MESSAGES, background: true, stream: true } };
      const leaving = new AbortController();
      const left = await ask(scene, { ...request, signal: leaving.signal });
      for await (const text of textsOf(left)) if (text.includes('response.created')) break;
      leaving.abort();
      assert.equal((await ask(scene, request)).status, 409);
      held.open();
      await eventually(() => scene.setup.records.length === 1, 'the call to be settled');
      const first = await ask(scene, request);
      assert.deepEqual([first.status, isReplay(first)], [200, false]);
      assert.match((await seen(first)).body, /response\.completed/);
      assert.equal(isReplay(await ask(scene, request)), true);
    },
  );
}
