import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import { describe, it } from 'node:test';
import type { ForwardCall, Upstream } from 'megallm-middleware';
import { replyBytes, wholeChat } from '../../helpers/chat-answers.js';
import { eventually, within } from '../../helpers/deadline.js';
import { type RawServer, rawServer } from '../../helpers/raw-server.js';
import { CALL } from '../../helpers/scene.js';
import { httpOver, TRANSPORTS } from '../../helpers/transports.js';
import { callWith } from '../../helpers/upstream-call.js';

const GOOD = replyBytes(wholeChat('Hello'));
const CONTEXT = { keyId: 'key_1', tier: 'basic', requestId: 'req_1', operation: 'files' } as const;

function forwardOf(wishes: Partial<ForwardCall>): ForwardCall {
  const { signal } = new AbortController();
  return { ...CONTEXT, signal, method: 'GET', path: '/files', headers: {}, body: undefined, ...wishes };
}

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

/** A body that never ends, and tells when it is left. */
function endless(): { readonly body: AsyncIterable<Uint8Array>; readonly left: Promise<void> } {
  let leave = (): void => {};
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  async function* body(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield Buffer.alloc(16_384, 'x');
    } finally {
      leave();
    }
  }
  return { body: body(), left };
}

const TWO_LINES = [
  '\r\nx-smuggled: 1',
  '\nx-smuggled: 1',
  '\rx-smuggled: 1',
  '\u010d\u010ax-smuggled: 1',
  '\u{1040a}x',
  '\0',
];

const HOSTILE: Readonly<Record<string, readonly Partial<ForwardCall>[]>> = {
  'a path': [...TWO_LINES, ' HTTP/1.1', '\t', ' ', '\u{1f600}'].map((text) => ({ path: `/files/a${text}` })),
  'a path without a slash': [{ path: '' }, { path: '@elsewhere/' }].map((wishes) => ({ ...wishes })),
  'a query': TWO_LINES.map((text) => ({ path: `/files?after=${text}` })),
  'a method': ['', 'G T', 'GET / HTTP/1.1\r\nx: y\r\n\r\nGET', 'GET\u010d\u010a', 'GET\0'].map((method) => ({
    method,
  })),
  'the value of a header': [...TWO_LINES, '\u{1f600}', '\x01'].map((text) => ({
    headers: { 'content-type': `a${text}b` },
  })),
  'the name of a header': ['', 'x y', 'x:y', 'x\r\ny', 'x\u010d\u010ay', 'caf\xe9', 'x\0'].map((name) => ({
    headers: { [name]: 'a' },
  })),
};

/** Plays with an upstream whose server answers each whole request well. */
async function withServer(
  transport: (typeof TRANSPORTS)[number],
  play: (upstream: Upstream, server: RawServer) => Promise<void>,
): Promise<void> {
  const server = await rawServer({
    onData: (socket, heard) =>
      void (heard.endsWith('\r\n\r\n') || heard.endsWith('}') ? socket.write(GOOD) : undefined),
  });
  try {
    await play(httpOver({ baseUrl: `http://127.0.0.1:${server.port}/v1` }, transport), server);
  } finally {
    await server.close();
  }
}

