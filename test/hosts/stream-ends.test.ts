import assert from 'node:assert/strict';
import {
  chunkOf,
  errorReply,
  reply,
  streamEvents,
  streamHead,
  streamReply,
  wholeChat,
} from '../helpers/chat-answers.js';
import { within } from '../helpers/deadline.js';
import { CALL, onBareHost, onEveryHost } from '../helpers/scene.js';
import { chunksOf, eventsOf, streamResponse, streamText, textOf } from '../helpers/stream-client.js';

const PIECES = ['Once', ' upon', ' a', ' tïme', ' 漢字'];

onBareHost(
  'a renamed model has its public name in every chunk of a stream, and no other text is changed',
  () => ({
    models: { 'house-model': { upstreamModel: 'secret-model' } },
    script: () =>
      streamReply(
        streamEvents(['the secret', '-model ', 'is "model":"secret', '-model"'], { model: 'secret-model-1' }),
      ),
  }),
  async (scene) => {
    const events = eventsOf(await streamText(scene, { model: 'house-model' }));
    const chunks = chunksOf(events);
    for (const chunk of chunks) assert.equal(chunk.model, 'house-model');
    assert.equal(textOf(events), 'the secret-model is "model":"secret-model"');
    assert.equal(scene.setup.records[0]?.counted, 'exact');
  },
);

onBareHost(
  'an upstream error before the first event is an HTTP error, not a stream',
  () => ({ script: () => errorReply(500), broken: true }),
  async (scene) => {
    const response = await streamResponse(scene, {});
    assert.ok(response.status >= 500);
    assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
  },
);

onEveryHost(
  'a stream that the upstream cuts makes the official client throw: no silent end',
  () => ({
    broken: true,
    script: () => [streamHead(), ...streamEvents(PIECES).slice(0, 3).map(chunkOf), { kind: 'reset' }],
  }),
  async ({ client, setup }) => {
    const stream = await client().chat.completions.create({ ...CALL, stream: true });
    const texts: string[] = [];
    await assert.rejects(
      within(
        (async () => {
          for await (const chunk of stream) texts.push(chunk.choices[0]?.delta.content ?? '');
        })(),
        'the stream to end',
      ),
      { code: 'upstream_stream_interrupted' },
    );
    assert.equal(texts.join(''), 'Once upon');
    await setup.usage.allSettled();
    assert.equal(setup.records[0]?.outcome, 'error');
    assert.ok((setup.records[0]?.outputTokens ?? 0) > 0, 'what was delivered is counted');
  },
);

onBareHost(
  'an upstream that streams where a whole answer was asked, or the other way round, is understood',
  () => ({
    script: (request) => (request.json().stream === true ? reply(wholeChat('x')) : streamReply(streamEvents(PIECES))),
  }),
  async ({ client }) => {
    const { choices } = await client().chat.completions.create(CALL);
    assert.equal(choices[0]?.message.content, PIECES.join(''));
    const told: string[] = [];
    for await (const chunk of await client().chat.completions.create({ ...CALL, stream: true })) {
      told.push(chunk.choices[0]?.delta.content ?? '');
    }
    assert.equal(told.join(''), 'x');
  },
);
