import assert from 'node:assert/strict';
import { memoryKeys } from 'megallm-middleware';
import { settleSockets } from '../helpers/deadline.js';
import { answering, type ForwardScene, forwardsOnBareHost } from '../helpers/forward-scene.js';
import { SECRET } from '../helpers/gateway-options.js';
import { jsonAnswer } from '../helpers/http-upstream.js';
import { rawClient, rawExchange, rawRequest } from '../helpers/raw-client.js';

const B = 'the-boundary';
const field = (name: string, value: string): string =>
  `--${B}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
const file = (content = 'RIFF'): string =>
  `--${B}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n${content}\r\n`;
const END = `--${B}--\r\n`;
const TYPE = `multipart/form-data; boundary=${B}`;

const restricted = () => ({
  ...answering((_arrival, res) => jsonAnswer(res, { text: 'Hello' })),
  keys: memoryKeys([
    { secret: SECRET, id: 'key_test', tier: 'open', models: ['allowed'] },
    { secret: 'free-secret-0123456789', id: 'key_free', tier: 'open' },
  ]),
  models: { allowed: {}, forbidden: {}, 'gpt-4o-mini': {}, renamed: { upstreamModel: 'other' } },
});

/** Asks with a form and its framing told in advance, the way that lets an upstream act on all but the answer. */
async function ask(
  { host }: ForwardScene,
  body: string,
  headers: Record<string, string> = {},
  path = '/v1/audio/transcriptions',
) {
  const all = { authorization: `Bearer ${SECRET}`, 'content-type': TYPE, ...headers };
  return rawExchange(host.origin, rawRequest('POST', path, all, body));
}

const refused: Record<string, readonly [status: number, body: string, headers?: Record<string, string>]> = {
  'another model': [403, field('model', 'forbidden') + file() + END],
  'another model after the file': [403, file() + field('model', 'forbidden') + END],
  'no model': [403, file() + END],
  'a model in the content of a file only': [
    403,
    file(`x--${B}\r\nContent-Disposition: form-data; name="model"\r\n\r\nallowed`) + END,
  ],
  'two models': [400, field('model', 'allowed') + field('model', 'forbidden') + file() + END],
  'two models the other way': [403, field('model', 'forbidden') + field('model', 'allowed') + file() + END],
  'a second one that does not end': [
    400,
    `${field('model', 'allowed') + file()}--${B}\r\nContent-Disposition: form-data; name="model"\r\n\r\nforbidden`,
  ],
  'a form that does not end': [400, field('model', 'allowed') + file()],
  'a part after the end': [400, field('model', 'allowed') + END + field('model', 'forbidden') + END],
  'a file name that looks like a field': [
    403,
    file().replace('a.wav', 'a; name=model; b').replace('RIFF', 'allowed') + END,
  ],
  'another case': [400, field('model', 'allowed') + field('MODEL', 'forbidden') + END],
  'lines in LF': [400, (field('model', 'forbidden') + file() + END).replaceAll('\r\n', '\n')],
  'a part in LF before one in CRLF': [
    400,
    `${field('model', 'forbidden').replaceAll('\r\n', '\n')}\r\n${field('model', 'allowed')}${END}`,
  ],
  'an encoded name': [
    400,
    field('model', 'allowed') + field('x', 'forbidden').replace('name="x"', "name*=utf-8''model") + END,
  ],
  'spaces around a model': [404, field('model', ' forbidden ') + END],
  'an unknown model': [404, field('model', 'nope') + END],
  'two boundaries': [400, field('model', 'allowed') + END, { 'content-type': `${TYPE}; boundary=x` }],
  'a continued boundary': [
    400,
    field('model', 'allowed') + END,
    { 'content-type': 'multipart/form-data; boundary*0=the-; boundary*1=boundary' },
  ],
  'a long boundary': [
    400,
    field('model', 'allowed') + END,
    { 'content-type': `multipart/form-data; boundary=${'a'.repeat(71)}` },
  ],
  'another multipart type': [
    400,
    field('model', 'allowed') + END,
    { 'content-type': `multipart/mixed; boundary=${B}` },
  ],
  'a compressed form': [415, field('model', 'allowed') + END, { 'content-encoding': 'gzip' }],
  'a form said to be JSON': [400, field('model', 'forbidden') + END, { 'content-type': 'application/json' }],
  'a form in URL encoding': [400, 'model=forbidden', { 'content-type': 'application/x-www-form-urlencoded' }],
  'JSON without a model': [403, '{"prompt":"x"}', { 'content-type': 'application/json' }],
  'JSON with another model': [403, '{"model":"forbidden"}', { 'content-type': 'application/json' }],
  'JSON with two': [400, '{"model":"allowed","model":"forbidden"}', { 'content-type': 'application/json' }],
  'JSON with two in other letters': [
    400,
    '{"model":"allowed","Model":"forbidden"}',
    { 'content-type': 'application/json' },
  ],
  'JSON with a list': [403, '{"model":["allowed","forbidden"]}', { 'content-type': 'application/json' }],
  'nothing at all': [403, ''],
};

forwardsOnBareHost('a key for one model reaches no other by any spelling', restricted, async (scene) => {
  const { upstream } = scene;
  for (const [what, [status, body, headers]] of Object.entries(refused)) {
    for (const path of ['/v1/audio/transcriptions', '/v1/images/edits']) {
      const response = await ask(scene, body, headers, path);
      if (what === 'nothing at all') assert.ok([400, 403].includes(response.status));
      else assert.equal(response.status, status, `${what}: ${response.body}`);
    }
  }
  const batch = await ask(scene, '{"input_file_id":"x"}', { 'content-type': 'application/json' }, '/v1/batches');
  assert.equal(batch.status, 404);
  await settleSockets(20);
  assert.ok(
    upstream.arrivals.every((arrival) => !arrival.isWhole()),
    'no whole request reached the upstream',
  );
});

forwardsOnBareHost('and none by cutting the request anywhere', restricted, async ({ host, upstream }) => {
  const body = Buffer.from(field('model', 'forbidden') + file() + END);
  for (let at = 1; at < body.length; at += 3) {
    const client = await rawClient(host.origin);
    const headers = { authorization: `Bearer ${SECRET}`, 'content-type': TYPE };
    const bytes = rawRequest('POST', '/v1/audio/transcriptions', headers, body);
    client.send(bytes.subarray(0, bytes.length - body.length + at));
    await settleSockets();
    client.send(bytes.subarray(bytes.length - body.length + at));
    assert.equal((await client.response()).status, 403);
    client.destroy();
  }
  assert.ok(upstream.arrivals.every((arrival) => !arrival.isWhole()));
});

forwardsOnBareHost(
  'the model it may call passes, first or last, and is what is recorded',
  restricted,
  async (scene) => {
    const { host, upstream, setup } = scene;
    const path = new URL(`${host.baseUrl}/audio/transcriptions`).pathname;
    const bodies = [field('model', 'allowed') + file() + END, file() + field('model', 'allowed') + END];
    for (const [index, body] of bodies.entries()) {
      const response = await ask(scene, body, {}, path);
      assert.equal(response.status, 200, response.body);
      assert.equal(String((await upstream.arrival(index)).body()), body);
    }
    assert.deepEqual(
      setup.records.map(({ model }) => model),
      ['allowed', 'allowed'],
    );
  },
);

forwardsOnBareHost('a key for all models needs none; a model of another name is refused', restricted, async (scene) => {
  const { setup, upstream } = scene;
  const authorization = 'Bearer free-secret-0123456789';
  assert.equal((await ask(scene, file() + END, { authorization })).status, 200);
  assert.equal((await ask(scene, field('model', 'forbidden') + END, { authorization })).status, 200);
  assert.equal((await ask(scene, field('model', 'renamed') + END, { authorization })).status, 404);
  const json = { authorization, 'content-type': 'application/json' };
  assert.equal((await ask(scene, '{"model":"renamed","prompt":"x"}', json, '/v1/images/generations')).status, 200);
  assert.equal(JSON.parse(String(upstream.arrivals.at(-1)?.body())).model, 'other');
  assert.deepEqual(
    setup.records.map(({ model, outcome }) => `${model} ${outcome}`),
    ['audio ok', 'forbidden ok', 'audio error', 'renamed ok'],
  );
});

forwardsOnBareHost(
  'an upload that is too large is a 413, announced or not, and never whole upstream',
  () => ({ ...restricted(), maxUploadBytes: 1_000 }),
  async (scene) => {
    const body = field('model', 'allowed') + file('x'.repeat(1_000)) + END;
    for (const path of ['/v1/audio/transcriptions', '/v1/files']) {
      assert.equal((await ask(scene, body, {}, path)).status, 413);
      const client = await rawClient(scene.host.origin);
      client.send(
        `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${SECRET}\r\ncontent-type: ${TYPE}\r\ntransfer-encoding: chunked\r\n\r\n`,
      );
      for (let at = 0; at < body.length; at += 300) {
        const piece = body.slice(at, at + 300);
        client.send(`${piece.length.toString(16)}\r\n${piece}\r\n`);
        await settleSockets();
      }
      client.send('0\r\n\r\n');
      const response = await client.response();
      assert.equal(response.status, 413);
      assert.equal(JSON.parse(response.body).error.type, 'invalid_request_error');
      client.destroy();
    }
    assert.ok(scene.upstream.arrivals.every((arrival) => !arrival.isWhole()));
  },
);
