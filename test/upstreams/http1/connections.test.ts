import assert from 'node:assert/strict';
import dns from 'node:dns';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import type { Upstream, UpstreamReply } from 'megallm-middleware';
import { chunkBytes, head, replyBytes, streamEvents, streamReplyBytes, wholeChat } from '../../helpers/chat-answers.js';
import { eventually, settleSockets, within } from '../../helpers/deadline.js';
import { DEPTH } from '../../helpers/depth.js';
import { type RawBehaviour, type RawServer, rawServer } from '../../helpers/raw-server.js';
import { CALL } from '../../helpers/scene.js';
import { httpOver, TRANSPORTS, type TransportName } from '../../helpers/transports.js';
import { callWith, wholeBody } from '../../helpers/upstream-call.js';

const GOOD = replyBytes(wholeChat('Hello'));
const POISON = replyBytes(wholeChat('Poison'));
const SHORT = streamReplyBytes(streamEvents(['Hi']));

const isRequest = (heard: string): boolean => heard.endsWith('}');

const GOOD_SERVER: RawBehaviour = { onData: (socket, heard) => void (isRequest(heard) && socket.write(GOOD)) };

const ADDRESSES = [
  { address: '::1', family: 6 },
  { address: '127.0.0.1', family: 4 },
];

async function withServer(
  transport: TransportName,
  behaviour: RawBehaviour,
  play: (upstream: Upstream, server: RawServer) => Promise<void>,
): Promise<void> {
  const server = await rawServer(behaviour);
  try {
    await play(httpOver({ baseUrl: `http://127.0.0.1:${server.port}/v1` }, transport), server);
  } finally {
    await server.close();
  }
}

/** The text of a whole answer. */
async function asked(upstream: Upstream, what = 'an answer'): Promise<string> {
  const { choices } = wholeBody(await within(upstream.send(callWith(CALL)), what));
  return String(Object(choices)[0]?.message.content);
}

