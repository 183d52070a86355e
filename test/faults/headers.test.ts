import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createKey, fromFunction, type KeyStore, memoryKeys } from 'megallm-middleware';
import { reply, wholeChat } from '../helpers/chat-answers.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET, testSetup, UNKNOWN_SECRET } from '../helpers/gateway-options.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { rawChat, rawClient, rawExchange, rawRequest } from '../helpers/raw-client.js';
import { CALL, onBareHost } from '../helpers/scene.js';

/** The answer's bytes less what is its own: request id and date. */
async function bytesOf(keys: KeyStore, secret: string): Promise<string> {
  const setup = testSetup({ keys, upstream: fromFunction(() => 'Hello'), clock: frozenClock(1_000_000) });
  const host = await BARE_HOST.start(setup.options);
  try {
    const client = await rawClient(host.origin);
    client.send(rawChat(secret, CALL));
    await client.until((text) => text.endsWith('}'), 'the answer');
    const text = client.received().toString();
    client.destroy();
    await setup.finish();
    return text.replace(/x-request-id: \S+/i, 'x-request-id: -').replace(/date: [^\r]+/i, 'date: -');
  } finally {
    await host.close();
  }
}

describe('A7 keys that are refused cannot be told apart', () => {
  it('unknown, expired and revoked keys get the same bytes', async () => {
    const none = await bytesOf(memoryKeys(), UNKNOWN_SECRET);
    assert.match(none, /^HTTP\/1\.1 401 /);
    const expired = memoryKeys([
      { secret: UNKNOWN_SECRET, id: 'canary_id', owner: 'canary_owner', expiresAt: 1_000_000 },
    ]);
    assert.equal(await bytesOf(expired, UNKNOWN_SECRET), none);
    assert.equal(await bytesOf({ find: async () => undefined }, UNKNOWN_SECRET), none);
    assert.ok(!none.includes(UNKNOWN_SECRET) && !none.includes('canary'));
  });

  it('a key is good until the very millisecond it expires', async () => {
    const good = memoryKeys([{ secret: UNKNOWN_SECRET, id: 'k', expiresAt: 1_000_001 }]);
    assert.match(await bytesOf(good, UNKNOWN_SECRET), /^HTTP\/1\.1 200 /);
  });

  it('malformed keys differ from them in the echo alone', async () => {
    const withoutEcho = (text: string): string =>
      text.replace(/provided: [^"]*\./, 'provided: -.').replace(/content-length: \d+/i, 'content-length: -');
    const unknown = withoutEcho(await bytesOf(memoryKeys(), UNKNOWN_SECRET));
    const ours = createKey({ id: 'x' }).secret;
    const flipped = ours.slice(0, -1) + (ours.endsWith('0') ? '1' : '0');
    const malformed = [
      'short',
      'x'.repeat(300),
      'with space in the middle of it',
      "' OR 1=1 --'''''''''",
      flipped,
      'sk-mega-x',
    ];
    let asked = 0;
    const counting: KeyStore = {
      find: async () => {
        asked += 1;
        return undefined;
      },
    };
    for (const secret of malformed) assert.equal(withoutEcho(await bytesOf(counting, secret)), unknown, secret);
    assert.equal(asked, 0, 'what cannot be a key never reaches the store');
  });
});

const body = JSON.stringify(CALL);
const post = (headers: Record<string, string>, path = '/v1/chat/completions'): Buffer =>
  rawRequest('POST', path, { 'content-type': 'application/json', ...headers }, body);

onBareHost(
  'A8 one key, wherever it stands; two different ones are a 400; none counts in the URL',
  () => ({}),
  async ({ host, upstream }) => {
    const bearer = { authorization: `Bearer ${SECRET}` };
    const cases: [string, Buffer, number, string | null][] = [
      ['bearer', post(bearer), 200, null],
      ['bearer in small letters', post({ authorization: `bearer   ${SECRET} ` }), 200, null],
      ['x-api-key', post({ 'x-api-key': SECRET }), 200, null],
      ['the same twice', post({ ...bearer, 'x-api-key': SECRET }), 200, null],
      ['two different', post({ ...bearer, 'x-api-key': UNKNOWN_SECRET }), 400, 'invalid_request'],
      [
        'two different, the good one second',
        post({ authorization: `Bearer ${UNKNOWN_SECRET}`, 'x-api-key': SECRET }),
        400,
        'invalid_request',
      ],
      ['in the URL', post({}, `/v1/chat/completions?api_key=${SECRET}&key=${SECRET}`), 401, null],
      ['as user info', post({}, `http://${SECRET}@test/v1/chat/completions`), 401, null],
      ['basic', post({ authorization: `Basic ${Buffer.from(`:${SECRET}`).toString('base64')}` }), 200, null],
      ['bare', post({ authorization: SECRET }), 401, null],
      ['an empty bearer', post({ authorization: 'Bearer ' }), 401, null],
      ['a cookie', post({ cookie: `authorization=${SECRET}` }), 401, null],
      ['its hash', post({ authorization: `Bearer ${'0'.repeat(64)}` }), 401, 'invalid_api_key'],
    ];
    for (const [what, bytes, status, code] of cases) {
      const response = await rawExchange(host.origin, bytes);
      assert.equal(response.status, status, `${what}: ${response.body}`);
      if (status >= 400 && status !== 404) assert.equal(JSON.parse(response.body).error.code, code, what);
      assert.ok(!response.body.includes(SECRET), what);
    }
    assert.equal(upstream.requests.length, 5);
  },
);

onBareHost(
  'C6 headers named like what every object has are headers like others',
  () => ({}),
  async ({ host }) => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf']) {
      for (const [secret, status] of [
        [SECRET, 200],
        [UNKNOWN_SECRET, 401],
      ] as const) {
        const response = await rawExchange(host.origin, post({ authorization: `Bearer ${secret}`, [name]: '{"x":1}' }));
        assert.equal(response.status, status, name);
      }
    }
    // A name that the upstream may have, as any other: nothing that every object has is found under it.
    const found = await rawExchange(
      host.origin,
      rawRequest('GET', '/v1/models/__proto__', { authorization: `Bearer ${SECRET}` }),
    );
    const { id, owned_by } = JSON.parse(found.body);
    assert.deepEqual([found.status, id, owned_by], [200, '__proto__', 'system']);
  },
);

