import assert from 'node:assert/strict';
import fc from 'fast-check';
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
import { eventually, gate, settleSockets, within } from '../helpers/deadline.js';
import { patience, runs } from '../helpers/depth.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET, type Setup } from '../helpers/gateway-options.js';
import { inParallel, range } from '../helpers/in-parallel.js';
import { rawChat, rawClient } from '../helpers/raw-client.js';
import { CALL, MESSAGES, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';
import type { Step } from '../helpers/scripted-upstream.js';
import { eventsOf, textOf } from '../helpers/stream-client.js';

const PIECES = ['Once', ' upon', ' a', ' time'];
const EVENTS = streamEvents(PIECES);
const LIMITED = { limits: { requestsPerMinute: 100_000, tokensPerMinute: 100_000_000, concurrency: 50 } };

/** Everything is given back: reservations, records, connections to the upstream that are still at work. */
async function assertQuiet({ setup, upstream, client }: Scene): Promise<void> {
  await setup.limiter.allBack();
  await setup.usage.allSettled();
  upstream.answerWith(() => reply(wholeChat('Still here')));
  assert.equal((await client().chat.completions.create(CALL)).choices[0]?.message.content, 'Still here');
}

const REQUEST = rawChat(SECRET, { ...CALL, stream: true });

onBareHost(
  `C20 a client that resets its connection at each of the ${REQUEST.length} bytes of a request leaves nothing behind`,
  () => ({ key: LIMITED, script: () => streamReply(EVENTS) }),
  async (scene) => {
    await inParallel(range(REQUEST.length + 1), 16, async (offset) => {
      const client = await rawClient(scene.host.origin);
      client.send(REQUEST.subarray(0, offset));
      await settleSockets(offset % 3);
      client.reset();
      await client.closed;
    });
    await assertQuiet(scene);
  },
);

onBareHost(
  'C20 E8 a client that resets its connection at any byte of a stream ends the call, and pays for what it got',
  () => ({ key: LIMITED }),
  async (scene) => {
    const { host, setup, upstream } = scene;
    // One event at a time, so that the client meets every state between the first and the last byte.
    upstream.answerWith(function* (): Generator<Step> {
      yield streamHead();
      for (const event of EVENTS) yield chunkOf(event);
      yield lastChunk();
    });
    const received = new Map<string, number>();
    await inParallel(range(300), 16, async (round) => {
      const client = await rawClient(host.origin);
      client.send(REQUEST);
      const bytes = round * 6;
      await client.until((text) => text.length >= bytes || text.endsWith('0\r\n\r\n'), `${bytes} bytes`);
      const text = client.received().toString();
      client.reset();
      await client.closed;
      const [, id = ''] = /x-request-id: (\S+)/.exec(text) ?? [];
      const body = text
        .split('\r\n')
        .filter((line) => line.startsWith('data: '))
        .join('\n\n');
      const whole = eventsOf(`${body.slice(0, body.lastIndexOf('\n\n') + 2)}`);
      if (id !== '') received.set(id, whole.filter((event) => event !== '[DONE]' && textOf([event]) !== '').length);
    });
    await assertQuiet(scene);
    assert.ok(received.size > 100, 'many clients had got something');
    const records = new Map(setup.records.map((record) => [record.requestId, record]));
    for (const [id, events] of received) {
      const record = records.get(id);
      assert.ok(record !== undefined, 'every call has its record');
      assert.ok(record.outcome === 'aborted' || record.outcome === 'ok');
      assert.ok((record.outputTokens ?? 0) >= events, `${record.outputTokens} < ${events} delivered`);
    }
    assert.ok(setup.records.some((record) => record.outcome === 'aborted'));
  },
);

for (const stream of [false, true]) {
  const opening = gate();
  const asked = gate();
  const order: string[] = [];
  onBareHost(
    `a client that leaves while its call is being written down is settled after that, and costs nothing (stream: ${stream})`,
    () => ({
      key: LIMITED,
      usage: {
        open: async () => {
          order.push('open');
          asked.open();
          await opening.opened;
          order.push('opened');
        },
        settle: async ({ outcome }) => void order.push(`settle ${outcome}`),
      },
    }),
    async ({ host, setup, upstream }) => {
      const client = await rawClient(host.origin);
      client.send(rawChat(SECRET, { ...CALL, stream }));
      await within(asked.opened, 'the call to be written down');
      client.reset();
      await client.closed;
      await settleSockets(10);
      opening.open();
      await eventually(
        () => order.length >= 3,
        () => `the call to be settled: ${order}`,
      );
      assert.deepEqual(order, ['open', 'opened', 'settle aborted']);
      assert.equal(upstream.requests.length, 0);
      assert.equal(setup.limiter.settled[0]?.amounts[1], 0);
      // Its record is in this test's own store.
      setup.records.length = 0;
    },
  );
}

const kind = fc.constantFrom('ok', 'stream', 'error', 'cut', 'leave', 'leave-stream', 'refused');

onBareHost(
  'E2 after any mix of success, error, cut and abort, every reservation is back and the bucket holds what was truly used',
  (): SceneOptions => ({
    broken: true,
    clock: frozenClock(),
    key: { limits: { requestsPerMinute: 1_000_000, tokensPerMinute: 1_000_000_000, concurrency: 1_000 } },
    script: (request) => scripts[String(request.json().user)]?.() ?? [],
  }),
  async (scene) => {
    const { host, setup } = scene;
    const property = fc.asyncProperty(fc.array(kind, { minLength: 5, maxLength: 40 }), async (kinds) => {
      await Promise.all(kinds.map((user) => play(scene, user)));
      await setup.limiter.allBack();
      await setup.usage.allSettled();
      const [requests, tokens] = usedOf(setup);
      const look = await rawClient(host.origin);
      look.send(rawChat(SECRET, { model: 'm' }));
      const { headers } = await look.response();
      look.destroy();
      assert.equal(Number(headers['x-ratelimit-remaining-tokens']), 1_000_000_000 - tokens);
      assert.equal(Number(headers['x-ratelimit-remaining-requests']), 1_000_000 - requests);
    });
    await within(fc.assert(property, runs(4)), 'the property to be checked', patience(55_000));
    // All but those whose client had left before they began, which cost nothing.
    await eventually(() => setup.records.length === usedOf(setup)[0], 'every call to be recorded');
  },
);

/** Requests and tokens that the calls were settled at. */
function usedOf({ limiter }: Setup): readonly [requests: number, tokens: number] {
  const sum = (index: number): number => limiter.settled.reduce((all, { amounts }) => all + (amounts[index] ?? 0), 0);
  return [sum(0), sum(1)];
}

const scripts: Record<string, () => Iterable<Step>> = {
  ok: () => reply(wholeChat('Hello')),
  stream: () => streamReply(EVENTS),
  error: () => errorReply(500),
  cut: () => [streamHead(), ...EVENTS.slice(0, 3).map(chunkOf), { kind: 'reset' }],
  leave: () => [{ kind: 'stall' }],
  'leave-stream': () => [streamHead(), ...EVENTS.slice(0, 3).map(chunkOf), { kind: 'stall' }],
};

async function play({ host, upstream }: Scene, user: string): Promise<void> {
  const client = await rawClient(host.origin);
  const stream = user === 'stream' || user === 'cut' || user === 'leave-stream';
  const before = upstream.requests.length;
  client.send(rawChat(SECRET, { model: 'm', messages: user === 'refused' ? [] : MESSAGES, stream, user }));
  if (user === 'leave') await within(upstream.request(before), 'a call at the upstream');
  else if (user === 'leave-stream') await client.until((text) => text.includes('upon'), 'the second event');
  else await client.response();
  client.reset();
  await client.closed;
}
