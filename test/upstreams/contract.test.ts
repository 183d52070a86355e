import OpenAI from 'openai';
import type { JsonObject } from '../../src/base/json.js';
import { demo } from '../../src/upstreams/demo/demo.js';
import { fromFunction } from '../../src/upstreams/function.js';
import { http } from '../../src/upstreams/http.js';
import { openaiClient } from '../../src/upstreams/openai-client.js';
import { queued } from '../../src/upstreams/queued.js';
import type { Upstream } from '../../src/upstreams/upstream.js';
import { modelNotFound } from '../../src/wire/request-errors.js';
import { type Source, UPSTREAM_SECRET, type UpstreamSubject, upstreamContract } from '../contracts/upstream.js';
import {
  chunkOf,
  errorReply,
  reply,
  streamEvents,
  streamHead,
  streamReply,
  wholeChat,
} from '../helpers/chat-answers.js';
import { gate } from '../helpers/deadline.js';
import { type Step, scriptedUpstream } from '../helpers/scripted-upstream.js';
import { httpOver, TRANSPORTS } from '../helpers/transports.js';

for (const transport of TRANSPORTS) {
  upstreamContract(`http over ${transport}`, (source) =>
    overHttp(source, (baseUrl) => httpOver({ baseUrl, apiKey: UPSTREAM_SECRET }, transport)),
  );
}
upstreamContract('openaiClient', (source) =>
  overHttp(source, (baseURL) => openaiClient(new OpenAI({ apiKey: UPSTREAM_SECRET, baseURL, logLevel: 'off' }))),
);
upstreamContract('fromFunction', async (source) => outOfFunction(source));
upstreamContract('demo', async (source) => ({ upstream: demo({ chunkDelayMs: source === 'stalls' ? 500 : 0 }) }));
upstreamContract('queued(http)', async (source) => {
  const subject = await overHttp(source, (baseUrl) => http({ baseUrl, apiKey: UPSTREAM_SECRET }));
  return { ...subject, upstream: queued(subject.upstream, { concurrency: 3 }) };
});
upstreamContract('queued(fromFunction)', async (source) => {
  const subject = outOfFunction(source);
  return { ...subject, upstream: queued(subject.upstream, { concurrency: 3 }) };
});

function wanted({ messages }: JsonObject): string {
  const last = Array.isArray(messages) ? messages.at(-1) : undefined;
  return String(last?.content).replace(/^Say: /, '');
}

async function overHttp(source: Source, connect: (baseUrl: string) => Upstream): Promise<UpstreamSubject> {
  const server = await scriptedUpstream((request) => {
    const body = request.json();
    const text = wanted(JSON.parse(request.body));
    if (source === 'refuses') return errorReply(404, { type: 'invalid_request_error', code: 'model_not_found' });
    if (body.stream !== true) return reply(wholeChat(text));
    const events = streamEvents([...text]);
    const stall: Step = { kind: 'stall' };
    return source === 'stalls' ? [streamHead(), ...events.slice(0, 2).map(chunkOf), stall] : streamReply(events);
  });
  return {
    upstream: connect(server.baseUrl),
    asked: () => server.requests.length,
    stopped: async () => (await server.request(0)).closed,
    close: () => server.close(),
  };
}

function outOfFunction(source: Source): UpstreamSubject {
  let asked = 0;
  const { opened: stopped, open: stop } = gate();
  async function* pieces(text: string): AsyncGenerator<string> {
    try {
      yield text;
      if (source === 'stalls') yield* many();
    } finally {
      stop();
    }
  }
  const upstream = fromFunction((body) => {
    asked += 1;
    if (source === 'refuses') throw modelNotFound(String(body.model));
    return body.stream === true ? pieces(wanted(body)) : wanted(body);
  });
  return { upstream, asked: () => asked, stopped: () => stopped };
}

/** Little by little for a minute. */
async function* many(): AsyncGenerator<string> {
  for (let piece = 0; piece < 600; piece += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    yield '.';
  }
}