for (const transport of TRANSPORTS) {
  describe(`a request over ${transport}`, () => {
    for (const [what, calls] of Object.entries(HOSTILE)) {
      it(`is sent with nothing of ${what} that makes another request of it`, async () => {
        await withServer(transport, async (upstream, server) => {
          for (const wishes of calls) {
            const call = upstream.forward?.(forwardOf(wishes));
            // One that begins with another slash or none at all stays below the base URL: it is only another path.
            const isPath = wishes.path === '' || wishes.path === '@elsewhere/';
            if (!isPath) await assert.rejects(within(Promise.resolve(call), 'a refusal'), JSON.stringify(wishes));
            else await within(Promise.resolve(call), 'an answer').catch(() => {});
          }
          await within(upstream.send(callWith(CALL)), 'a good answer');
          const heard = server.heard.join('');
          assert.doesNotMatch(heard, /smuggled|elsewhere\/?\r\n/i);
          for (const line of heard.matchAll(/^\w+ (\S+) HTTP/gm)) assert.match(line[1] ?? '', /^\/v1/);
        });
      });
    }

    it('has one host and one length, whatever headers are passed on', async () => {
      const seen: IncomingMessage[] = [];
      const server = createServer((req, res) => {
        seen.push(req);
        req.resume().on('end', () => res.end('{}'));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const upstream = httpOver({ baseUrl: `http://127.0.0.1:${port}/v1` }, transport);
      const lies: Readonly<Record<string, string>>[] = [
        { host: 'elsewhere.test' },
        { 'content-length': '3' },
        { 'content-length': '50' },
        { 'content-length': '5, 5' },
        { 'content-length': '-5' },
        { 'content-length': '5', 'Content-Length': '6' },
        { 'transfer-encoding': 'chunked' },
        { 'transfer-encoding': 'gzip, chunked', 'content-length': '5' },
        { 'Transfer-Encoding': 'identity' },
        { connection: 'content-length' },
        { upgrade: 'h2c' },
        { expect: '100-continue' },
      ];
      try {
        for (const headers of lies) {
          const call = upstream.forward?.(forwardOf({ method: 'POST', headers, body: pieces('he', 'llo') }));
          await within(
            Promise.resolve(call).then(async (reply) => {
              for await (const _ of reply?.body ?? []);
            }),
            `an end of ${JSON.stringify(headers)}`,
          ).catch((error: Error) => assert.doesNotMatch(error.message, /^Not within/));
        }
        for (const { rawHeaders, method, url } of seen) {
          assert.deepEqual([method, url], ['POST', '/v1/files']);
          const names = rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
          for (const name of ['host', 'content-length', 'transfer-encoding']) {
            assert.ok(names.filter((other) => other === name).length <= 1, `${rawHeaders}`);
          }
          assert.ok(!(names.includes('content-length') && names.includes('transfer-encoding')), `${rawHeaders}`);
        }
        assert.equal((await within(upstream.send(callWith(CALL)), 'the next answer')).kind, 'whole');
      } finally {
        server.closeAllConnections();
        server.close();
      }
    });

    it('that is refused before it was sent leaves its body, and its connection serves nobody', async () => {
      const server = await rawServer({
        onData: (socket, _heard, index) => {
          if (index > 0) socket.write(GOOD);
          else if (socket.bytesWritten === 0) socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}');
        },
      });
      try {
        const upstream = httpOver({ baseUrl: `http://127.0.0.1:${server.port}/v1` }, transport);
        const { body, left } = endless();
        await assert.rejects(
          within(Promise.resolve(upstream.forward?.(forwardOf({ method: 'POST', body }))), 'the refusal'),
          { status: 413 },
        );
        await within(left, 'the body to be left');
        await within(upstream.send(callWith(CALL)), 'the next answer');
        assert.equal(server.sockets.length, 2);
        await eventually(
          () => server.sockets[0]?.readableEnded === true || server.sockets[0]?.destroyed === true,
          'the end of the first connection',
        );
      } finally {
        await server.close();
      }
    });

    it('that is answered well before it was sent does not leave half of itself before the next', async () => {
      const server = await rawServer({
        onData: (socket, _heard, index) => {
          if (index > 0 || socket.bytesWritten === 0) socket.write(GOOD);
        },
      });
      try {
        const upstream = httpOver({ baseUrl: `http://127.0.0.1:${server.port}/v1` }, transport);
        const { body, left } = endless();
        const call = Promise.resolve(upstream.forward?.(forwardOf({ method: 'POST', body })));
        await within(
          call.then(async (reply) => {
            for await (const _ of reply?.body ?? []);
          }),
          'an end',
        ).catch(() => {});
        await within(left, 'the body to be left');
        await within(upstream.send(callWith(CALL)), 'the next answer');
        assert.ok(!(server.heard[0] ?? '').includes('xPOST'));
      } finally {
        await server.close();
      }
    });

    for (const how of ['end', 'destroy', 'resetAndDestroy'] as const) {
      it(`whose server goes away (${how}) while it is sent fails, and leaves its body`, async () => {
        const server = await rawServer({
          onData: (socket, heard) => void (heard.length > 100_000 ? socket[how]() : undefined),
        });
        try {
          const upstream = httpOver({ baseUrl: `http://127.0.0.1:${server.port}/v1` }, transport);
          const { body, left } = endless();
          const call = Promise.resolve(upstream.forward?.(forwardOf({ method: 'POST', body })));
          await assert.rejects(within(call, 'a failure'), { status: 502 });
          await within(left, 'the body to be left');
        } finally {
          await server.close();
        }
      });
    }

    it('that is left while it is sent is no longer sent, and leaves its body', async () => {
      const server = await rawServer({});
      try {
        const upstream = httpOver({ baseUrl: `http://127.0.0.1:${server.port}/v1` }, transport);
        const { body, left } = endless();
        const leaving = new AbortController();
        const gone = new Error('gone');
        const call = Promise.resolve(upstream.forward?.(forwardOf({ method: 'POST', body, signal: leaving.signal })));
        const ended = assert.rejects(within(call, 'its end'), (error) => error === gone);
        await eventually(() => (server.heard[0]?.length ?? 0) > 100_000, 'the body to be on its way');
        leaving.abort(gone);
        await ended;
        await within(left, 'the body to be left');
        const [socket] = server.sockets;
        await eventually(
          () => socket?.readableEnded === true || socket?.destroyed === true,
          'the end of the connection',
        );
      } finally {
        await server.close();
      }
    });

    it('whose body fails has no end that its server could take for one', async () => {
      const server = await rawServer({});
      try {
        const upstream = httpOver({ baseUrl: `http://127.0.0.1:${server.port}/v1` }, transport);
        async function* failing(): AsyncGenerator<Uint8Array> {
          yield Buffer.from('half');
          await eventually(() => (server.heard[0] ?? '').includes('half'), 'the first half');
          throw new Error('The client went away');
        }
        const call = Promise.resolve(upstream.forward?.(forwardOf({ method: 'POST', body: failing() })));
        await assert.rejects(within(call, 'a failure'));
        const [socket] = server.sockets;
        await eventually(
          () => socket?.readableEnded === true || socket?.destroyed === true || socket?.errored !== null,
          'the end of the connection',
        );
        assert.doesNotMatch(server.heard[0] ?? '', /\r\n0\r\n\r\n$/);
      } finally {
        await server.close();
      }
    });
  });
}
