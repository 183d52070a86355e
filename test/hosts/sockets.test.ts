import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromFunction, memoryKeys } from 'megallm-middleware';
import OpenAI from 'openai';
import { reply, streamEvents, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { SECRET, testSetup, UNKNOWN_SECRET } from '../helpers/gateway-options.js';
import { HOSTS } from '../helpers/hosts.js';
import { rawChat, rawClient, rawRequest } from '../helpers/raw-client.js';
import { CALL, onEveryHost, type Scene } from '../helpers/scene.js';

/** The bytes of a call to where the host has its gateway. */
function chatBytes({ host }: Scene, secret: string, body: unknown): Buffer {
  const prefix = new URL(host.baseUrl).pathname.slice(0, -'/v1'.length);
  const bytes = rawChat(secret, body).toString('latin1');
  return Buffer.from(bytes.replace(' /v1/', ` ${prefix}/v1/`), 'latin1');
}

onEveryHost(
  'a connection serves call after call: after errors, after streams, and for the application’s own routes',
  () => ({ script: (request) => (request.json().stream === true ? streamReply(streamEvents(['Hi'])) : wholeOk()) }),
  async (scene) => {
    const client = await rawClient(scene.host.origin);
    const statuses: number[] = [];
    const bodies = [
      chatBytes(scene, UNKNOWN_SECRET, CALL),
      chatBytes(scene, SECRET, CALL),
      chatBytes(scene, SECRET, { model: 'x' }),
      chatBytes(scene, SECRET, { ...CALL, stream: true }),
      rawRequest('GET', '/host', {}),
      chatBytes(scene, SECRET, { ...CALL, stream: true }),
      rawRequest('GET', `${new URL(scene.host.baseUrl).pathname}/threads/x`, { authorization: `Bearer ${SECRET}` }),
      chatBytes(scene, SECRET, CALL),
    ];
    for (const bytes of bodies) {
      client.send(bytes);
      const { status, whole } = await client.response();
      assert.ok(whole);
      statuses.push(status);
    }
    assert.deepEqual(statuses, [401, 200, 400, 200, 200, 200, 404, 200]);
    client.destroy();
  },
);

onEveryHost(
  'pipelined calls are answered in order, each with its own answer',
  () => ({ script: (request) => wholeOk(String(request.json().seed)) }),
  async (scene) => {
    const client = await rawClient(scene.host.origin);
    client.send(Buffer.concat([1, 2, 3, 4, 5].map((seed) => chatBytes(scene, SECRET, { ...CALL, seed }))));
    for (const seed of ['1', '2', '3', '4', '5']) {
      const { status, body } = await client.response();
      assert.deepEqual([status, JSON.parse(body).choices[0].message.content], [200, seed]);
    }
    client.destroy();
  },
);

onEveryHost(
  'calls one after the other reuse connections to the upstream, whole answers and streams alike',
  () => ({ script: (request) => (request.json().stream === true ? streamReply(streamEvents(['Hi'])) : wholeOk()) }),
  async ({ client, upstream }) => {
    const openai = client();
    for (let call = 0; call < 6; call += 1) {
      if (call % 2 === 0) await openai.chat.completions.create(CALL);
      else for await (const _ of await openai.chat.completions.create({ ...CALL, stream: true }));
    }
    assert.equal(upstream.requests.length, 6);
    // The end of a stream may arrive after the next call began: that one call needs a second connection.
    assert.ok(upstream.connections() <= 2, `${upstream.connections()} connections`);
  },
);

describe('two gateways in one process never meet', () => {
  for (const kind of HOSTS) {
    it(`in ${kind.name}`, { timeout: 30_000 }, async () => {
      const sides = await Promise.all(
        ['left', 'right'].map(async (name) => {
          const secret = `${name}-secret-0123456789`;
          const setup = testSetup({
            keys: memoryKeys([{ secret, id: 'key_same_id', tier: 'open', limits: { requestsPerMinute: 2 } }]),
            models: { [name]: {} },
            upstream: fromFunction(() => `I am ${name}`),
          });
          return { name, secret, setup, host: await kind.start(setup.options) };
        }),
      );
      const [left, right] = sides;
      assert.ok(left !== undefined && right !== undefined);
      const at = (side: typeof left, secret: string): OpenAI =>
        new OpenAI({ baseURL: side.host.baseUrl, apiKey: secret, maxRetries: 0 });
      for (const [side, other] of [[left, right] as const, [right, left] as const]) {
        await assert.rejects(at(side, other.secret).models.list(), { status: 401 });
        const openai = at(side, side.secret);
        await assert.rejects(openai.chat.completions.create({ ...CALL, model: other.name }), { status: 404 });
        // Two each: had they one bucket, the second gateway would refuse.
        for (let call = 0; call < 2; call += 1) {
          const answer = await openai.chat.completions.create({ ...CALL, model: side.name });
          assert.equal(answer.choices[0]?.message.content, `I am ${side.name}`);
        }
        await assert.rejects(openai.chat.completions.create({ ...CALL, model: side.name }), { status: 429 });
        assert.equal(side.setup.records.length, 2);
      }
      for (const side of sides) {
        await side.setup.finish();
        assert.deepEqual(side.host.hostErrors, []);
        await side.host.close();
      }
    });
  }
});

function wholeOk(text = 'Hello'): ReturnType<typeof reply> {
  return reply(wholeChat(text));
}
