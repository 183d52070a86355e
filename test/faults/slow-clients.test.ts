import assert from 'node:assert/strict';
import { chunkBytes, chunkOf, lastChunk, sse, streamEvents, streamHead } from '../helpers/chat-answers.js';
import { eventually, within } from '../helpers/deadline.js';
import { SECRET } from '../helpers/gateway-options.js';
import { rawChat, rawClient } from '../helpers/raw-client.js';
import { CALL, onBareHost } from '../helpers/scene.js';
import type { Step } from '../helpers/scripted-upstream.js';
import { eventsOf } from '../helpers/stream-client.js';

const REQUEST = rawChat(SECRET, { ...CALL, stream: true });
const EVENT = sse({ choices: [{ index: 0, delta: { content: 'x'.repeat(60_000) }, finish_reason: null }] });

/** Waits until the number has not changed for a while. */
async function stands(count: () => number): Promise<void> {
  let last = -1;
  let unchanged = 0;
  await eventually(() => {
    unchanged = count() === last ? unchanged + 1 : 0;
    last = count();
    return unchanged > 100;
  }, 'the upstream to be held back');
}

onBareHost(
  'H2 a client that reads nothing holds back the upstream: the gateway swallows no more than its bounds',
  () => ({ maxResponseBytes: 1_000_000_000 }),
  async ({ host, upstream, setup }) => {
    let sent = 0;
    upstream.answerWith(function* (): Generator<Step> {
      yield streamHead();
      for (let event = 0; event < 3_000; event += 1) {
        yield chunkOf(EVENT);
        sent += EVENT.length;
      }
    });
    const client = await rawClient(host.origin);
    client.send(REQUEST);
    await client.until((text) => text.includes('xxx'), 'the first event');
    client.pause();
    await stands(() => sent);
    // Most of it waits in the kernel's buffers of the two connections.
    assert.ok(sent < 60_000_000, `${sent} of 180,000,000 bytes were taken`);
    const before = sent;
    client.resume();
    await eventually(() => sent > before + 1_000_000, 'the stream to go on once the client reads');
    client.reset();
    await within((await upstream.request(0)).closed, 'the upstream’s work to be ended');
    await setup.usage.allSettled();
    assert.equal(setup.records[0]?.outcome, 'aborted');
  },
);

onBareHost(
  'G7 a client’s slowness is not taken for the upstream’s silence',
  () => ({ http: { bodyTimeoutMs: 300 } }),
  async ({ host, upstream }) => {
    const events = 200;
    upstream.answerWith(function* (): Generator<Step> {
      yield streamHead();
      const all = Buffer.concat(Array.from({ length: events }, () => chunkBytes(EVENT)));
      yield { kind: 'send', bytes: all };
      yield* streamEvents([]).map(chunkOf);
      yield lastChunk();
    });
    const client = await rawClient(host.origin);
    client.send(REQUEST);
    await client.until((text) => text.includes('xxx'), 'the first event');
    client.pause();
    // Several times what would be silence. No assertion depends on how long it was.
    await new Promise((resolve) => setTimeout(resolve, 900));
    client.resume();
    const received = eventsOf((await client.response()).body);
    assert.equal(received.filter((event) => event.includes('xxx')).length, events);
    assert.equal(received.at(-1), '[DONE]');
    client.destroy();
  },
);
