import assert from 'node:assert/strict';
import { type ForwardReply, fromFunction, GatewayError, openaiClient, type Upstream } from 'megallm-middleware';
import { chunkOf, head, streamHead } from '../helpers/chat-answers.js';
import { answering, forwardsOnEveryHost } from '../helpers/forward-scene.js';
import { SECRET } from '../helpers/gateway-options.js';
import type { jsonAnswer } from '../helpers/http-upstream.js';
import { rawExchange, rawRequest } from '../helpers/raw-client.js';
import { onBareHost, onEveryHost } from '../helpers/scene.js';

const speech = (path: string) =>
  rawRequest(
    'POST',
    path,
    { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
    '{"model":"tts-1","input":"x","voice":"alloy"}',
  );

for (const [what, bytes] of Object.entries({
  'with a length': `${head(200, { 'content-type': 'audio/mpeg', 'content-length': '100' })}hello`,
  'in chunks': `${head(200, { 'content-type': 'audio/mpeg', 'transfer-encoding': 'chunked' })}5\r\nhello\r\n`,
})) {
  for (const kind of ['end', 'reset'] as const) {
    onEveryHost(
      `bytes ${what} that break off (${kind}) break off for the client too`,
      () => ({
        script: () => [
          { kind: 'send', bytes },
          { kind: 'wait', until: new Promise((resolve) => setTimeout(resolve, 20)) },
          { kind },
        ],
        broken: true,
      }),
      async ({ host, setup }) => {
        const response = await rawExchange(host.origin, speech(new URL(`${host.baseUrl}/audio/speech`).pathname));
        assert.deepEqual([response.status, response.whole], [200, false]);
        assert.ok(['', 'hello'].includes(response.body));
        await setup.usage.allSettled();
        assert.deepEqual(
          setup.records.map(({ outcome }) => outcome),
          ['error'],
        );
        assert.equal(setup.errors.length, 1);
      },
    );
  }
}

const EVENT = 'data: {"type":"transcript.text.delta","delta":"Hel"}\n\n';

for (const [what, sent, before] of [
  ['between events', EVENT, EVENT],
  ['in the middle of one', `${EVENT}data: {"type":"tr`, EVENT],
  ['in the middle of a huge one', `${EVENT}: ${'x'.repeat(2_000_000)}`, `${EVENT}: ${'x'.repeat(1_048_576)}`],
  ['in the middle of a line end', `${EVENT}: ping\r\n\r`, EVENT],
  ['before the first', '', ''],
] as const) {
  onBareHost(
    `events that break off ${what} end with an error of their own`,
    () => ({ script: () => [streamHead(), ...(sent === '' ? [] : [chunkOf(sent)]), { kind: 'end' }], broken: true }),
    async ({ host, setup }) => {
      const response = await rawExchange(host.origin, speech('/v1/audio/speech'));
      assert.deepEqual([response.status, response.whole], [200, true]);
      assert.ok(response.body.startsWith(before), response.body);
      const [last = ''] = /(?<=^|\n\n)data: \{"error.*\n\n$/.exec(response.body) ?? [];
      if (!what.includes('huge')) assert.equal(response.body, before + last);
      const { error } = JSON.parse(last.slice('data: '.length));
      assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type']);
      assert.equal(error.code, 'upstream_stream_interrupted');
      assert.deepEqual(
        setup.records.map(({ outcome }) => outcome),
        ['error'],
      );
    },
  );
}

onBareHost(
  'an announced length of events is not kept, as there may be one more',
  () => ({
    script: () => [
      { kind: 'send', bytes: `${head(200, { 'content-type': 'text/event-stream', 'content-length': '500' })}${EVENT}` },
      { kind: 'end' },
    ],
    broken: true,
  }),
  async ({ host }) => {
    const response = await rawExchange(host.origin, speech('/v1/audio/speech'));
    assert.equal(response.headers['content-length'], undefined);
    assert.deepEqual([response.whole, response.body.includes('upstream_stream_interrupted')], [true, true]);
  },
);

onBareHost(
  'an object that breaks off, is no JSON or is too long is a 502',
  () => ({ broken: true }),
  async ({ host, upstream, setup }) => {
    const bodies = ['{"object":"list"', 'nope', '', '"text"', `{"a":"${'x'.repeat(17_000_000)}"}`];
    for (const body of bodies) {
      const length = body === bodies[0] ? '500' : String(body.length);
      upstream.answerWith(() => [
        {
          kind: 'send',
          bytes: `${head(200, { 'content-type': 'application/json', 'content-length': length })}${body}`,
        },
        { kind: 'end' },
      ]);
      const request = rawRequest('GET', '/v1/files', { authorization: `Bearer ${SECRET}` });
      const response = await rawExchange(host.origin, request);
      assert.equal(response.status, 502, body.slice(0, 20));
      assert.equal(JSON.parse(response.body).error.type, 'server_error');
    }
    assert.equal(setup.records.length, bodies.length);
  },
);

/** An upstream that passes requests on as it likes. */
const custom = (forward: Upstream['forward']): Upstream => ({
  name: 'custom',
  send: () => Promise.reject(new Error('not asked')),
  ...(forward === undefined ? {} : { forward }),
});

const stuck = async (type: string): Promise<ForwardReply> => ({
  status: 200,
  headers: { 'content-type': type },
  body: (async function* () {
    yield Buffer.from('{"a":');
    await new Promise(() => {});
  })(),
});

for (const [path, type] of [
  ['/files', 'application/json'],
  ['/audio/speech', 'application/json'],
  ['/audio/speech', 'audio/mpeg'],
] as const) {
  onBareHost(
    `an upstream that gets stuck in ${path} of ${type} is waited for no longer than a call lasts`,
    () => ({ upstream: custom(() => stuck(type)), timeoutMs: 100 }),
    async ({ host, setup }) => {
      const request =
        path === '/files'
          ? rawRequest('GET', '/v1/files', { authorization: `Bearer ${SECRET}` })
          : speech('/v1/audio/speech');
      const response = await rawExchange(host.origin, request);
      // What may be an error yet is not begun.
      if (type === 'application/json') assert.equal(response.status, 504);
      else assert.equal(response.whole, false);
      assert.deepEqual(
        setup.records.map(({ outcome }) => outcome),
        ['error'],
      );
    },
  );
}

onBareHost(
  'what an upstream throws is what the client sees, or a 502 that says nothing',
  () => ({
    broken: true,
    upstream: custom(({ path }) => {
      throw path === '/files/x' ? new Error('secret') : new GatewayError({ status: 418, message: 'Tea' });
    }),
  }),
  async ({ host, setup }) => {
    const tea = await rawExchange(host.origin, speech('/v1/audio/speech'));
    assert.deepEqual([tea.status, JSON.parse(tea.body).error.message], [418, 'Tea']);
    assert.equal(setup.records[0]?.outcome, 'error');
  },
);

const without: Record<string, Upstream> = {
  fromFunction: fromFunction(async () => 'Hello'),
  openaiClient: openaiClient({ chat: { completions: { create: async () => ({}) } } } as never),
};
for (const [name, upstream] of Object.entries(without)) {
  onBareHost(
    `${name} has nothing to pass on to, and says so`,
    () => ({ upstream }),
    async ({ host, client, setup }) => {
      const response = await rawExchange(host.origin, speech('/v1/audio/speech'));
      assert.equal(response.status, 404);
      assert.deepEqual(JSON.parse(response.body).error, {
        message: 'This model, or the upstream behind it, does not offer audio.',
        type: 'invalid_request_error',
        param: null,
        code: 'unsupported_operation',
      });
      await assert.rejects(client().files.list(), { status: 404, code: 'unsupported_operation' });
      await assert.rejects(client().batches.list(), { status: 404 });
      assert.equal(setup.records.length, 0);
    },
  );
}

forwardsOnEveryHost(
  'an upload that the upstream refuses at its head is refused at once',
  () => ({
    ...answering(
      Object.assign(
        (_arrival: unknown, res: Parameters<typeof jsonAnswer>[0]) => {
          res.writeHead(413, { 'content-type': 'application/json', connection: 'close' });
          res.end('{"error":{"message":"Too much","type":"invalid_request_error","param":null,"code":null}}');
        },
        { atOnce: true },
      ),
    ),
    broken: true,
  }),
  async ({ host, setup }) => {
    const path = new URL(`${host.baseUrl}/files`).pathname;
    const headers = {
      authorization: `Bearer ${SECRET}`,
      'content-type': 'multipart/form-data; boundary=b',
      'content-length': '10000000',
    };
    const response = await rawExchange(host.origin, rawRequest('POST', path, headers, `--b\r\n${'x'.repeat(1000)}`));
    assert.equal(response.status, 413, response.body);
    assert.equal(response.headers.connection, 'close');
    assert.deepEqual(
      setup.records.map(({ outcome }) => outcome),
      ['error'],
    );
  },
);
