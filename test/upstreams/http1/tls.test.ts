import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { createServer, type SecureContextOptions, type TLSSocket, type TlsOptions } from 'node:tls';
import { type HttpOptions, http } from 'megallm-middleware';
import { systemClock } from '../../../src/base/clock.js';
import { Http1Transport } from '../../../src/upstreams/http1/pool.js';
import { serverAddressOf } from '../../../src/upstreams/server-address.js';
import type { AnswerHandler, TransportExchange } from '../../../src/upstreams/transport.js';
import { authority, type Certificate, selfSigned } from '../../helpers/certificate.js';
import { head, replyBytes, streamEvents, wholeChat } from '../../helpers/chat-answers.js';
import { eventually, settleSockets, within } from '../../helpers/deadline.js';
import { SECRET } from '../../helpers/gateway-options.js';
import { BARE_HOST } from '../../helpers/hosts.js';
import { rawChat, rawExchange } from '../../helpers/raw-client.js';
import { type RawBehaviour, type RawServer, rawServer } from '../../helpers/raw-server.js';
import { CALL, withHost } from '../../helpers/scene.js';
import { callWith, wholeBody } from '../../helpers/upstream-call.js';

const GOOD = replyBytes(wholeChat('Hello'));
const OURS = authority();
/** Of the same name. */
const THEIRS = authority();
const OTHERS = authority('Another authority');

/** What a client said when it began. */
interface Greeting {
  readonly servername: string | false | null;
  readonly alpn: string | false | null;
  readonly isResumed: boolean;
}

interface TlsServer extends RawServer {
  readonly greetings: readonly Greeting[];
}

/** A server over TLS; by default each request is answered well. */
async function tlsServer(
  certificate: Certificate,
  { onData = answerWell }: RawBehaviour = {},
  more: TlsOptions & SecureContextOptions = {},
): Promise<TlsServer> {
  const greetings: Greeting[] = [];
  const server = createServer({ ...certificate, ALPNProtocols: ['h2', 'http/1.1'], ...more });
  server.on('tlsClientError', () => {});
  server.on('secureConnection', (socket: TLSSocket) => {
    const servername = Object(socket).servername ?? null;
    greetings.push({ servername, alpn: socket.alpnProtocol, isResumed: socket.isSessionReused() });
  });
  const raw = await rawServer({ onData }, { port: 0, host: '127.0.0.1' }, server, 'secureConnection');
  return { ...raw, greetings };
}

function answerWell(socket: { write(bytes: Buffer): unknown }, heard: string): void {
  if (heard.endsWith('}')) socket.write(GOOD);
}

async function withTls(
  server: Promise<TlsServer>,
  options: Partial<HttpOptions> & { readonly host?: string },
  play: (ask: () => Promise<unknown>, server: TlsServer) => Promise<void>,
): Promise<void> {
  const started = await server;
  const { host = 'localhost', ...rest } = options;
  try {
    const upstream = http({ baseUrl: `https://${host}:${started.port}/v1`, ...rest });
    const ask = async (): Promise<unknown> => {
      const { choices } = wholeBody(await within(upstream.send(callWith(CALL)), 'an end'));
      return Object(choices)[0]?.message.content;
    };
    await play(ask, started);
  } finally {
    await started.close();
  }
}

const REFUSED: Readonly<
  Record<string, { readonly certificate: Certificate; readonly ca?: string; readonly host?: string }>
> = {
  'signed itself': { certificate: selfSigned() },
  'signed itself, while another authority is trusted': { certificate: selfSigned(), ca: OURS.cert },
  'has a certificate of an authority that nobody handed over': { certificate: OURS.issue() },
  'has a certificate of another authority of the same name': { certificate: THEIRS.issue(), ca: OURS.cert },
  'has a certificate of another host': {
    certificate: OURS.issue({ names: ['other.test', '127.0.0.1'] }),
    ca: OURS.cert,
  },
  'has a certificate without its address': {
    certificate: OURS.issue({ names: ['localhost'] }),
    ca: OURS.cert,
    host: '127.0.0.1',
  },
  'has a certificate of a host below its own': { certificate: OURS.issue({ names: ['*.localhost'] }), ca: OURS.cert },
  'has a certificate that has run out': {
    certificate: OURS.issue({ valid: ['200101000000Z', '210101000000Z'] }),
    ca: OURS.cert,
  },
  'has a certificate that is not good yet': {
    certificate: OURS.issue({ valid: ['450101000000Z', '491231235959Z'] }),
    ca: OURS.cert,
  },
};

