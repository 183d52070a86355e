import assert from 'node:assert/strict';
import { type LimiterStore, memoryLimiter } from 'megallm-middleware';
import { chunkOf, lastChunk, reply, streamEvents, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { SECRET, SMALL_SECRET, UNKNOWN_SECRET } from '../helpers/gateway-options.js';
import { rawChat, rawClient, rawExchange } from '../helpers/raw-client.js';
import { CALL, onBareHost } from '../helpers/scene.js';
import { errorCodeOf, eventsOf, textOf } from '../helpers/stream-client.js';

const EVENTS = streamEvents(['Once', ' upon']);

onBareHost(
  'H6 close() refuses new calls with a 503, lets running ones end, and resolves when all are recorded',
  () => ({}),
  async ({ host, upstream, client, setup }) => {
    const release = gate();
    upstream.answerWith(async function* (request) {
      yield streamHead();
      yield chunkOf(EVENTS[0] ?? '');
      yield { kind: 'wait', until: release.opened };
      for (const event of EVENTS.slice(1)) yield chunkOf(event);
      yield lastChunk();
      assert.ok(request);
    });
    const streams = await Promise.all(
      [1, 2, 3].map(async () => {
        const raw = await rawClient(host.origin);
        raw.send(rawChat(SECRET, { ...CALL, stream: true }));
        await raw.until((text) => text.includes('data: '), 'the first event');
        return raw;
      }),
    );
    let closed = false;
    const closing = host.gateway.close({ graceMs: 60_000 }).then(() => {
      closed = true;
    });
    await assert.rejects(client().chat.completions.create(CALL), { status: 503, code: 'shutting_down' });
    await assert.rejects(client().models.list(), { status: 503, code: 'shutting_down' });
    assert.equal(closed, false, 'streams are still running');
    release.open();
    for (const raw of streams) {
      const events = eventsOf((await raw.response()).body);
      assert.deepEqual([textOf(events), events.at(-1)], ['Once upon', '[DONE]']);
      raw.destroy();
    }
    await within(closing, 'the gateway to be closed');
    assert.equal(setup.usage.settled.length, 3);
    assert.equal((await fetch(`${host.origin}/host`)).status, 200, 'the application goes on');
    await within(host.gateway.close(), 'the second close');
  },
);

onBareHost(
  'H6 what still runs when the grace is over ends with an error event, settled',
  () => ({ broken: true, script: () => [streamHead(), chunkOf(EVENTS[0] ?? ''), { kind: 'stall' }] }),
  async ({ host, upstream, setup }) => {
    const raw = await rawClient(host.origin);
    raw.send(rawChat(SECRET, { ...CALL, stream: true }));
    await raw.until((text) => text.includes('data: '), 'the first event');
    await within(host.gateway.close({ graceMs: 50 }), 'the gateway to be closed');
    assert.equal(setup.usage.settled.length, 1);
    assert.equal(errorCodeOf(eventsOf((await raw.response()).body)), 'shutting_down');
    await within((await upstream.request(0)).closed, 'the upstream’s work to be ended');
    raw.destroy();
  },
);

onBareHost(
  'H6 connections end with the gateway: those of refused calls, and those that still send after a refusal',
  () => ({}),
  async ({ host }) => {
    const kept = await rawClient(host.origin);
    kept.send(rawChat(SECRET, CALL));
    assert.equal((await kept.response()).headers.connection, 'keep-alive');
    const sending = await rawClient(host.origin);
    sending.send(
      `POST /v1/files HTTP/1.1\r\nhost: t\r\nauthorization: Bearer ${UNKNOWN_SECRET}\r\ncontent-length: 9000000\r\n\r\n.`,
    );
    assert.equal((await sending.response()).status, 401);
    const closing = host.gateway.close({ graceMs: 200 });
    kept.send(rawChat(SECRET, CALL));
    const { status, headers } = await kept.response();
    assert.deepEqual([status, headers.connection], [503, 'close']);
    await within(Promise.all([closing, kept.closed, sending.closed]), 'the connections to end');
    const late = await rawClient(host.origin);
    late.send(`POST /v1/files HTTP/1.1\r\nhost: t\r\ncontent-length: 9000000\r\n\r\n.`);
    assert.equal((await late.response()).status, 503);
    await within(late.closed, 'a connection that comes later to end');
  },
);

onBareHost(
  'H6 a call whose body is still arriving when the gateway closes is refused, or waited for',
  () => ({ script: () => reply(wholeChat('Hello')) }),
  async ({ host, upstream, setup }) => {
    const bytes = rawChat(SECRET, CALL);
    const raw = await rawClient(host.origin);
    raw.send(bytes.subarray(0, -20));
    // The head has arrived once the server answers the next connection.
    assert.equal((await rawExchange(host.origin, Buffer.from('GET /host HTTP/1.1\r\nhost: t\r\n\r\n'))).status, 200);
    let closed = false;
    const closing = host.gateway.close({ graceMs: 60_000 }).then(() => {
      closed = true;
    });
    await eventually(() => closed, 'close', 200).catch(() => {});
    const closedBefore = closed;
    raw.send(bytes.subarray(-20));
    const { status } = await raw.response();
    await within(closing, 'the gateway to be closed');
    if (closedBefore) assert.equal(status, 503, 'nothing is begun once close() has resolved');
    assert.equal(setup.usage.settled.length, status === 200 ? 1 : 0);
    assert.equal(upstream.requests.length, status === 200 ? 1 : 0);
    raw.destroy();
  },
);

/** What a limiter on another machine is like: it has reserved, and its answer is on the way. */
function slowLimiter(): LimiterStore & { readonly asked: Promise<void>; answer(): void } {
  const inner = memoryLimiter();
  const asked = gate();
  const answered = gate();
  return {
    asked: asked.opened,
    answer: answered.open,
    async reserve(reservation, now) {
      const verdict = await inner.reserve(reservation, now);
      if (reservation.id === '') return verdict;
      asked.open();
      await answered.opened;
      return verdict;
    },
    settle: inner.settle,
  };
}

const slow = { limiter: slowLimiter() };

onBareHost(
  'H6 a call whose limits are still being reserved when the gateway closes does not begin, and gives them back',
  () => ({ ...slow, small: { requestsPerMinute: 1 } }),
  async ({ host, upstream, setup }) => {
    const { limiter } = slow;
    const answer = fetch(`${host.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SMALL_SECRET}`, 'content-type': 'application/json', 'x-debug': 'true' },
      body: JSON.stringify(CALL),
    });
    await within(limiter.asked, 'the reservation');
    await within(host.gateway.close(), 'the gateway to be closed');
    limiter.answer();
    const refusal = await answer;
    assert.equal(refusal.status, 503);
    const { debug } = Object(await refusal.json()).error;
    assert.deepEqual(debug.limits_after, [0]);
    assert.equal(debug.limits_before, undefined, 'it was not refused by a limit');
    assert.deepEqual([upstream.requests.length, setup.usage.settled.length], [0, 0]);
    const draw = { bucket: 'key:key_small:requests', capacity: 1, refillPerMs: 0, amount: 0 };
    const { remaining } = await limiter.reserve({ id: '', draws: [draw], slots: [], ttlMs: 0 }, Date.now());
    assert.deepEqual(remaining, [1], 'the request is given back');
  },
);
