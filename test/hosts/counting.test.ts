import assert from 'node:assert/strict';
import { fromFunction } from 'megallm-middleware';
import { chunkOf, reply, streamEvents, streamHead, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { SECRET } from '../helpers/gateway-options.js';
import { CALL, onBareHost } from '../helpers/scene.js';
import { chunksOf, errorCodeOf, eventsOf, streamText } from '../helpers/stream-client.js';

onBareHost(
  'a whole answer without usage is charged for what was written, not for its JSON',
  () => ({ script: () => reply(wholeChat('Hello', { usage: null })) }),
  async ({ client, setup }) => {
    await client().chat.completions.create(CALL);
    assert.deepEqual([setup.records[0]?.outputTokens, setup.records[0]?.counted], [2, 'estimated']);
  },
);

onBareHost(
  'an answer of a function has usage, whole and streamed, and the record says that it was estimated',
  () => ({ upstream: fromFunction(() => 'Hello') }),
  async (scene) => {
    const { usage } = await scene.client().chat.completions.create(CALL);
    const [record] = scene.setup.records;
    assert.deepEqual(
      [usage?.prompt_tokens, usage?.completion_tokens, record?.counted],
      [record?.inputTokens, 2, 'estimated'],
    );
    const events = eventsOf(await streamText(scene, { stream_options: { include_usage: true } }));
    const chunks = chunksOf(events);
    assert.equal(events.at(-1), '[DONE]');
    assert.deepEqual(chunks.at(-1)?.choices, []);
    assert.match(JSON.stringify(chunks.at(-1)?.usage), /"completion_tokens":2,/);
    assert.equal(chunks.at(-1)?.id, chunks[0]?.id);
    for (const chunk of chunks.slice(0, -1)) assert.equal(chunk.usage, null);
    assert.ok(!(await streamText(scene)).includes('usage'), 'who does not ask sees nothing of it');
  },
);

onBareHost(
  'who did not ask for usage does not see that the gateway did',
  () => ({ script: () => streamReply(streamEvents(['Once', ' upon'])) }),
  async (scene) => {
    assert.ok(!(await streamText(scene)).includes('usage'));
    assert.equal(scene.setup.records[0]?.counted, 'exact');
  },
);

onBareHost(
  'a stream that is cut before the usage that the client asked for is cut',
  () => ({
    broken: true,
    script: () => [streamHead(), ...streamEvents(['a']).slice(0, 3).map(chunkOf), { kind: 'end' }],
  }),
  async (scene) => {
    const events = eventsOf(await streamText(scene, { stream_options: { include_usage: true } }));
    assert.equal(errorCodeOf(events), 'upstream_stream_interrupted');
    assert.equal(eventsOf(await streamText(scene)).at(-1), '[DONE]', 'who did not ask has all there is');
  },
);

for (const [how, answer] of [
  ['whole', () => 'x'.repeat(200_000)],
  [
    'in pieces',
    function* () {
      for (let piece = 0; piece < 100; piece += 1) yield 'x'.repeat(10_000);
    },
  ],
] as const) {
  onBareHost(
    `an answer of a function that is too large is given up (${how})`,
    () => ({ broken: true, maxResponseBytes: 100_000, upstream: fromFunction(answer) }),
    async (scene) => {
      await assert.rejects(scene.client().chat.completions.create(CALL), { status: 502 });
      const text = await streamText(scene).catch(String);
      assert.ok(text.length < 250_000 && !text.includes('[DONE]'), `${text.length}`);
    },
  );
}

onBareHost(
  'what nobody knows the price of has no cost, which is not a cost of 0',
  () => ({ models: { unpriced: {}, 'gpt-4o-mini': {} } }),
  async ({ client, host }) => {
    const usage = async (): Promise<unknown> => {
      const response = await fetch(`${host.baseUrl}/usage`, { headers: { authorization: `Bearer ${SECRET}` } });
      const { total_cost, cost_by_model, requests_by_hour, requests_without_cost } = JSON.parse(await response.text());
      return [total_cost, cost_by_model.unpriced, requests_by_hour[0]?.cost, requests_without_cost];
    };
    assert.deepEqual(await usage(), [0, undefined, undefined, 0]);
    await client().chat.completions.create({ ...CALL, model: 'unpriced' });
    assert.deepEqual(await usage(), [null, null, null, 1]);
    await client().chat.completions.create(CALL);
    const [total, unpriced, hour, without] = Object.values(Object(await usage()));
    assert.deepEqual([unpriced, without], [null, 1]);
    assert.ok(Number(total) > 0 && total === hour);
  },
);
