/** What is compared. Each makes a `node:http` server in front of the upstream at `origin`. */
import { createServer } from 'node:http';
import { model, secret } from './fixtures.mjs';

/** The gateway with everything on: a key, its three limits, routing, metering, usage kept in memory. */
async function ourOptions(origin) {
  const { http, memoryKeys } = await import('megallm-middleware');
  const limits = { requestsPerMinute: 1e9, tokensPerMinute: 1e12, concurrency: 1e5 };
  return {
    upstream: http({ baseUrl: `${origin}/v1`, apiKey: 'bench' }),
    keys: memoryKeys([{ secret, id: 'bench', limits }]),
    models: { [model]: { contextLength: 128_000 } },
    environment: {},
  };
}

async function line(origin) {
  const { undiciProxy } = await import('./undici-proxy.mjs');
  return createServer(undiciProxy(origin));
}

/** What one would write by hand in an Express application. */
async function naive(origin) {
  const { default: express } = await import('express');
  const { default: OpenAI } = await import('openai');
  const openai = new OpenAI({ apiKey: 'bench', baseURL: `${origin}/v1`, maxRetries: 0 });
  const app = express();
  app.use(express.json({ limit: '10mb' }));
  app.post('/v1/chat/completions', async (req, res) => {
    const answer = await openai.chat.completions.create(req.body);
    if (!req.body.stream) return res.json(answer);
    res.on('close', () => answer.controller.abort());
    res.setHeader('content-type', 'text/event-stream');
    for await (const chunk of answer) res.write(`data: ${JSON.stringify(chunk)}\n\n`);
    res.end('data: [DONE]\n\n');
  });
  return createServer(app);
}

async function expressProxy(origin) {
  const { default: express } = await import('express');
  const { undiciProxy } = await import('./undici-proxy.mjs');
  const proxy = undiciProxy(origin);
  const app = express();
  app.use((req, res) => proxy(req, res));
  return createServer(app);
}

async function node(origin) {
  const { megallm } = await import('megallm-middleware/node');
  return createServer(megallm(await ourOptions(origin)));
}

async function koa(origin) {
  const { default: Koa } = await import('koa');
  const { megallm } = await import('megallm-middleware/koa');
  const app = new Koa();
  app.use(megallm(await ourOptions(origin)));
  return createServer(app.callback());
}

async function express(origin) {
  const { default: express } = await import('express');
  const { megallm } = await import('megallm-middleware/express');
  const app = express();
  app.use(megallm(await ourOptions(origin)));
  return createServer(app);
}

async function fastLane(origin) {
  const { default: express } = await import('express');
  const { megallm } = await import('megallm-middleware/node');
  const gateway = megallm(await ourOptions(origin));
  const app = express();
  return createServer((req, res) => gateway(req, res, () => app(req, res)));
}

/** In the order they take turns. `line` is what all others are compared with. */
export const subjects = {
  line: { label: 'bare proxy: `node:http` + undici `dispatch` (the line)', serve: line },
  node: { label: 'megallm on bare Node', serve: node },
  koa: { label: 'megallm on Koa', serve: koa },
  express: { label: 'megallm on Express', serve: express },
  'express-fast': { label: 'megallm before Express (the fast lane)', serve: fastLane },
  'express-proxy': { label: 'bare proxy on Express', serve: expressProxy },
  naive: { label: 'by hand: Express + `openai` client', serve: naive },
};
