import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { it } from 'node:test';
import { gzipSync } from 'node:zlib';
import express, { type RequestHandler } from 'express';
import express4 from 'express4';
import { http } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/express';
import multer from 'multer';
import OpenAI, { toFile } from 'openai';
import { SECRET, type Setup, testSetup } from '../helpers/gateway-options.js';
import { type HttpUpstream, httpUpstream, jsonAnswer } from '../helpers/http-upstream.js';
import { UPSTREAM_KEY } from '../helpers/scene.js';

interface Behind {
  readonly openai: OpenAI;
  readonly baseUrl: string;
  readonly upstream: HttpUpstream;
  readonly setup: Setup;
}

/** Runs `play` with the gateway behind a body parser of the application's. */
async function behind(
  create: typeof express,
  parser: RequestHandler,
  play: (scene: Behind) => Promise<void>,
): Promise<void> {
  const upstream = await httpUpstream((_arrival, res) => jsonAnswer(res, { id: 'file-1', object: 'file' }));
  const setup = testSetup({ upstream: http({ baseUrl: upstream.baseUrl, apiKey: UPSTREAM_KEY }) });
  const app = create();
  const gateway = megallm(setup.options);
  app.use(parser, gateway);
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const baseUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/v1`;
  try {
    await play({ openai: new OpenAI({ baseURL: baseUrl, apiKey: SECRET, maxRetries: 0 }), baseUrl, upstream, setup });
    await gateway.gateway.close();
    await setup.finish();
  } finally {
    server.close();
    server.closeAllConnections();
    await upstream.close();
  }
}

const upload = async ({ openai }: Behind) =>
  openai.files.create({ file: await toFile(Buffer.from('hello'), 'a.txt'), purpose: 'assistants' });

for (const [version, create] of Object.entries({ 'Express 5': express, 'Express 4': express4 })) {
  for (const [name, parser] of Object.entries({
    'memory storage': multer().any(),
    'a file': multer({ dest: '/tmp/multer-test' }).single('file'),
  })) {
    it(`${version}, multer into ${name}: a 500 that says what to do, and no wait`, { timeout: 15_000 }, () =>
      behind(create, parser, async (scene) => {
        scene.setup.expectErrors();
        const error = await upload(scene).then(
          () => undefined,
          (thrown: InstanceType<typeof OpenAI.APIError>) => thrown,
        );
        assert.deepEqual([error?.status, error?.code], [500, 'body_read_by_host']);
        assert.match(error?.message ?? '', /Mount megallm before that parser/);
        assert.equal(scene.setup.errors.length, 1);
        assert.equal(scene.upstream.arrivals.length, 0);
        assert.equal(scene.setup.records.length, 0);
      }),
    );
  }

  it(`${version}, raw(): uploads pass, inflated ones too`, { timeout: 15_000 }, () =>
    behind(create, create.raw({ type: () => true }), async (scene) => {
      assert.equal((await upload(scene)).id, 'file-1');
      const body = Buffer.from(
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello\r\n--b--\r\n',
      );
      const headers = {
        authorization: `Bearer ${SECRET}`,
        'content-type': 'multipart/form-data; boundary=b',
        'content-encoding': 'gzip',
      };
      const response = await fetch(`${scene.baseUrl}/files`, { method: 'POST', headers, body: gzipSync(body) });
      assert.equal(response.status, 200, await response.text());
      assert.deepEqual(scene.upstream.arrivals[1]?.body(), body);
      assert.equal(scene.upstream.arrivals[1]?.headers['content-length'], String(body.length));
      assert.ok(await scene.openai.vectorStores.create({}));
      assert.equal(String(scene.upstream.arrivals[2]?.body()), '{}');
    }),
  );

  it(`${version}, json() and urlencoded(): uploads and JSON pass`, { timeout: 15_000 }, () =>
    behind(
      create,
      [create.json(), create.urlencoded({ extended: true })] as unknown as RequestHandler,
      async (scene) => {
        assert.equal((await upload(scene)).id, 'file-1');
        assert.ok(await scene.openai.vectorStores.create({}));
        assert.equal(String(scene.upstream.arrivals[1]?.body()), '{}');
        const form = await fetch(`${scene.baseUrl}/batches`, {
          method: 'POST',
          headers: { authorization: `Bearer ${SECRET}` },
          body: new URLSearchParams({ a: 'b' }),
        });
        assert.equal(form.status, 400);
        await form.text();
      },
    ),
  );
}
