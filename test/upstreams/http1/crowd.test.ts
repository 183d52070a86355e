import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { http, type Upstream } from 'megallm-middleware';
import { head, sse } from '../../helpers/chat-answers.js';
import { eventually, settleSockets, within } from '../../helpers/deadline.js';
import { DEPTH, patience } from '../../helpers/depth.js';
import { type RawBehaviour, rawServer } from '../../helpers/raw-server.js';
import { CALL } from '../../helpers/scene.js';
import { Seeded } from '../../helpers/seeded.js';
import { callWith } from '../../helpers/upstream-call.js';

const CALLS = 150 * DEPTH;
const AT_ONCE = 24;

/** The text that answers the call of that number, and no other call. */
function textOf(id: number): Buffer {
  const random = new Seeded(id);
  const size = random.oneIn(10) ? 300_000 : random.below(3_000);
  return Buffer.from(sse({ id, text: `${id}.`.repeat(size / 6) }));
}

/** Manners of a server; the bad ones send bytes only of the answer that they belong to. */
async function answer(socket: Socket, id: number): Promise<void> {
  const random = new Seeded(id + 1);
  const text = textOf(id);
  const isZipped = random.oneIn(6);
  const body = isZipped ? gzipSync(text) : text;
  const fields = { 'content-type': 'text/event-stream', ...(isZipped ? { 'content-encoding': 'gzip' } : {}) };
  const way = random.pick([
    'length',
    'chunks',
    'chunks',
    'chunks',
    'close',
    'cut',
    'reset',
    'garbage',
    'nothing',
    'trailing',
  ]);
  const framing: Record<string, string> =
    way === 'close'
      ? { connection: 'close' }
      : way === 'chunks'
        ? { 'transfer-encoding': 'chunked' }
        : { 'content-length': String(body.length) };
  const bytes = Buffer.concat([
    Buffer.from(head(200, { ...fields, ...framing })),
    ...(way === 'chunks' ? chunksOf(body, random) : [body]),
  ]);
  if (way === 'nothing') return void socket.end();
  if (way === 'garbage') return void socket.write('\0\0\0\0 garbage\r\n\r\n');
  const sent = way === 'cut' || way === 'reset' ? bytes.subarray(0, random.below(bytes.length)) : bytes;
  for (let at = 0; at < sent.length && !socket.destroyed; ) {
    const piece = sent.subarray(at, at + 1 + random.below(random.oneIn(2) ? 200 : 200_000));
    at += piece.length;
    if (random.oneIn(3)) await settleSockets(1);
    if (way === 'trailing' && at >= sent.length)
      socket.write(Buffer.concat([piece, Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison')]));
    else socket.write(piece);
  }
  if (way === 'reset') socket.resetAndDestroy();
  else if (way === 'cut' || way === 'close') socket.end();
}

function chunksOf(body: Buffer, random: Seeded): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length; ) {
    const chunk = body.subarray(at, at + 1 + random.below(random.oneIn(2) ? 40 : 40_000));
    at += chunk.length;
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'));
  }
  return [...parts, Buffer.from('0\r\n\r\n')];
}

const BEHAVIOUR: RawBehaviour = {
  onConnection: (socket) => void socket.on('end', () => socket.destroy()),
  onData: (socket, heard) => {
    if (heard.endsWith('}')) void answer(socket, Number(/.*"user":"(\d+)"/s.exec(heard.slice(-300))?.[1]));
  },
};

/** Makes one call, reads it at its own pace, and leaves some. @returns How it ended. */
async function ask(upstream: Upstream, id: number): Promise<'whole' | 'left' | 'failed'> {
  const random = new Seeded(id + 2);
  const leaving = new AbortController();
  const isLeft = random.oneIn(5);
  if (isLeft) void settleSockets(random.below(12)).then(() => leaving.abort(new Error('gone')));
  const expected = textOf(id);
  let size = 0;
  try {
    const call = callWith({ ...CALL, stream: true, user: String(id) }, { signal: leaving.signal });
    const reply = await upstream.send(call);
    if (reply.kind !== 'bytes') throw new Error('It is no stream');
    for await (const piece of reply.body) {
      // Each byte is the call's own, and stays what it is while its reader takes time over it.
      if (random.oneIn(3)) await settleSockets(random.below(4));
      assert.ok(expected.subarray(size, size + piece.length).equals(piece), `another's bytes came for call ${id}`);
      size += piece.length;
      if (isLeft && random.oneIn(4)) return 'left';
    }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    return isLeft ? 'left' : 'failed';
  }
  assert.equal(size, expected.length, `an end too early passed for the end of call ${id}`);
  return 'whole';
}

// Not over undici, whose parser ends the process by an assertion of its own when garbage is cut at the wrong place.
describe(`${CALLS} calls over our client, ${AT_ONCE} at once, many of them cut, reset, left or answered with garbage`, () => {
  it('get each its own bytes alone, all of them or an error', { timeout: patience(60_000) }, async () => {
    const server = await rawServer(BEHAVIOUR);
    try {
      const upstream = http({ baseUrl: `http://127.0.0.1:${server.port}/v1` });
      const base = 1_000 + Math.floor(Math.random() * 1e9);
      const ends: string[] = [];
      let made = 0;
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          while (made < CALLS) {
            made += 1;
            const id = base + 10 * made;
            ends.push(await within(ask(upstream, id), `the end of call ${id}`));
          }
        }),
      );
      const count = (end: string): number => ends.filter((other) => other === end).length;
      assert.equal(ends.length, CALLS);
      assert.ok(
        count('whole') > CALLS / 4 && count('failed') > CALLS / 10 && count('left') > CALLS / 20,
        `${count('whole')} ${count('failed')} ${count('left')}`,
      );
      const open = (): number => server.sockets.filter((socket) => !socket.destroyed && !socket.readableEnded).length;
      await eventually(
        () => open() <= AT_ONCE,
        () => `${open()} connections are open, and nobody calls`,
      );
    } finally {
      await server.close();
    }
  });
});
