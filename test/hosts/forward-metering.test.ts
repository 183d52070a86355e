import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { memoryObjects } from 'megallm-middleware';
import { toFile } from 'openai';
import { eventually, within } from '../helpers/deadline.js';
import { answering, forwardsOnBareHost, forwardsOnEveryHost } from '../helpers/forward-scene.js';
import { SECRET, SMALL_SECRET } from '../helpers/gateway-options.js';
import { type Arrival, errorAnswer, jsonAnswer } from '../helpers/http-upstream.js';
import { rawClient, rawRequest } from '../helpers/raw-client.js';

const OWNER = 'key:key_test';
const IDS = { file: 'file-1', upload: 'upload_1', batch: 'batch_1', vector_store: 'vs_1' } as const;

/** A store in which one object of each kind is the key's. */
function seeded() {
  const objects = memoryObjects();
  for (const [kind, id] of Object.entries(IDS))
    objects.put({ owner: OWNER, kind: kind as keyof typeof IDS, id, createdAt: 1, body: {} });
  return objects;
}

const USAGE = {
  total_tokens: 20,
  input_tokens: 14,
  output_tokens: 6,
  input_tokens_details: { text_tokens: 14, image_tokens: 0 },
};
const audio = { model: 'whisper-1' };

function answerWithUsage({ url }: Arrival, res: ServerResponse): void {
  if (url.endsWith('/speech'))
    res.writeHead(200, { 'content-type': 'audio/mpeg' }).end(JSON.stringify({ usage: USAGE }));
  else jsonAnswer(res, { data: [], usage: USAGE });
}

/** Every route that is passed on. */
const ROUTES: readonly (readonly [method: string, path: string, operation: string, body?: object])[] = [
  ['POST', '/images/generations', 'images', { model: 'gpt-image-1', prompt: 'x' }],
  ['POST', '/images/edits', 'images', { prompt: 'x' }],
  ['POST', '/images/variations', 'images', {}],
  ['POST', '/audio/speech', 'audio', { model: 'tts-1', input: 'x', voice: 'alloy' }],
  ['POST', '/audio/transcriptions', 'audio', audio],
  ['POST', '/audio/translations', 'audio', audio],
  ['POST', '/files', 'files', {}],
  ['GET', '/files', 'files'],
  ['GET', '/files/file-1', 'files'],
  ['GET', '/files/file-1/content', 'files'],
  ['POST', '/uploads', 'uploads', {}],
  ['POST', '/uploads/upload_1/parts', 'uploads', {}],
  ['POST', '/uploads/upload_1/complete', 'uploads', {}],
  ['POST', '/uploads/upload_1/cancel', 'uploads'],
  ['POST', '/batches', 'batches', { input_file_id: 'file-1' }],
  ['GET', '/batches', 'batches'],
  ['GET', '/batches/batch_1', 'batches'],
  ['POST', '/batches/batch_1/cancel', 'batches'],
  ['POST', '/vector_stores', 'vector_stores', {}],
  ['GET', '/vector_stores', 'vector_stores'],
  ['GET', '/vector_stores/vs_1', 'vector_stores'],
  ['POST', '/vector_stores/vs_1', 'vector_stores', {}],
  ['GET', '/vector_stores/vs_1/files', 'vector_stores'],
  ['POST', '/vector_stores/vs_1/files', 'vector_stores', { file_id: 'file-1' }],
  ['DELETE', '/vector_stores/vs_1/files/file-1', 'vector_stores'],
  ['DELETE', '/vector_stores/vs_1', 'vector_stores'],
  ['DELETE', '/files/file-1', 'files'],
];
const asking = ([method, , , body]: (typeof ROUTES)[number]): RequestInit => ({
  method,
  ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
});

forwardsOnBareHost(
  'every route makes one usage record; tokens only where a model answered',
  () => ({ ...answering(answerWithUsage), objects: seeded() }),
  async ({ ask, setup }) => {
    for (const [index, route] of ROUTES.entries()) {
      const [method, path, operation, body] = route;
      const response = await ask(path, asking(route));
      assert.equal(response.status, 200, path);
      await response.text();
      const { [index]: record, length } = setup.records;
      assert.equal(length, index + 1, path);
      const isOfModel = operation === 'images' || /transcriptions|translations/.test(path);
      assert.deepEqual(
        [
          record?.operation,
          record?.outcome,
          record?.inputTokens,
          record?.outputTokens,
          record?.counted,
          record?.upstream,
        ],
        [operation, 'ok', ...(isOfModel ? [14, 6, 'exact'] : [undefined, undefined, 'estimated']), 'http'],
        `${method} ${path}`,
      );
      assert.equal(record?.model, (body as { model?: string } | undefined)?.model ?? operation);
      assert.ok((record?.firstByteMs ?? -1) >= 0);
    }
  },
);