async function readToEnd(reply: UpstreamReply): Promise<string> {
  assert.equal(reply.kind, 'bytes');
  const pieces: Uint8Array[] = [];
  if (reply.kind === 'bytes') for await (const piece of reply.body) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

const callsIn = (heard = ''): number => heard.split('POST /').length - 1;

/** Once what was written has arrived: a reset right behind it would be sent after an end. */
const resetLater = (socket: Socket): void => void settleSockets().then(() => socket.resetAndDestroy());

const isOver = (socket: Socket | undefined): boolean =>
  socket?.destroyed === true || socket?.readableEnded === true || socket?.errored != null;

for (const transport of TRANSPORTS) {
  describe(`connections over ${transport}`, () => {
    for (const [what, unasked] of Object.entries({
      'a whole answer': POISON,
      'a stream': streamReplyBytes(streamEvents(['Poison'])),
      'an interim answer': Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'),
      'a goodbye': Buffer.from('HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'),
      'a blank line': Buffer.from('\r\n'),
      'a byte': Buffer.from('x'),
    })) {
      // undici skips blank lines, and so keeps the connection.
      const isSkipped = what === 'a blank line' && transport !== 'own';
      if (isSkipped) continue;
      it(`give nobody ${what} that was not asked for: not right behind an answer`, async () => {
        const behaviour: RawBehaviour = {
          onData: (socket, heard, index) => {
            if (isRequest(heard)) socket.write(index === 0 ? Buffer.concat([GOOD, unasked]) : GOOD);
          },
        };
        await withServer(transport, behaviour, async (upstream, server) => {
          // Whether the first fails is the client's choice; what follows is not.
          await asked(upstream).then(
            (text) => assert.equal(text, 'Hello'),
            () => {},
          );
          for (let call = 0; call < 3; call += 1) assert.equal(await asked(upstream), 'Hello');
          await eventually(() => isOver(server.sockets[0]), 'the connection to be given up');
          assert.equal(callsIn(server.heard[0]), 1);
        });
      });

      it(`give nobody ${what} that was not asked for: not on an idle connection`, async () => {
        await withServer(transport, GOOD_SERVER, async (upstream, server) => {
          assert.equal(await asked(upstream), 'Hello');
          await settleSockets();
          server.sockets[0]?.write(unasked);
          await eventually(() => isOver(server.sockets[0]), 'the connection to be given up');
          for (let call = 0; call < 3; call += 1) assert.equal(await asked(upstream), 'Hello');
          assert.equal(callsIn(server.heard[0]), 1);
        });
      });
    }

    it('that the server half closes while they are idle are not used again', async () => {
      const behaviour: RawBehaviour = {
        onData: (socket, heard, index) => {
          if (isRequest(heard) && (index > 0 || socket.bytesWritten === 0)) socket.write(GOOD);
        },
      };
      await withServer(transport, behaviour, async (upstream, server) => {
        assert.equal(await asked(upstream), 'Hello');
        server.sockets[0]?.end();
        await eventually(() => isOver(server.sockets[0]), 'the other half to be closed');
        assert.equal(await asked(upstream), 'Hello');
        assert.equal(callsIn(server.heard[0]), 1);
      });
    });

    it('whose server closes its half right behind an answer give the answer', async () => {
      const behaviour: RawBehaviour = { onData: (socket, heard) => void (isRequest(heard) && socket.end(GOOD)) };
      await withServer(transport, behaviour, async (upstream, server) => {
        for (let call = 0; call < 5; call += 1) assert.equal(await asked(upstream), 'Hello');
        assert.equal(server.sockets.length, 5);
        await eventually(() => server.sockets.every(isOver), 'all connections to be closed');
      });
    });

    it('are reset at any state without harm to the next call', async () => {
      const kinds: ((socket: Socket, heard: string) => void)[] = [
        (socket, heard) => void (heard !== '' && socket.resetAndDestroy()),
        (socket, heard) => void (isRequest(heard) && socket.resetAndDestroy()),
        (socket, heard) => void (isRequest(heard) && socket.write('HTTP', () => resetLater(socket))),
        (socket, heard) => void (isRequest(heard) && socket.write(GOOD.subarray(0, 60), () => resetLater(socket))),
        (socket, heard) => void (isRequest(heard) && socket.write(GOOD.subarray(0, -1), () => resetLater(socket))),
        (socket, heard) =>
          void (isRequest(heard) && socket.write(head(200, { connection: 'close' }), () => resetLater(socket))),
        (socket, heard) => void (isRequest(heard) && socket.write(SHORT.subarray(0, -3), () => resetLater(socket))),
      ];
      // undici takes a reset for the end of an answer that only the connection's end ends.
      for (const kind of transport === 'own' ? kinds : kinds.filter((_, at) => at !== 5)) {
        let calls = 0;
        const behaviour: RawBehaviour = {
          onData: (socket, heard) => {
            if (calls === 1) kind(socket, heard);
            else if (isRequest(heard)) socket.write(GOOD);
          },
        };
        await withServer(transport, behaviour, async (upstream) => {
          calls = 1;
          await assert.rejects(within(upstream.send(callWith(CALL)), 'a failure'), { status: 502 }, String(kind));
          calls = 2;
          assert.equal(await asked(upstream), 'Hello');
        });
      }
      const onAccept = await rawServer({ onConnection: (socket) => socket.resetAndDestroy() });
      const upstream = httpOver({ baseUrl: `http://127.0.0.1:${onAccept.port}/v1` }, transport);
      await assert.rejects(within(upstream.send(callWith(CALL)), 'a failure'), { status: 502 });
      await onAccept.close();
    });

    it('are given back or closed at whatever turn a call is left, and the next call is served', async () => {
      const parts = [SHORT.subarray(0, 10), SHORT.subarray(10, 200), SHORT.subarray(200, -2), SHORT.subarray(-2)];
      const behaviour: RawBehaviour = {
        onData: (socket, heard) => {
          if (!isRequest(heard)) return;
          if (heard.includes('"stay":true')) socket.write(GOOD);
          else
            void (async () => {
              for (const part of parts) {
                socket.write(part);
                await settleSockets(2);
              }
            })();
        },
      };
      await withServer(transport, behaviour, async (upstream, server) => {
        for (let turns = 0; turns < 24; turns += 1) {
          const leaving = new AbortController();
          const gone = new Error('gone');
          const call = upstream.send(callWith({ ...CALL, stream: true }, { signal: leaving.signal })).then(readToEnd);
          const ended = call.then(
            () => 'whole',
            (error) => error,
          );
          await settleSockets(turns);
          leaving.abort(gone);
          const how = await within(ended, `the end of a call left after ${turns} turns`);
          assert.ok(how === gone || how === 'whole', String(how));
          const { choices } = wholeBody(
            await within(upstream.send(callWith({ ...CALL, stay: true })), 'the next answer'),
          );
          assert.equal(Object(choices)[0]?.message.content, 'Hello');
        }
        const open = (): number => server.sockets.filter((socket) => !isOver(socket)).length;
        await eventually(
          () => open() <= 2,
          () => `${open()} connections are open, and nobody calls`,
        );
      });
    });

    it('of streams that are left unread, half read or paused come back or are closed, and none is missed', async () => {
      const event = chunkBytes(`data: {"text":"${'x'.repeat(20_000)}"}\n\n`);
      const behaviour: RawBehaviour = {
        onData: (socket, heard) => {
          if (!isRequest(heard)) return;
          if (!heard.includes('"stream":true')) return void socket.write(GOOD);
          socket.write(head(200, { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' }));
          for (let times = 0; times < 50; times += 1) socket.write(event);
        },
      };
      const server = await rawServer(behaviour);
      try {
        const upstream = httpOver({ baseUrl: `http://127.0.0.1:${server.port}/v1`, connections: 4 }, transport);
        for (let round = 0; round < 12; round += 1) {
          const replies = await within(
            Promise.all(Array.from({ length: 4 }, () => upstream.send(callWith({ ...CALL, stream: true })))),
            `four streams at once, the ${round + 1}th time`,
          );
          for (const [at, reply] of replies.entries()) {
            if (reply.kind !== 'bytes') throw new Error('It is no stream');
            const reading = reply.body[Symbol.asyncIterator]();
            for (let read = 0; read < at; read += 1) await reading.next();
            await reading.return?.();
          }
        }
        assert.equal(await asked(upstream), 'Hello');
        await eventually(
          () => server.sockets.filter((socket) => !isOver(socket)).length <= 4,
          'the others to be closed',
        );
      } finally {
        await server.close();
      }
    });

    it('are as many as there are streams: none waits for another', { timeout: 60_000 }, async () => {
      const count = Math.min(3_000, 300 * DEPTH);
      const waiting: Socket[] = [];
      const behaviour: RawBehaviour = {
        onData: (socket, heard) => {
          if (!isRequest(heard)) return;
          socket.write(head(200, { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' }));
          socket.write(chunkBytes('data: {"n":1}\n\n'));
          waiting.push(socket);
        },
      };
      await withServer(transport, behaviour, async (upstream, server) => {
        const begun: AsyncIterator<Uint8Array>[] = [];
        for (let made = 0; made < count; made += 100) {
          // In hundreds, as a server has no longer a queue of connections that it has not accepted.
          const some = Array.from({ length: 100 }, () => upstream.send(callWith({ ...CALL, stream: true })));
          for (const reply of await within(Promise.all(some), `the heads of ${made + 100} streams`)) {
            if (reply.kind === 'bytes') begun.push(reply.body[Symbol.asyncIterator]());
          }
        }
        await within(Promise.all(begun.map((stream) => stream.next())), `the first event of ${count} streams`);
        assert.equal(server.sockets.length, count);
        for (const socket of waiting) socket.write('0\r\n\r\n');
        const ends = await within(Promise.all(begun.map((stream) => stream.next())), 'their ends');
        assert.ok(ends.every(({ done }) => done === true));
      });
    });

    for (const [at, family] of [6, 4].entries()) {
      for (const order of [ADDRESSES, ADDRESSES.slice().reverse()]) {
        const names = order.map(({ address }) => address).join(' and ');
        it(`reach a server of IPv${family} alone by a name that leads to ${names}`, async () => {
          const host = ADDRESSES[at]?.address ?? '';
          const server = await rawServer(GOOD_SERVER, { port: 0, host });
          const { lookup } = dns;
          Object.assign(dns, { lookup: lookupOf(order) });
          try {
            assert.equal(await asked(httpOver({ baseUrl: `http://both.test:${server.port}/v1` }, transport)), 'Hello');
            const literal = family === 6 ? `[${host}]` : host;
            assert.equal(await asked(httpOver({ baseUrl: `http://${literal}:${server.port}/v1` }, transport)), 'Hello');
            assert.ok(
              server.heard[1]?.toLowerCase().includes(`\r\nhost: ${literal}:${server.port}\r\n`),
              server.heard[1],
            );
          } finally {
            Object.assign(dns, { lookup });
            await server.close();
          }
        });
      }
    }
  });
}

/** A name service that knows one answer. */
function lookupOf(addresses: readonly dns.LookupAddress[]): unknown {
  return (_name: string, options: dns.LookupOptions, tell: (...found: unknown[]) => void) => {
    const [first] = addresses;
    process.nextTick(() => (options.all === true ? tell(null, addresses) : tell(null, first?.address, first?.family)));
  };
}
