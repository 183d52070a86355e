// An application that is bundled into one file, without one optional package.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { demo, http, memoryKeys, queued } from 'megallm-middleware';
import { megallm as forExpress } from 'megallm-middleware/express';
import { megallm as forKoa } from 'megallm-middleware/koa';
import { megallm } from 'megallm-middleware/node';
import { postgresStore } from 'megallm-middleware/postgres';
import { redisLimiter } from 'megallm-middleware/redis';
import { sqliteStore } from 'megallm-middleware/sqlite';

const secret = 'test-secret-0123456789';
const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };

async function listen(upstream) {
  const keys = memoryKeys([{ secret, id: 'key' }]);
  const server = createServer(megallm({ upstream, keys, environment: {} })).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, baseUrl: `http://127.0.0.1:${server.address().port}/v1` };
}

async function main() {
  const behind = await listen(queued(demo(), { concurrency: 1 }));
  // Through a second gateway, so that our client of HTTP is in the bundle too.
  const front = await listen(http({ baseUrl: behind.baseUrl, apiKey: secret }));
  const body = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Say hello"}]}';
  const answer = await fetch(`${front.baseUrl}/chat/completions`, { method: 'POST', headers, body });
  console.log(answer.status, await answer.text());
  const opened = sqliteStore({ file: 'bundled.db' });
  await opened.then(
    (store) => store.close().then(() => console.log('SQLite: opened')),
    (error) => console.log(`SQLite: ${error.message}`),
  );
  console.log([forExpress, forKoa, postgresStore, redisLimiter].every((part) => typeof part === 'function'));
  front.server.close();
  behind.server.close();
}

main();
