// An application of TypeScript 5, strict in every way, compiled to CommonJS with its oldest resolution and as an ES module.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { fromFunction, GatewayError, type GatewayOptions, type Limits, memoryKeys, queued } from 'megallm-middleware';
import { createGateway } from 'megallm-middleware/adapter';
import { type ExpressMiddleware, megallm as forExpress } from 'megallm-middleware/express';
import { megallm, type NodeHandler } from 'megallm-middleware/node';
import type { PostgresPool } from 'megallm-middleware/postgres';
import type { RedisClient } from 'megallm-middleware/redis';
import type { SqliteStore } from 'megallm-middleware/sqlite';

const secret = 'test-secret-0123456789';
const limits: Limits | undefined = process.argv.length > 2 ? { requestsPerMinute: 1 } : undefined;
const echo = fromFunction(({ messages }) => {
  if (!Array.isArray(messages)) throw new GatewayError({ status: 400, message: 'No messages.' });
  return `${messages.length} message`;
});
const options: GatewayOptions = {
  upstream: queued(echo, { concurrency: 2, maxQueue: undefined }),
  keys: memoryKeys([{ secret, id: 'key', limits }]),
  hooks: { onError: (error: unknown) => console.error(error), onFinish: undefined },
  globalLimits: limits,
  environment: {},
};
const gateway = createGateway(options);
const handler: NodeHandler = megallm(gateway);
export const middleware: ExpressMiddleware = forExpress(gateway);
export type Stores = [PostgresPool, RedisClient, SqliteStore];

async function main(): Promise<void> {
  const server = createServer((req, res) => void handler(req, res)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'any', messages: [{ role: 'user', content: 'Hi' }] }),
  });
  console.log(answer.status, await answer.text());
  server.close();
}

void main();
