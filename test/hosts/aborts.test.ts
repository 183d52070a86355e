import assert from 'node:assert/strict';
import { chunkOf, streamEvents, streamHead, streamReply } from '../helpers/chat-answers.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { SMALL_SECRET } from '../helpers/gateway-options.js';
import { rawClient } from '../helpers/raw-client.js';
import { CALL, onEveryHost, type SceneOptions } from '../helpers/scene.js';
import type { Step } from '../helpers/scripted-upstream.js';

const PIECES = ['Once', ' upon', ' a', ' time'];
const LIMITED: SceneOptions = { small: { requestsPerMinute: 100, tokensPerMinute: 100_000, concurrency: 2 } };

function* twoEventsThenNothing(): Generator<Step> {
  yield streamHead();
  for (const event of streamEvents(PIECES).slice(0, 3)) yield chunkOf(event);
  yield { kind: 'stall' };
}

function* nothing(): Generator<Step> {
  yield { kind: 'stall' };
}

function* endlessly(): Generator<Step> {
  yield streamHead();
  const [first = '', second = ''] = streamEvents(PIECES);
  yield chunkOf(first);
  for (;;) yield chunkOf(second.repeat(20));
}

onEveryHost(
  'a client that leaves in mid-stream ends the upstream’s work at once, pays for what it got, and gives its place back',
  () => ({ ...LIMITED, script: twoEventsThenNothing }),
  async ({ client, upstream, setup }) => {
    const openai = client({ apiKey: SMALL_SECRET });
    // Four with two places: the second pair finds them free again.
    for (let round = 0; round < 2; round += 1) {
      const streams = await Promise.all([0, 1].map(() => openai.chat.completions.create({ ...CALL, stream: true })));
      await Promise.all(
        streams.map(async (stream) => {
          const texts: string[] = [];
          for await (const chunk of stream) {
            texts.push(chunk.choices[0]?.delta.content ?? '');
            if (texts.length === 3) stream.controller.abort();
          }
          assert.equal(texts.join(''), 'Once upon');
        }),
      );
      for (const index of [round * 2, round * 2 + 1]) {
        await within((await upstream.request(index)).closed, 'the upstream’s connection to be closed');
      }
      await setup.limiter.allBack();
    }
    await setup.usage.allSettled();
    for (const record of setup.records) {
      assert.equal(record.outcome, 'aborted');
      assert.equal(record.counted, 'estimated');
      assert.ok((record.outputTokens ?? 0) >= 2, 'at least what was delivered');
      assert.ok((record.inputTokens ?? 0) > 0);
    }
    assert.equal(setup.records.length, 4);
  },
);

for (const stream of [false, true]) {
  onEveryHost(
    `a client that leaves before the first byte (stream: ${stream}) ends the upstream’s work at once`,
    () => ({ ...LIMITED, script: () => [{ kind: 'stall' }] }),
    async ({ client, upstream, setup }) => {
      const leaving = new AbortController();
      const call = client({ apiKey: SMALL_SECRET }).chat.completions.create(
        { ...CALL, stream },
        { signal: leaving.signal },
      );
      const request = await within(upstream.request(0), 'the call at the upstream');
      leaving.abort();
      await assert.rejects(async () => await call, { name: 'Error', message: 'Request was aborted.' });
      await within(request.closed, 'the upstream’s connection to be closed');
      await setup.limiter.allBack();
      await setup.usage.allSettled();
      assert.equal(setup.records[0]?.outcome, 'aborted');
      assert.equal(setup.records[0]?.firstByteMs, undefined);
    },
  );
}

for (const [when, script, isDue] of [
  ['while it waits', nothing, undefined],
  ['while it is written to', endlessly, (received: string) => received.split('data: ').length > 20],
] as const) {
  onEveryHost(
    `a client that resets its connection ${when} is no error of the application’s`,
    () => ({ ...LIMITED, script }),
    async ({ host, upstream, setup }) => {
      const body = JSON.stringify({ ...CALL, stream: true });
      const path = `${new URL(host.baseUrl).pathname}/chat/completions`;
      const head = `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${SMALL_SECRET}\r\ncontent-type: application/json`;
      for (let call = 0; call < 5; call += 1) {
        const raw = await rawClient(host.origin);
        raw.send(`${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
        const request = await within(upstream.request(call), 'the call at the upstream');
        if (isDue) await raw.until(isDue, 'events');
        raw.reset();
        await within(request.closed, 'the upstream’s connection to be closed');
      }
      await setup.usage.allSettled();
      assert.deepEqual(
        setup.records.map((record) => record.outcome),
        Array(5).fill('aborted'),
      );
      assert.equal((await fetch(`${host.origin}/host`)).status, 200);
    },
  );
}

onEveryHost(
  'a client that leaves with its upload half sent leaves nothing behind',
  () => LIMITED,
  async ({ host, upstream, setup }) => {
    const leaving = new AbortController();
    const sent = gate();
    async function* half(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('{"model":"gpt-4o-mini","messages":[');
      sent.open();
      await new Promise<void>((resolve) => leaving.signal.addEventListener('abort', () => resolve()));
    }
    const call = fetch(`${host.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SMALL_SECRET}`, 'content-type': 'application/json' },
      body: half(),
      duplex: 'half',
      signal: leaving.signal,
    });
    await within(sent.opened, 'half the upload to be sent');
    leaving.abort();
    await assert.rejects(call);
    assert.equal((await fetch(`${host.origin}/host`)).status, 200);
    assert.equal(upstream.requests.length, 0);
    assert.equal(setup.usage.opened.length, 0);
    // What a body parser before us makes of it is the host's own affair.
    host.hostErrors.length = 0;
  },
);

onEveryHost(
  'a client that closes right after `[DONE]` had a whole answer: the outcome is ok',
  () => ({ script: () => streamReply(streamEvents(PIECES)) }),
  async ({ client, setup }) => {
    const stream = await client().chat.completions.create({ ...CALL, stream: true });
    let finished = false;
    for await (const chunk of stream) finished = chunk.choices[0]?.finish_reason === 'stop' || finished;
    stream.controller.abort();
    assert.ok(finished);
    await eventually(() => setup.records.length === 1, 'the record');
    assert.equal(setup.records[0]?.outcome, 'ok');
    assert.equal(setup.records[0]?.counted, 'exact');
  },
);
