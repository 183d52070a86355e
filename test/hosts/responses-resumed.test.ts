import assert from 'node:assert/strict';
import { isJsonObject } from '../../src/base/json.js';
import { chunkOf, lastChunk, reply, streamEvents, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate } from '../helpers/deadline.js';
import { SMALL_SECRET } from '../helpers/gateway-options.js';
import { ask } from '../helpers/response-client.js';
import { MODEL, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';
import { readEvents } from '../wire/read-events.js';

const CALL = { model: MODEL, input: 'Say hello', background: true } as const;

const translated = (script: Script): SceneOptions => ({
  script,
  models: { [MODEL]: { responses: 'translate' } },
});

interface Shown {
  readonly id: string;
  readonly status: string;
}

async function shown(scene: Scene, id: string): Promise<Shown> {
  return JSON.parse(await (await ask(scene, `/responses/${id}`)).text());
}

const hasStatus = (scene: Scene, id: string, status: string): Promise<void> =>
  eventually(async () => (await shown(scene, id)).status === status, `the response to be ${status}`);

{
  const held = gate();
  const [opening = '', ...following] = streamEvents(['Hello']);
  const script: Script = () => [
    streamHead(),
    chunkOf(opening),
    { kind: 'wait', until: held.opened },
    ...following.map(chunkOf),
    lastChunk(),
  ];
  onBareHost(
    'a response in the background is in progress once the upstream’s answer has begun, and can be cancelled then',
    () => translated(script),
    async (scene) => {
      const make = async (): Promise<Shown> =>
        JSON.parse(await (await ask(scene, '/responses', { body: CALL })).text());
      const first = await make();
      assert.equal(first.status, 'queued');
      await hasStatus(scene, first.id, 'in_progress');
      const second = await make();
      await hasStatus(scene, second.id, 'in_progress');
      const cancelled = await ask(scene, `/responses/${second.id}/cancel`, { method: 'POST' });
      assert.equal(JSON.parse(await cancelled.text()).status, 'cancelled');
      held.open();
      await hasStatus(scene, first.id, 'completed');
      assert.equal((await shown(scene, second.id)).status, 'cancelled');
    },
  );
}

{
  const held = gate();
  const [first = '', ...rest] = streamEvents(['Hel', 'lo']);
  const script: Script = (request) =>
    request.json().stream === true
      ? [streamHead(), chunkOf(first), { kind: 'wait', until: held.opened }, ...rest.map(chunkOf), lastChunk()]
      : reply(wholeChat('Hello'));
  onBareHost(
    'the stream of a response in the background is taken up again from any event, while it is made and afterwards',
    () => translated(script),
    async (scene) => {
      const controller = new AbortController();
      const begun = await ask(scene, '/responses', { body: { ...CALL, stream: true }, signal: controller.signal });
      const reader = begun.body?.getReader();
      const text = new TextDecoder().decode((await reader?.read())?.value);
      const response = readEvents(text)[0]?.data.response ?? null;
      assert.ok(isJsonObject(response));
      const id = String(response.id);
      await hasStatus(scene, id, 'in_progress');
      controller.abort();
      const following = ask(scene, `/responses/${id}?stream=true&starting_after=1`);
      const other = await ask(scene, `/responses/${id}?stream=true`, { secret: SMALL_SECRET });
      assert.equal(other.status, 404);
      await other.text();
      const live = (await following).text();
      held.open();
      const followed = readEvents(await live);
      const all = readEvents(await (await ask(scene, `/responses/${id}?stream=true`)).text());
      assert.deepEqual(
        all.map(({ data }) => data.sequence_number),
        all.map((_, index) => index),
      );
      assert.deepEqual(followed, all.slice(2));
      assert.equal(all.at(-1)?.name, 'response.completed');
      assert.deepEqual(all.at(-1)?.data.response, JSON.parse(JSON.stringify(await shown(scene, id))));
      for (const after of [0, all.length - 2, all.length - 1, all.length + 5]) {
        const path = `/responses/${id}?stream=true&starting_after=${after}`;
        assert.deepEqual(readEvents(await (await ask(scene, path)).text()), all.slice(after + 1));
      }
      const bad = await ask(scene, `/responses/${id}?stream=true&starting_after=x`);
      assert.equal(bad.status, 400);
      await bad.text();
    },
  );
}

onBareHost(
  'a response that was kept whole is told as a stream of the same items',
  () => translated(() => reply(wholeChat('Hello'))),
  async (scene) => {
    const made = JSON.parse(await (await ask(scene, '/responses', { body: { model: MODEL, input: 'Hi' } })).text());
    const text = await (await ask(scene, `/responses/${made.id}?stream=true`)).text();
    const events = readEvents(text);
    assert.deepEqual(events.at(-1)?.data.response, made);
    const deltas = events.filter(({ name }) => name === 'response.output_text.delta').map(({ data }) => data.delta);
    assert.deepEqual(deltas, ['Hello']);
  },
);
