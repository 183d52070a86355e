import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe } from 'node:test';
import { errorReply, head, reply, replyBytes, streamEvents, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { within } from '../helpers/deadline.js';
import { CALL, onBareHost, UPSTREAM_KEY } from '../helpers/scene.js';
import { type Step, scriptedUpstream } from '../helpers/scripted-upstream.js';
import { httpOver } from '../helpers/transports.js';
import { callWith } from '../helpers/upstream-call.js';

const GOOD = wholeChat('Hello');
const TEXT = JSON.stringify(GOOD);
const send = (bytes: string | Uint8Array): Step => ({ kind: 'send', bytes });
const json = (length: number): string =>
  head(200, { 'content-type': 'application/json', 'content-length': String(length) });

describe('what is no good answer is a 502 or 504 in OpenAI’s shape, and the next call is served', () => {
  const cases: Record<string, () => Iterable<Step>> = {
    'a content-length that is too long, then the end': () => [send(json(TEXT.length + 10) + TEXT), { kind: 'end' }],
    'a content-length that is too short': () => [send(json(TEXT.length - 10) + TEXT), { kind: 'end' }],
    'both a content-length and chunks': () => [
      send(`${head(200, { 'content-length': '5', 'transfer-encoding': 'chunked' })}5\r\nabcde\r\n0\r\n\r\n`),
      { kind: 'end' },
    ],
    'no HTTP at all': () => [send('SSH-2.0-OpenSSH_9.2\r\n'), { kind: 'end' }],
    'nothing, and the end': () => [{ kind: 'end' }],
    'HTML with a 200': () => reply('<html>Welcome</html>', { contentType: 'text/html' }),
    'HTML that calls itself JSON': () => reply('<html>Welcome</html>'),
    'an empty 200': () => reply(''),
    'a 204': () => [send('HTTP/1.1 204 No Content\r\n\r\n')],
    'an array': () => reply([]),
    'an object without choices': () => reply({ id: 'x', object: 'chat.completion' }),
    'an error with a 200': () => reply({ error: { message: 'The model burnt down', type: 'server_error' } }),
    'null choices': () => reply({ ...GOOD, choices: null }),
    'JSON nested 10,000 deep': () => reply(`{"choices":${'['.repeat(10_000)}${']'.repeat(10_000)}}`),
    'a stream where none was asked for, cut off': () =>
      streamReply(streamEvents(['Hi'], { finishReason: null, done: false })),
    'an answer that is called compressed and is not': () => reply(TEXT, { headers: { 'content-encoding': 'br' } }),
    'headers without end': () => [send(`HTTP/1.1 200 OK\r\n${'x-a: b\r\n'.repeat(20_000)}`), { kind: 'stall' }],
    'a head and then silence': () => [send(json(100)), { kind: 'stall' }],
    'half a body and then silence': () => [send(json(TEXT.length) + TEXT.slice(0, 50)), { kind: 'stall' }],
  };
  for (const [what, script] of Object.entries(cases)) {
    onBareHost(
      what,
      () => ({
        broken: true,
        http: { headersTimeoutMs: 300, bodyTimeoutMs: 300 },
        script: (_request, index) => (index === 0 ? script() : reply(GOOD)),
      }),
      async ({ client, setup }) => {
        const error = await within(
          client()
            .chat.completions.create(CALL)
            .catch((thrown) => thrown),
          'the answer',
        );
        assert.ok(error.status === 502 || error.status === 504, `${error}`);
        assert.deepEqual(Object.keys(error.error).sort(), ['code', 'message', 'param', 'type']);
        assert.ok(!JSON.stringify(error.error).includes('127.0.0.1'));
        for (let call = 0; call < 3; call += 1) {
          assert.equal((await client().chat.completions.create(CALL)).choices[0]?.message.content, 'Hello');
        }
        assert.deepEqual(
          setup.records.map((record) => record.outcome),
          ['error', 'ok', 'ok', 'ok'],
        );
      },
    );
  }
});

describe('what is odd but good is an answer', () => {
  const cases: Record<string, () => Iterable<Step>> = {
    'interim answers first': () => [
      send('HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'.repeat(5)),
      send(replyBytes(GOOD)),
    ],
    'a media type with a suffix and parameters': () =>
      reply(GOOD, { contentType: 'Application/vnd.x+JSON;charset=utf-8' }),
    'byte by byte': () => [...replyBytes(GOOD)].map((byte) => send(Uint8Array.of(byte))),
    'an explicit null error': () => reply({ ...GOOD, error: null }),
    'a 201': () => reply(GOOD, { status: 201 }),
    'fifty headers, some of them the client’s business': () =>
      reply(GOOD, {
        headers: { 'set-cookie': 'a=b', server: 'evil', 'access-control-allow-origin': '*', 'x-secret': 'canary' },
      }),
  };
  for (const [what, script] of Object.entries(cases)) {
    onBareHost(
      what,
      () => ({ script }),
      async ({ client }) => {
        const { data, response } = await client().chat.completions.create(CALL).withResponse();
        assert.equal(data.choices[0]?.message.content, 'Hello');
        assert.equal(response.status, 200);
        for (const name of ['set-cookie', 'server', 'access-control-allow-origin', 'x-secret', 'link']) {
          assert.equal(response.headers.get(name), null, name);
        }
      },
    );
  }
});

for (const status of [301, 302, 303, 307, 308]) {
  onBareHost(
    `a ${status} is not followed: the upstream’s key goes nowhere else`,
    () => ({ broken: true }),
    async ({ client, upstream }) => {
      const elsewhere = await scriptedUpstream(() => reply(GOOD));
      try {
        for (const location of [`${elsewhere.baseUrl}/chat/completions`, `${upstream.baseUrl}/elsewhere`]) {
          upstream.answerWith(() => reply('', { status, headers: { location } }));
          await assert.rejects(client().chat.completions.create(CALL), { status: 502, code: 'upstream_bad_response' });
        }
        assert.equal(elsewhere.connections(), 0);
        assert.equal(upstream.requests.length, 2);
      } finally {
        await elsewhere.close();
      }
    },
  );
}

onBareHost(
  'what the upstream says of its own key is not told, in no header and no word, whole or streamed',
  () => ({
    broken: true,
    script: () =>
      errorReply(
        401,
        { message: `Incorrect API key provided: ${UPSTREAM_KEY}.`, code: 'invalid_api_key' },
        {
          'www-authenticate': `Bearer ${UPSTREAM_KEY}`,
        },
      ),
  }),
  async ({ client, setup }) => {
    for (const stream of [false, true]) {
      const error = await client()
        .chat.completions.create({ ...CALL, stream })
        .then(
          () => assert.fail('went through'),
          (thrown) => thrown,
        );
      assert.equal(error.status, 502);
      const told = JSON.stringify([error.error, [...error.headers], String(error)]);
      for (const secret of [UPSTREAM_KEY, 'canary', 'Incorrect', 'www-authenticate']) assert.ok(!told.includes(secret));
    }
    assert.ok(setup.errors.length >= 2, 'the operator is told that the key is bad');
  },
);

for (const [what, contentType] of [
  ['JSON', 'application/json'],
  ['HTML', 'text/html'],
] as const) {
  onBareHost(
    `an answer of ${what} without end is given up, not stored`,
    () => ({ broken: true, maxResponseBytes: 300_000, script: () => endless(contentType) }),
    async ({ client, upstream }) => {
      const call = client().chat.completions.create(CALL);
      await assert.rejects(within(call, 'the answer'), { status: 502, code: 'upstream_bad_response' });
      await within((await upstream.request(0)).closed, 'the connection to be given up');
    },
  );
}

onBareHost(
  'an error body without end is given up too',
  () => ({
    broken: true,
    *script() {
      yield send(head(500, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }));
      for (;;) yield send('400\r\n'.concat('x'.repeat(1_024), '\r\n'));
    },
  }),
  async ({ client, upstream }) => {
    await assert.rejects(within(client().chat.completions.create(CALL), 'the answer'), { status: 502 });
    await within((await upstream.request(0)).closed, 'the connection to be given up');
  },
);

onBareHost(
  'an upstream that cannot be reached is a 502 that does not say where it is',
  () => ({ broken: true }),
  async ({ client }) => {
    assert.ok(client);
    const port = await closedPort();
    const dead = httpOver({ baseUrl: `http://127.0.0.1:${port}/v1` });
    await assert.rejects(dead.send(callWith(CALL)), (error: Error) => {
      assert.ok(!error.message.includes(String(port)), error.message);
      assert.equal(Reflect.get(error, 'status'), 502);
      return true;
    });
  },
);

function* endless(contentType: string): Generator<Step> {
  yield send(head(200, { 'content-type': contentType, 'transfer-encoding': 'chunked' }));
  yield send('1\r\n{\r\n');
  for (;;) yield send(`2000\r\n${' '.repeat(8_192)}\r\n`);
}

/** A port that was free a moment ago. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
