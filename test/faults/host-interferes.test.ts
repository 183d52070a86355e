import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';
import { fromFunction, type GatewayOptions, memoryKeys } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import { behind, type Middleware } from '../helpers/behind.js';
import { eventually } from '../helpers/deadline.js';
import { SECRET, testSetup } from '../helpers/gateway-options.js';
import { rawChat, rawClient, rawExchange } from '../helpers/raw-client.js';
import { CALL } from '../helpers/scene.js';

/** Keys that are found only after a turn of the event loop or two. */
function slowKeys(): GatewayOptions['keys'] {
  const keys = memoryKeys([{ secret: SECRET, id: 'key_test', tier: 'open' }]);
  return {
    find: async (hash) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return keys.find(hash);
    },
  };
}

/** An upstream that begins and never ends, and counts. */
function endless() {
  const seen = { asked: 0, left: 0 };
  const upstream = fromFunction(async function* (_body, { signal }) {
    seen.asked += 1;
    signal.addEventListener('abort', () => {
      seen.left += 1;
    });
    yield 'a';
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  });
  return { seen, upstream };
}

describe('a host that listens to a request’s bytes before us', () => {
  const listeners: Record<string, Middleware> = {
    'by data': (req) => void req.on('data', () => {}),
    'by data, with an encoding': (req) => void req.setEncoding('utf8').on('data', () => {}),
    'by readable': (req) => void req.on('readable', () => void req.read()),
    'and has paused it': (req) => void req.on('data', () => {}).pause(),
  };
  for (const [how, before] of Object.entries(listeners)) {
    for (const size of [10, 300_000]) {
      it(`takes nothing from a slow key store: ${how}, ${size} characters`, { timeout: 30_000 }, () =>
        behind(
          before,
          { keys: slowKeys(), upstream: fromFunction(({ user }) => String(user).length.toString()) },
          async (origin) => {
            const body = { ...CALL, user: 'é'.repeat(size) };
            const { status, body: text } = await rawExchange(origin, rawChat(SECRET, body));
            assert.equal(status, 200, text);
            assert.equal(JSON.parse(text).choices[0].message.content, String(size));
          },
        ),
      );
    }
  }

  it('does not lose it to us when the path is its own', async () => {
    const setup = testSetup();
    const llm = megallm(setup.options);
    const server = createServer((req, res) => {
      let size = 0;
      req.on('data', (piece) => {
        size += piece.length;
      });
      req.on('end', () => res.end(String(size)));
      void llm(req, res, () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const response = await fetch(`http://127.0.0.1:${port}/v1/users`, { method: 'POST', body: 'x'.repeat(500_000) });
    assert.equal(await response.text(), '500000');
    server.close();
    server.closeAllConnections();
  });
});

it('headers of a body that the host meant to send do not break ours', () =>
  behind(
    (_req, res) => {
      res.setHeader('content-length', '5');
      res.setHeader('content-encoding', 'gzip');
      res.setHeader('x-host', 'stays');
    },
    { upstream: fromFunction(() => 'Hello') },
    async (origin) => {
      for (const stream of [false, true]) {
        const { status, headers, body, whole } = await rawExchange(origin, rawChat(SECRET, { ...CALL, stream }));
        assert.deepEqual(
          [status, whole, headers['content-encoding'], headers['x-host']],
          [200, true, undefined, 'stays'],
        );
        assert.match(body, stream ? /data: \[DONE\]/ : /Hello/);
      }
    },
  ));

for (const stream of [false, true]) {
  it(`a host that answers in our place ends the call, ${stream ? 'streamed' : 'whole'}, also when it keeps the connection`, async () => {
    const { seen, upstream } = endless();
    const before: Middleware = (_req, res) => {
      const timer = setInterval(() => {
        if (seen.asked === 0) return;
        clearInterval(timer);
        if (!res.headersSent) res.writeHead(503, { 'content-length': '8' });
        res.end('too slow');
      }, 5);
    };
    await behind(before, { upstream }, async (origin, setup) => {
      const client = await rawClient(origin);
      client.send(rawChat(SECRET, { ...CALL, stream }));
      await eventually(() => seen.left === 1, 'the upstream to be left');
      await eventually(() => setup.records.length === 1, 'the call to be settled');
      client.destroy();
    });
  });
}

it('a stream that the host ends is read no further, even where its client takes nothing', async () => {
  let given = 0;
  let left = 0;
  const upstream = fromFunction(async function* (_body, { signal }) {
    signal.addEventListener('abort', () => {
      left += 1;
    });
    try {
      for (;;) {
        given += 1;
        yield 'x'.repeat(200_000);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    } finally {
      left += 1;
    }
  });
  let end = (): void => {};
  const before: Middleware = (_req, res) => {
    end = () => void res.end();
  };
  await behind(before, { upstream }, async (origin, setup) => {
    const client = await rawClient(origin);
    client.send(rawChat(SECRET, { ...CALL, stream: true }));
    await client.until((text) => text.includes('data: '), 'the first event');
    client.pause();
    let before = -1;
    // The answer waits for its client.
    await eventually(async () => {
      const isStill = before === given;
      before = given;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return isStill;
    }, 'the upstream to be held back');
    end();
    await eventually(() => left === 2, 'the upstream to be left, and its signal to tell', 3_000);
    await eventually(() => setup.records.length === 1, 'the call to be settled');
    client.destroy();
  });
});

it('pipelined calls that wait behind another one are cancelled when their client leaves', async () => {
  const { seen, upstream } = endless();
  await behind(
    () => {},
    { upstream },
    async (origin, setup) => {
      const warnings: Error[] = [];
      const onWarning = (warning: Error): void => void warnings.push(warning);
      process.on('warning', onWarning);
      const client = await rawClient(origin);
      const calls = Array.from({ length: 20 }, (_, call) => rawChat(SECRET, { ...CALL, stream: call % 2 === 0 }));
      client.send(Buffer.concat(calls));
      await eventually(() => seen.asked === 20, 'all upstreams to be asked');
      client.reset();
      await eventually(() => seen.left === 20, 'all upstreams to be left');
      await eventually(() => setup.records.length === 20, 'all calls to be settled');
      process.off('warning', onWarning);
      assert.deepEqual(warnings, []);
    },
  );
});

it('a call whose client stays is not cancelled, whatever ends first', () =>
  behind(
    () => {},
    { upstream: fromFunction(() => 'Hello') },
    async (origin, setup) => {
      const client = await rawClient(origin);
      for (let call = 0; call < 3; call += 1) {
        client.send(Buffer.concat([rawChat(SECRET, CALL), rawChat(SECRET, { ...CALL, stream: true })]));
        assert.equal((await client.response()).status, 200);
        assert.equal((await client.response()).status, 200);
      }
      client.destroy();
      await eventually(() => setup.records.length === 6, 'all calls to be settled');
      assert.deepEqual(new Set(setup.records.map(({ outcome }) => outcome)), new Set(['ok']));
    },
  ));

describe('two different credentials in headers of one name', () => {
  const requestOf = (...lines: string[]): string =>
    `GET /v1/models HTTP/1.1\r\nhost: t\r\nconnection: close\r\n${lines.join('\r\n')}\r\n\r\n`;

  it('are both seen, and the same one twice is one', async () => {
    const seen: unknown[] = [];
    const identify: GatewayOptions['identify'] = ({ headers }) => {
      seen.push(headers.authorization);
      return undefined;
    };
    await behind(
      () => {},
      { identify },
      async (origin) => {
        const [good, bad] = [`Authorization: Bearer ${SECRET}`, 'authorization: Bearer other-secret-0123456789'];
        for (const lines of [[good], [good, good], [good, bad], [bad, good]])
          await rawExchange(origin, requestOf(...lines));
      },
    );
    const [one, other] = [`Bearer ${SECRET}`, 'Bearer other-secret-0123456789'];
    assert.deepEqual(seen, [one, one, [one, other], [other, one]]);
  });
});