describe('a server over TLS', () => {
  for (const [what, { certificate, ca, host = 'localhost' }] of Object.entries(REFUSED)) {
    it(`that ${what} gets no request, and no key`, async () => {
      await withTls(tlsServer(certificate), { ca, host, apiKey: 'sk-canary' }, async (ask, server) => {
        for (let call = 0; call < 2; call += 1) {
          await assert.rejects(ask(), (error: Error) => {
            assert.equal(Reflect.get(error, 'status'), 502, String(error));
            assert.doesNotMatch(error.message, /127\.0\.0\.1|localhost|certificate/);
            return true;
          });
        }
        assert.equal(server.heard.join(''), '');
      });
    });
  }

  it('whose authority was handed over is called by its name, in HTTP/1.1', async () => {
    await withTls(tlsServer(OURS.issue()), { ca: OURS.cert, apiKey: 'sk-own' }, async (ask, server) => {
      assert.equal(await ask(), 'Hello');
      assert.equal(await ask(), 'Hello');
      assert.deepEqual(server.greetings, [{ servername: 'localhost', alpn: 'http/1.1', isResumed: false }]);
      assert.match(server.heard[0] ?? '', new RegExp(`\r\nhost: localhost:${server.port}\r\n`, 'i'));
    });
  });

  it('whose authority was handed over among others, as bytes or text, is called', async () => {
    for (const ca of [
      [OTHERS.cert, OURS.cert],
      [OTHERS.cert, Buffer.from(OURS.cert)],
      Buffer.from(OURS.cert),
      `${OTHERS.cert}${OURS.cert}`,
    ]) {
      await withTls(tlsServer(OURS.issue()), { ca }, async (ask) => assert.equal(await ask(), 'Hello'));
    }
  });

  it('that is called by its address is told no name', async () => {
    await withTls(tlsServer(OURS.issue()), { ca: OURS.cert, host: '127.0.0.1' }, async (ask, server) => {
      assert.equal(await ask(), 'Hello');
      assert.ok(server.greetings[0]?.servername !== '127.0.0.1', String(server.greetings[0]?.servername));
    });
  });

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`that closed a connection of ${version} is called again with the session of before`, async () => {
      const answerOnce: RawBehaviour = { onData: (socket, heard) => void (heard.endsWith('}') && socket.end(GOOD)) };
      const more = { minVersion: version, maxVersion: version };
      await withTls(tlsServer(OURS.issue(), answerOnce, more), { ca: OURS.cert }, async (ask, server) => {
        for (let call = 0; call < 3; call += 1) assert.equal(await ask(), 'Hello');
        assert.deepEqual(
          server.greetings.map(({ isResumed }) => isResumed),
          [false, true, true],
        );
      });
    });
  }

  it('that changes to a certificate of a stranger is not called, whatever session was there', async () => {
    const answerOnce: RawBehaviour = { onData: (socket, heard) => void (heard.endsWith('}') && socket.end(GOOD)) };
    const first = await tlsServer(OURS.issue(), answerOnce);
    const upstream = http({ baseUrl: `https://localhost:${first.port}/v1`, ca: OURS.cert });
    assert.equal((await within(upstream.send(callWith(CALL)), 'an answer')).kind, 'whole');
    await first.close();
    const second = await rawTlsOn(first.port, THEIRS.issue());
    try {
      await assert.rejects(within(upstream.send(callWith(CALL)), 'a refusal'), { status: 502 });
      assert.equal(second.heard.join(''), '');
    } finally {
      await second.close();
    }
  });

  it('that speaks no TLS, or breaks off while it begins, is a 502, and the next call is served', async () => {
    const certificate = OURS.issue();
    for (const first of [
      (socket: { end(text: string): unknown }) =>
        void socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n'),
      (socket: { destroy(): unknown }) => void socket.destroy(),
    ]) {
      const plain = await rawServer({ onData: first });
      const upstream = http({ baseUrl: `https://localhost:${plain.port}/v1`, ca: OURS.cert });
      await assert.rejects(within(upstream.send(callWith(CALL)), 'a failure'), { status: 502 });
      await plain.close();
      const good = await rawTlsOn(plain.port, certificate);
      assert.equal((await within(upstream.send(callWith(CALL)), 'an answer')).kind, 'whole');
      await good.close();
    }
  });

  it('that says nothing while TLS begins is given up in time', async () => {
    const silent = await rawServer({});
    try {
      const upstream = http({ baseUrl: `https://localhost:${silent.port}/v1`, connectTimeoutMs: 200 });
      await assert.rejects(within(upstream.send(callWith(CALL)), 'a failure'), { status: 502 });
      await eventually(
        () => silent.sockets[0]?.readableEnded === true || silent.sockets[0]?.destroyed === true,
        'the connection to be closed',
      );
    } finally {
      await silent.close();
    }
  });

  for (const [what, stream] of [
    ['a whole answer', false],
    ['a stream', true],
  ] as const) {
    it(`that is cut off without a goodbye within ${what} that only its end ends has not answered`, async () => {
      const type = stream ? 'text/event-stream' : 'application/json';
      const text = stream
        ? streamEvents(['Hel', 'lo']).slice(0, 2).join('')
        : JSON.stringify(wholeChat('Hello')).slice(0, -9);
      const bytes = head(200, { 'content-type': type, connection: 'close' }) + text;
      const certificate = OURS.issue();
      let cut = (): void => {};
      const answer: RawBehaviour = {
        onData: (socket, heard) =>
          void (heard.endsWith('}') && socket.write(bytes, () => void settleSockets().then(() => cut()))),
      };
      await withHost(
        BARE_HOST,
        {
          broken: true,
          start: async () => {
            const server = await tlsServer(certificate, answer);
            const between = await relay(server.port);
            ({ cut } = between);
            return {
              baseUrl: `https://localhost:${between.port}/v1`,
              close: () => Promise.all([between.close(), server.close()]).then(() => {}),
            };
          },
          http: { ca: OURS.cert },
        },
        async ({ host, setup }) => {
          const response = await within(rawExchange(host.origin, rawChat(SECRET, { ...CALL, stream })), 'an end');
          assert.doesNotMatch(response.body, /\[DONE\]/);
          if (stream) assert.match(response.body, /data: \{"error":/);
          else assert.equal(response.status, 502);
          await setup.usage.allSettled();
          assert.deepEqual(
            setup.records.map(({ outcome }) => outcome),
            ['error'],
          );
        },
      );
    });
  }
});

