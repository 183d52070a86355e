import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';
import express from 'express';
import express4 from 'express4';
import Koa from 'koa';
import mount from 'koa-mount';
import type { GatewayOptions } from 'megallm-middleware';
import { megallm as expressMegallm } from 'megallm-middleware/express';
import { megallm as koaMegallm } from 'megallm-middleware/koa';
import { megallm } from 'megallm-middleware/node';
import request from 'supertest';
import { SECRET, testSetup } from '../helpers/gateway-options.js';
import { rawExchange, rawRequest } from '../helpers/raw-client.js';
import { onEveryHost } from '../helpers/scene.js';

const BEARER = { type: 'bearer' } as const;
const AUTHORIZED = { authorization: `Bearer ${SECRET}` };

onEveryHost(
  'a path below /v1 that is none of OpenAI’s is the host’s, whoever asks; OpenAI’s own are not',
  () => ({}),
  async ({ host }) => {
    for (const path of ['/users', '/users/1/models', '/modelsx', '/chats', '/health', '/messages', '/projection']) {
      for (const method of ['get', 'post', 'options', 'head'] as const) {
        const asked = request(host.baseUrl)[method](path);
        const { headers } = await asked.auth(SECRET, BEARER);
        assert.equal(headers['x-request-id'], undefined, `${method} ${path}`);
        assert.equal(headers.allow, undefined, `${method} ${path}`);
      }
    }
    for (const path of [
      '/threads',
      '/assistants/a',
      '/fine_tuning/jobs',
      '/evals',
      '/videos',
      '/projects/p/keys',
      '/chat',
    ]) {
      const { status, body } = await request(host.baseUrl).get(path).auth(SECRET, BEARER);
      assert.equal(status, 404, path);
      assert.match(body.error.message, /^Invalid URL/);
      await request(host.baseUrl).get(path).expect(401);
    }
  },
);

onEveryHost(
  'HEAD is GET without a body, OPTIONS tells the methods without a key, one slash at the end is none',
  () => ({}),
  async ({ host, upstream }) => {
    const api = request(host.baseUrl);
    for (const path of [
      '/models',
      '/models/',
      '/models/gpt-4o-mini',
      '/models/gpt-4o-mini/',
      '/usage/',
      '//models/?limit=2',
    ]) {
      const got = await api.get(path).auth(SECRET, BEARER).expect(200);
      const head = await api.head(path).auth(SECRET, BEARER).expect(200);
      assert.equal(head.text ?? '', '');
      assert.equal(head.headers['content-type'], got.headers['content-type']);
      await api.head(path).expect(401);
    }
    await api.head('/models/nobody-has-this/x').auth('wrong-secret-0123456789', BEARER).expect(401);
    await api.head('/chat/completions/none').auth(SECRET, BEARER).expect(404);
    for (const [path, allow] of [
      ['/models', 'GET, HEAD, OPTIONS'],
      ['/chat/completions', 'POST, GET, HEAD, OPTIONS'],
      ['/chat/completions/', 'POST, GET, HEAD, OPTIONS'],
      ['/embeddings', 'POST, OPTIONS'],
      ['/files/x', 'GET, DELETE, HEAD, OPTIONS'],
    ] as const) {
      await api.options(path).expect(204).expect('allow', allow);
    }
    await api.options('/threads').expect(401);
    await api.head('/embeddings').auth(SECRET, BEARER).expect(405);
    assert.equal(upstream.requests.length, 0);
  },
);

onEveryHost(
  'a request’s target may be a whole URL',
  () => ({}),
  async ({ host }) => {
    const path = new URL(host.baseUrl).pathname;
    for (const origin of ['http://test', 'https://TEST:8080', 'HTTP://[::1]:80']) {
      const { status, body } = await rawExchange(host.origin, rawRequest('GET', `${origin}${path}/models`, AUTHORIZED));
      assert.deepEqual([status, JSON.parse(body).object], [200, 'list'], origin);
    }
    for (const target of ['http://test', 'http://test?x=/v1/models', 'ftp://test/v1/models', 'http:/v1/models', '*']) {
      const { headers } = await rawExchange(host.origin, rawRequest('OPTIONS', target, AUTHORIZED));
      assert.equal(headers['x-request-id'], undefined, target);
    }
  },
);

