import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createGateway, fromFunction } from 'megallm-middleware';
import { createCancellation } from 'megallm-middleware/adapter';
import { eventually } from '../helpers/deadline.js';
import { SECRET, SMALL_SECRET, testSetup } from '../helpers/gateway-options.js';
import { type RawClient, rawChat, rawClient } from '../helpers/raw-client.js';
import { CALL, onBareHost } from '../helpers/scene.js';

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
