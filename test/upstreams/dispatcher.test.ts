import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { Agent, MockAgent, ProxyAgent } from 'undici';
import { errorReply, reply, streamEvents, streamHead, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { eventually, within } from '../helpers/deadline.js';
import { answering, withForwards } from '../helpers/forward-scene.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { CALL, type Scene, withScene } from '../helpers/scene.js';

async function textOf({ client }: Scene): Promise<string> {
  let text = '';
  for await (const chunk of await client().chat.completions.create({ ...CALL, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? '';
  }
  return text;
}

/** A proxy that opens tunnels, as companies have them between their servers and the world. */
async function tunnelProxy() {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const proxy = createServer().on('connect', ({ url = '' }: IncomingMessage, socket: Socket) => {
    asked.push(url);
    const [host = '', port] = url.split(':');
    const server = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(server).pipe(socket);
    });
    for (const one of [socket, server]) {
      sockets.add(one);
      one.on('error', () => {});
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const address = proxy.address();
  assert.ok(typeof address === 'object' && address !== null);
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  };
  return { url: `http://127.0.0.1:${address.port}`, asked, close };
}

describe('over a dispatcher of the host’s', () => {
  it('calls are answered, whole and streamed, and refused as the upstream refuses them', async () => {
    const dispatcher = new Agent();
    const script = () => reply(wholeChat('Hello'));
    await withScene(BARE_HOST, { script, http: { dispatcher } }, async (scene) => {
      const { client, upstream, setup } = scene;
      const whole = await client().chat.completions.create(CALL);
      assert.equal(whole.choices[0]?.message.content, 'Hello');
      upstream.answerWith(() => streamReply(streamEvents(['Hel', 'lo'])));
      assert.equal(await textOf(scene), 'Hello');
      upstream.answerWith(() => errorReply(400, { message: 'No such thing.' }));
      await assert.rejects(client().chat.completions.create(CALL), { status: 400 });
      assert.deepEqual(
        setup.records.map(({ outcome, inputTokens }) => [outcome, inputTokens]),
        [
          ['ok', 11],
          ['ok', 11],
          ['error', undefined],
        ],
      );
    });
    await dispatcher.close();
  });

  it('a call ends with its client', async () => {
    const dispatcher = new Agent();
    const script = () => [streamHead(), { kind: 'stall' as const }];
    await withScene(BARE_HOST, { script, http: { dispatcher } }, async ({ client, upstream, setup }) => {
      const leaving = new AbortController();
      const asking = client().chat.completions.create({ ...CALL, stream: true }, { signal: leaving.signal });
      const request = await within(upstream.request(0), 'the request');
      leaving.abort();
      await assert.rejects(asking);
      await within(request.closed, 'the upstream to be left');
      await eventually(() => setup.records[0]?.outcome === 'aborted', 'the call to be settled');
    });
    await dispatcher.close();
  });

  it('files go up and answers come down as they are', async () => {
    const dispatcher = new Agent();
    const file = new Blob([Buffer.alloc(300_000, 0xff)]);
    const given = answering((arrival, res) => {
      res.setHeader('content-type', 'application/json');
      res.end(
        JSON.stringify({ id: 'file-1', object: 'file', bytes: arrival.body().filter((byte) => byte === 0xff).length }),
      );
    });
    await withForwards(BARE_HOST, { ...given, http: { dispatcher } }, async ({ ask }) => {
      const body = new FormData();
      body.append('purpose', 'assistants');
      body.append('file', file, 'a.bin');
      const answer = await ask('/files', { method: 'POST', body });
      assert.deepEqual([answer.status, await answer.json()], [200, { id: 'file-1', object: 'file', bytes: 300_000 }]);
    });
    await dispatcher.close();
  });

  it('a proxy’s tunnel carries them', async () => {
    const proxy = await tunnelProxy();
    const dispatcher = new ProxyAgent(proxy.url);
    const script = () => reply(wholeChat('Hello'));
    await withScene(BARE_HOST, { script, http: { dispatcher } }, async ({ client, upstream }) => {
      await client().chat.completions.create(CALL);
      assert.deepEqual(proxy.asked, [upstream.origin.slice('http://'.length)]);
    });
    await dispatcher.close();
    proxy.close();
  });

  it('a mock answers in the place of any server', async () => {
    const dispatcher = new MockAgent();
    dispatcher.disableNetConnect();
    const http = { dispatcher, baseUrl: 'https://api.openai.com/v1' };
    dispatcher
      .get('https://api.openai.com')
      .intercept({ method: 'POST', path: '/v1/chat/completions' })
      .reply(200, wholeChat('mocked'), { headers: { 'content-type': 'application/json' } });
    await withScene(BARE_HOST, { http, broken: true }, async ({ client }) => {
      const { choices } = await client().chat.completions.create(CALL);
      assert.equal(choices[0]?.message.content, 'mocked');
      await assert.rejects(client().chat.completions.create(CALL), { status: 502 });
    });
    await dispatcher.close();
  });

  it('one that throws, or is closed, costs a 502', async () => {
    const closed = new Agent();
    await closed.close();
    const throwing = {
      dispatch(): boolean {
        throw new Error('thrown');
      },
    };
    for (const dispatcher of [closed, throwing]) {
      await withScene(BARE_HOST, { http: { dispatcher }, broken: true }, async ({ client }) => {
        await assert.rejects(client().chat.completions.create(CALL), { status: 502 });
      });
    }
  });
});
