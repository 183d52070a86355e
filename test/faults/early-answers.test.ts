import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  constants,
  createServer as createHttp2,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect, type Server } from 'node:net';
import { describe, it } from 'node:test';
import { createGateway, fromFunction } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import OpenAI from 'openai';
import { eventually, settleSockets, within } from '../helpers/deadline.js';
import { DEPTH } from '../helpers/depth.js';
import { SECRET, SMALL_SECRET, testSetup, UNKNOWN_SECRET } from '../helpers/gateway-options.js';
import { rawClient } from '../helpers/raw-client.js';
import { CALL, inEveryHost, onBareHost, type Scene, withScene } from '../helpers/scene.js';

const MB = 1_000_000;
const SIZES = DEPTH > 1 ? [1, 5, 20, 60] : [1, 20];
/** A tier that admits one call, so that the next is a 429. */
const ONE_CALL = { small: { requestsPerMinute: 1 } };

interface Early {
  readonly what: string;
  readonly path: string;
  readonly type: string;
  readonly secret: string;
  readonly status: number;
}

const FORM = 'multipart/form-data; boundary=b';
const EARLY: readonly Early[] = [
  {
    what: 'a chat with a wrong key',
    path: '/chat/completions',
    type: 'application/json',
    secret: UNKNOWN_SECRET,
    status: 401,
  },
  { what: 'an upload with a wrong key', path: '/files', type: FORM, secret: UNKNOWN_SECRET, status: 401 },
  {
    what: 'a chat that is too large',
    path: '/chat/completions',
    type: 'application/json',
    secret: SECRET,
    status: 413,
  },
  { what: 'an upload above a limit', path: '/files', type: FORM, secret: SMALL_SECRET, status: 429 },
  { what: 'sound above a limit', path: '/audio/transcriptions', type: FORM, secret: SMALL_SECRET, status: 429 },
  { what: 'a type that is not taken', path: '/chat/completions', type: 'text/plain', secret: SECRET, status: 400 },
  { what: 'a path that is not there', path: '/models', type: 'application/json', secret: SECRET, status: 405 },
];

