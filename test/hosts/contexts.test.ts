import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import { describe, it } from 'node:test';
import express from 'express';
import Koa from 'koa';
import {
  createGateway,
  fromFunction,
  type GatewayOptions,
  http,
  memoryIdempotency,
  memoryLimiter,
  memoryObjects,
  memoryUsage,
  queued,
  type Upstream,
} from 'megallm-middleware';
import { megallm as expressMegallm } from 'megallm-middleware/express';
import { megallm as koaMegallm } from 'megallm-middleware/koa';
import { megallm as nodeMegallm } from 'megallm-middleware/node';
import { hashSecret } from '../../src/keys/secret.js';
import { chunkOf, lastChunk, reply, streamEvents, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { eventually, within } from '../helpers/deadline.js';
import { rawClient } from '../helpers/raw-client.js';
import { type SeenRequest, type Step, scriptedUpstream } from '../helpers/scripted-upstream.js';

/** The user whose request is being handled, as a host's log lines and traces would name it. */
const current = new AsyncLocalStorage<string>();

const USERS = ['ann', 'bob', 'dot'];
/** One who may call no model. */
const REFUSED = 'dot';
const secretOf = (user: string): string => `sk-${user}-secret-0123456789`;
const TEXT = 'says hello. '.repeat(40);
const LARGE = 'says hello. '.repeat(16_000);

/** Calls of the host's code, each with the context in which it came and the user whose request it was about. */
class Witness {
  readonly seen = new Map<string, number>();
  readonly wrong: string[] = [];
  private readonly owners = new Map<string, string>();

  /** @param about tells whose request it is, in any of its words. */
  note(name: string, about: unknown): void {
    const words = JSON.stringify(about);
    const ids = /req_[0-9a-f]{32}/.exec(words)?.[0] ?? '';
    const owner = USERS.find((user) => words.includes(`key_${user}`)) ?? this.owners.get(ids);
    if (owner === undefined) return;
    if (ids !== '') this.owners.set(ids, owner);
    this.seen.set(name, (this.seen.get(name) ?? 0) + 1);
    const found = current.getStore();
    if (found !== owner) this.wrong.push(`${name}: ${found} instead of ${owner}`);
  }

  /** The same object, each of whose methods is noted. */
  watched<T extends object>(name: string, store: T): T {
    return new Proxy(store, {
      get: (target, method) => {
        const value: unknown = Reflect.get(target, method);
        if (typeof value !== 'function') return value;
        return (...given: unknown[]): unknown => {
          this.note(`${name}.${String(method)}`, given);
          return Reflect.apply(value, target, given);
        };
      },
    });
  }
}

/** Every third end is refused once, and told again by a timer that all of them share. */
function forgetful<T extends { settle(...given: never[]): unknown }>(store: T): T {
  let settled = 0;
  const refused = new Set<string>();
  return {
    ...store,
    settle: (...given: never[]) => {
      const id = JSON.stringify(given);
      settled += 1;
      if (settled % 3 === 0 && !refused.has(id)) {
        refused.add(id);
        return Promise.reject(new Error('away'));
      }
      return store.settle(...given);
    },
  };
}

/** A turn later, as any store that is not in memory. */
const later = async (): Promise<void> => void (await new Promise((resolve) => setImmediate(resolve)));

/** An upstream of the host's own, whose answers come in pieces. */
function ownUpstream(witness: Witness, isLarge: boolean): Upstream {
  return {
    name: 'own',
    onAbort: isLarge ? 'drain' : 'cancel',
    async send({ keyId, signal }) {
      signal.addEventListener('abort', () => witness.note('upstream.signal', { keyId }));
      witness.note('upstream.send', { keyId });
      async function* chunks() {
        try {
          for (const event of streamEvents(Array(30).fill(isLarge ? LARGE : TEXT)).slice(0, -1)) {
            witness.note('upstream.chunks', { keyId });
            await later();
            yield JSON.parse(event.replace('data: ', ''));
          }
        } finally {
          witness.note('upstream.chunks, left', { keyId });
        }
      }
      return { kind: 'chunks', chunks: chunks() };
    },
  };
}

/** One that never answers. */
function stuckUpstream(witness: Witness): Upstream {
  return {
    name: 'stuck',
    send({ keyId, signal }) {
      signal.addEventListener('abort', () => witness.note('upstream.signal', { keyId }));
      return new Promise(() => {});
    },
  };
}

function optionsOf(witness: Witness, baseUrl: string): GatewayOptions {
  const asked = http({ baseUrl, connections: 2 });
  const wrapper: Upstream = {
    ...asked,
    send(call) {
      witness.note('wrapper.send', { keyId: call.keyId });
      return asked.send(call);
    },
    async forward(call) {
      witness.note('wrapper.forward', { keyId: call.keyId });
      return {
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: Buffer.from('{"id":"file-1"}') as never,
      };
    },
  };
  const limits = { concurrency: 100, tokensPerMinute: 1e9, requestsPerMinute: 1e6 };
  const shadow = { requestsPerMinute: 2 };
  const keys = new Map(
    USERS.map((user) => [
      hashSecret(secretOf(user)),
      { id: `key_${user}`, limits: { ...limits, shadow }, ...(user === REFUSED ? { models: ['none'] } : {}) },
    ]),
  );
  return {
    environment: {},
    timeoutMs: 1_500,
    store: {
      keys: {
        async find(hash) {
          await later();
          witness.note('keys.find', keys.get(hash));
          return keys.get(hash);
        },
      },
      limiter: witness.watched('limiter', forgetful(memoryLimiter())),
      usage: witness.watched('usage', { ...forgetful(memoryUsage()), checkpoint: later }),
      objects: witness.watched('objects', memoryObjects()),
      idempotency: witness.watched('idempotency', memoryIdempotency()),
    },
    identify(request) {
      witness.note('identify', `key_${request.headers['x-user']}`);
      return undefined;
    },
    models: {
      http: { upstream: wrapper },
      stalling: { upstream: http({ baseUrl }) },
      own: { upstream: ownUpstream(witness, false) },
      large: { upstream: ownUpstream(witness, true) },
      stuck: { upstream: stuckUpstream(witness) },
      function: {
        upstream: queued(
          fromFunction(async function* (_body, { keyId }) {
            witness.note('function', { keyId });
            await later();
            yield TEXT;
            witness.note('function, later', { keyId });
          }),
          { concurrency: 1 },
        ),
      },
    },
    hooks: {
      onFinish: (record) => witness.note('onFinish', record),
      onError: (_error, context) => witness.note('onError', context),
      onRefused: (refusal) => witness.note('onRefused', refusal),
      onShadowLimit: (refusal) => witness.note('onShadowLimit', refusal),
      onNotice: (text) => witness.note('onNotice', text),
    },
  };
}

/** The server behind `http`, over few connections, which all users share. */
function script(request: SeenRequest): Step[] {
  const said = request.body.toString();
  const events = streamEvents(Array(20).fill(TEXT));
  if (said.includes('stall whole')) return [{ kind: 'stall' }];
  if (said.includes('stall later')) return [streamHead(), ...events.slice(0, 3).map(chunkOf), { kind: 'stall' }];
  if (said.includes('break')) return [streamHead(), ...events.slice(0, 3).map(chunkOf), { kind: 'reset' }];
  if (said.includes('"stream":true')) return [streamHead(), ...events.map(chunkOf), lastChunk()];
  return reply(wholeChat(TEXT));
}

type Host = (options: GatewayOptions) => { readonly listener: RequestListener; close(): Promise<void> };
type Headed = { readonly headers: IncomingHttpHeaders };

const userOf = ({ headers }: Headed): string => String(headers['x-user']);

/** Hosts that know the user of each request by its asynchronous context, as loggers and tracers do. */
const HOSTS: Record<string, Host> = {
  Express(options) {
    const middleware = expressMegallm(options);
    const app = express();
    app.use((req, _res, next) => current.run(userOf(req), next));
    app.use(middleware);
    return { listener: app, close: () => middleware.gateway.close({ graceMs: 2_000 }) };
  },
  Koa(options) {
    const middleware = koaMegallm(options);
    const app = new Koa();
    app.use((ctx, next) => current.run(userOf(ctx), next));
    app.use(middleware);
    return { listener: app.callback(), close: () => middleware.gateway.close({ graceMs: 2_000 }) };
  },
  'node:http'(options) {
    const middleware = nodeMegallm(options);
    return {
      listener: (req, res) => void current.run(userOf(req), () => middleware(req, res)),
      close: () => middleware.gateway.close({ graceMs: 2_000 }),
    };
  },
};

/** All that one user does at once. */
async function use(origin: string, user: string): Promise<void> {
  const headers = { authorization: `Bearer ${secretOf(user)}`, 'x-user': user, 'content-type': 'application/json' };
  const ask = async (method: string, path: string, body?: object, more: object = {}): Promise<string> => {
    const init = { method, headers: { ...headers, ...more }, ...(body && { body: JSON.stringify(body) }) };
    return (await fetch(`${origin}/v1${path}`, init)).text();
  };
  const chat = (model: string, more: object = {}, header: object = {}): Promise<string> =>
    ask('POST', '/chat/completions', { model, messages: [{ role: 'user', content: 'Hi' }], ...more }, header);
  const say = (content: string, more: object = {}) =>
    ask('POST', '/chat/completions', { model: 'stalling', messages: [{ role: 'user', content }], ...more });
  const raw = async (model: string): Promise<Awaited<ReturnType<typeof rawClient>>> => {
    const client = await rawClient(origin);
    const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'stall later' }] });
    const lines = Object.entries({ host: 'x', ...headers, 'content-length': String(body.length) });
    client.send(
      `POST /v1/chat/completions HTTP/1.1\r\n${lines.map((line) => `${line.join(': ')}\r\n`).join('')}\r\n${body}`,
    );
    await client.until((text) => /hello|error/.test(text), 'the first event');
    return client;
  };
  async function leave(model: string): Promise<void> {
    (await raw(model)).reset();
  }
  /** Leaves an answer that has been waiting for its client. */
  async function leaveFull(): Promise<void> {
    const client = await raw('large');
    client.pause();
    await new Promise((resolve) => setTimeout(resolve, 100));
    client.reset();
  }
  /** Reads nothing for a while, so that the answer waits for its client. */
  async function dawdle(): Promise<void> {
    const client = await raw('large');
    client.pause();
    await new Promise((resolve) => setTimeout(resolve, 100));
    client.resume();
    await client.until((text) => text.includes('[DONE]') || text.includes('"error"'), 'the end of the stream');
    client.destroy();
  }
  async function inBackground(): Promise<void> {
    const { id } = JSON.parse(await ask('POST', '/responses', { model: 'function', input: 'Hi', background: true }));
    if (id === undefined) return;
    await eventually(
      async () => !/"status":"(queued|in_progress)"/.test(await ask('GET', `/responses/${id}`)),
      'its end',
    );
    await ask('DELETE', `/responses/${id}`);
  }
  if (user === REFUSED) {
    await Promise.all([chat('http'), chat('own', { stream: true }), ask('POST', '/chat/completions', {})]);
    return;
  }
  await Promise.all([
    chat('http'),
    chat('http', { stream: true }),
    chat('own'),
    chat('own', { stream: true }),
    chat('function'),
    chat('function', { stream: true }),
    chat('own', { store: true }),
    chat('http', { store: true, stream: true }).then(() => ask('GET', '/chat/completions')),
    chat('http', {}, { 'idempotency-key': user }),
    chat('http', { stream: true }, { 'idempotency-key': `${user} streams` }),
    ask('POST', '/responses', { model: 'http', input: 'Hi', stream: true }),
    inBackground(),
    ask('GET', '/usage'),
    ask('POST', '/files', { purpose: 'batch' }),
    ask('POST', '/images/generations', { model: 'http', prompt: 'a cat' }),
    say('stall whole'),
    say('stall later', { stream: true }),
    chat('http', { stream: true, user: 'break' }),
    leave('stalling'),
    leave('own'),
    leaveFull(),
    chat('stuck'),
    dawdle(),
    ask('POST', '/chat/completions', {}),
  ]);
}