forwardsOnBareHost(
  'and one of a failure; each comes out as it does for chat',
  () => ({ ...answering(() => {}), objects: seeded(), broken: true }),
  async ({ ask, setup, upstream }) => {
    const chat = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}]}',
    };
    let calls = 0;
    for (const status of [302, 400, 401, 403, 404, 413, 422, 429, 500, 503]) {
      upstream.answerWith((_arrival, res) => {
        res.setHeader('retry-after', '0');
        errorAnswer(res, status, `Said for ${status} by sk-upstream`);
      });
      const asChat = await ask('/chat/completions', chat);
      const told = await asChat.json();
      calls = setup.records.length;
      for (const route of ROUTES) {
        const response = await ask(route[1], asking(route));
        assert.equal(response.status, asChat.status, `${route[1]} ${status}`);
        assert.deepEqual(await response.json(), told);
        calls += 1;
        assert.deepEqual([setup.records.length, setup.records.at(-1)?.outcome], [calls, 'error']);
      }
    }
  },
);

forwardsOnBareHost(
  'limits are told on success and error alike, and slots come back',
  () => ({
    ...answering((_arrival, res) => jsonAnswer(res, { data: [], usage: USAGE })),
    small: { requestsPerMinute: 4, tokensPerMinute: 1_000, concurrency: 1 },
  }),
  async ({ ask, upstream, setup }) => {
    const init = {
      method: 'POST',
      body: '{"model":"gpt-image-1"}',
      headers: { 'content-type': 'application/json', 'x-debug': 'true' },
      secret: SMALL_SECRET,
    };
    const good = await ask('/images/generations', init);
    await good.text();
    assert.equal(good.headers.get('x-ratelimit-limit-requests'), '4');
    assert.equal(good.headers.get('x-ratelimit-remaining-requests'), '3');
    assert.equal(good.headers.get('x-ratelimit-limit-tokens'), '1000');
    assert.equal(good.headers.get('x-debug-model'), 'gpt-image-1');
    assert.equal(good.headers.get('x-debug-upstream'), 'http');
    assert.ok(good.headers.get('server-timing')?.includes('upstream;dur='));
    upstream.answerWith((_arrival, res) => errorAnswer(res, 400, 'No'));
    const bad = await ask('/images/generations', init);
    assert.equal(bad.headers.get('x-ratelimit-remaining-requests'), '2');
    assert.match(await bad.text(), /"debug":\{.*"model":"gpt-image-1"/);
    // What the first used was charged.
    assert.ok(Number(bad.headers.get('x-ratelimit-remaining-tokens')) <= 985);
    upstream.answerWith((_arrival, res) => jsonAnswer(res, { object: 'list', data: [] }));
    const list = await ask(
      '/files',
      init.secret === undefined ? {} : { secret: init.secret, headers: { 'x-debug': 'true' } },
    );
    assert.equal(list.headers.get('x-ratelimit-remaining-requests'), '1');
    assert.equal(list.headers.get('x-debug-model'), 'files');
    await list.text();
    let finish = (): void => {};
    upstream.answerWith((_arrival, res) => {
      finish = () => jsonAnswer(res, { data: [] });
    });
    const running = ask('/images/generations', init);
    await upstream.arrival(3);
    const second = await ask('/images/generations', init);
    assert.equal(second.status, 429);
    finish();
    assert.equal((await running).status, 200);
    assert.equal(setup.records.length, 4);
  },
);

forwardsOnEveryHost(
  'a client that leaves in the middle of its upload cancels the upstream at once',
  () => answering(() => {}),
  async ({ host, upstream, setup }) => {
    const client = await rawClient(host.origin);
    const path = new URL(`${host.baseUrl}/files`).pathname;
    const headers = {
      authorization: `Bearer ${SECRET}`,
      'content-type': 'multipart/form-data; boundary=b',
      'content-length': '100000',
    };
    client.send(
      rawRequest(
        'POST',
        path,
        headers,
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello',
      ),
    );
    const arrival = await upstream.arrival(0);
    await eventually(() => arrival.body().includes('hello'), 'the first bytes to pass');
    client.destroy();
    await eventually(() => arrival.isGone(), 'the upstream to be cancelled', 2_000);
    await eventually(() => setup.records.length === 1, 'the call to be settled', 2_000);
    assert.deepEqual([setup.records[0]?.outcome, setup.records[0]?.operation], ['aborted', 'files']);
  },
);

forwardsOnEveryHost(
  'and so does one in the middle of its download',
  () => ({
    ...answering((_arrival, res) => {
      res.writeHead(200, { 'content-type': 'audio/mpeg', 'content-length': '1000000' });
      res.write('hello');
    }),
  }),
  async ({ host, upstream, setup }) => {
    const client = await rawClient(host.origin);
    const path = new URL(`${host.baseUrl}/audio/speech`).pathname;
    const headers = { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' };
    client.send(rawRequest('POST', path, headers, '{"model":"tts-1","input":"x","voice":"alloy"}'));
    await client.until((received) => received.includes('hello'), 'the first bytes');
    client.destroy();
    const arrival = await upstream.arrival(0);
    await eventually(() => arrival.isGone(), 'the upstream to be cancelled', 2_000);
    await eventually(() => setup.records.length === 1, 'the call to be settled', 2_000);
    assert.deepEqual([setup.records[0]?.outcome, setup.records[0]?.model], ['aborted', 'tts-1']);
  },
);

forwardsOnBareHost(
  'who leaves after the usage was told pays for it',
  () => ({
    ...answering((_arrival, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write(`data: ${JSON.stringify({ type: 'transcript.text.done', usage: USAGE })}\n\n`);
    }),
  }),
  async ({ host, setup }) => {
    const client = await rawClient(host.origin);
    client.send(
      rawRequest(
        'POST',
        '/v1/audio/transcriptions',
        { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
        '{"model":"w"}',
      ),
    );
    await client.until((received) => received.includes('total_tokens'), 'the usage');
    client.destroy();
    await eventually(() => setup.records.length === 1, 'the call to be settled');
    assert.deepEqual([setup.records[0]?.outcome, setup.records[0]?.inputTokens], ['aborted', 14]);
  },
);

forwardsOnBareHost(
  'E8 who leaves once pictures have come, before the last and its usage, pays what was reserved for them',
  () => ({
    ...answering((_arrival, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write(`data: ${JSON.stringify({ type: 'image_generation.partial_image', b64_json: 'aGk=' })}\n\n`);
    }),
    small: { tokensPerMinute: 10_000 },
  }),
  async ({ host, setup }) => {
    const client = await rawClient(host.origin);
    client.send(
      rawRequest(
        'POST',
        '/v1/images/generations',
        { authorization: `Bearer ${SMALL_SECRET}`, 'content-type': 'application/json' },
        '{"model":"gpt-image-1","prompt":"a","stream":true,"partial_images":1}',
      ),
    );
    await client.until((received) => received.includes('partial_image'), 'a picture');
    client.destroy();
    await eventually(() => setup.records.length === 1, 'the call to be settled');
    const [record] = setup.records;
    assert.deepEqual([record?.outcome, record?.counted, record?.outputTokens], ['aborted', 'estimated', 6_340]);
  },
);

forwardsOnBareHost(
  'closing waits for what is being passed on, and takes nothing new',
  () => answering(() => {}),
  async ({ host, client, ask, upstream, setup }) => {
    let finish = (): void => {};
    upstream.answerWith((_arrival, res) => {
      res.writeHead(200, { 'content-type': 'audio/mpeg' });
      res.write('hello ');
      finish = () => void res.end('world');
    });
    const speech = await client().audio.speech.create({ model: 'tts-1', voice: 'alloy', input: 'x' });
    let isClosed = false;
    const closing = host.gateway.close().then(() => {
      isClosed = true;
    });
    await assert.rejects(client().files.create({ file: await toFile(Buffer.from('x')), purpose: 'batch' }), {
      status: 503,
    });
    assert.equal((await ask('/files')).status, 503);
    assert.equal(isClosed, false);
    finish();
    assert.equal(await speech.text(), 'hello world');
    await within(closing, 'the gateway to close');
    assert.deepEqual(
      setup.records.map(({ outcome }) => outcome),
      ['ok'],
    );
  },
);
