import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createGateway, fromFunction } from 'megallm-middleware';
import { createCancellation } from 'megallm-middleware/adapter';
import { chunkOf, lastChunk, reply, streamEvents, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { SECRET, SMALL_SECRET, testSetup } from '../helpers/gateway-options.js';
import { type RawClient, rawChat, rawClient } from '../helpers/raw-client.js';
import { CALL, onBareHost } from '../helpers/scene.js';
import type { Step } from '../helpers/scripted-upstream.js';

const MB = 1_000_000;

function head(secret: string, framing: string): string {
  return `POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nauthorization: Bearer ${secret}\r\ncontent-type: application/json\r\n${framing}\r\n\r\n`;
}

/** Begins a body, and never ends it. */
async function beginBody(origin: string, secret: string, size: number, framing: string): Promise<RawClient> {
  const client = await rawClient(origin);
  client.send(head(secret, framing));
  const isChunked = framing.startsWith('transfer');
  client.send(isChunked ? `${size.toString(16)}\r\n${' '.repeat(size)}` : ' '.repeat(size));
  return client;
}

const statusesOf = (clients: readonly RawClient[]): number[] =>
  clients.map((client) => Number(client.received().toString('latin1', 9, 12)));

for (const framing of ['content-length: 10000000', 'transfer-encoding: chunked']) {
  onBareHost(
    `a key's bodies are held up to a bound, other keys go on, and all is given back (${framing.split(':')[0]})`,
    () => ({ maxHeldBytesPerKey: 25 * MB, small: {} }),
    async ({ host, client }) => {
      const begin = (): Promise<RawClient> => beginBody(host.origin, SMALL_SECRET, 9 * MB, framing);
      const clients = await Promise.all(Array.from({ length: 12 }, begin));
      const refused = (): number => statusesOf(clients).filter((status) => status === 429).length;
      await eventually(() => refused() >= 9, 'all but those that find room to be refused');
      for (const one of clients) {
        const text = one.received().toString();
        if (text !== '') assert.match(text, /\r\nretry-after: 1\r\n[\s\S]*"code":"rate_limit_exceeded"/);
      }
      assert.equal((await client().chat.completions.create(CALL)).choices[0]?.message.content, 'Hello');
      for (const one of clients) one.destroy();
      const poor = client({ apiKey: SMALL_SECRET, maxRetries: 10 });
      assert.ok(await poor.chat.completions.create({ ...CALL, user: 'x'.repeat(8 * MB) }));
    },
  );
}

onBareHost(
  'all keys together have a bound: beyond it everybody gets a 503',
  () => ({ maxHeldBytes: 5 * MB, small: {} }),
  async ({ host, client }) => {
    const holder = await beginBody(host.origin, SMALL_SECRET, 4 * MB, 'content-length: 4500000');
    await assert.rejects(client().chat.completions.create({ ...CALL, user: 'x'.repeat(5 * MB) }), {
      status: 503,
      code: 'overloaded',
    });
    holder.destroy();
    const patient = client({ maxRetries: 10 });
    assert.ok(await patient.chat.completions.create({ ...CALL, user: 'x'.repeat(3 * MB) }));
  },
);

onBareHost(
  'answers that nobody reads count as held, and are given back when their clients go',
  () => ({ maxHeldBytesPerKey: 20 * MB, upstream: fromFunction(() => 'x'.repeat(12 * MB)) }),
  async ({ host, client, setup }) => {
    const clients: RawClient[] = [];
    for (let call = 0; call < 2; call += 1) {
      const one = await rawClient(host.origin);
      one.pause();
      one.send(rawChat(SECRET, CALL));
      clients.push(one);
    }
    await eventually(() => setup.records.length === 2, 'both to be answered');
    await assert.rejects(client().chat.completions.create(CALL), { status: 429, code: 'rate_limit_exceeded' });
    for (const one of clients) one.destroy();
    const answer = await client({ maxRetries: 10 }).chat.completions.create(CALL);
    assert.equal(answer.choices[0]?.message.content?.length, 12 * MB);
    const again = await client({ maxRetries: 10 }).chat.completions.create(CALL);
    assert.equal(again.choices[0]?.message.content?.length, 12 * MB);
  },
);

onBareHost(
  'a place is taken before a body is read: who begins to send one holds it, and gives it back when it leaves',
  () => ({ small: { concurrency: 2 } }),
  async ({ host, client, upstream }) => {
    const slow = await Promise.all([1, 2].map(() => beginBody(host.origin, SMALL_SECRET, 10, 'content-length: 500')));
    const third = await beginBody(host.origin, SMALL_SECRET, 10, 'content-length: 500');
    const refused = await third.response();
    assert.deepEqual([refused.status, refused.headers['retry-after']], [429, '1']);
    const { error } = JSON.parse(refused.body);
    assert.deepEqual([error.type, error.code], ['concurrency', 'rate_limit_exceeded']);
    assert.equal(upstream.requests.length, 0);
    for (const one of [...slow, third]) one.destroy();
    assert.ok(await client({ apiKey: SMALL_SECRET, maxRetries: 10 }).chat.completions.create(CALL));
  },
);

onBareHost(
  'a large body is not read of a key that has no request left',
  () => ({ small: { requestsPerMinute: 1 } }),
  async ({ host, client }) => {
    await client({ apiKey: SMALL_SECRET }).chat.completions.create(CALL);
    // Nothing of the body but its first bytes is ever sent.
    const one = await beginBody(host.origin, SMALL_SECRET, 10, 'content-length: 2000000');
    const refused = await one.response();
    assert.equal(refused.status, 429);
    assert.equal(JSON.parse(refused.body).error.type, 'requests');
    assert.ok(Number(refused.headers['retry-after']) > 30);
    one.destroy();
  },
);

/** A whole answer in chunks; its end is sent when `until` resolves. */
function* chunkedChat(size: number, until: PromiseLike<unknown>): Generator<Step> {
  const body = JSON.stringify(wholeChat('x'.repeat(size)));
  const chunked = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
  yield {
    kind: 'send',
    bytes: `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${chunked(body.slice(0, -10))}`,
  };
  yield { kind: 'wait', until };
  yield { kind: 'send', bytes: `${chunked(body.slice(-10))}0\r\n\r\n` };
}

onBareHost(
  'answers count while they are read: an upstream is held back until others are gone, and requests get a 429 meanwhile',
  () => ({ maxHeldBytesPerKey: 10 * MB }),
  async ({ client, upstream }) => {
    const [firstEnd, secondEnd] = [gate(), gate()];
    upstream.answerWith((request) => {
      const { seed } = request.json();
      if (seed === 1) return chunkedChat(6 * MB, firstEnd.opened);
      return seed === 2 ? chunkedChat(6 * MB, secondEnd.opened) : reply(wholeChat('Hello'));
    });
    const ended: number[] = [];
    const ask = async (seed: number): Promise<void> => {
      const answer = await client().chat.completions.create({ ...CALL, seed });
      assert.equal(answer.choices[0]?.message.content?.length, 6 * MB);
      ended.push(seed);
    };
    const first = ask(1);
    const isRefused = async (): Promise<boolean> => {
      const body = { ...CALL, user: 'x'.repeat(4.5 * MB) };
      return client()
        .chat.completions.create(body)
        .then(
          () => false,
          ({ status }) => status === 429,
        );
    };
    await eventually(isRefused, 'the first answer to be there but for its end');
    const second = ask(2);
    secondEnd.open();
    await within(upstream.request(upstream.requests.length - 1), 'the second');
    // It would be there by now, had it been let in.
    await new Promise((resolve) => setTimeout(resolve, 150));
    firstEnd.open();
    await within(Promise.all([first, second]), 'both to end');
    assert.deepEqual(ended, [1, 2]);
  },
);

onBareHost(
  'a body counts until its call is over, also when its answer has begun',
  () => ({ maxHeldBytesPerKey: 10 * MB }),
  async ({ client, upstream }) => {
    const end = gate();
    const [first = '', ...rest] = streamEvents(['a', 'b']);
    upstream.answerWith((request) =>
      request.json().stream === true
        ? [streamHead(), chunkOf(first), { kind: 'wait', until: end.opened }, ...rest.map(chunkOf), lastChunk()]
        : reply(wholeChat('Hello')),
    );
    const body = { ...CALL, user: 'x'.repeat(6 * MB) };
    const begun = await client().chat.completions.create({ ...body, stream: true });
    await assert.rejects(client().chat.completions.create(body), { status: 429, code: 'rate_limit_exceeded' });
    end.open();
    for await (const _ of begun);
    assert.ok(await client({ maxRetries: 10 }).chat.completions.create(body));
  },
);

onBareHost(
  'nobody waits for whoever waits for it: of answers that stop each other one is refused, and paid for',
  () => ({ maxHeldBytesPerKey: 10 * MB }),
  async ({ client, upstream, setup }) => {
    upstream.answerWith(() => chunkedChat(9 * MB, Promise.resolve()));
    const statusOf = (): Promise<number> =>
      client()
        .chat.completions.create(CALL)
        .then(
          () => 200,
          ({ status }) => Number(status),
        );
    const statuses = await within(Promise.all([statusOf(), statusOf(), statusOf()]), 'all to end');
    assert.ok(statuses.includes(200) && statuses.every((status) => status === 200 || status === 429), `${statuses}`);
    assert.equal(await statusOf(), 200);
    await setup.usage.allSettled();
    // What was refused on its way was made all the same.
    for (const { inputTokens } of setup.records) assert.ok((inputTokens ?? 0) > 0);
  },
);

describe('what is held', () => {
  it('is given back however a request ends', async () => {
    const setup = testSetup({
      maxHeldBytesPerKey: 2_000,
      upstream: fromFunction(async function* (body) {
        yield 'a';
        if (body.seed === 1) throw new Error('on purpose');
        yield 'b';
      }),
    });
    setup.expectErrors();
    const gateway = createGateway(setup.options);
    const ask = async (body: object): Promise<number> => {
      const response = await gateway.handle({
        method: 'POST',
        url: '/v1/chat/completions',
        headers: { authorization: `Bearer ${SECRET}` },
        signal: createCancellation(),
        body: { parsed: body },
        native: undefined,
      });
      assert.ok(response !== undefined);
      if (typeof response.body !== 'string' && !(response.body instanceof Uint8Array)) {
        if (Reflect.get(body, 'seed') === 2) response.body.leave();
        else for await (const _ of response.body);
      }
      return response.status;
    };
    const user = 'x'.repeat(1_500);
    const ends: [object, number][] = [
      [{ ...CALL, user }, 200],
      [{ ...CALL, user, stream: true }, 200],
      [{ ...CALL, user, stream: true, seed: 1 }, 200],
      [{ ...CALL, user, stream: true, seed: 2 }, 200],
      [{ ...CALL, user, seed: 1 }, 500],
      [{ ...CALL, user, model: 'x'.repeat(400) }, 404],
      [{ user }, 400],
      [{ ...CALL, user: user.repeat(2) }, 429],
    ];
    for (const [body, status] of [...ends, ...ends]) {
      const answered = await ask(body);
      if (status === 500) assert.ok(answered >= 500);
      else if (status === 404) assert.ok(answered === 404 || answered === 400);
      else assert.equal(answered, status, JSON.stringify(body).slice(0, 100));
      await setup.usage.allSettled();
    }
    await setup.finish();
  });
});
