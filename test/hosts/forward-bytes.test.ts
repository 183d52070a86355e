import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { toFile } from 'openai';
import { answering, forwardsOnBareHost, forwardsOnEveryHost } from '../helpers/forward-scene.js';
import { SECRET } from '../helpers/gateway-options.js';
import { jsonAnswer } from '../helpers/http-upstream.js';
import { rawExchange, rawRequest } from '../helpers/raw-client.js';
import { onBareHost, UPSTREAM_KEY } from '../helpers/scene.js';

/** Every byte there is, and what looks like framing. */
const BINARY = Buffer.from([...Array(256).keys(), 13, 10, 45, 45, 13, 10, 0, 255]);
const BOUNDARY = 'x-boundary-of-the-test';

function form(...parts: readonly (readonly [name: string, value: string | Buffer])[]): Buffer {
  const pieces = parts.flatMap(([name, value]) => [
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${typeof value === 'string' ? '' : '; filename="a.bin"\r\nContent-Type: application/octet-stream'}\r\n\r\n`,
    value,
    '\r\n',
  ]);
  return Buffer.concat([...pieces, `--${BOUNDARY}--\r\n`].map((piece) => Buffer.from(piece)));
}

const multipart = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };

forwardsOnEveryHost(
  'a multipart request reaches the upstream with its method, path, query and bytes, and nothing of who sent it',
  () => answering((_arrival, res) => jsonAnswer(res, { id: 'file-1', object: 'file' })),
  async ({ ask, upstream }) => {
    const body = form(['purpose', 'assistants'], ['file', BINARY]);
    const response = await ask('/files?x=%2F..%2f&y=a+b', {
      method: 'POST',
      body,
      headers: {
        ...multipart,
        accept: 'application/json',
        cookie: 'session=of-the-host',
        'openai-organization': 'org-client',
        'openai-beta': 'assistants=v2',
        'x-forwarded-for': '203.0.113.9',
        'x-api-key': SECRET,
        'api-key': SECRET,
        'proxy-authorization': `Basic ${SECRET}`,
        'idempotency-key': 'guessable',
        'x-custom': 'of the client',
      },
    });
    assert.equal(response.status, 200);
    const [arrival] = upstream.arrivals;
    assert.ok(arrival);
    assert.equal(`${arrival.method} ${arrival.url}`, 'POST /v1/files?x=%2F..%2f&y=a+b');
    assert.deepEqual(arrival.body(), body);
    const { host, connection, ...headers } = arrival.headers;
    assert.deepEqual(headers, {
      'content-type': multipart['content-type'],
      'content-length': String(body.length),
      accept: 'application/json',
      'openai-beta': 'assistants=v2',
      'accept-encoding': 'identity',
      'user-agent': 'megallm-middleware',
      authorization: `Bearer ${UPSTREAM_KEY}`,
    });
    assert.equal(`${host} ${connection}`, `${new URL(upstream.origin).host} keep-alive`);
    assert.ok(!arrival.rawHeaders.join('\n').includes(SECRET));
  },
);

forwardsOnEveryHost(
  'bytes of answers pass untouched, and of headers only what describes them',
  () =>
    answering(({ url }, res) => {
      if (url.endsWith('/speech')) res.writeHead(200, { 'content-type': 'audio/mpeg' }).end(BINARY);
      else jsonAnswer(res, { id: 'file-1', object: 'file' });
    }),
  async ({ client, upstream }) => {
    const openai = client();
    const speech = await openai.audio.speech.create({ model: 'tts-1', voice: 'alloy', input: 'Hello' });
    assert.deepEqual(Buffer.from(await speech.arrayBuffer()), BINARY);
    assert.equal(speech.headers.get('content-type'), 'audio/mpeg');
    assert.deepEqual(JSON.parse(String(upstream.arrivals[0]?.body())), {
      model: 'tts-1',
      voice: 'alloy',
      input: 'Hello',
    });
  },
);

const EVENTS =
  'event: transcript.text.delta\r\ndata: {"type":"transcript.text.delta","delta":"Grüße"}\r\n\r\n: ping\r\n\r\ndata: {"type":"transcript.text.done","text":"Grüße","usage":{"type":"tokens","input_tokens":14,"output_tokens":45,"total_tokens":59}}\r\n\r\n';

forwardsOnEveryHost(
  'a transcription streams with its CRLFs untouched, and is metered by its last event',
  () =>
    answering((_arrival, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const piece of EVENTS.match(/[\s\S]{1,7}/g) ?? []) res.write(piece);
      res.end();
    }),
  async ({ ask, client, setup }) => {
    const body = form(['file', BINARY], ['model', 'gpt-4o-transcribe'], ['stream', 'true']);
    const response = await ask('/audio/transcriptions', { method: 'POST', body, headers: multipart });
    assert.equal(await response.text(), EVENTS);
    assert.match(response.headers.get('cache-control') ?? '', /no-transform/);
    const stream = await client().audio.transcriptions.create({
      file: await toFile(BINARY, 'a.wav'),
      model: 'gpt-4o-transcribe',
      stream: true,
    });
    const seen: string[] = [];
    for await (const event of stream) seen.push(event.type);
    assert.deepEqual(seen, ['transcript.text.delta', 'transcript.text.done']);
    await setup.usage.allSettled();
    for (const { operation, model, inputTokens, outputTokens, outcome } of setup.records) {
      const expected = { operation: 'audio', model: 'gpt-4o-transcribe', inputTokens: 14, outputTokens: 45 };
      assert.deepEqual({ operation, model, inputTokens, outputTokens }, expected);
      assert.equal(outcome, 'ok');
    }
  },
);

const ROUTES: readonly (readonly [method: string, path: string, answer: object])[] = [
  ['POST', '/images/generations', { data: [] }],
  ['POST', '/batches', { id: 'batch_1', object: 'batch' }],
  ['GET', '/batches/batch_1', { id: 'batch_1', object: 'batch' }],
  ['POST', '/batches/batch_1/cancel', { id: 'batch_1', object: 'batch' }],
  ['POST', '/uploads', { id: 'upload_1', object: 'upload' }],
  ['POST', '/uploads/upload_1/cancel', { id: 'upload_1', object: 'upload' }],
  ['POST', '/uploads/upload_1/complete', { id: 'upload_1', file: { id: 'file-9' } }],
  ['GET', '/files/file-9', { id: 'file-9', object: 'file' }],
  ['POST', '/vector_stores', { id: 'vs_1', object: 'vector_store' }],
  ['POST', '/vector_stores/vs_1', { id: 'vs_1', object: 'vector_store' }],
  ['POST', '/vector_stores/vs_1/search?q=1', { object: 'page', data: [] }],
  ['GET', '/vector_stores/vs_1/files/file-9/content', { object: 'page', data: [] }],
  ['DELETE', '/vector_stores/vs_1/files/file-9', { id: 'file-9', deleted: true }],
  ['DELETE', '/vector_stores/vs_1', { id: 'vs_1', deleted: true }],
];

forwardsOnEveryHost(
  'JSON requests and those without a body pass to every route',
  () => answering((_arrival, res) => jsonAnswer(res, {})),
  async ({ ask, upstream, setup }) => {
    for (const [index, [method, path, answer]] of ROUTES.entries()) {
      upstream.answerWith((_arrival, res) => jsonAnswer(res, answer));
      // An empty object is a body too; `cancel` has none at all.
      const body = method === 'POST' && !path.endsWith('/cancel') ? '{}' : undefined;
      const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
      const response = await ask(path, { method, headers, ...(body === undefined ? {} : { body }) });
      assert.deepEqual([path, response.status, await response.json()], [path, 200, answer]);
      const arrival = await upstream.arrival(index);
      assert.equal(`${arrival.method} ${arrival.url}`, `${method} /v1${path}`);
      assert.equal(String(arrival.body()), body ?? '');
      assert.equal(arrival.headers['content-type'], body === undefined ? undefined : 'application/json');
    }
    assert.equal(setup.records.length, ROUTES.length);
  },
);

const NASTY: Record<string, string> = {
  'set-cookie': 'upstream=1; Path=/',
  server: 'cloudflare',
  'openai-organization': 'org-of-the-operator',
  'openai-project': 'proj_operator',
  'openai-processing-ms': '12',
  'x-request-id': 'req_upstream',
  'access-control-allow-origin': '*',
  'access-control-allow-credentials': 'true',
  'content-security-policy': "default-src 'none'",
  'content-location': 'http://upstream.internal/v1/files',
  location: 'http://upstream.internal/',
  refresh: '0; url=http://evil.example',
  'strict-transport-security': 'max-age=1',
  'clear-site-data': '"*"',
  'www-authenticate': 'Bearer',
  'x-ratelimit-limit-requests': '1',
  'x-ratelimit-remaining-tokens': '1',
  'retry-after': '9',
  'x-should-retry': 'true',
  'x-api-key': UPSTREAM_KEY,
  authorization: `Bearer ${UPSTREAM_KEY}`,
  'cache-control': 'public, max-age=31536000',
  etag: '"upstream"',
  expires: 'Thu, 01 Jan 2099 00:00:00 GMT',
  'last-modified': 'Thu, 01 Jan 2015 00:00:00 GMT',
  vary: '*',
  via: '1.1 upstream',
  link: '<http://evil.example>; rel=preload',
  'alt-svc': 'h3=":443"',
  'accept-ranges': 'bytes',
  'content-range': 'bytes 0-1/2',
  'content-language': 'de',
  'content-md5': 'AAAA',
  trailer: 'x-late',
  'x-powered-by': 'PHP',
  'x-debug-key': 'of the upstream',
  'server-timing': 'db;dur=1',
  'x-frame-options': 'ALLOWALL',
  'x-content-type-options': 'sniff',
  'report-to': '{}',
  nel: '{}',
  'cf-ray': '1',
  'permissions-policy': '*',
  'referrer-policy': 'unsafe-url',
  'cross-origin-resource-policy': 'cross-origin',
  'x-upstream-address': '10.0.0.1',
  'timing-allow-origin': '*',
  'service-worker-allowed': '/',
  sourcemap: '/x.map',
  'x-sendfile': '/etc/passwd',
  'x-accel-redirect': '/etc/passwd',
};

forwardsOnBareHost(
  'fifty nasty headers of an upstream stay there, of objects as of bytes',
  () =>
    answering(({ url }, res) => {
      const body = url.includes('content') ? 'bytes' : JSON.stringify({ id: 'file-1', data: [] });
      const disposition = { 'content-disposition': 'attachment; filename="a.txt"' };
      res.writeHead(200, {
        ...NASTY,
        ...disposition,
        'content-type': 'application/json',
        'transfer-encoding': 'chunked',
      });
      res.end(body);
    }),
  async ({ ask }) => {
    assert.ok(Object.keys(NASTY).length >= 50);
    const file = { method: 'POST', body: form(['file', BINARY]), headers: multipart };
    for (const [path, init] of [['/files', file], ['/files'], ['/files/file-1'], ['/files/file-1/content']] as const) {
      const response = await ask(path, init);
      assert.equal(response.status, 200, path);
      const names = [...response.headers.keys()].filter((name) => !['date', 'connection', 'keep-alive'].includes(name));
      const framing = path.endsWith('content') ? 'transfer-encoding' : 'content-length';
      assert.deepEqual(
        names.sort(),
        [
          'content-disposition',
          'content-security-policy',
          framing,
          'content-type',
          'x-content-type-options',
          'x-request-id',
        ].sort(),
        path,
      );
      assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
      assert.match(response.headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/);
      await response.arrayBuffer();
    }
  },
);

onBareHost(
  'a file name that no header can hold does not break the answer',
  () => ({
    *script() {
      const head =
        'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\ncontent-disposition: attachment; filename="Größe €.txt"\r\n\r\n';
      yield { kind: 'send', bytes: Buffer.from(`${head}ok`) };
    },
  }),
  async ({ host }) => {
    const body = JSON.stringify({ model: 'tts-1', voice: 'alloy', input: 'Hello' });
    const headers = { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' };
    const response = await rawExchange(host.origin, rawRequest('POST', '/v1/audio/speech', headers, body));
    assert.equal(response.status, 200);
    assert.equal(response.body, 'ok');
    assert.match(
      response.headers['content-disposition'] ?? 'absent',
      /^(?:absent|attachment; filename="[\x20-\xff]*")$/,
    );
  },
);

forwardsOnBareHost(
  'a body where there should be none stays here',
  () => answering((_arrival, res) => jsonAnswer(res, { object: 'list', data: [] })),
  async ({ host, upstream }) => {
    const headers = { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' };
    const response = await rawExchange(host.origin, rawRequest('GET', '/v1/files', headers, '{"a":1}'));
    assert.equal(response.status, 200);
    const arrival = await upstream.arrival(0);
    assert.equal(String(arrival.body()), '');
    assert.equal(arrival.headers['content-type'], undefined);
    assert.ok([undefined, '0'].includes(arrival.headers['content-length']));
  },
);

forwardsOnBareHost(
  'a form in chunks goes out in chunks',
  () => answering((_arrival, res) => jsonAnswer(res, { id: 'file-1', object: 'file' })),
  async ({ host, upstream }) => {
    const body = form(['purpose', 'batch'], ['file', BINARY]);
    const socket = connect(Number(new URL(host.origin).port), '127.0.0.1');
    socket.write(
      `POST /v1/files HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${SECRET}\r\ncontent-type: ${multipart['content-type']}\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    for (let at = 0; at < body.length; at += 11) {
      const piece = body.subarray(at, at + 11);
      socket.write(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]));
    }
    socket.write('0\r\n\r\n');
    assert.match(await text(socket), /^HTTP\/1\.1 200/);
    const arrival = await upstream.arrival(0);
    assert.deepEqual(arrival.body(), body);
    assert.equal(arrival.headers['transfer-encoding'], 'chunked');
    assert.equal(arrival.headers['content-length'], undefined);
  },
);
