import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { it } from 'node:test';
import { megallm } from 'megallm-middleware/node';
import request from 'supertest';
import { SECRET, testSetup } from '../helpers/gateway-options.js';
import { CALL, onEveryHost } from '../helpers/scene.js';

const BEARER = { type: 'bearer' } as const;
const below = (baseUrl: string): string => baseUrl.replace(/\/v1$/, '');

onEveryHost(
  'paths without /v1 are ours when that is wished',
  () => ({ unversionedPaths: true }),
  async (scene) => {
    const { host, client } = scene;
    const openai = client({ baseURL: below(host.baseUrl) });
    assert.equal((await openai.chat.completions.create(CALL)).choices[0]?.message.content, 'Hello');
    assert.ok((await openai.models.list()).data.length > 0);
    for (const path of [
      '/files/file-1',
      '/batches/b',
      '/vector_stores/vs/files',
      '/responses/resp_1',
      '/images/nope',
      '/usage',
    ]) {
      for (const version of ['', '/v1']) {
        await request(below(host.baseUrl))
          .get(version + path)
          .auth(SECRET, BEARER)
          .expect('content-type', /json/)
          .expect('x-request-id', /^req_/);
      }
    }
    const chat = await client().chat.completions.create(CALL);
    assert.ok(chat.id);
  },
);

onEveryHost(
  'and paths of other names stay the host’s',
  () => ({ unversionedPaths: true }),
  async ({ host }) => {
    for (const path of ['/after', '/chats', '/v2/models', '/modelsx', '/']) {
      const { headers, text } = await request(below(host.baseUrl)).get(path).auth(SECRET, BEARER);
      assert.equal(headers['x-request-id'], undefined, path);
      if (path === '/after') assert.equal(text, 'after');
    }
    await request(host.origin).get('/host').expect(200, 'host');
  },
);

onEveryHost(
  'by default they are the host’s too',
  () => ({}),
  async ({ host, upstream }) => {
    for (const [method, path] of [
      ['post', '/chat/completions'],
      ['get', '/models'],
      ['get', '/files'],
      ['get', '/after'],
    ] as const) {
      const { headers } = await request(below(host.baseUrl))[method](path).auth(SECRET, BEARER);
      assert.equal(headers['x-request-id'], undefined, path);
    }
    assert.equal(upstream.requests.length, 0);
  },
);

it('below a base path, nothing that only begins like it is ours', async () => {
  const gateway = megallm({ ...testSetup().options, basePath: '/ai', unversionedPaths: true });
  const host = request(createServer((req, res) => void gateway(req, res, () => void res.end('host'))));
  const theirs = ['/aix/models', '/ai-docs/files', '/aichat/completions', '/models', '/ai', '/ai/', '/ai/other'];
  const elsewhere = ['/v1/models', '/xy/v1/models', '/xy/models', '/xy/ai/v1/models', '/AI/v1/models', '/aiv1/models'];
  for (const path of [...theirs, ...elsewhere]) {
    await host.get(path).auth(SECRET, BEARER).expect(200, 'host');
  }
  for (const path of ['/ai/models', '/ai/v1/models', '//ai//models']) {
    await host.get(path).auth(SECRET, BEARER).expect(200).expect('x-request-id', /^req_/);
  }
});
