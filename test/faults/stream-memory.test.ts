import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { http, type Upstream } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import { chunkOf, lastChunk, streamEvents, streamHead } from '../helpers/chat-answers.js';
import { eventually } from '../helpers/deadline.js';
import { SECRET, testSetup } from '../helpers/gateway-options.js';
import { listen } from '../helpers/hosts/listen.js';
import { rawChat, rawClient } from '../helpers/raw-client.js';
import { CALL } from '../helpers/scene.js';
import { scriptedUpstream } from '../helpers/scripted-upstream.js';

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

for (const [name, asks] of [
  ['sent as it came', { stream_options: { include_usage: true }, max_completion_tokens: 100 }],
  ['sent with more', {}],
] as const) {
  it(`a stream that goes on holds nothing of its request’s body any more: ${name}`, { timeout: 30_000 }, async () => {
    const [first = '', ...rest] = streamEvents(['a', 'b']);
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const server = await scriptedUpstream(() => [
      streamHead(),
      chunkOf(first),
      { kind: 'wait', until: ended },
      ...rest.map(chunkOf),
      lastChunk(),
    ]);
    const inner = http({ baseUrl: server.baseUrl });
    const bodies: WeakRef<object>[] = [];
    const upstream: Upstream = {
      ...inner,
      send(call) {
        bodies.push(new WeakRef(call.bytes.buffer), new WeakRef(call.bytes));
        return inner.send(call);
      },
    };
    const setup = testSetup({ upstream });
    const llm = megallm(setup.options);
    const host = await listen({ listener: llm, gateway: llm.gateway, hostErrors: [], mountPath: '' });
    const client = await rawClient(host.origin);
    try {
      const messages = [{ role: 'user', content: 'x'.repeat(100_000) }];
      client.send(rawChat(SECRET, { ...CALL, ...asks, messages, stream: true }));
      await client.until((received) => received.includes('assistant'), 'the first event');
      assert.equal(bodies.length, 2);
      await eventually(() => {
        if (typeof collect === 'function') collect();
        return bodies.every((body) => body.deref() === undefined);
      }, 'the body to be let go');
      end();
      const { body, whole } = await client.response();
      assert.ok(whole && body.endsWith('data: [DONE]\n\n'));
      await setup.finish();
    } finally {
      end();
      client.destroy();
      await host.close();
      await server.close();
    }
  });
}