/** All of the host's code that must have been called. */
const CALLED = [
  ...['identify', 'keys.find', 'function', 'function, later'],
  ...[
    'upstream.send',
    'upstream.signal',
    'upstream.chunks',
    'upstream.chunks, left',
    'wrapper.send',
    'wrapper.forward',
  ],
  ...['limiter.reserve', 'limiter.settle', 'usage.open', 'usage.checkpoint', 'usage.settle', 'usage.report'],
  ...['objects.find', 'objects.listIds', 'objects.put', 'objects.remove', 'idempotency.claim', 'idempotency.finish'],
  ...['onFinish', 'onError', 'onRefused', 'onShadowLimit'],
];

async function holdsIn(name: string, make: Host): Promise<void> {
  const witness = new Witness();
  const upstream = await scriptedUpstream(script);
  const host = make(optionsOf(witness, upstream.baseUrl));
  const server = createServer(host.listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const origin = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  try {
    await Promise.all(USERS.map((user) => use(origin, user)));
    await within(host.close(), 'the gateway to close');
  } finally {
    server.closeAllConnections();
    server.close();
    await upstream.close();
  }
  assert.deepEqual([...new Set(witness.wrong)], [], name);
  const uncalled = CALLED.filter((called) => !witness.seen.has(called));
  assert.deepEqual(uncalled, [], name);
}

describe('every hook, store, upstream and function of the host is called in its request’s own asynchronous context', () => {
  it('in Express, Koa and node:http, whoever opened the connections and started the timers', {
    timeout: 60_000,
  }, async () => {
    await Promise.all(Object.entries(HOSTS).map(([name, make]) => holdsIn(name, make)));
  });

  it('in an adapter that leaves an answer from somewhere else', async () => {
    const found: unknown[] = [];
    const gateway = createGateway({
      environment: {},
      identify: () => ({ id: 'key_ann' }),
      upstream: ownUpstream(new Witness(), false),
      hooks: { onFinish: () => void found.push(current.getStore()) },
    });
    const body = { model: 'own', stream: true, messages: [{ role: 'user', content: 'Hi' }] };
    const request = {
      method: 'POST',
      url: '/v1/chat/completions',
      headers: { 'content-type': 'application/json' },
      signal: new AbortController().signal,
      body: { parsed: body },
      native: undefined,
    };
    const response = await current.run('ann', () => gateway.handle(request));
    const pieces = response?.body;
    if (pieces === undefined || typeof pieces === 'string' || !('leave' in pieces)) assert.fail('no stream');
    current.run('bob', () => pieces.leave());
    await eventually(() => found.length > 0, 'the call to end');
    assert.deepEqual(found, ['ann']);
  });
});
