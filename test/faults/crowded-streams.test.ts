import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { it } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import type { UsageStore } from 'megallm-middleware';
import { chunkBytes, head, streamEvents } from '../helpers/chat-answers.js';
import { DEPTH } from '../helpers/depth.js';
import { SECRET, testSetup } from '../helpers/gateway-options.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { type RawClient, rawChat, rawClient } from '../helpers/raw-client.js';
import { rawServer } from '../helpers/raw-server.js';
import { CALL } from '../helpers/scene.js';
import { Seeded } from '../helpers/seeded.js';
import { httpOver } from '../helpers/transports.js';

const CLIENTS = 12;
const CALLS_EACH = 2 * DEPTH;
/** More than the ledger is told of at once: it is asked on the way, too. */
const WORDS = Array.from({ length: 300 }, (_, at) => (at % 9 === 0 ? ' Zürich' : ` w${at}`));
const EVENTS = streamEvents(WORDS);
const TEXT = EVENTS.join('');
const ASKING = rawChat(SECRET, { ...CALL, stream: true, stream_options: { include_usage: true } });

/** A moment, from none at all to some milliseconds. */
async function moment(seeded: Seeded): Promise<void> {
  if (seeded.oneIn(3)) await setTimeout(seeded.below(4));
  else if (seeded.oneIn(2)) await setImmediate();
}

/** The answer, its events in chunks and its chunks in writes as it comes. */
async function answer(socket: Socket, seeded: Seeded): Promise<void> {
  const pieces: Uint8Array[] = [
    Buffer.from(head(200, { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' })),
  ];
  for (let at = 0; at < EVENTS.length; ) {
    const events = 1 + (seeded.oneIn(4) ? seeded.below(20) : 0);
    pieces.push(chunkBytes(EVENTS.slice(at, at + events).join('')));
    at += events;
  }
  pieces.push(Buffer.from('0\r\n\r\n'));
  const bytes = Buffer.concat(pieces);
  for (let at = 0; at < bytes.length && !socket.destroyed; ) {
    const size = 1 + seeded.below(seeded.oneIn(5) ? 40 : 9_000);
    socket.write(bytes.subarray(at, at + size));
    at += size;
    await moment(seeded);
  }
}

/** An upstream that answers every request of a connection so. */
async function startUpstream(seeded: Seeded) {
  const server = await rawServer({
    onData(socket, heard, index) {
      const asked = heard.split('"stream":true').length - 1;
      if (asked > (answered[index] ?? 0)) {
        answered[index] = asked;
        void answer(socket, seeded);
      }
    },
  });
  const answered: number[] = [];
  return { baseUrl: `http://127.0.0.1:${server.port}/v1`, close: () => server.close() };
}

/** The ledger, which takes its time for everything now, and fails now and then at what it may lose. */
function slow({ open, settle }: UsageStore, seeded: Seeded): UsageStore {
  return {
    async open(start) {
      await moment(seeded);
      await open(start);
    },
    async settle(record) {
      await moment(seeded);
      await settle(record);
    },
    async checkpoint() {
      await moment(seeded);
      if (seeded.oneIn(5)) throw new Error('no checkpoint, on purpose');
    },
  };
}

/** Reads now and then not at all. */
async function dawdle(client: RawClient, seeded: Seeded): Promise<void> {
  for (let pause = 0; pause < 10; pause += 1) {
    client.pause();
    await moment(seeded);
    client.resume();
    await moment(seeded);
  }
}

it('every stream of a crowd ends whole, however its stores, its reads and its neighbours are', async () => {
  const seeded = new Seeded(15);
  const upstream = await startUpstream(seeded);
  const setup = testSetup({ upstream: httpOver({ baseUrl: upstream.baseUrl }), broken: true });
  const host = await BARE_HOST.start({ ...setup.options, usage: slow(setup.usage, seeded) });
  try {
    await Promise.all(Array.from({ length: CLIENTS }, (_, index) => callInTurn(host.origin, index, seeded)));
    await setup.finish();
    assert.equal(setup.records.length, CLIENTS * CALLS_EACH);
  } finally {
    await host.close();
    await upstream.close();
  }
});

/** Calls one after the other over one connection; every fourth client leaves in the middle of its last answer. */
async function callInTurn(origin: string, index: number, seeded: Seeded): Promise<void> {
  const client = await rawClient(origin);
  for (let left = CALLS_EACH; left > 0; left -= 1) {
    client.send(ASKING);
    if (index % 4 === 3 && left === 1) {
      await client.until((received) => received.includes('w10'), 'some words');
      break;
    }
    const dawdling = index % 4 === 2 ? dawdle(client, seeded) : undefined;
    const { status, body, whole } = await client.response();
    assert.deepEqual([status, whole, body], [200, true, TEXT]);
    await dawdling;
  }
  client.destroy();
}
