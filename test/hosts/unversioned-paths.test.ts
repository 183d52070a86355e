import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { it } from 'node:test';
import { megallm } from 'megallm-middleware/node';
import { SECRET, testSetup } from '../helpers/gateway-options.js';
import { CALL, onEveryHost } from '../helpers/scene.js';

const bearer = { authorization: `Bearer ${SECRET}` };
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
        const response = await fetch(below(host.baseUrl) + version + path, { headers: bearer });
        assert.match(response.headers.get('content-type') ?? '', /json/, path);
        assert.match(response.headers.get('x-request-id') ?? '', /^req_/, path);
        await response.text();
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
      const response = await fetch(below(host.baseUrl) + path, { headers: bearer });
      assert.equal(response.headers.get('x-request-id'), null, path);
      if (path === '/after') assert.equal(await response.text(), 'after');
    }
    assert.equal(await (await fetch(`${host.origin}/host`)).text(), 'host');
  },
);

onEveryHost(
  'by default they are the host’s too',
  () => ({}),
  async ({ host, upstream }) => {
    for (const [method, path] of [
      ['POST', '/chat/completions'],
      ['GET', '/models'],
      ['GET', '/files'],
      ['GET', '/after'],
    ] as const) {
      const response = await fetch(below(host.baseUrl) + path, { method, headers: bearer });
      assert.equal(response.headers.get('x-request-id'), null, path);
      await response.text();
    }
    assert.equal(upstream.requests.length, 0);
  },
);

it('below a base path, nothing that only begins like it is ours', async () => {
  const gateway = megallm({ ...testSetup().options, basePath: '/ai', unversionedPaths: true });
  const server = createServer((req, res) => void gateway(req, res, () => void res.end('host')));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const origin = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  try {
    for (const path of [
      '/aix/models',
      '/ai-docs/files',
      '/aichat/completions',
      '/models',
      '/ai',
      '/ai/',
      '/ai/other',
    ]) {
      assert.equal(await (await fetch(origin + path, { headers: bearer })).text(), 'host', path);
    }
    for (const path of ['/ai/models', '/ai/v1/models', '//ai//models']) {
      assert.equal((await fetch(origin + path, { headers: bearer })).status, 200, path);
    }
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
