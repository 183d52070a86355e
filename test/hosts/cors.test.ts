import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createGateway } from 'megallm-middleware';
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
const withCors = () => ({ cors: { origins: [ORIGIN, 'http://localhost:5173'] } });

const corsOf = (response: Response): Record<string, string> =>
  Object.fromEntries([...response.headers].filter(([name]) => name.startsWith('access-control-')));
const varies = (response: Response): boolean => /(?:^|,\s*)origin(?:,|$)/i.test(response.headers.get('vary') ?? '');

onEveryHost(
  'without the option no answer speaks of origins',
  () => ({}),
  async ({ host }) => {
    for (const init of [{}, { method: 'OPTIONS' }, { headers: { authorization: `Bearer ${SECRET}` } }]) {
      const headers = { origin: ORIGIN, 'access-control-request-method': 'POST', ...init.headers };
      const response = await fetch(`${host.baseUrl}/models`, { ...init, headers });
      assert.deepEqual([corsOf(response), varies(response)], [{}, false]);
      await response.text();
    }
  },
);

onEveryHost(
  'a page of an allowed origin may read answers, errors and streams',
  withCors,
  async ({ host, upstream }) => {
    const ask = (headers: Record<string, string>, body: object) =>
      fetch(`${host.baseUrl}/chat/completions`, {
        method: 'POST',
        headers: { origin: ORIGIN, 'content-type': 'application/json', authorization: `Bearer ${SECRET}`, ...headers },
        body: JSON.stringify(body),
      });
    const good = await ask({}, CALL);
    const bad = await ask({}, { ...CALL, messages: 1 });
    const stranger = await ask({ authorization: 'Bearer nobody-0123456789' }, CALL);
    upstream.answerWith(() => streamReply([streamChat(['Hello'])]));
    const stream = await ask({}, { ...CALL, stream: true });
    const statuses = [200, 400, 401, 200];
    for (const [index, response] of [good, bad, stranger, stream].entries()) {
      assert.equal(response.status, statuses[index]);
      const { 'access-control-expose-headers': exposed, ...headers } = corsOf(response);
      assert.deepEqual(headers, { 'access-control-allow-origin': ORIGIN });
      for (const name of ['x-request-id', 'retry-after', 'x-ratelimit-remaining-tokens'])
        assert.ok(exposed?.includes(name));
      assert.ok(varies(response), response.headers.get('vary') ?? 'no vary');
      await response.text();
    }
    const elsewhere = await fetch(`${host.origin}/host`, { headers: { origin: ORIGIN } });
    assert.deepEqual(corsOf(elsewhere), {}, "the host's own routes are its own");
  },
);

onEveryHost('a preflight needs no key and asks nobody', withCors, async ({ host, upstream }) => {
  for (const path of ['/chat/completions', '/files/file-1/content', '/nope']) {
    const response = await fetch(host.baseUrl + path, {
      method: 'OPTIONS',
      headers: {
        origin: ORIGIN,
        'access-control-request-method': 'DELETE',
        'access-control-request-headers': 'authorization, x-stainless-retry-count',
      },
    });
    assert.equal(response.status, 204);
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
    for (const method of ['OPTIONS', 'GET']) {
      const response = await fetch(`${host.baseUrl}/models`, {
        method,
        headers: { origin, 'access-control-request-method': 'POST', authorization: `Bearer ${SECRET}` },
      });
      assert.equal(response.headers.get('access-control-allow-origin'), null, `${method} ${origin}`);
      assert.equal(response.headers.get('access-control-allow-credentials'), null);
      assert.ok(varies(response));
      await response.text();
    }
  }
  // An OPTIONS that is no preflight is a request like any other.
  const options = await fetch(`${host.baseUrl}/models`, { method: 'OPTIONS', headers: { origin: ORIGIN } });
  assert.equal(options.status, 401);
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
      assert.throws(() => createGateway({ ...testSetup().options, cors: cors as never }), TypeError);
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
