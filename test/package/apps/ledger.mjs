// An application whose calls are recorded by SQLite: makes one, and reads it back.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { fromFunction, memoryKeys } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import { sqliteStore } from 'megallm-middleware/sqlite';

const secret = 'test-secret-0123456789';
const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };

async function main() {
  const store = await sqliteStore({ file: `ledger-${process.pid}.db` });
  const { usage, limiter } = store;
  const keys = memoryKeys([{ secret, id: 'key' }]);
  const upstream = fromFunction(() => 'hello');
  const server = createServer(megallm({ upstream, keys, usage, limiter, environment: {} })).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const body = '{"model":"any","messages":[{"role":"user","content":"Say hello"}]}';
  const url = `http://127.0.0.1:${server.address().port}/v1/chat/completions`;
  const answer = await fetch(url, { method: 'POST', headers, body });
  console.log(answer.status, await answer.text());
  const [group] = await usage.report({ from: 0, to: Date.now() + 1, by: ['keyId'] });
  console.log(`recorded: ${group.of.keyId} ${group.sums.requests}`);
  server.close();
  await store.close();
}

main();
