import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { createGateway, http, queued, type Upstream, type UpstreamReply, withBody } from 'megallm-middleware';
import { createCancellation } from '../../src/base/cancellation.js';
import { isInPlace, isStepwise } from '../../src/base/steps.js';
import type { UpstreamCall } from '../../src/upstreams/upstream.js';
import { cancellationOf, LazyCall, mayCopy } from '../../src/upstreams/upstream-call.js';
import { streamEvents, wholeChat } from '../helpers/chat-answers.js';
import { SECRET, testSetup } from '../helpers/gateway-options.js';
import { type Arrival, httpUpstream } from '../helpers/http-upstream.js';
import { callWith } from '../helpers/upstream-call.js';

const BODY = { model: 'm', messages: [{ role: 'user', content: 'hi' }] };

/** A cancellation that counts who listens. */
function countedCancellation() {
  const source = createCancellation();
  let listeners = 0;
  const cancellation: UpstreamCall['cancellation'] & object = {
    get aborted() {
      return source.aborted;
    },
    get reason() {
      return source.reason;
    },
    addEventListener(type, listener) {
      listeners += 1;
      source.addEventListener(type, listener);
    },
    removeEventListener: (type, listener) => source.removeEventListener(type, listener),
  };
  return { cancellation, abort: (reason: Error) => source.abort(reason), listeners: () => listeners };
}

function lazyCall(bytes = JSON.stringify(BODY)) {
  const counted = countedCancellation();
  const call = new LazyCall({
    operation: 'chat.completions',
    keyId: 'key_1',
    tier: 'basic',
    requestId: 'req_1',
    bytes: Buffer.from(bytes),
    stream: false,
    maxResponseBytes: 1_000,
    cancellation: counted.cancellation,
  });
  return { call, ...counted };
}

describe('UpstreamCall', () => {
  it('parses its body when first asked for, once, and freezes it throughout', () => {
    const { call } = lazyCall();
    const { body } = call;
    assert.deepEqual(body(), BODY);
    assert.equal(body(), call.body());
    assert.throws(() => Object.assign(body(), { model: 'n' }), TypeError);
    assert.throws(() => Object.assign(Object(body().messages), { 0: 'gone' }), TypeError);
    assert.throws(() => Object.assign(Object(body().messages)[0], { content: 'bye' }), TypeError);
    // What is no JSON is nobody's to parse before it is asked for.
    const unread = lazyCall('{').call;
    assert.equal(Buffer.from(unread.bytes).toString(), '{');
    assert.throws(() => unread.body(), SyntaxError);
  });

  it('makes its signal when first asked for, once', () => {
    const { call, abort, listeners } = lazyCall();
    assert.equal(listeners(), 0);
    const { signal } = call;
    assert.ok(signal instanceof AbortSignal);
    assert.equal(call.signal, signal);
    assert.equal(listeners(), 1);
    const reason = new Error('gone');
    abort(reason);
    assert.equal(signal.reason, reason);
  });

  it('can be copied by spreading; a signal put in place of its own is the one that counts', () => {
    const { call, abort } = lazyCall();
    const copy: UpstreamCall = { ...call };
    assert.deepEqual(copy.body(), BODY);
    assert.deepEqual([copy.bytes, copy.operation, copy.tier], [call.bytes, call.operation, call.tier]);
    abort(new Error('gone'));
    assert.ok(copy.signal.aborted);
    assert.ok(cancellationOf(copy).aborted);
    const { signal } = new AbortController();
    assert.equal(cancellationOf({ ...call, signal }), signal);
    assert.equal(cancellationOf(call), call.cancellation);
  });

  it('gets another body by `withBody`, which writes to nobody’s object', () => {
    const { call, abort } = lazyCall();
    const body = { ...call.body(), stream: true, stop: ['x'] };
    const changed = withBody(call, body);
    assert.equal(Buffer.from(changed.bytes).toString(), JSON.stringify(body));
    assert.deepEqual([changed.body(), changed.stream], [body, true]);
    assert.deepEqual([call.body(), call.stream], [BODY, false]);
    body.stop.push('y');
    assert.deepEqual(changed.body().stop, ['x']);
    abort(new Error('gone'));
    assert.ok(changed.signal.aborted);
    const mine = new AbortController();
    assert.equal(withBody({ ...call, signal: mine.signal }, body).signal, mine.signal);
    assert.equal(changed.isBackground, false);
    assert.equal(withBody({ ...call, isBackground: true }, body).isBackground, true);
  });
});

describe('a `send` that copies no call', () => {
  const inner = http({ baseUrl: 'http://127.0.0.1:1/v1' });

  it('is told by itself, so that whoever wraps or replaces it may copy', () => {
    assert.equal(mayCopy(inner), false);
    assert.equal(mayCopy({ ...inner }), false);
    assert.ok(mayCopy({ ...inner, send: (call) => inner.send(call) }));
    assert.ok(mayCopy({ ...inner, send: inner.send.bind(inner) }));
    assert.ok(mayCopy(queued(inner, { concurrency: 1 })));
    const traced = new Proxy(inner.send, { apply: (send, self, [call]) => send.call(self, { ...call }) });
    assert.ok(mayCopy({ ...inner, send: traced }));
    const renamed: Upstream['send'] = (call) => inner.send({ ...call });
    Object.defineProperties(renamed, Object.getOwnPropertyDescriptors(inner.send));
    assert.ok(mayCopy({ ...inner, send: renamed }));
  });

  it('gets a call whose signal can be read all the same', () => {
    const { cancellation, abort } = countedCancellation();
    const fields = { ...lazyCall().call, cancellation, isCopyable: false };
    const call = new LazyCall(fields);
    assert.equal(call.signal, call.signal);
    abort(new Error('gone'));
    assert.ok(call.signal.aborted);
    assert.equal(Object.hasOwn(call, 'signal'), false);
  });
});

