import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createGateway } from 'megallm-middleware';
import request, { type Response } from 'supertest';
import { streamChat, streamReply } from '../helpers/chat-answers.js';
import { SECRET, testSetup } from '../helpers/gateway-options.js';
import { CALL, onBareHost, onEveryHost } from '../helpers/scene.js';

const ORIGIN = 'https://app.example.com';
const OTHERS = [
  'https://app.example.com.evil.com',
  'https://evil-app.example.com',
  'https://xapp.example.com',
  'https://example.com',
  'http://app.example.com',
  'https://app.example.com:443',
  'https://app.example.com:8443',
  'https://app.example.com/',
  'https://APP.example.com',
  'HTTPS://app.example.com',
  ' https://app.example.com.',
  'https://app.example.com, https://evil.com',
  'https://app.example.com%00.evil.com',
  'https://app.example.com@evil.com',
  'null',
  '*',
  'file://',
  '',
];
const BEARER = { type: 'bearer' } as const;
/** Headers of ours that SDKs read, or say to people. */
const READ_BY_SDKS = [
  'idempotency-replayed',
  'retry-after',
  'retry-after-ms',
  ...['limit', 'remaining', 'reset'].flatMap((what) => [`x-ratelimit-${what}-requests`, `x-ratelimit-${what}-tokens`]),
  'x-request-id',
  'x-should-retry',
].sort();
const withCors = () => ({ cors: { origins: [ORIGIN, 'http://localhost:5173'] } });

const corsOf = ({ headers }: Response): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('access-control-')));
const varies = ({ headers }: Response): boolean => /(?:^|,\s*)origin(?:,|$)/i.test(headers.vary ?? '');

onEveryHost(
  'without the option no answer speaks of origins',
  () => ({}),
  async ({ host }) => {
    const api = request(host.baseUrl);
    for (const asked of [api.get('/models'), api.options('/models'), api.get('/models').auth(SECRET, BEARER)]) {
      const response = await asked.set({ origin: ORIGIN, 'access-control-request-method': 'POST' });
      assert.deepEqual([corsOf(response), varies(response)], [{}, false]);
    }
  },
);

onEveryHost(
  'a page of an allowed origin may read answers, errors and streams',
  withCors,
  async ({ host, upstream }) => {
    const ask = (secret: string, body: object) =>
      request(host.baseUrl).post('/chat/completions').auth(secret, BEARER).set('origin', ORIGIN).send(body);
    const good = await ask(SECRET, CALL).expect(200);
    const bad = await ask(SECRET, { ...CALL, messages: 1 }).expect(400);
    const stranger = await ask('nobody-0123456789', CALL).expect(401);
    upstream.answerWith(() => streamReply([streamChat(['Hello'])]));
    const stream = await ask(SECRET, { ...CALL, stream: true }).expect(200);
    for (const response of [good, bad, stranger, stream]) {
      const { 'access-control-expose-headers': exposed, ...headers } = corsOf(response);
      assert.deepEqual(headers, { 'access-control-allow-origin': ORIGIN });
      assert.deepEqual(exposed?.split(', ').sort(), READ_BY_SDKS);
      assert.ok(varies(response), response.headers.vary);
    }
    const elsewhere = await request(host.origin).get('/host').set('origin', ORIGIN);
    assert.deepEqual(corsOf(elsewhere), {}, "the host's own routes are its own");
  },
);

onEveryHost('a preflight needs no key and asks nobody', withCors, async ({ host, upstream }) => {
  for (const path of ['/chat/completions', '/files/file-1/content', '/threads']) {
    const response = await request(host.baseUrl)
      .options(path)
      .set({
        origin: ORIGIN,
        'access-control-request-method': 'DELETE',
        'access-control-request-headers': 'authorization, x-stainless-retry-count',
      })
      .expect(204);
    const { 'access-control-expose-headers': _, ...headers } = corsOf(response);
    assert.deepEqual(headers, {
      'access-control-allow-origin': ORIGIN,
      'access-control-allow-methods': 'GET, POST, DELETE',
      'access-control-allow-headers': 'authorization, x-stainless-retry-count',
      'access-control-max-age': '7200',
    });
    assert.ok(varies(response));
  }
  assert.equal(upstream.requests.length, 0);
});

onBareHost('no other origin is let in, and none is with cookies', withCors, async ({ host }) => {
  for (const origin of OTHERS) {
    for (const method of ['options', 'get'] as const) {
      const response = await request(host.baseUrl)
        [method]('/models')
        .auth(SECRET, BEARER)
        .set({ origin, 'access-control-request-method': 'POST' });
      assert.equal(response.headers['access-control-allow-origin'], undefined, `${method} ${origin}`);
      assert.equal(response.headers['access-control-allow-credentials'], undefined);
      assert.ok(varies(response));
    }
  }
  // An OPTIONS that is no preflight asks for methods.
  await request(host.baseUrl)
    .options('/models')
    .set('origin', ORIGIN)
    .expect(204)
    .expect('allow', 'GET, HEAD, OPTIONS');
});

describe('options of cors', () => {
  for (const cors of [
    null,
    true,
    {},
    { origins: '*' },
    { origins: ['*'] },
    { origins: ['null'] },
    { origins: ['app.example.com'] },
    { origins: [`${ORIGIN}/`] },
    { origins: ['https://APP.example.com'] },
    { origins: [1] },
    { origins: [/x/] },
  ]) {
    it(`refused: ${JSON.stringify(cors)}`, () => {
      assert.throws(
        () => createGateway({ ...testSetup().options, cors: cors as never }),
        (error) => error instanceof TypeError && /`cors(?:\.origins)?`/.test(error.message),
      );
    });
  }

  it('are read once', async () => {
    const origins = [ORIGIN];
    const gateway = createGateway({ ...testSetup().options, cors: { origins } });
    origins.push('https://evil.com');
    const response = await gateway.handle({
      method: 'GET',
      url: '/v1/models',
      headers: { origin: 'https://evil.com' },
      signal: new AbortController().signal,
      body: { parsed: undefined },
      native: undefined,
    });
    const headers = response?.headers ?? [];
    assert.ok(headers.includes('x-request-id'));
    assert.ok(!headers.includes('access-control-allow-origin'));
  });
});
