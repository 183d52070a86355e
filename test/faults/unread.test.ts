import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { it } from 'node:test';
import { createGateway, fromFunction, type GatewayRequest, memoryLimiter } from 'megallm-middleware';
import { createCancellation } from 'megallm-middleware/adapter';
import { megallm } from 'megallm-middleware/node';
import { everyAnswer } from '../conformance/every-answer.js';
import { gate, within } from '../helpers/deadline.js';
import { SECRET, SMALL_SECRET, testSetup } from '../helpers/gateway-options.js';
import { listen } from '../helpers/hosts/listen.js';
import { CALL, onBareHost } from '../helpers/scene.js';
import { chunksOf, errorCodeOf, eventsOf, streamText } from '../helpers/stream-client.js';

const ONE_PLACE = { small: { concurrency: 1 } };
const CHUNK = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o-mini' };
const text = (content: string) => ({ ...CHUNK, choices: [{ index: 0, delta: { content }, finish_reason: null }] });
const stop = { ...CHUNK, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] };

function streamRequest(): GatewayRequest {
  return {
    method: 'POST',
    url: '/v1/chat/completions',
    headers: { authorization: `Bearer ${SMALL_SECRET}` },
    signal: createCancellation(),
    body: { parsed: { ...CALL, stream: true } },
    native: undefined,
  };
}

for (const end of ['its time is up', 'the gateway is closed']) {
  it(`a stream that nobody reads is settled and gives its place back when ${end}`, async () => {
    const upstream = fromFunction(async function* () {
      yield 'a';
      yield 'b';
    });
    const setup = testSetup({ ...ONE_PLACE, upstream, timeoutMs: end === 'its time is up' ? 100 : 600_000 });
    const gateway = createGateway(setup.options);
    assert.equal((await gateway.handle(streamRequest()))?.status, 200);
    const closed = gateway.close({ graceMs: end === 'its time is up' ? 600_000 : 50 });
    await within(closed, 'the gateway to be closed');
    await setup.finish();
    assert.equal(setup.records[0]?.outcome, 'error');
  });
}

it('a stream that the host answered in our place is settled at once, and its upstream is left', async () => {
  const { opened: left, open: leave } = gate();
  const { opened: asked, open: ask } = gate();
  const { opened: answered, open: answer } = gate();
  const upstream = fromFunction(async function* () {
    ask();
    await answered;
    try {
      for (;;) yield 'a';
    } finally {
      leave();
    }
  });
  const setup = testSetup({ ...ONE_PLACE, upstream });
  const llm = megallm(setup.options);
  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    void llm(req, res);
    void asked.then(() => {
      res.writeHead(503).end('too slow');
      answer();
    });
  };
  const host = await listen({ listener, gateway: llm.gateway, hostErrors: [], mountPath: '' });
  try {
    const response = await fetch(`${host.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SMALL_SECRET}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ...CALL, stream: true }),
    });
    assert.equal(response.status, 503);
    await within(left, 'the upstream to be left');
    await setup.finish();
  } finally {
    await host.close();
  }
});

onBareHost(
  'a stream that never waits does not hold up anybody else',
  () => ({
    upstream: fromFunction(async function* () {
      for (;;) yield 'word '.repeat(20);
    }),
  }),
  async ({ host, client, setup }) => {
    const leaving = new AbortController();
    const response = await fetch(`${host.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ...CALL, stream: true }),
      signal: leaving.signal,
    });
    const reading = (async () => {
      for await (const _ of response.body ?? []);
    })();
    for (let call = 0; call < 3; call += 1) await within(client().models.list(), 'the models');
    leaving.abort();
    await assert.rejects(reading);
    await setup.usage.allSettled();
  },
);

onBareHost(
  'an upstream that yields nothing at all for a chunk has failed, and is left',
  () => {
    const { opened, open } = gate();
    async function* chunks() {
      try {
        yield text('a');
        yield JSON.parse('{}').nothing;
        yield stop;
      } finally {
        open();
      }
    }
    return {
      broken: true,
      upstream: { name: 'odd', left: opened, send: async () => ({ kind: 'chunks', chunks: chunks() }) },
    };
  },
  async (scene) => {
    const events = eventsOf(await streamText(scene));
    assert.equal(errorCodeOf(events), 'upstream_stream_interrupted');
    const left: unknown = Reflect.get(scene.setup.options.upstream ?? {}, 'left');
    assert.ok(left instanceof Promise);
    await within(left, 'the generator’s finally');
  },
);