onBareHost(
  'C16 text from outside never breaks a header or adds one',
  () => ({ script: (request) => reply(wholeChat('Hello', { model: String(request.json().model) })) }),
  async ({ host }) => {
    const models = [
      '漢字',
      'a\r\nx-injected: 1',
      'nul\u0000',
      '\u2028',
      '😀'.repeat(60),
      'ü',
      '%0d%0ax: 1',
      '\u007f',
      '\ud800',
    ];
    for (const model of models) {
      const headers = { authorization: `Bearer ${SECRET}`, 'x-debug': 'true', 'x-request-id': 'mine\u00ff' };
      const bytes = rawRequest(
        'POST',
        '/v1/chat/completions',
        { 'content-type': 'application/json', ...headers },
        JSON.stringify({ ...CALL, model }),
      );
      const response = await rawExchange(host.origin, bytes);
      assert.equal(response.status, 200, JSON.stringify([model, response.body]));
      assert.equal(response.headers['x-injected'], undefined);
      assert.equal(response.headers.x, undefined);
      for (const value of Object.values(response.headers)) assert.match(value, /^[\x20-\x7e]*$/);
      assert.match(response.headers['x-request-id'] ?? '', /^req_[0-9a-f]{32}$/);
      const found = await rawExchange(
        host.origin,
        rawRequest('GET', `/v1/models/${encodeURIComponent(model.toWellFormed())}`, headers),
      );
      // As the call: the name is passed on.
      assert.equal(found.status, 200);
      assert.equal(JSON.parse(found.body).id, model.toWellFormed());
    }
    assert.equal(
      (await rawExchange(host.origin, rawRequest('GET', '/v1/models/%', { authorization: `Bearer ${SECRET}` }))).status,
      404,
    );
  },
);

onBareHost(
  'C17 methods that we do not have are refused in order',
  () => ({}),
  async ({ host }) => {
    const key = { authorization: `Bearer ${SECRET}` };
    const cases: [string, string, number][] = [
      ['PUT', '/v1/chat/completions', 405],
      ['TRACE', '/v1/models', 405],
      ['PROPFIND', '/v1/models', 405],
      ['DELETE', '/v1/models/x', 405],
      ['POST', '/v1/models', 405],
      ['GET', '/v1/threads', 404],
      ['GET', '/v1', 404],
    ];
    for (const [method, path, status] of cases) {
      assert.equal((await rawExchange(host.origin, rawRequest(method, path, key))).status, status, `${method} ${path}`);
      const stranger = await rawExchange(host.origin, rawRequest(method, path, {}));
      assert.equal(stranger.status, 401, `${method} ${path} by a stranger`);
    }
    // The host's own.
    for (const path of ['/v1/Models', '/v1/../v1/nope']) {
      assert.equal((await rawExchange(host.origin, rawRequest('GET', path, {}))).status, 404, path);
    }
    const client = await rawClient(host.origin);
    client.send(rawRequest('HEAD', '/v1/models', key));
    await client.until((text) => text.endsWith('\r\n\r\n'), 'the head');
    assert.match(client.received().toString(), /^HTTP\/1\.1 200 /);
    client.destroy();
    const upgrade = { ...key, connection: 'upgrade', upgrade: 'websocket' };
    assert.equal((await rawExchange(host.origin, rawRequest('GET', '/v1/models', upgrade))).status, 200);
  },
);

onBareHost(
  'C17 a hundred pipelined requests use a hundred requests of the limit',
  () => ({ key: { limits: { requestsPerMinute: 150 } }, clock: frozenClock() }),
  async ({ host, upstream }) => {
    const client = await rawClient(host.origin);
    const hundred = Array.from({ length: 100 }, () => post({ authorization: `Bearer ${SECRET}` }));
    client.send(Buffer.concat(hundred));
    for (let left = 149; left >= 50; left -= 1) {
      const { status, headers } = await client.response();
      assert.deepEqual([status, headers['x-ratelimit-remaining-requests']], [200, String(left)]);
    }
    client.destroy();
    assert.equal(upstream.requests.length, 100);
  },
);
