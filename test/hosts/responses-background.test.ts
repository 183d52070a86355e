import assert from 'node:assert/strict';
import { memoryObjects, type StoredObject } from 'megallm-middleware';
import type OpenAI from 'openai';
import { isJsonObject } from '../../src/base/json.js';
import { chunkOf, errorReply, lastChunk, reply, streamEvents, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { SMALL_SECRET } from '../helpers/gateway-options.js';
import { ask } from '../helpers/response-client.js';
import { MODEL, onBareHost, type SceneOptions } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';
import { readEvents } from '../wire/read-events.js';

const translated = (script: Script, more: SceneOptions = {}): SceneOptions => ({
  script,
  models: { [MODEL]: { responses: 'translate' } },
  key: { limits: { concurrency: 5 } },
  ...more,
});
const CALL = { model: MODEL, input: 'Say hello', background: true } as const;

/** Asks until the response is no longer under way. */
async function ended({ responses }: OpenAI, id: string): Promise<OpenAI.Responses.Response> {
  let response = await responses.retrieve(id);
  await eventually(async () => {
    response = await responses.retrieve(id);
    return response.status !== 'queued' && response.status !== 'in_progress';
  }, 'the response to end');
  return response;
}

/** The id of the response that a stream begins with. */
function idIn(text: string): string {
  const response = readEvents(text)[0]?.data.response ?? null;
  assert.ok(isJsonObject(response) && typeof response.id === 'string');
  return response.id;
}

/** What is kept of a response. */
function statusOf(object: StoredObject | undefined): unknown {
  const response = object?.body.response ?? null;
  return isJsonObject(response) ? response.status : undefined;
}

/** Says nothing until `until`, then these pieces. */
function stream(pieces: readonly string[], until: Promise<void>): ReturnType<Script> {
  const [first = '', ...rest] = streamEvents(pieces);
  return [streamHead(), chunkOf(first), { kind: 'wait', until }, ...rest.map(chunkOf), lastChunk()];
}

{
  const held = gate();
  const script: Script = () => [{ kind: 'wait', until: held.opened }, ...reply(wholeChat('Hello'))];
  onBareHost(
    'a response in the background is queued, then completed; its call stays open all the while',
    () => translated(script),
    async ({ client, setup, upstream }) => {
      const queued = await client().responses.create(CALL);
      assert.deepEqual([queued.status, queued.background, queued.output], ['queued', true, []]);
      await upstream.request(0);
      assert.equal((await client().responses.retrieve(queued.id)).status, 'queued');
      assert.equal(setup.limiter.open(), 1);
      assert.equal(setup.records.length, 0);
      held.open();
      const response = await ended(client(), queued.id);
      assert.deepEqual([response.status, response.output_text], ['completed', 'Hello']);
      assert.equal(response.usage?.total_tokens, 20);
      assert.deepEqual(
        setup.records.map(({ outcome, inputTokens, operation }) => [outcome, inputTokens, operation]),
        [['ok', 11, 'responses']],
      );
    },
  );
}

onBareHost(
  'a response in the background is polled to its end',
  () => translated(() => reply(wholeChat('Hello'))),
  async ({ client }) => {
    const { id } = await client().responses.create(CALL);
    assert.equal((await ended(client(), id)).output_text, 'Hello');
  },
);

onBareHost(
  'who cancels a response in the background ends the upstream’s work, and it stays cancelled',
  () => translated(() => [{ kind: 'stall' }]),
  async ({ client, upstream, setup }) => {
    const { id } = await client().responses.create(CALL);
    const request = await upstream.request(0);
    await assert.rejects(client({ apiKey: SMALL_SECRET }).responses.cancel(id), { status: 404 });
    const cancelled = await client().responses.cancel(id);
    assert.equal(cancelled.status, 'cancelled');
    await within(request.closed, 'the upstream to be left');
    await setup.finish();
    assert.equal((await client().responses.retrieve(id)).status, 'cancelled');
    assert.equal((await client().responses.cancel(id)).status, 'cancelled', 'twice is once');
    assert.deepEqual(
      setup.records.map(({ outcome }) => outcome),
      ['error'],
    );
  },
);

onBareHost(
  'a response that is deleted in the background does not come back',
  () => translated(() => [{ kind: 'stall' }]),
  async ({ client, upstream, setup }) => {
    const { id } = await client().responses.create(CALL);
    const request = await upstream.request(0);
    await client().responses.delete(id);
    await within(request.closed, 'the upstream to be left');
    await setup.finish();
    await assert.rejects(client().responses.retrieve(id), { status: 404 });
  },
);

onBareHost(
  'what is completed cannot be cancelled any more',
  () => translated(() => reply(wholeChat('Hello'))),
  async ({ client }) => {
    const { id } = await client().responses.create(CALL);
    await ended(client(), id);
    await assert.rejects(client().responses.cancel(id), { status: 400, message: /Cannot cancel a completed response/ });
  },
);

onBareHost(
  'a background response whose upstream refuses is failed, and costs nothing',
  () => translated(() => errorReply(400, { type: 'invalid_request_error', message: 'No such thing' })),
  async ({ client, setup }) => {
    const { id } = await client().responses.create(CALL);
    const response = await ended(client(), id);
    assert.equal(response.status, 'failed');
    assert.deepEqual(response.error, { code: 'invalid_prompt', message: 'No such thing' });
    assert.deepEqual(
      setup.records.map(({ outcome, inputTokens }) => [outcome, inputTokens]),
      [['error', undefined]],
    );
  },
);

{
  const held = gate();
  const script: Script = () => [{ kind: 'wait', until: held.opened }, ...reply(wholeChat('Hello'))];
  onBareHost(
    '`close()` waits for what goes on in the background until it is kept',
    () => {
      const store = memoryObjects();
      const slow = {
        ...store,
        put: async (object: Parameters<typeof store.put>[0]) => {
          await new Promise((resolve) => setTimeout(resolve, 50));
          await store.put(object);
        },
      };
      return translated(script, { objects: slow });
    },
    async ({ client, host, setup, upstream }) => {
      const { id } = await client().responses.create(CALL);
      await upstream.request(0);
      let isClosed = false;
      const closing = host.gateway.close().then(() => {
        isClosed = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(isClosed, false);
      held.open();
      await within(closing, 'the gateway to close');
      assert.equal(setup.records[0]?.outcome, 'ok');
      const kept = await setup.options.objects?.find('key:key_test', 'response', id);
      assert.equal(statusOf(kept), 'completed');
    },
  );
}

onBareHost(
  'at the end of the grace a background response is failed',
  () => translated(() => [{ kind: 'stall' }], { objects: memoryObjects() }),
  async ({ client, host, setup, upstream }) => {
    const { id } = await client().responses.create(CALL);
    await upstream.request(0);
    await within(host.gateway.close({ graceMs: 20 }), 'the gateway to close');
    const kept = await setup.options.objects?.find('key:key_test', 'response', id);
    assert.equal(statusOf(kept), 'failed');
  },
);

{
  const held = gate();
  const script: Script = (request) =>
    request.json().stream === true
      ? stream(['Hel', 'lo'], held.opened)
      : [{ kind: 'wait', until: held.opened }, ...reply(wholeChat('Hello'))];
  onBareHost(
    'a client that leaves ends no response in the background, whether it watched it or not',
    () => translated(script),
    async (scene) => {
      const { client, setup, upstream } = scene;
      const abort = new AbortController();
      const response = await ask(scene, '/responses', { body: { ...CALL, stream: true }, signal: abort.signal });
      const reader = response.body?.getReader();
      const first = new TextDecoder().decode((await reader?.read())?.value);
      const streamedId = idIn(first);
      assert.equal((await client().responses.retrieve(streamedId)).status, 'in_progress');
      const queued = await client().responses.create(CALL);
      await upstream.request(1);
      abort.abort();
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(setup.limiter.open(), 2);
      held.open();
      for (const id of [streamedId, queued.id]) {
        const done = await ended(client(), id);
        assert.deepEqual([done.status, done.output_text], ['completed', 'Hello']);
      }
      assert.deepEqual(
        setup.records.map(({ outcome, inputTokens }) => [outcome, inputTokens]),
        [
          ['ok', 11],
          ['ok', 11],
        ],
      );
    },
  );
}

onBareHost(
  'a background response that is watched can be cancelled: the stream ends, the response is cancelled',
  () => translated(() => stream(['Hel', 'lo'], new Promise(() => {}))),
  async (scene) => {
    const { client, upstream } = scene;
    const response = await ask(scene, '/responses', { body: { ...CALL, stream: true } });
    const reader = response.body?.getReader();
    assert.ok(reader !== undefined);
    let text = new TextDecoder().decode((await reader.read()).value);
    const id = idIn(text);
    assert.equal((await client().responses.cancel(id)).status, 'cancelled');
    for (let step = await reader.read(); step.value !== undefined; step = await reader.read()) {
      text += new TextDecoder().decode(step.value);
    }
    assert.deepEqual(
      readEvents(text)
        .slice(-2)
        .map(({ name }) => name),
      ['error', 'response.failed'],
    );
    await within((await upstream.request(0)).closed, 'the upstream to be left');
    assert.equal((await client().responses.retrieve(id)).status, 'cancelled');
  },
);

onBareHost(
  'limits refuse a background call before it is queued, and its place is held until it ends',
  () => translated(() => [{ kind: 'stall' }], { small: { concurrency: 1 } }),
  async ({ client, upstream }) => {
    const { responses } = client({ apiKey: SMALL_SECRET });
    const { id } = await responses.create(CALL);
    await upstream.request(0);
    await assert.rejects(responses.create(CALL), { status: 429 });
    await responses.cancel(id);
    await responses.create(CALL).then((next) => responses.cancel(next.id));
  },
);

onBareHost(
  'what cannot be kept is not begun in the background: 503',
  () => ({
    ...translated(() => reply(wholeChat('Hello'))),
    broken: true,
    objects: { ...memoryObjects(), put: () => Promise.reject(new Error('The disk is full')) },
  }),
  async ({ client, upstream, setup }) => {
    await assert.rejects(client().responses.create(CALL), { status: 503, code: 'objects_unavailable' });
    assert.equal(upstream.requests.length, 0);
    assert.deepEqual(
      setup.records.map(({ outcome, inputTokens }) => [outcome, inputTokens]),
      [['error', undefined]],
    );
  },
);