for (const [what, leave] of [
  ['throws', () => assert.fail('on purpose')],
  ['answers without a promise', () => JSON.parse('{"done":true}')],
] as const) {
  onBareHost(
    `an iterator whose return ${what} harms nobody when the client leaves`,
    () => {
      const iterator = { next: async () => ({ done: false, value: text('a') }), return: leave };
      const chunks = { [Symbol.asyncIterator]: () => iterator };
      return { upstream: { name: 'odd', send: async () => ({ kind: 'chunks', chunks }) } };
    },
    async ({ client, setup }) => {
      const stream = await client().chat.completions.create({ ...CALL, stream: true });
      for await (const _ of stream) break;
      await setup.usage.allSettled();
      assert.equal(setup.records[0]?.outcome, 'aborted');
    },
  );
}

onBareHost(
  'an empty finish reason is none: a stream that breaks off after it is cut',
  () => ({
    broken: true,
    upstream: {
      name: 'odd',
      send: async () => ({
        kind: 'chunks',
        chunks: (async function* () {
          yield everyAnswer.upstreamSays({
            ...text('a'),
            choices: [{ index: 0, delta: { content: 'a' }, finish_reason: '' }],
          });
        })(),
      }),
    },
  }),
  async (scene) => {
    const events = eventsOf(await streamText(scene));
    assert.equal(errorCodeOf(events), 'upstream_stream_interrupted');
    assert.equal(chunksOf(events.slice(0, -1)).length, 1);
  },
);

it('a client that leaves while the limiter is asked is given back all, is not recorded, and no upstream is asked', async () => {
  const { opened: asked, open: ask } = gate();
  const { opened: granted, open: grant } = gate();
  let sent = 0;
  const upstream = fromFunction(() => {
    sent += 1;
    return 'a';
  });
  const setup = testSetup({ ...ONE_PLACE, upstream });
  const { limiter } = setup;
  const store = memoryLimiter();
  const gateway = createGateway({
    ...setup.options,
    limiter: {
      ...store,
      reserve: async (reservation, now) => {
        const verdict = await limiter.reserve(reservation, now);
        ask();
        await granted;
        return verdict;
      },
      settle: (reservation, amounts, now) => limiter.settle(reservation, amounts, now),
    },
  });
  const signal = createCancellation();
  const handling = gateway.handle({ ...streamRequest(), signal });
  await asked;
  signal.abort(new Error('gone'));
  grant();
  assert.equal((await within(handling, 'the answer'))?.status, 499);
  await setup.finish();
  assert.deepEqual([sent, setup.usage.opened.length, limiter.open()], [0, 0, 0]);
});

it('headers arrive where a host has put a function of its own in place of writeHead', async () => {
  const setup = testSetup({ upstream: fromFunction(() => 'Hello') });
  const llm = megallm(setup.options);
  const server = createServer((req, res) => {
    const { writeHead } = res;
    // As on-headers 1.0 does: arrays are read as pairs.
    res.writeHead = ((status: number, headers: object) => {
      const pairs = Array.isArray(headers) ? headers.map(([name, value]) => [name, value]) : Object.entries(headers);
      for (const [name, value] of pairs) res.setHeader(name, value);
      return writeHead.call(res, status);
    }) as typeof res.writeHead;
    // And a middleware that wants text.
    req.setEncoding('utf8');
    void llm(req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    for (const stream of [false, true]) {
      const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
        body: JSON.stringify({ ...CALL, stream, user: 'é'.repeat(100_000) }),
      });
      assert.equal(response.status, 200);
      assert.match(response.headers.get('content-type') ?? '', stream ? /^text\/event-stream/ : /^application\/json/);
      assert.match(response.headers.get('x-request-id') ?? '', /^req_/);
      assert.match(await response.text(), /Hello/);
    }
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
