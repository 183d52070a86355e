import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import type { HttpOptions } from 'megallm-middleware';
import { replyBytes, wholeChat } from '../../helpers/chat-answers.js';
import { eventually, within } from '../../helpers/deadline.js';
import { DEPTH } from '../../helpers/depth.js';
import { type RawServer, rawServer } from '../../helpers/raw-server.js';
import { CALL } from '../../helpers/scene.js';
import { httpOver, TRANSPORTS, type TransportName } from '../../helpers/transports.js';
import { callWith, wholeBody } from '../../helpers/upstream-call.js';

const BODY = wholeChat('Hello');
const CHUNKED = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n';
/** More than may come of anything that says nothing. */
const MUCH = 4_000_000;

/** Writes one thing over and over, as fast as it is taken; tells how much was. */
function pour(socket: Socket, text: string): void {
  const piece = Buffer.from(text.repeat(Math.ceil(16_384 / text.length)), 'latin1');
  const go = (): void => {
    while (!socket.destroyed && socket.bytesWritten < 10 * MUCH && socket.write(piece));
    if (!socket.destroyed) socket.once('drain', go);
  };
  go();
}

/** Writes byte after byte, each so long after the last. */
function drip(socket: Socket, bytes: Uint8Array, everyMs: number): void {
  let at = 0;
  const timer = setInterval(() => {
    if (at >= bytes.length || socket.destroyed) clearInterval(timer);
    else socket.write(bytes.subarray(at, ++at));
  }, everyMs);
}

async function withSlow(
  transport: TransportName,
  options: Partial<HttpOptions>,
  answer: (socket: Socket) => void,
  play: (ask: () => Promise<unknown>, server: RawServer) => Promise<void>,
): Promise<void> {
  const server = await rawServer({
    onData: (socket, _heard, index) => (index === 0 ? answer(socket) : socket.write(replyBytes(BODY))),
  });
  try {
    const upstream = httpOver({ baseUrl: `http://127.0.0.1:${server.port}/v1`, ...options }, transport);
    await play(() => within(upstream.send(callWith(CALL)), 'an end'), server);
  } finally {
    await server.close();
  }
}

/** Servers whose heads, sizes and trailers have no end, though bytes come. */
const ENDLESS: Readonly<Record<string, (socket: Socket) => void>> = {
  'a status line': (socket) => pour(socket, 'HTTP/1.1 200 OK'),
  'a header': (socket) => pour(socket, 'HTTP/1.1 200 OK\r\nx: '.padEnd(16_384, 'y')),
  'a head': (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    pour(socket, 'x-a: b\r\n');
  },
  'blank lines before a head': (socket) => pour(socket, '\r\n'),
  'interim answers': (socket) => pour(socket, 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'),
  'the zeros of a chunk’s size': (socket) => {
    socket.write(CHUNKED);
    pour(socket, '0');
  },
  'an extension of a chunk': (socket) => {
    socket.write(`${CHUNKED}5;a=`);
    pour(socket, 'b');
  },
  'a trailer': (socket) => {
    socket.write(`${CHUNKED}2\r\n{}\r\n0\r\nx-a: `);
    pour(socket, 'b');
  },
  trailers: (socket) => {
    socket.write(`${CHUNKED}2\r\n{}\r\n0\r\n`);
    pour(socket, 'x-a: b\r\n');
  },
};

for (const transport of TRANSPORTS) {
  describe(`a slow server over ${transport}`, () => {
    it('may send its answer byte by byte', async () => {
      await withSlow(
        transport,
        {},
        (socket) => drip(socket, replyBytes({ choices: BODY.choices }), 1),
        async (ask) => {
          const reply = await ask();
          assert.deepEqual(wholeBody(Object(reply)).choices, BODY.choices);
        },
      );
    });

    it('has no longer for its head than it may take, however often a byte comes', async () => {
      await withSlow(
        transport,
        { headersTimeoutMs: 300 },
        (socket) => drip(socket, Buffer.from(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(10_000)}`), 20),
        async (ask, server) => {
          await assert.rejects(ask(), { status: 504 });
          await eventually(
            () => server.sockets[0]?.destroyed === true || server.sockets[0]?.readableEnded === true,
            'the connection to be given up',
          );
          await ask();
        },
      );
    });

    // undici begins to count anew with each of them.
    if (transport === 'own') {
      it('has no longer for its head than it may take, whatever interim answers come', async () => {
        await withSlow(
          transport,
          { headersTimeoutMs: 300 },
          (socket) => {
            const timer = setInterval(() => {
              if (socket.destroyed) clearInterval(timer);
              else socket.write('HTTP/1.1 102 Processing\r\n\r\n');
            }, 20);
          },
          async (ask, server) => {
            await assert.rejects(ask(), { status: 504 });
            await eventually(
              () => server.sockets[0]?.destroyed === true || server.sockets[0]?.readableEnded === true,
              'the connection to be given up',
            );
            await ask();
          },
        );
      });
    }

    for (const [what, answer] of Object.entries(ENDLESS)) {
      // undici has no bound but time, which each of these takes, and none for interim answers.
      if (transport !== 'own' && (DEPTH < 10 || what === 'interim answers')) continue;
      it(`is given up when ${what} has no end`, async () => {
        const timeoutMs = transport === 'own' ? 10_000 : 300;
        await withSlow(
          transport,
          { headersTimeoutMs: timeoutMs, bodyTimeoutMs: timeoutMs },
          answer,
          async (ask, server) => {
            await assert.rejects(ask(), (error) => {
              assert.ok([502, 504].includes(Number(Reflect.get(Object(error), 'status'))), String(error));
              return true;
            });
            const [socket] = server.sockets;
            await eventually(
              () => socket?.destroyed === true || socket?.errored !== null || socket?.readableEnded === true,
              'the connection to be given up',
            );
            if (transport === 'own')
              assert.ok(Number(socket?.bytesWritten) < 10 * MUCH, `${socket?.bytesWritten} bytes were taken`);
            await ask();
          },
        );
      });
    }
  });
}