describe('a host that has cut off a part of the path', () => {
  const options = (given: Partial<GatewayOptions> = {}): GatewayOptions => ({ ...testSetup().options, ...given });
  const based = { basePath: '/ai' };
  const users = '/v1/users';

  const apps: Record<string, () => Parameters<typeof request>[0]> = {
    'Express at /v1': () =>
      express()
        .use('/v1', expressMegallm(options()))
        .get(users, (_, res) => void res.send('host')),
    'Express 4 at /v1': () =>
      express4()
        .use('/v1', expressMegallm(options()))
        .get(users, (_, res) => void res.send('host')),
    'a router at /v1': () =>
      express()
        .use('/v1', express.Router().use(expressMegallm(options())))
        .get(users, (_, res) => void res.send('host')),
    'Koa at /v1': () =>
      new Koa()
        .use(mount('/v1', koaMegallm(options())))
        .use((ctx) => {
          if (ctx.path === users) ctx.body = 'host';
        })
        .callback(),
  };
  for (const [name, app] of Object.entries(apps)) {
    it(`finds our paths without /v1 in ${name}, and leaves it the others`, async () => {
      const api = request(app());
      await api.get('/v1/models').auth(SECRET, BEARER).expect(200);
      await api.get('/v1/models/gpt-4o-mini').auth(SECRET, BEARER).expect(200);
      await api.get('/v1/threads').auth(SECRET, BEARER).expect(404).expect('x-request-id', /^req_/);
      await api.get(users).auth(SECRET, BEARER).expect(200, 'host');
      await api.get('/models').auth(SECRET, BEARER).expect(404);
    });
  }

  it('may have one gateway in two places, and what is ours in one of them is the host’s in the other', async () => {
    const handler = expressMegallm(options());
    const api = request(
      express()
        .use('/one/v1', handler)
        .use('/two', handler)
        .use((_, res) => void res.send('host')),
    );
    for (let time = 0; time < 3; time += 1) {
      for (const path of ['/one/v1/models', '/two/v1/models']) {
        const { body } = await api.get(path).auth(SECRET, BEARER).expect(200);
        assert.equal(body.object, 'list', path);
      }
      await api.get('/two/models').auth(SECRET, BEARER).expect(200, 'host');
      await api.get('/one/v1/models?limit=2').auth(SECRET, BEARER).expect('x-request-id', /^req_/);
      await api.get('/two/models?limit=2').auth(SECRET, BEARER).expect(200, 'host');
    }
  });

  const belowBase: Record<string, () => Parameters<typeof request>[0]> = {
    'Express at /ai': () => express().use('/ai', expressMegallm(options(based))),
    'Express at the root': () => express().use(expressMegallm(options(based))),
    'Koa at /ai': () => new Koa().use(mount('/ai', koaMegallm(options(based)))).callback(),
    'Express at /ai/v1': () => express().use('/ai/v1', expressMegallm(options(based))),
  };
  for (const [name, app] of Object.entries(belowBase)) {
    it(`may have said so in basePath as well: ${name}`, async () => {
      const api = request(app());
      await api.get('/ai/v1/models').auth(SECRET, BEARER).expect(200);
      await api.get('/v1/models').auth(SECRET, BEARER).expect(404);
      await api.get('/other/v1/models').auth(SECRET, BEARER).expect(404);
    });
  }
});

describe('what the gateway is told of a client', () => {
  let seen: string | undefined;
  const options = (): GatewayOptions => ({
    ...testSetup().options,
    identify: (given) => {
      seen = given.address;
      return { id: 'key_seen', tier: 'open' };
    },
  });
  const forwarded = { 'x-forwarded-for': '203.0.113.7' };

  it('is its address, as the framework knows it', async () => {
    const proxied = new Koa();
    proxied.proxy = true;
    const apps = {
      direct: express().use(expressMegallm(options())),
      proxied: express().set('trust proxy', true).use(expressMegallm(options())),
      koa: new Koa().use(koaMegallm(options())).callback(),
      koaProxied: proxied.use(koaMegallm(options())).callback(),
      node: createServer((req, res) => void megallm(options())(req, res)),
    };
    const addresses: Record<string, string | undefined> = {};
    for (const [name, app] of Object.entries(apps)) {
      await request(app).get('/v1/models').set(forwarded).expect(200);
      addresses[name] = seen?.replace('::ffff:', '');
    }
    const local = '127.0.0.1';
    const remote = '203.0.113.7';
    assert.deepEqual(addresses, { direct: local, proxied: remote, koa: local, koaProxied: remote, node: local });
  });
});
