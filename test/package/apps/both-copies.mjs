// The ES module and the CommonJS copy of the package in one process, each way round: what one makes, the other understands.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import * as imported from 'megallm-middleware';
import * as importedNode from 'megallm-middleware/node';

const require = createRequire(import.meta.url);
const required = require('megallm-middleware');
const requiredNode = require('megallm-middleware/node');
const secret = 'test-secret-0123456789';

async function listen(handler) {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, url: `http://127.0.0.1:${server.address().port}/v1` };
}

/** The core, the limiter and the keys of one copy; adapter, upstream, other stores and errors of the other. */
async function meet(core, { adapter, parts }) {
  assert.notEqual(core.GatewayError, parts.GatewayError);
  const received = [];
  const model = await listen(async (req, res) => {
    received.push(Buffer.concat(await req.toArray()).toString());
    res
      .setHeader('content-type', 'application/json')
      .end('{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
  const refusing = {
    name: 'refusing',
    async send() {
      throw new parts.GatewayError({ status: 409, message: 'Come back later.', code: 'busy', retryAfterMs: 2_000 });
    },
  };
  const errors = [];
  const finished = [];
  const gateway = core.createGateway({
    models: {
      whole: { upstream: parts.queued(parts.http({ baseUrl: model.url }), { concurrency: 1 }) },
      direct: { upstream: parts.http({ baseUrl: model.url }) },
      refusing: { upstream: refusing },
    },
    keys: parts.cachedKeys(core.memoryKeys([{ secret, id: 'key' }])),
    limiter: parts.memoryLimiter(),
    usage: parts.memoryUsage(),
    objects: parts.memoryObjects(),
    hooks: { onError: (error) => errors.push(error), onFinish: (record) => finished.push(record) },
    environment: { NODE_ENV: 'test' },
  });
  const host = await listen(adapter.megallm(gateway));
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
  const ask = (body) => fetch(`${host.url}/chat/completions`, { method: 'POST', headers, body });

  // As the client wrote it: 1.0 and a number beyond 2^53 would not outlive JSON.parse.
  for (const name of ['whole', 'direct']) {
    const body = `{"model":"${name}","messages":[{"role":"user","content":"Hi"}],"temperature":1.0,"seed":12345678901234567890}`;
    const answer = await ask(body);
    assert.equal(answer.status, 200, await answer.clone().text());
    await answer.text();
    assert.match(received.pop(), /"temperature":1\.0,"seed":12345678901234567890/, name);
  }

  const refusal = await ask('{"model":"refusing","messages":[{"role":"user","content":"Hi"}]}');
  assert.equal(refusal.status, 409);
  assert.equal(refusal.headers.get('retry-after'), '2');
  assert.equal((await refusal.json()).error.code, 'busy');

  await gateway.close();
  assert.deepEqual(errors, []);
  assert.deepEqual(
    finished.map(({ outcome }) => outcome),
    ['ok', 'ok', 'error'],
  );
  host.server.close();
  model.server.close();
}

for (const [mine, other] of [
  [imported, required],
  [required, imported],
]) {
  const error = new other.GatewayError({ status: 400, message: 'No.' });
  class OwnError extends mine.GatewayError {}
  assert.ok(error instanceof mine.GatewayError);
  assert.ok(!(error instanceof OwnError));
  assert.ok(new OwnError({ status: 400, message: 'No.' }) instanceof OwnError);
  assert.ok(!(new Error('No.') instanceof mine.GatewayError));
}
await meet(required, { adapter: importedNode, parts: imported });
await meet(imported, { adapter: requiredNode, parts: required });
console.log('both copies agree');
