/** Servers of JavaScript, each in front of the upstream at `origin`, not listening yet. They run in a process of subject.mjs. */
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { model, secretOf } from './fixtures.mjs';

async function line(origin) {
  const { undiciProxy } = await import('./undici-proxy.mjs');
  return { server: createServer(undiciProxy(origin)) };
}

async function koaProxy(origin) {
  const { default: Koa } = await import('koa');
  const { undiciProxy } = await import('./undici-proxy.mjs');
  const proxy = undiciProxy(origin);
  const app = new Koa();
  app.silent = true;
  app.use((ctx) => {
    ctx.respond = false;
    proxy(ctx.req, ctx.res);
  });
  return { server: createServer(app.callback()) };
}

async function expressProxy(origin) {
  const { default: express } = await import('express');
  const { undiciProxy } = await import('./undici-proxy.mjs');
  const proxy = undiciProxy(origin);
  const app = express();
  app.use((req, res) => proxy(req, res));
  return { server: createServer(app) };
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
  return { server: createServer(app) };
}

function* secrets(count) {
  for (let nth = 0; nth < count; nth += 1) yield secretOf(nth);
}

/** The gateway. @param {{ compiled: string, keys?: number }} options `compiled` is the file that `compileOurs` made. */
async function ours(origin, { compiled, keys = 1, ...options }) {
  const { ours: serve } = await import(pathToFileURL(compiled).href);
  return serve({ ...options, upstream: `${origin}/v1`, model, secrets: secrets(keys) });
}

export const servers = { line, 'koa-proxy': koaProxy, 'express-proxy': expressProxy, naive, ours };
