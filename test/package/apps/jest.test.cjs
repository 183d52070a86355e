// An application's own tests under Jest's defaults: CommonJS, in a realm of their own, where `import()` does not work.
const { createServer } = require('node:http');
const { fromFunction, GatewayError, http, memoryKeys, queued } = require('megallm-middleware');
const { megallm } = require('megallm-middleware/node');
const { sqliteStore } = require('megallm-middleware/sqlite');

const secret = 'test-secret-0123456789';
const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
const servers = [];
afterAll(() => Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve)))));

async function listen(options) {
  const server = createServer(megallm({ keys: memoryKeys([{ secret, id: 'key' }]), environment: {}, ...options }));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  return `http://127.0.0.1:${server.address().port}/v1`;
}

function ask(baseUrl, more) {
  const body = JSON.stringify({ model: 'any', messages: [{ role: 'user', content: 'Say hello' }], ...more });
  return fetch(`${baseUrl}/chat/completions`, { method: 'POST', headers, body });
}

test('the demo answers, through a queue and our client of HTTP', async () => {
  const behind = await listen({});
  const front = await listen({ upstream: queued(http({ baseUrl: behind, apiKey: secret }), { concurrency: 1 }) });
  const whole = await ask(front, { model: 'gpt-4o-mini' });
  expect(await whole.json()).toMatchObject({ choices: [{ message: { content: 'hello' } }] });
  const streamed = await ask(front, { model: 'gpt-4o-mini', stream: true });
  expect(await streamed.text()).toMatch(/data: \[DONE\]\n\n$/);
});

test('an error that an upstream throws keeps its status', async () => {
  const refuse = () => {
    throw new GatewayError({ status: 409, message: 'Busy.' });
  };
  const answer = await ask(await listen({ upstream: fromFunction(refuse) }));
  expect(answer.status).toBe(409);
});

test('a ledger in a file keeps what was used, opened twice', async () => {
  const file = require('node:path').join(__dirname, 'usage.db');
  for (const times of [1, 2]) {
    const store = await sqliteStore({ file });
    const { usage, limiter } = store;
    const answer = await ask(await listen({ upstream: fromFunction(() => 'hello'), usage, limiter }));
    expect(answer.status).toBe(200);
    await answer.text();
    const [group] = await usage.report({ from: 0, to: Date.now() + 1, by: [] });
    expect(group.sums.requests).toBe(times);
    await store.close();
  }
});