/** Sends everything, and reads only then. */
async function writeThenRead(
  { host }: Scene,
  { path, type, secret }: Early,
  size: number,
  isChunked = false,
): Promise<string> {
  const { hostname, port, pathname } = new URL(host.baseUrl);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.pause();
  const framing = isChunked ? 'transfer-encoding: chunked' : `content-length: ${size}`;
  const head = `POST ${pathname}${path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer ${secret}\r\ncontent-type: ${type}\r\n${framing}\r\n\r\n`;
  const failed = new Promise<never>((_, reject) => socket.once('error', reject));
  failed.catch(() => {});
  const body = Buffer.alloc(size, 0x20);
  const bytes = isChunked
    ? Buffer.concat([Buffer.from(`${head}${size.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')])
    : Buffer.concat([Buffer.from(head), body]);
  const written = new Promise<void>((resolve) => socket.write(bytes, () => resolve()));
  await within(Promise.race([written, failed]), 'all to be written');
  const pieces: Buffer[] = [];
  socket.on('data', (piece) => pieces.push(piece));
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.resume();
  await within(ended, 'the end of the answer');
  return Buffer.concat(pieces).toString();
}

async function spend(scene: Scene): Promise<void> {
  await scene.client({ apiKey: SMALL_SECRET }).chat.completions.create(CALL);
}

inEveryHost('a refusal reaches a client that writes everything before it reads', (kind) =>
  withScene(kind, { ...ONE_CALL, maxBodyBytes: 1_000 }, async (scene) => {
    await spend(scene);
    const isParsedBefore = kind.name.includes('behind');
    for (const early of EARLY) {
      // There the host's parser is the one that refuses.
      if (isParsedBefore && early.type === 'application/json') continue;
      const text = await writeThenRead(scene, early, 3 * MB);
      assert.match(text, new RegExp(`^HTTP/1.1 ${early.status} `), `${early.what}: ${text.slice(0, 200)}`);
      assert.match(text, /\r\nconnection: close\r\n/i);
      if (early.status === 429) assert.match(text, /\r\nretry-after: \d+\r\n/i);
      assert.match(text, /"error":\s?\{/);
    }
  }),
);

for (const megabytes of SIZES) {
  onBareHost(
    `uploads and chats of ${megabytes} MB are refused in words to raw clients and to OpenAI's own`,
    () => ({ ...ONE_CALL, maxBodyBytes: 1_000 }),
    async (scene) => {
      await spend(scene);
      const size = megabytes * MB;
      for (const early of EARLY) {
        for (const isChunked of [false, true]) {
          const text = await writeThenRead(scene, early, size, isChunked);
          assert.match(text, new RegExp(`^HTTP/1.1 ${early.status} `), `${early.what}: ${text.slice(0, 200)}`);
        }
      }
      const file = (): File => new File([Buffer.alloc(size)], 'a.wav');
      const stranger = scene.client({ apiKey: UNKNOWN_SECRET });
      const poor = scene.client({ apiKey: SMALL_SECRET });
      const long = { ...CALL, messages: [{ role: 'user' as const, content: 'x'.repeat(size) }] };
      await assert.rejects(stranger.files.create({ file: file(), purpose: 'assistants' }), { status: 401 });
      await assert.rejects(stranger.chat.completions.create(long), { status: 401 });
      await assert.rejects(scene.client().chat.completions.create(long), { status: 413 });
      for (const refused of [
        poor.files.create({ file: file(), purpose: 'assistants' }),
        poor.audio.transcriptions.create({ file: file(), model: 'whisper-1' }),
      ]) {
        await assert.rejects(refused, (error) => {
          assert.ok(error instanceof OpenAI.APIError);
          assert.equal(error.status, 429);
          assert.match(error.headers?.get('retry-after') ?? '', /^\d+$/);
          return true;
        });
      }
    },
  );
}

onBareHost(
  'so is a form above what a form may have, announced or not',
  () => ({ maxUploadBytes: 1_000 }),
  async (scene) => {
    const early = { what: 'a large form', path: '/files', type: FORM, secret: SECRET, status: 413 };
    for (const isChunked of [false, true]) {
      assert.match(await writeThenRead(scene, early, 3 * MB, isChunked), /^HTTP\/1.1 413 /);
    }
  },
);

describe('what is read of a refused body is bounded', () => {
  /** Sends without end; resolves to how much was sent when the connection is gone. */
  async function sendOn({ host }: Scene): Promise<number> {
    const client = await rawClient(host.origin);
    client.send(
      `POST /v1/files HTTP/1.1\r\nhost: t\r\ncontent-type: ${FORM}\r\nauthorization: Bearer ${UNKNOWN_SECRET}\r\ncontent-length: 2000000000\r\n\r\n`,
    );
    assert.equal((await client.response()).status, 401);
    let isClosed = false;
    void client.closed.then(() => {
      isClosed = true;
    });
    let sent = 0;
    for (; !isClosed && sent < 100 * MB; sent += 65_536) {
      client.send(Buffer.alloc(65_536));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await within(client.closed, 'the connection to be closed');
    return sent;
  }

  onBareHost(
    'in bytes',
    () => ({ lingering: { maxBytes: 200_000 } }),
    async (scene) => assert.ok((await sendOn(scene)) < 50 * MB),
  );

  onBareHost(
    'in time',
    () => ({ lingering: { totalMs: 50, maxBytes: 1_000 * MB } }),
    async (scene) => assert.ok((await sendOn(scene)) < 100 * MB),
  );

  onBareHost(
    'in number: one more is closed at once, until another has gone',
    () => ({ lingering: { idleMs: 600_000, totalMs: 600_000, maxConnections: 2 } }),
    async ({ host }) => {
      const head = `POST /v1/files HTTP/1.1\r\nhost: t\r\ncontent-type: ${FORM}\r\ncontent-length: 2000000000\r\n\r\n`;
      const refused = async () => {
        const client = await rawClient(host.origin);
        client.send(head);
        assert.equal((await client.response()).status, 401);
        const state = { client, isClosed: false };
        void client.closed.then(() => {
          state.isClosed = true;
        });
        return state;
      };
      const first = await refused();
      const second = await refused();
      const third = await refused();
      await within(third.client.closed, 'the third to be closed');
      assert.deepEqual([first.isClosed, second.isClosed], [false, false]);
      first.client.destroy();
      await within(first.client.closed, 'the first to be gone');
      const later = [await refused(), await refused()];
      await within(Promise.race(later.map(({ client }) => client.closed)), 'one of the later two to be closed');
      await settleSockets();
      assert.deepEqual([second, ...later].map(({ isClosed }) => isClosed).sort(), [false, false, true]);
      for (const { client } of [second, ...later]) client.destroy();
    },
  );

  onBareHost(
    'in the silence before the next byte',
    () => ({ lingering: { idleMs: 50, maxConnections: 3 } }),
    async ({ host }) => {
      const head = `POST /v1/files HTTP/1.1\r\nhost: t\r\ncontent-type: ${FORM}\r\ncontent-length: 2000000000\r\n\r\n`;
      const clients = await Promise.all([rawClient(host.origin), rawClient(host.origin), rawClient(host.origin)]);
      for (const client of clients) client.send(head);
      for (const client of clients) {
        assert.equal((await client.response()).status, 401);
        await within(client.closed, 'the connection to be closed');
      }
    },
  );

  for (const lingering of [{ idleMs: 0 }, { maxBytes: '1' }, { connections: 1 }, 5, null]) {
    it(`refused at the start: ${JSON.stringify(lingering)}`, () => {
      assert.throws(() => createGateway({ ...testSetup().options, lingering: lingering as never }), TypeError);
    });
  }
});

describe('a client that asks before it sends', () => {
  it('is refused before a byte is sent, and told to go on when its body is wanted', async () => {
    const setup = testSetup({ upstream: fromFunction(() => 'Hello') });
    const llm = megallm(setup.options);
    const listener = (req: IncomingMessage, res: ServerResponse): void => void llm(req, res);
    const server = createServer(listener).on('checkContinue', listener);
    const origin = await listening(server);
    try {
      const body = JSON.stringify(CALL);
      for (const [secret, status, interim] of [
        [UNKNOWN_SECRET, '401', false],
        [SECRET, '200', true],
      ] as const) {
        const client = await rawClient(origin);
        client.send(
          `POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\nauthorization: Bearer ${secret}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`,
        );
        await client.until((text) => text.includes(' 100 ') || text.includes(' 401 '), 'a word');
        assert.equal(client.received().toString().startsWith('HTTP/1.1 100 '), interim);
        if (interim) client.send(body);
        assert.equal(String((await client.response()).status), status);
        client.destroy();
      }
      await setup.finish();
    } finally {
      await stop(server);
    }
  });
});

describe('over HTTP/2', () => {
  it('a refusal reaches a client that writes first, and the connection goes on serving', async () => {
    const setup = testSetup({ ...ONE_CALL, upstream: fromFunction(() => 'Hello'), maxBodyBytes: 1_000 });
    const llm = megallm(setup.options);
    const server = createHttp2((req, res) => void llm(nodes(req), nodes(res)));
    const origin = await listening(server);
    const session = connectHttp2(origin);
    try {
      for (const [secret, size, status] of [
        [UNKNOWN_SECRET, 3 * MB, 401],
        [SECRET, 3 * MB, 413],
        [SECRET, 0, 200],
      ] as const) {
        const answer = await ask(session, secret, size);
        assert.equal(answer.status, status);
        assert.match(answer.text, status === 200 ? /Hello/ : /"error":/);
      }
      await setup.finish();
    } finally {
      session.destroy();
      await stop(server);
    }
  });

  it('a client that leaves ends its call, whole or streamed, and one that stays does not', async () => {
    let left = 0;
    let asked = 0;
    const upstream = fromFunction(async function* (_body, { signal }) {
      asked += 1;
      signal.addEventListener('abort', () => {
        left += 1;
      });
      yield 'a';
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    });
    const setup = testSetup({ upstream });
    const llm = megallm(setup.options);
    const server = createHttp2((req, res) => void llm(nodes(req), nodes(res)));
    const session = connectHttp2(await listening(server));
    try {
      for (const stream of [false, true]) {
        const before = asked;
        const call = session.request(headersOf(SECRET));
        call.on('error', () => {});
        call.end(JSON.stringify({ ...CALL, stream }));
        await eventually(() => asked > before, 'the upstream to be asked');
        call.close(constants.NGHTTP2_CANCEL);
        await eventually(() => left === asked, 'the upstream to be left');
      }
      await setup.finish();
      assert.deepEqual(
        setup.records.map(({ outcome }) => outcome),
        ['aborted', 'aborted'],
      );
    } finally {
      session.destroy();
      await stop(server);
    }
  });
});

/** To its types, Node's compatible API is something else than what it is compatible with. */
function nodes<T>(message: unknown): T {
  return message as T;
}

function headersOf(secret: string): OutgoingHttpHeaders {
  return {
    ':method': 'POST',
    ':path': '/v1/chat/completions',
    authorization: `Bearer ${secret}`,
    'content-type': 'application/json',
  };
}

/** @param size of the body; 0: a good one */
async function ask(session: ClientHttp2Session, secret: string, size: number) {
  const call = session.request(headersOf(secret));
  call.end(size === 0 ? JSON.stringify(CALL) : Buffer.alloc(size, 0x20));
  const head = new Promise<number>((resolve) =>
    call.once('response', (headers) => resolve(Number(headers[':status']))),
  );
  const failed = new Promise<never>((_, reject) => call.once('error', reject));
  const status = await within(Promise.race([head, failed]), 'the head');
  let text = '';
  call.setEncoding('utf8').on('data', (piece) => {
    text += piece;
  });
  await within(Promise.race([new Promise((resolve) => call.once('close', resolve)), failed]), 'the end');
  return { status, text };
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

async function stop(server: Server & { closeAllConnections?(): void }): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections?.();
  await within(closed, 'the server to close');
}
