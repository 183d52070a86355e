import assert from 'node:assert/strict';
import { memoryObjects } from 'megallm-middleware';
import { isJsonObject } from '../../src/base/json.js';
import { chunkOf, reply, sse, streamEvents, streamHead, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { eventually, within } from '../helpers/deadline.js';
import { SMALL_SECRET } from '../helpers/gateway-options.js';
import { ask } from '../helpers/response-client.js';
import { MODEL, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';
import { type ReadEvent, readEvents } from '../wire/read-events.js';

const translated = (script: Script, more: SceneOptions = {}): SceneOptions => ({
  script,
  models: { [MODEL]: { responses: 'translate' } },
  ...more,
});

/** The first three events: the head and two pieces of text. */
const BEGUN = streamEvents(['Hel', 'lo']).slice(0, 3);

async function eventsOf(scene: Scene): Promise<readonly ReadEvent[]> {
  const response = await ask(scene, '/responses', { body: { model: MODEL, input: 'Hi', stream: true } });
  assert.equal(response.status, 200);
  return readEvents(await response.text());
}

/** The stream ends as failed ones do, and the response is kept as it ended. */
async function checkFailed(scene: Scene, events: readonly ReadEvent[], said: RegExp): Promise<void> {
  assert.deepEqual(
    events.map(({ data }) => data.sequence_number),
    events.map((_, index) => index),
  );
  const [error, failed] = events.slice(-2);
  assert.deepEqual([error?.name, failed?.name], ['error', 'response.failed']);
  const { message, code, param } = error?.data ?? {};
  assert.match(String(message), said);
  assert.deepEqual(error?.data.error, { type: 'server_error', code, message, param });
  const response = failed?.data.response ?? null;
  assert.ok(isJsonObject(response));
  assert.equal(response.status, 'failed');
  const kept: unknown = await (await ask(scene, `/responses/${response.id}`)).json();
  assert.deepEqual(kept, response);
  const [record] = scene.setup.records;
  assert.deepEqual([record?.outcome, record?.counted], ['error', 'estimated']);
  assert.ok((record?.outputTokens ?? 0) > 0);
}

onBareHost(
  'an upstream that is cut off in mid-stream ends in an error of both shapes, and a failed response that is kept',
  () => translated(() => [streamHead(), ...BEGUN.map(chunkOf), { kind: 'reset' }], { broken: true }),
  async (scene) => checkFailed(scene, await eventsOf(scene), /upstream/i),
);

onBareHost(
  'an error that the upstream reports in mid-stream ends it likewise',
  () =>
    translated(() => streamReply([...BEGUN, sse({ error: { message: 'I am tired', type: 'server_error' } })]), {
      broken: true,
    }),
  async (scene) => checkFailed(scene, await eventsOf(scene), /I am tired/),
);

onBareHost(
  'a client that leaves in mid-stream ends the upstream’s work at once, pays for what it got, and keeps nothing',
  () => translated(() => [streamHead(), ...BEGUN.map(chunkOf), { kind: 'stall' }]),
  async (scene) => {
    const abort = new AbortController();
    const body = { model: MODEL, input: 'Hi', stream: true };
    const response = await ask(scene, '/responses', { body, signal: abort.signal });
    const first = await response.body?.getReader().read();
    const created = readEvents(new TextDecoder().decode(first?.value))[0]?.data.response ?? null;
    assert.ok(isJsonObject(created));
    abort.abort();
    await within((await scene.upstream.request(0)).closed, 'the upstream to be left');
    await eventually(() => scene.setup.records.length === 1, 'the record');
    assert.equal(scene.setup.records[0]?.outcome, 'aborted');
    assert.ok((scene.setup.records[0]?.inputTokens ?? 0) > 0);
    assert.equal((await ask(scene, `/responses/${created.id}`)).status, 404);
  },
);

onBareHost(
  'an answer that cannot be kept is not lost, whole or streamed',
  () => ({
    ...translated((request) =>
      request.json().stream === true ? streamReply(streamEvents(['Hello'])) : reply(wholeChat('Hello')),
    ),
    broken: true,
    objects: { ...memoryObjects(), put: () => Promise.reject(new Error('The disk is full')) },
  }),
  async (scene) => {
    const { client, setup } = scene;
    assert.equal((await client().responses.create({ model: MODEL, input: 'Hi' })).output_text, 'Hello');
    assert.equal((await eventsOf(scene)).at(-1)?.name, 'response.completed');
    assert.equal(setup.errors.length, 2);
    assert.ok(setup.records.every(({ outcome }) => outcome === 'ok'));
  },
);

onBareHost(
  'what has to be looked up and cannot be is a 503, before any upstream is asked',
  () => ({
    ...translated(() => reply(wholeChat('Hello'))),
    broken: true,
    objects: {
      find: () => Promise.reject(new Error('The database is away')),
      list: () => Promise.reject(new Error('The database is away')),
      put() {},
      remove() {},
    },
  }),
  async ({ client, upstream }) => {
    const { responses } = client();
    const gone = { status: 503, code: 'objects_unavailable' };
    const call = { model: MODEL, input: 'Hi' };
    await assert.rejects(responses.create({ ...call, previous_response_id: 'resp_1' }), gone);
    await assert.rejects(responses.create({ model: MODEL, input: [{ type: 'item_reference', id: 'msg_1' }] }), gone);
    await assert.rejects(responses.retrieve('resp_1'), gone);
    await assert.rejects(responses.delete('resp_1'), gone);
    assert.equal(upstream.requests.length, 0);
    assert.equal((await responses.create(call)).output_text, 'Hello', 'nothing had to be looked up');
  },
);

onBareHost(
  'a bounded store drops an owner’s oldest, and no other’s: what is gone is not there',
  () => translated(() => reply(wholeChat('Hello')), { objects: memoryObjects({ maxObjectsPerOwner: 3 }), small: {} }),
  async ({ client }) => {
    const { responses } = client();
    const others = client({ apiKey: SMALL_SECRET }).responses;
    const theirs = await others.create({ model: MODEL, input: 'Theirs' });
    const ids: string[] = [];
    for (let turn = 0; turn < 5; turn += 1) {
      ids.push((await responses.create({ model: MODEL, input: `Turn ${turn}` })).id);
    }
    const there = await Promise.all(
      ids.map((id) =>
        responses.retrieve(id).then(
          () => true,
          () => false,
        ),
      ),
    );
    assert.deepEqual(there, [false, false, true, true, true]);
    assert.equal((await others.retrieve(theirs.id)).id, theirs.id);
    await assert.rejects(responses.create({ model: MODEL, input: 'On', previous_response_id: ids[0] ?? '' }), {
      status: 400,
      code: 'previous_response_not_found',
    });
  },
);