/** Largest record of TLS. */
const RECORD_BYTES = 16_384;
const LARGE = 'a'.repeat(2.5 * RECORD_BYTES);

describe('an answer over TLS, of which one read brings several records,', () => {
  /** Has a connection serve calls one after the other, and resumes each pause a moment later. */
  async function serve(
    answer: Required<RawBehaviour>['onData'],
    takesMore: (pieces: number) => boolean,
    how: 'in turn' | 'together' = 'in turn',
  ): Promise<readonly string[]> {
    const server = await tlsServer(OURS.issue(), { onData: answer });
    const bounds = { connections: 1, connectTimeoutMs: 5_000, headersTimeoutMs: 5_000, bodyTimeoutMs: 5_000 };
    const address = serverAddressOf(`https://localhost:${server.port}`);
    const transport = new Http1Transport(address, OURS.cert, bounds, systemClock);
    const call = (): Promise<string> =>
      new Promise((resolve, reject) => {
        let exchange: TransportExchange | undefined;
        const pieces: string[] = [];
        const handler: AnswerHandler = {
          onStart(started) {
            exchange = started;
          },
          onHead: () => {},
          onData(piece) {
            pieces.push(piece.toString());
            const isTaken = takesMore(pieces.length);
            if (!isTaken) setImmediate(() => exchange?.resume());
            return isTaken;
          },
          onEnd: () => resolve(pieces.join('')),
          onFailed: (_, error) => reject(error),
        };
        transport.dispatch({ method: 'GET', path: '/', headers: [], body: undefined }, handler);
      });
    try {
      const first = call();
      if (how === 'in turn') await within(first, 'the first answer');
      return await within(Promise.all([first, call()]), 'both answers');
    } finally {
      await server.close();
    }
  }

  it('leaves its connection fit for the next call, though its end came behind a pause', async () => {
    const bytes = head(200, { 'content-length': String(LARGE.length) }) + LARGE;
    const texts = await serve(
      (socket) => void socket.write(bytes),
      () => false,
    );
    assert.deepEqual(texts, [LARGE, LARGE]);
  });

  it('goes on after a pause, whatever was said of the records behind it', async () => {
    const bytes = `${head(200, { 'content-length': String(LARGE.length + 4) })}${LARGE}`;
    const texts = await serve(
      (socket) => void socket.write(bytes, () => void settleSockets().then(() => socket.write('last'))),
      (pieces) => pieces > 1,
    );
    assert.deepEqual(texts, [`${LARGE}last`, `${LARGE}last`]);
  });

  it('is no answer to the call that waits for its connection', async () => {
    const length = RECORD_BYTES - head(200, { 'content-length': '16000' }).length;
    const behind = `${head(200, { 'content-length': '6' })}poison`;
    let asked = 0;
    const faulty: Required<RawBehaviour>['onData'] = (socket) => {
      asked += 1;
      socket.write(head(200, { 'content-length': String(length) }) + String(asked).repeat(length) + behind);
    };
    const texts = await serve(faulty, () => true, 'together');
    assert.deepEqual(texts, ['1'.repeat(length), '2'.repeat(length)]);
  });
});

/** A server that passes bytes both ways, until it ends what clients get though more may come. */
async function relay(port: number): Promise<RawServer & { cut(): void }> {
  const server = await rawServer({
    onConnection: (client) => {
      const there = connect(port, '127.0.0.1').on('error', () => {});
      there.on('data', (piece) => void client.write(piece)).on('close', () => client.destroy());
      client.on('data', (piece) => void there.write(piece)).on('close', () => there.destroy());
    },
  });
  return { ...server, cut: () => server.sockets.forEach((socket) => void socket.end()) };
}

/** A good server over TLS on a port that was another's. */
async function rawTlsOn(port: number, certificate: Certificate): Promise<RawServer> {
  const server = createServer({ ...certificate });
  server.on('tlsClientError', () => {});
  return rawServer({ onData: answerWell }, { port, host: '127.0.0.1' }, server, 'secureConnection');
}
