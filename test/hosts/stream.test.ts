import assert from 'node:assert/strict';
import { chunkOf, errorReply, lastChunk, streamEvents, streamHead, streamReply } from '../helpers/chat-answers.js';
import { gate, within } from '../helpers/deadline.js';
import { CALL, onBareHost, onEveryHost } from '../helpers/scene.js';
import type { Step } from '../helpers/scripted-upstream.js';
import { chunksOf, eventsOf, streamResponse, streamText, textOf, textsOf } from '../helpers/stream-client.js';

const PIECES = ['Once', ' upon', ' a', ' tïme', ' 漢字'];
const TEXT = PIECES.join('');

onEveryHost(
  'the official client streams an answer: all text in order, one end, an exact record',
  () => ({ script: () => streamReply(streamEvents(PIECES)) }),
  async ({ client, setup }) => {
    const stream = await client().chat.completions.create({ ...CALL, stream: true });
    const texts: string[] = [];
    let finish: string | null = null;
    for await (const chunk of stream) {
      assert.ok(chunk.usage == null, 'nobody asked for usage');
      assert.equal(chunk.choices.length, 1, 'the chunk without choices is the usage chunk');
      texts.push(chunk.choices[0]?.delta.content ?? '');
      finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    assert.equal(texts.join(''), TEXT);
    assert.equal(finish, 'stop');
    const [record] = setup.records;
    assert.equal(setup.records.length, 1, 'the call is settled before the client is given the end');
    assert.equal(record?.outcome, 'ok');
    assert.equal(record?.counted, 'exact');
    assert.deepEqual([record?.inputTokens, record?.outputTokens], [11, 9]);
    assert.ok(record?.firstByteMs !== undefined);
  },
);

onEveryHost(
  'a stream is events and nothing else: `data: ` lines of JSON, then `[DONE]`, with headers that keep proxies from holding it back',
  () => ({ script: () => streamReply(streamEvents(PIECES)) }),
  async (scene) => {
    const response = await streamResponse(scene, {});
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    assert.match(response.headers.get('cache-control') ?? '', /no-cache/);
    assert.match(response.headers.get('cache-control') ?? '', /no-transform/);
    assert.equal(response.headers.get('x-accel-buffering'), 'no');
    assert.equal(response.headers.get('content-encoding'), null);
    assert.match(response.headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/);
    const text = await response.text();
    assert.match(text, /^(?:data: \{[^\n]*\}\n\n)+data: \[DONE\]\n\n$/);
  },
);

onBareHost(
  'usage comes in a stream exactly when the client asked for it; the upstream is always asked',
  () => ({ script: () => streamReply(streamEvents(PIECES)) }),
  async (scene) => {
    const asked = await streamText(scene, { stream_options: { include_usage: true } });
    assert.equal(asked, streamEvents(PIECES).join(''), 'asked for: the upstream’s bytes as they are');
    const unasked = [
      {},
      { stream_options: null },
      { stream_options: {} },
      { stream_options: { include_usage: false } },
    ];
    for (const [index, options] of unasked.entries()) {
      const text = await streamText(scene, options);
      const events = eventsOf(text);
      assert.equal(events.at(-1), '[DONE]');
      const chunks = chunksOf(events);
      for (const chunk of chunks) assert.ok(chunk.usage == null, JSON.stringify([options, chunk]));
      assert.equal(chunks.length, PIECES.length + 2);
      const seen = await scene.upstream.request(index + 1);
      assert.deepEqual(seen.json().stream_options, { include_usage: true });
    }
    assert.deepEqual(
      scene.setup.records.map((record) => record.outputTokens),
      [9, 9, 9, 9, 9],
    );
  },
);

onBareHost(
  'other stream options the client gave stay beside ours',
  () => ({ script: () => streamReply(streamEvents(PIECES)) }),
  async (scene) => {
    await streamText(scene, { stream_options: { include_obfuscation: false } });
    const seen = await scene.upstream.request(0);
    assert.deepEqual(seen.json().stream_options, { include_obfuscation: false, include_usage: true });
  },
);

for (const acceptEncoding of ['identity', 'gzip, deflate, br']) {
  onEveryHost(
    `each event reaches the client before the upstream sends the next one (accept-encoding: ${acceptEncoding})`,
    () => ({}),
    async (scene) => {
      const events = streamEvents(PIECES);
      const received = events.map(() => gate());
      scene.upstream.answerWith(() => oneByOne(events, received));
      const response = await streamResponse(scene, {}, { 'accept-encoding': acceptEncoding });
      const seen: string[] = [];
      // The usage chunk is hidden, and what follows it comes with the end.
      const visible = events.length - 2;
      for await (const text of textsOf(response)) {
        seen.push(...eventsOf(text));
        for (let index = 0; index < Math.min(seen.length, visible); index += 1) received[index]?.open();
        if (seen.length >= visible) for (const one of received) one.open();
      }
      assert.equal(seen.length, visible + 1);
      assert.equal(seen.at(-1), '[DONE]');
    },
  );
}

onBareHost(
  'an upstream that knows no stream_options is asked again without, and from then on only without',
  () => ({
    script: (request) =>
      'stream_options' in request.json()
        ? errorReply(400, {
            message: 'Unrecognized request argument supplied: stream_options',
            type: 'invalid_request_error',
          })
        : streamReply(streamEvents(PIECES, { usage: 'never' })),
  }),
  async (scene) => {
    for (let call = 0; call < 3; call += 1) {
      const events = eventsOf(await streamText(scene));
      assert.equal(events.at(-1), '[DONE]');
      assert.equal(textOf(events), TEXT);
    }
    const asked = scene.upstream.requests.map((request) => 'stream_options' in request.json());
    assert.deepEqual(asked, [true, false, false, false]);
    for (const record of scene.setup.records) {
      assert.equal(record.outcome, 'ok');
      assert.equal(record.counted, 'estimated');
      assert.ok((record.outputTokens ?? 0) > 0, 'what was delivered is counted');
    }
  },
);

async function* oneByOne(
  events: readonly string[],
  received: readonly { readonly opened: Promise<void> }[],
): AsyncGenerator<Step> {
  yield streamHead();
  for (const [index, event] of events.entries()) {
    yield chunkOf(event);
    const got = received[index];
    if (got !== undefined) yield { kind: 'wait', until: within(got.opened, `the client to get event ${index}`) };
  }
  yield lastChunk();
}