/** Bytes that no serialiser would write. */
const SPELT = '{ "messages" : [ { "role":"user","content":"h\\u0069" } ],\n"model":"gpt-4o-mini", "seed": 1.0e2 }';
const SPELT_ANSWER = JSON.stringify(wholeChat('Hello'), undefined, 3);

/** The upstream's reply, kept as it came, under a watch on whoever asks for the object of a call. */
function watched(inner: Upstream) {
  const seen = { bodies: 0, replies: [] as UpstreamReply[], sent: [] as Uint8Array[] };
  const upstream: Upstream = {
    ...inner,
    async send(call) {
      seen.sent.push(call.bytes);
      const body = (): ReturnType<UpstreamCall['body']> => {
        seen.bodies += 1;
        return call.body();
      };
      const reply = await inner.send({ ...call, body });
      seen.replies.push(reply);
      return reply;
    },
  };
  return { upstream, seen };
}

/** What a user writes: ten lines that look on. */
function logged(inner: Upstream): Upstream {
  return { name: 'logged', send: (call) => inner.send(call) };
}

describe('a wrapper keeps the speed of what it wraps', () => {
  const wrappers: Readonly<Record<string, (inner: Upstream) => Upstream>> = {
    'queued(http())': (inner) => queued(inner, { concurrency: 2 }),
    'a wrapper of a user’s own': logged,
    'one in the other': (inner) => logged(queued(logged(inner), { concurrency: 2 })),
  };
  for (const [name, wrap] of Object.entries(wrappers)) {
    it(`${name}: nobody parses the body, and bytes pass untouched both ways`, async () => {
      const answerOf = (arrival: Arrival, res: ServerResponse): void => {
        const streams = JSON.parse(arrival.body().toString()).stream === true;
        res.setHeader('content-type', streams ? 'text/event-stream' : 'application/json');
        res.end(streams ? streamEvents(['Hi']).join('') : SPELT_ANSWER);
      };
      const server = await httpUpstream(answerOf);
      const { upstream, seen } = watched(wrap(http({ baseUrl: server.baseUrl })));
      const setup = testSetup({ upstream });
      const gateway = createGateway(setup.options);
      const ask = async (text: string): Promise<string> => {
        const answer = await gateway.handle({
          method: 'POST',
          url: '/v1/chat/completions',
          headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
          signal: createCancellation(),
          body: { parsed: text },
          native: undefined,
        });
        const { body } = answer ?? { body: '' };
        if (typeof body === 'string') return body;
        if (body instanceof Uint8Array) return Buffer.from(body).toString();
        const pieces: (string | Uint8Array)[] = [];
        for await (const piece of body) pieces.push(piece);
        return pieces.map((piece) => Buffer.from(piece).toString()).join('');
      };
      try {
        assert.equal(await ask(SPELT), SPELT_ANSWER);
        assert.equal(server.arrivals[0]?.body().toString(), SPELT);
        const [whole] = seen.replies;
        assert.ok(whole?.kind === 'whole' && whole.body instanceof Uint8Array, 'a whole answer comes as its bytes');

        const streamed = SPELT.replace('{', '{"stream":true,"stream_options":{"include_usage":true},');
        assert.equal(await ask(streamed), streamEvents(['Hi']).join(''));
        assert.equal(server.arrivals[1]?.body().toString(), streamed);
        const stream = seen.replies[1];
        assert.ok(stream?.kind === 'bytes' && isStepwise(stream.body), 'a stream can be read by calls');
        assert.equal(seen.bodies, 0);
      } finally {
        await gateway.close();
        await server.close();
      }
    });
  }

  it('a body is read in place only where nobody has put another `read` before it', async () => {
    const server = await httpUpstream((_, res) => {
      res.setHeader('content-type', 'text/event-stream');
      res.end(streamEvents(['Hi']).join(''));
    });
    try {
      const reply = await http({ baseUrl: server.baseUrl }).send(callWith({ ...BODY, stream: true }));
      assert.ok(reply.kind === 'bytes' && isStepwise(reply.body));
      const { body } = reply;
      assert.equal(isInPlace(body), true);
      assert.equal(isInPlace(new Proxy(body, {})), false);
      assert.equal(isInPlace(Object.create(body)), false);
      body.read = body.read.bind(body);
      assert.equal(isInPlace(body), false);
      body.leave();
    } finally {
      await server.close();
    }
  });

  it('whoever asks for the object gets it, as in the watch above', async () => {
    const { upstream, seen } = watched({
      name: 'object',
      async send({ body }) {
        assert.deepEqual(body(), BODY);
        return { kind: 'whole', body: { choices: [] } };
      },
    });
    await upstream.send(callWith(BODY));
    assert.equal(seen.bodies, 1);
  });
});
