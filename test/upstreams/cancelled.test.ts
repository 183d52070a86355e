import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Upstream } from 'megallm-middleware';
import { chunkOf, reply, sse, streamEvents, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { onBareHost } from '../helpers/scene.js';
import { scriptedUpstream } from '../helpers/scripted-upstream.js';
import { errorCodeOf, eventsOf, streamText } from '../helpers/stream-client.js';
import { httpOver } from '../helpers/transports.js';
import { callWith } from '../helpers/upstream-call.js';

const BODY = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] };
const GOOD = wholeChat('Hello');

describe('a call over HTTP that is cancelled', () => {
  for (const stream of [false, true]) {
    it(`before it has a connection ends at once, and never reaches the server, ${stream ? 'streamed' : 'whole'}`, async () => {
      const { opened, open } = gate();
      const server = await scriptedUpstream(async function* () {
        yield { kind: 'wait', until: opened };
        yield* reply(GOOD);
      });
      try {
        const upstream = httpOver({ baseUrl: server.baseUrl, connections: 1 });
        const first = upstream.send(callWith(BODY));
        await server.request(0);
        const leaving = new AbortController();
        const second = upstream.send(callWith({ ...BODY, stream, user: 'second' }, { signal: leaving.signal }));
        const gone = new Error('gone');
        leaving.abort(gone);
        await assert.rejects(within(second, 'the end of the cancelled call'), gone);
        open();
        await within(first, 'the first answer');
        await within(upstream.send(callWith({ ...BODY, user: 'third' })), 'the third answer');
        assert.deepEqual(
          server.requests.map((request) => request.json().user),
          [undefined, 'third'],
        );
      } finally {
        await server.close();
      }
    });

    it(`before it begins does not begin, ${stream ? 'streamed' : 'whole'}`, async () => {
      const server = await scriptedUpstream(() => reply(GOOD));
      try {
        const upstream = httpOver({ baseUrl: server.baseUrl });
        const gone = new Error('gone');
        const late = upstream.send(callWith({ ...BODY, stream }, { signal: AbortSignal.abort(gone) }));
        await assert.rejects(within(late, 'the end of the cancelled call'), gone);
        await upstream.send(callWith(BODY));
        assert.equal(server.requests.length, 1);
      } finally {
        await server.close();
      }
    });
  }

  it('while it waits for its answer, or for the rest of it, ends at once, and its connection with it', async () => {
    const server = await scriptedUpstream((_request, index) =>
      index === 0 ? [{ kind: 'stall' }] : [streamHead(), chunkOf(streamEvents(['Hello'])[0] ?? ''), { kind: 'stall' }],
    );
    try {
      const upstream = httpOver({ baseUrl: server.baseUrl });
      const gone = new Error('gone');
      const leaving = new AbortController();
      const waiting = upstream.send(callWith(BODY, { signal: leaving.signal }));
      const first = await server.request(0);
      leaving.abort(gone);
      await assert.rejects(within(waiting, 'the end of the waiting call'), gone);
      await within(first.closed, 'the end of its connection');

      const later = new AbortController();
      const begun = await upstream.send(callWith({ ...BODY, stream: true }, { signal: later.signal }));
      assert.ok(begun.kind === 'bytes');
      const pieces = begun.body[Symbol.asyncIterator]();
      assert.equal((await pieces.next()).done, false);
      const next = pieces.next();
      later.abort(gone);
      await assert.rejects(within(next, 'the end of the stream'), gone);
      await within((await server.request(1)).closed, 'the end of its connection');
    } finally {
      await server.close();
    }
  });
});

/** An upstream that streams these events, then waits for its call to be cancelled. */
function saying(events: readonly string[]) {
  let reason: unknown;
  const upstream: Upstream = {
    name: 'saying',
    async send({ signal }) {
      signal.addEventListener('abort', () => {
        reason = signal.reason;
      });
      const { opened, open } = gate();
      signal.addEventListener('abort', open);
      async function* body() {
        for (const event of events) yield Buffer.from(event);
        if (!events.at(-1)?.includes('[DONE]')) await opened;
      }
      return { kind: 'bytes', contentType: 'text/event-stream', body: body() };
    },
  };
  return { upstream, reason: () => reason };
}

const EVENTS = streamEvents(['Once', ' upon']);
for (const [what, event] of [
  ['tells an error', sse({ error: { message: 'Out of memory', type: 'server_error', code: 'oom' } })],
  ['says what is no JSON', 'data: <html>\n\n'],
] as const) {
  const { upstream, reason } = saying([...EVENTS.slice(0, 2), event]);
  onBareHost(
    `an upstream that ${what} inside a stream is told that its call is over`,
    () => ({ upstream, broken: true }),
    async (scene) => {
      assert.notEqual(errorCodeOf(eventsOf(await streamText(scene))), undefined);
      await eventually(() => reason() !== undefined, 'the upstream to be told');
      assert.ok(reason() instanceof Error);
      assert.deepEqual([scene.setup.records[0]?.outcome, scene.setup.records.length], ['error', 1]);
    },
  );
}

const good = saying(EVENTS);
onBareHost(
  'an upstream whose stream came to its end is told nothing',
  () => ({ upstream: good.upstream }),
  async (scene) => {
    assert.equal(eventsOf(await streamText(scene)).at(-1), '[DONE]');
    assert.equal(good.reason(), undefined);
  },
);
