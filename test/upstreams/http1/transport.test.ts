import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { createServer as createSecureServer, type TLSSocket } from 'node:tls';
import type { Clock } from '../../../src/base/clock.js';
import { Http1Transport } from '../../../src/upstreams/http1/pool.js';
import { serverAddressOf } from '../../../src/upstreams/server-address.js';
import type { AnswerHandler, TransportExchange, TransportRequest } from '../../../src/upstreams/transport.js';
import { selfSigned } from '../../helpers/certificate.js';
import { eventually, within } from '../../helpers/deadline.js';

/** One connection, as the server has it. */
class Peer {
  received = '';
  isClosed = false;
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.received += text;
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  get requests(): number {
    return this.received.split(' HTTP/1.1\r\n').length - 1;
  }

  async asked(times = 1): Promise<this> {
    await eventually(() => this.requests === times && this.received.includes('\r\n\r\n'), `request ${times}`);
    return this;
  }

  answer(body = 'ok', fields = ''): void {
    this.send(`HTTP/1.1 200 OK\r\n${fields}content-length: ${body.length}\r\n\r\n${body}`);
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }
}

class TestServer {
  readonly peers: Peer[] = [];
  readonly server: Server;

  constructor(secure?: object) {
    const onPeer = (socket: Socket): void => {
      this.peers.push(new Peer(socket));
    };
    this.server = secure === undefined ? createServer(onPeer) : createSecureServer(secure, onPeer);
    this.server.on('tlsClientError', () => {});
  }

  async listen(at: ListenOptions = { host: '127.0.0.1', port: 0 }): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(at, resolve));
    const address = this.server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async peer(index: number): Promise<Peer> {
    await eventually(() => this.peers.length > index, `connection ${index}`);
    const peer = this.peers[index];
    assert.ok(peer !== undefined);
    return peer;
  }

  get open(): number {
    return this.peers.filter(({ isClosed }) => !isClosed).length;
  }

  close(): void {
    for (const { socket } of this.peers) socket.destroy();
    this.server.close();
  }
}

/** Time that passes when it is told to. */
class ManualClock implements Clock {
  nowMs = 1_000_000;
  private timers: { readonly at: number; readonly run: () => void }[] = [];

  wallMs(): number {
    return this.nowMs;
  }

  steadyMs(): number {
    return this.nowMs;
  }

  setTimer(run: () => void, delayMs: number): () => void {
    const timer = { at: this.nowMs + delayMs, run };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((one) => one !== timer);
    };
  }

  /** The number of timers that are set. */
  get size(): number {
    return this.timers.length;
  }

  advance(ms: number): void {
    this.nowMs += ms;
    const due = this.timers.filter(({ at }) => at <= this.nowMs);
    this.timers = this.timers.filter(({ at }) => at > this.nowMs);
    for (const { run } of due) run();
  }
}

/** One call, and all that it was told. */
class Call implements AnswerHandler {
  status: number | undefined = undefined;
  body = '';
  /** `end`, or the failure. */
  ended: string | undefined = undefined;
  takesMore = true;
  exchange: TransportExchange | undefined = undefined;
  onBytes: (() => void) | undefined = undefined;

  onStart(exchange: TransportExchange): void {
    this.exchange = exchange;
  }

  onHead({ status }: { readonly status: number }): void {
    assert.equal(this.status, undefined, 'one head');
    this.status = status;
  }

  onData(piece: Buffer): boolean {
    assert.equal(this.ended, undefined, 'nothing after the end');
    this.body += piece.toString('latin1');
    this.onBytes?.();
    return this.takesMore;
  }

  onEnd(): void {
    this.over('end');
  }

  onFailed(failure: string): void {
    this.over(failure);
  }

  private over(how: string): void {
    assert.equal(this.ended, undefined, 'one end');
    this.ended = how;
  }

  async end(): Promise<string> {
    await eventually(() => this.ended !== undefined, 'the end of the call');
    return this.ended ?? '';
  }
}

const POST: TransportRequest = { method: 'POST', path: '/v1/x', headers: ['a', 'b'], body: Buffer.from('{}') };
const TIMES = { connectTimeoutMs: 1_000, headersTimeoutMs: 10_000, bodyTimeoutMs: 20_000 };

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

interface Started {
  readonly server: TestServer;
  readonly transport: Http1Transport;
  readonly clock: ManualClock;
  call(request?: Partial<TransportRequest>): Call;
}

interface StartOptions {
  readonly connections?: number;
  readonly secure?: object;
  readonly ca?: string;
  readonly listen?: ListenOptions;
  readonly baseUrl?: (port: number) => string;
}

async function start({ connections = 100, secure, ca, listen, baseUrl }: StartOptions = {}): Promise<Started> {
  const server = new TestServer(secure);
  const port = await server.listen(listen);
  closing.push(() => server.close());
  const clock = new ManualClock();
  const url = baseUrl?.(port) ?? `${secure === undefined ? 'http' : 'https'}://127.0.0.1:${port}/v1`;
  const transport = new Http1Transport(serverAddressOf(url), ca, { connections, ...TIMES }, clock);
  const begin = (request: Partial<TransportRequest> = {}): Call => {
    const call = new Call();
    transport.dispatch({ ...POST, ...request }, call);
    return call;
  };
  return { server, transport, clock, call: begin };
}

/** A call that is answered on that connection, whose requests it counts. */
async function served({ server, call }: Started, peer: number, request: number): Promise<void> {
  const asked = call();
  (await (await server.peer(peer)).asked(request)).answer();
  assert.equal(await asked.end(), 'end');
}

describe('connections that have served', () => {
  it('serve again, the newest first', async () => {
    const started = await start();
    const { server, call } = started;
    const [first, second] = [call(), call()];
    const [a, b] = [await server.peer(0), await server.peer(1)];
    await a.asked();
    await b.asked();
    a.answer();
    b.answer();
    await Promise.all([first.end(), second.end()]);
    // The order in which the server saw them is not the order in which they were freed.
    const before = [a.requests, b.requests];
    const third = call();
    await eventually(() => a.requests + b.requests === 3, 'the third request');
    const newest = a.requests > (before[0] ?? 0) ? a : b;
    newest.answer();
    await third.end();
    const fourth = call();
    await newest.asked(3);
    newest.answer();
    assert.equal(await fourth.end(), 'end');
    assert.equal(server.peers.length, 2);
  });

  it('are given up after a rest of 4 s, or a second before the server said that it gives them up', async () => {
    for (const [fields, rests, ends] of [
      ['', 3_900, 200],
      ['keep-alive: timeout=20\r\n', 18_900, 200],
      ['keep-alive: timeout=100000\r\n', 599_000, 2_000],
    ] as const) {
      const started = await start();
      const { server, clock, call } = started;
      const asked = call();
      const peer = await (await server.peer(0)).asked();
      peer.answer('ok', fields);
      await asked.end();
      clock.advance(rests);
      clock.advance(0);
      assert.equal(peer.isClosed, false);
      clock.advance(ends);
      clock.advance(1_000);
      await eventually(() => peer.isClosed, 'the connection to be given up');
    }
  });

  it('are not used once their time is over, though nobody has looked since', async () => {
    const started = await start();
    await served(started, 0, 1);
    started.clock.nowMs += 60_000;
    await served(started, 1, 1);
    await eventually(() => started.server.open === 1, 'the old one to be gone');
  });

  it('are given up at once where the server keeps none', async () => {
    for (const fields of ['connection: close\r\n', 'keep-alive: timeout=1\r\n']) {
      const { server, call } = await start();
      const asked = call();
      const peer = await (await server.peer(0)).asked();
      peer.answer('ok', fields);
      assert.equal(await asked.end(), 'end');
      await eventually(() => peer.isClosed, 'the connection to be given up');
    }
  });

  it('serve no more after ten minutes', async () => {
    const started = await start();
    await served(started, 0, 1);
    for (let request = 2; request < 200; request += 1) {
      started.clock.nowMs += 3_500;
      if (started.server.peers[0]?.isClosed === true) break;
      await served(started, 0, request).catch(() => {});
      if (started.clock.nowMs - 1_000_000 > 600_000) break;
    }
    await eventually(() => started.server.open === 0, 'the old one to be gone');
  });

  it('are not used once the server has ended them', async () => {
    const started = await start();
    await served(started, 0, 1);
    (await started.server.peer(0)).socket.end();
    await eventually(() => started.server.open === 0, 'the end of the connection');
    await served(started, 1, 1);
  });

  it('are given up when bytes come that nobody asked for', async () => {
    const started = await start();
    await served(started, 0, 1);
    (await started.server.peer(0)).answer('not asked for');
    await eventually(() => started.server.open === 0, 'the connection to be given up');
    await served(started, 1, 1);
  });

  it('are given up when bytes come after the end of an answer', async () => {
    const started = await start();
    const asked = started.call();
    const peer = await (await started.server.peer(0)).asked();
    peer.send('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad');
    assert.deepEqual([await asked.end(), asked.body], ['end', 'ok']);
    await eventually(() => peer.isClosed, 'the connection to be given up');
    await served(started, 1, 1);
  });

  it('do not keep the process alive', async () => {
    const active = (kind = 'TCPSocketWrap'): number =>
      process.getActiveResourcesInfo().filter((name) => name === kind).length;
    await eventually(() => active() === 0, 'the sockets of other tests to be gone');
    const timers = active('Timeout');
    const started = await start();
    const asked = started.call();
    const peer = await (await started.server.peer(0)).asked();
    assert.equal(active('Timeout'), timers + 1, 'a timer stands for the connection in use');
    peer.answer();
    await asked.end();
    assert.equal(active('Timeout'), timers, 'nothing stands for a connection that rests');
    assert.equal(active(), 1, 'the server’s end of it');
    await served(started, 0, 2);
  });
});

describe('a connection that dies', () => {
  it('is stale if it had served and no byte had come, whatever its end', async () => {
    for (const die of [(socket: Socket) => void socket.end(), (socket: Socket) => void socket.resetAndDestroy()]) {
      const started = await start();
      await served(started, 0, 1);
      const asked = started.call();
      die((await (await started.server.peer(0)).asked(2)).socket);
      assert.equal(await asked.end(), 'stale');
      const again = new Call();
      started.transport.dispatchFresh(POST, again);
      (await (await started.server.peer(1)).asked()).answer();
      assert.equal(await again.end(), 'end');
    }
  });

  it('is no stale one if it is new, or a byte had come', async () => {
    const started = await start();
    const first = started.call();
    (await (await started.server.peer(0)).asked()).socket.end();
    assert.equal(await first.end(), 'broken');
    await served(started, 1, 1);
    const second = started.call();
    const peer = await (await started.server.peer(1)).asked(2);
    peer.send('H');
    peer.socket.end();
    assert.equal(await second.end(), 'broken');
  });

  it('before the end of the body leaves the call without an end', async () => {
    for (const head of ['content-length: 9', 'transfer-encoding: chunked']) {
      const { server, call } = await start();
      const asked = call();
      const peer = await (await server.peer(0)).asked();
      peer.send(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n5\r\nab`);
      peer.socket.end();
      assert.equal(await asked.end(), 'broken');
    }
  });

  it('is the end of a body that has no other', async () => {
    const { server, call } = await start();
    const asked = call();
    const peer = await (await server.peer(0)).asked();
    peer.send('HTTP/1.1 200 OK\r\n\r\nuntil ');
    peer.send('the end');
    peer.socket.end();
    assert.deepEqual([await asked.end(), asked.body], ['end', 'until the end']);
    await eventually(() => peer.isClosed, 'the connection to be gone');
  });

  it('cannot be made: the call has failed', async () => {
    const { server, call } = await start();
    server.close();
    assert.equal(await call().end(), 'broken');
  });

  it('after an answer that is not HTTP is not used again', async () => {
    const started = await start();
    const asked = started.call();
    const peer = await (await started.server.peer(0)).asked();
    peer.send('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx');
    assert.deepEqual([await asked.end(), asked.status], ['malformed', undefined]);
    await eventually(() => peer.isClosed, 'the connection to be given up');
  });
});

describe('as many connections as were allowed', () => {
  it('serve the others in their order as they become free, or anew', async () => {
    const { server, call } = await start({ connections: 1 });
    const calls = [1, 2, 3].map((number) => call({ path: `/${number}` }));
    const peer = await (await server.peer(0)).asked(1);
    peer.answer('1');
    await peer.asked(2);
    peer.answer('2', 'connection: close\r\n');
    const other = await (await server.peer(1)).asked(1);
    other.answer('3');
    assert.deepEqual(await Promise.all(calls.map((one) => one.end())), ['end', 'end', 'end']);
    assert.deepEqual(
      calls.map(({ body }) => body),
      ['1', '2', '3'],
    );
  });

  it('forget those that are aborted while they wait', async () => {
    const { server, call } = await start({ connections: 1 });
    const [first, second, third] = [call(), call({ path: '/left' }), call({ path: '/third' })];
    second.exchange?.abort(new Error('left'));
    second.exchange?.resume();
    assert.equal(second.ended, 'broken');
    const peer = await (await server.peer(0)).asked(1);
    peer.answer();
    await peer.asked(2);
    peer.answer();
    assert.deepEqual([await first.end(), await third.end()], ['end', 'end']);
    assert.doesNotMatch(peer.received, /left/);
  });
});

/** Places at which a call is left; each returns once it is there. */
const PLACES: Readonly<Record<string, (started: Started) => Promise<Call>>> = {
  'before it is connected': async ({ call }) => call(),
  'before the head': async ({ server, call }) => {
    const asked = call();
    await (await server.peer(0)).asked();
    return asked;
  },
  'inside the head': async ({ server, call }) => {
    const asked = call();
    (await (await server.peer(0)).asked()).send('HTTP/1.1 200 OK\r\nx: ');
    await new Promise((resolve) => setTimeout(resolve, 5));
    return asked;
  },
  'inside the body': async ({ server, call }) => {
    const asked = call();
    (await (await server.peer(0)).asked()).send('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc');
    await eventually(() => asked.body === 'abc', 'the body');
    return asked;
  },
  'while it is paused': async ({ server, call }) => {
    const asked = call();
    asked.takesMore = false;
    (await (await server.peer(0)).asked()).send('HTTP/1.1 200 OK\r\n\r\nabc');
    await eventually(() => asked.body === 'abc', 'the body');
    return asked;
  },
  'while its body is sent': async ({ server, call }) => {
    const asked = call({ body: endless() });
    await (await server.peer(0)).asked();
    return asked;
  },
};

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield Buffer.alloc(16_384);
}

describe('a call that is aborted', () => {
  for (const [place, arrive] of Object.entries(PLACES)) {
    it(`${place} leaves no connection and no timer, and its connection serves nobody else`, async () => {
      const started = await start();
      const call = await arrive(started);
      call.exchange?.abort(new Error('left'));
      assert.equal(call.ended, 'broken');
      call.exchange?.abort(new Error('again'));
      call.exchange?.resume();
      await eventually(() => started.server.open === 0, 'the connection to be gone');
      const peers = started.server.peers.length;
      const next = started.call();
      (await (await started.server.peer(peers)).asked()).answer();
      assert.equal(await next.end(), 'end');
    });
  }

  it('from within its own bytes hears no more of them', async () => {
    const { server, call } = await start();
    const asked = call();
    asked.onBytes = () => asked.exchange?.abort(new Error('left'));
    const peer = await (await server.peer(0)).asked();
    peer.answer('whole');
    assert.equal(await asked.end(), 'broken');
    await eventually(() => peer.isClosed, 'the connection to be gone');
  });

  it('after its end ends no other call on its connection', async () => {
    const started = await start();
    const first = started.call();
    const peer = await (await started.server.peer(0)).asked();
    peer.answer();
    await first.end();
    const second = started.call();
    await peer.asked(2);
    first.exchange?.abort(new Error('too late'));
    peer.answer();
    assert.equal(await second.end(), 'end');
  });
});

describe('a request', () => {
  for (const size of [0, 1_000, 16_384, 300_000]) {
    it(`of ${size} bytes of every value goes out as it is`, async () => {
      const { server, call } = await start();
      const body = Buffer.from(Array.from({ length: size }, (_, at) => at % 256));
      const asked = call({ body });
      const peer = await server.peer(0);
      const head = `POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:${peer.socket.localPort}\r\nconnection: keep-alive\r\na: b\r\ncontent-length: ${size}\r\n\r\n`;
      await eventually(() => peer.received.length >= head.length + size, 'the request');
      assert.equal(peer.received === head + body.toString('latin1'), true);
      peer.answer();
      assert.equal(await asked.end(), 'end');
    });
  }

  it('says that it has no body where its method makes one expect it', async () => {
    const { server, call } = await start();
    for (const [index, method] of ['POST', 'GET', 'DELETE'].entries()) {
      const asked = call({ method, body: undefined });
      const peer = await (await server.peer(0)).asked(index + 1);
      peer.answer();
      await asked.end();
      const told = peer.received.split(' HTTP/1.1').at(-1)?.includes('content-length: 0');
      assert.equal(told, method === 'POST', method);
    }
  });

  it('may name another host, once', async () => {
    const { server, call } = await start();
    const asked = call({ headers: ['Host', 'models.internal'] });
    const peer = await (await server.peer(0)).asked();
    assert.match(peer.received, /^POST \/v1\/x HTTP\/1\.1\r\nhost: models\.internal\r\nconnection/);
    peer.answer();
    await asked.end();
  });
});

describe('a request that could be read otherwise than it is meant is not sent', () => {
  for (const [what, bad] of Object.entries<Partial<TransportRequest>>({
    'a path with a line’s end': { path: '/x\r\nhost: other' },
    'a path with a bare LF': { path: '/x\nhost: other' },
    'a path with a blank': { path: '/x HTTP/1.1' },
    'a path with a tab': { path: '/x\t' },
    'a path with a NUL': { path: '/x\0' },
    'a path beyond latin1': { path: '/\u010d\u010a' },
    'a path of another server': { path: 'http://other/x' },
    'no path': { path: '' },
    'a method with a blank': { method: 'GET /other' },
    'no method': { method: '' },
    CONNECT: { method: 'CONNECT' },
    'a value with a line’s end': { headers: ['a', 'b\r\nc: d'] },
    'a value with a bare CR': { headers: ['a', 'b\rc: d'] },
    'a value with a NUL': { headers: ['a', 'b\0'] },
    'a value that becomes a line’s end in latin1': { headers: ['a', 'b\u010d\u010ac: d'] },
    'a name with a colon': { headers: ['a:', 'b'] },
    'a name with a line’s end': { headers: ['a\r\nb', 'c'] },
    'a name beyond ASCII': { headers: ['\xe9', 'c'] },
    'no name': { headers: ['', 'c'] },
    'two hosts': { headers: ['host', 'a', 'Host', 'b'] },
    'two lengths': { headers: ['content-length', '2', 'Content-Length', '2'] },
    'a length that is not its body’s': { headers: ['content-length', '3'] },
    'a length that is none': { headers: ['content-length', '2, 2'] },
    'a length without a body': { headers: ['content-length', '2'], body: undefined },
    'a transfer coding': { headers: ['Transfer-Encoding', 'chunked'] },
    'a field about the connection': { headers: ['connection', 'upgrade'] },
    'an upgrade': { headers: ['upgrade', 'h2c'] },
    'an expectation': { headers: ['expect', '100-continue'] },
  })) {
    it(`with ${what}`, async () => {
      const { server, call } = await start();
      assert.equal(await call(bad).end(), 'broken');
      assert.equal(server.peers.length, 0);
    });
  }
});

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

describe('a body that comes in pieces', () => {
  it('goes out in chunks, without an empty one before its end', async () => {
    const { server, call } = await start();
    const asked = call({ body: pieces('hello', '', ', world!', '') });
    const peer = await server.peer(0);
    await eventually(() => peer.received.endsWith('0\r\n\r\n'), 'the end of the body');
    assert.match(peer.received, /transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n8\r\n, world!\r\n0\r\n\r\n$/);
    peer.answer();
    assert.equal(await asked.end(), 'end');
    const next = call();
    (await peer.asked(2)).answer();
    assert.equal(await next.end(), 'end');
  });

  it('goes out as it is where its length is told', async () => {
    const { server, call } = await start();
    const asked = call({ body: pieces('hel', 'lo'), headers: ['content-length', '5'] });
    const peer = await server.peer(0);
    await eventually(() => peer.received.endsWith('hello'), 'the body');
    assert.match(peer.received, /content-length: 5\r\n\r\nhello$/);
    assert.doesNotMatch(peer.received, /transfer-encoding/);
    peer.answer();
    assert.equal(await asked.end(), 'end');
  });

  for (const [what, length] of [
    ['longer', 4],
    ['shorter', 6],
  ] as const) {
    it(`and is ${what} than was told ends the call and the connection`, async () => {
      const { server, call } = await start();
      const asked = call({ body: pieces('hel', 'lo'), headers: ['content-length', String(length)] });
      assert.equal(await asked.end(), 'broken');
      await eventually(() => server.open === 0, 'the connection to be gone');
    });
  }

  it('and breaks off before its first piece is not sent at all', async () => {
    for (const headers of [[], ['content-length', '5'], ['content-length', '0']]) {
      const { server, call } = await start();
      // biome-ignore lint/correctness/useYield: it breaks off before.
      async function* broken(): AsyncGenerator<Uint8Array> {
        throw new Error('refused');
      }
      assert.equal(await call({ body: broken(), headers }).end(), 'broken');
      await eventually(() => server.open === 0 && server.peers.length === 1, 'the connection to be gone');
      assert.equal(server.peers[0]?.received, '');
    }
  });

  it('is not answered before it has begun', async () => {
    const started = await start();
    await served(started, 0, 1);
    let goOn: () => void = () => {};
    const going = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    async function* late(): AsyncGenerator<Uint8Array> {
      await going;
      yield Buffer.from('late');
    }
    const asked = started.call({ body: late() });
    (await started.server.peer(0)).answer('to nothing');
    assert.deepEqual([await asked.end(), asked.status], ['malformed', undefined]);
    goOn();
    await served(started, 1, 1);
  });

  it('and has none, ends with its head', async () => {
    for (const [headers, end] of [
      [[], 'transfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
      [['content-length', '0'], 'content-length: 0\r\n\r\n'],
    ] as const) {
      const { server, call } = await start();
      const asked = call({ body: pieces(), headers });
      const peer = await server.peer(0);
      await eventually(() => peer.received.endsWith(`\r\n${end}`), 'the request');
      peer.answer();
      assert.equal(await asked.end(), 'end');
    }
  });

  it('and breaks off ends the call and the connection', async () => {
    const { server, call } = await start();
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('hello');
      throw new Error('cut');
    }
    assert.equal(await call({ body: broken() }).end(), 'broken');
    await eventually(() => server.open === 0 && server.peers.length === 1, 'the connection to be gone');
    assert.doesNotMatch(server.peers[0]?.received ?? '', /0\r\n\r\n$/);
  });

  it('is read as slowly as the server takes it', async () => {
    const { server, call, clock } = await start();
    let read = 0;
    let left = false;
    async function* counted(): AsyncGenerator<Uint8Array> {
      try {
        for (; read < 1_000; read += 1) yield Buffer.alloc(65_536);
      } finally {
        left = true;
      }
    }
    server.server.on('connection', (socket: Socket) => socket.pause());
    const asked = call({ body: counted() });
    await server.peer(0);
    let before = -1;
    await eventually(async () => {
      const stands = read === before;
      before = read;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return stands && read > 0;
    }, 'the body to be held back');
    assert.ok(read < 500, `${read} pieces were read for a server that takes none`);
    clock.advance(TIMES.headersTimeoutMs);
    assert.equal(await asked.end(), 'silent', 'a server that takes nothing is silent');
    await eventually(() => left, 'the body to be left');
  });

  it('does not make the server seem silent while its client is slow', async () => {
    const { server, call, clock } = await start();
    let goOn: () => void = () => {};
    const going = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('hel');
      await going;
      yield Buffer.from('lo');
    }
    const asked = call({ body: slow() });
    const peer = await server.peer(0);
    await eventually(() => peer.received.includes('hel'), 'the beginning');
    clock.advance(10 * TIMES.headersTimeoutMs);
    goOn();
    await eventually(() => peer.received.endsWith('0\r\n\r\n'), 'the end');
    assert.equal(asked.ended, undefined);
    peer.answer();
    assert.equal(await asked.end(), 'end');
  });

  it('is left when the answer comes before its end, and the connection is not used again', async () => {
    const { server, call } = await start();
    let isLeft = false;
    async function* long(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          yield Buffer.from('more');
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      } finally {
        isLeft = true;
      }
    }
    const asked = call({ body: long() });
    const peer = await (await server.peer(0)).asked();
    peer.send('HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nno!');
    assert.deepEqual([await asked.end(), asked.status, asked.body], ['end', 413, 'no!']);
    await eventually(() => isLeft && peer.isClosed, 'the body to be left, and the connection');
  });
});

describe('an answer', () => {
  it('that its reader does not take is not read on', async () => {
    const { server, call, clock } = await start();
    const asked = call();
    asked.takesMore = false;
    const peer = await (await server.peer(0)).asked();
    const size = 20_000_000;
    peer.answer('x'.repeat(size));
    await eventually(() => asked.body.length > 0, 'the first bytes');
    let before = -1;
    await eventually(async () => {
      const stands = asked.body.length === before;
      before = asked.body.length;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return stands;
    }, 'the answer to be held back');
    assert.ok(asked.body.length <= 65_536, `${asked.body.length} bytes came`);
    clock.advance(10 * TIMES.bodyTimeoutMs);
    assert.equal(asked.ended, undefined, 'the time of a slow reader is not counted');
    asked.takesMore = true;
    asked.exchange?.resume();
    assert.equal(await asked.end(), 'end');
    assert.equal(asked.body.length, size);
    const next = call();
    (await peer.asked(2)).answer();
    assert.equal(await next.end(), 'end');
  });

  it('whose last bytes its reader would not take leaves the connection readable', async () => {
    const started = await start();
    const asked = started.call();
    asked.takesMore = false;
    const peer = await (await started.server.peer(0)).asked();
    peer.answer();
    assert.equal(await asked.end(), 'end');
    peer.socket.end();
    await eventually(() => peer.isClosed, 'the end to be noticed');
    await served(started, 1, 1);
  });

  it('may have heads of 1xx before it', async () => {
    const { server, call } = await start();
    const asked = call();
    const peer = await (await server.peer(0)).asked();
    peer.send('HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n');
    peer.answer();
    assert.deepEqual([await asked.end(), asked.status], ['end', 200]);
  });

  it('of a handler that throws ends that call alone', async () => {
    const started = await start();
    const asked = started.call();
    asked.onBytes = () => {
      throw new Error('thrown');
    };
    const peer = await (await started.server.peer(0)).asked();
    peer.answer();
    assert.equal(await asked.end(), 'broken');
    await eventually(() => peer.isClosed, 'the connection to be given up');
    await served(started, 1, 1);
  });
});

describe('a server that is silent', () => {
  it('before the head ends the call after the time for it', async () => {
    const { server, call, clock } = await start();
    const asked = call();
    await (await server.peer(0)).asked();
    clock.advance(TIMES.headersTimeoutMs - 1);
    assert.equal(asked.ended, undefined);
    clock.advance(1);
    assert.equal(await asked.end(), 'silent');
    await eventually(() => server.open === 0, 'the connection to be gone');
  });

  it('within the body ends the call after the time for it, counted from the last bytes', async () => {
    const { server, call, clock } = await start();
    const asked = call();
    const peer = await (await server.peer(0)).asked();
    peer.send('HTTP/1.1 200 OK\r\n\r\na');
    await eventually(() => asked.body === 'a', 'the first byte');
    clock.advance(TIMES.bodyTimeoutMs - 1);
    peer.send('b');
    await eventually(() => asked.body === 'ab', 'the second byte');
    clock.advance(TIMES.bodyTimeoutMs - 1);
    assert.equal(asked.ended, undefined);
    clock.advance(1);
    assert.equal(await asked.end(), 'silent');
  });

  it('is not silent if it was this process that looked too late', async () => {
    const { server, call, clock } = await start();
    const asked = call();
    const peer = await (await server.peer(0)).asked();
    peer.send('HTTP/1.1 200 OK\r\n\r\na');
    await eventually(() => asked.body === 'a', 'the first byte');
    peer.send('b');
    // The bytes are there, and the time for them is over before anybody has looked.
    clock.advance(TIMES.bodyTimeoutMs);
    await eventually(() => asked.body === 'ab', 'the second byte');
    assert.equal(asked.ended, undefined);
    asked.exchange?.abort(new Error('enough'));
  });

  it('when it should shake hands is not reached in time', async () => {
    const { server, call, clock } = await start({ baseUrl: (port) => `https://127.0.0.1:${port}` });
    const asked = call();
    await server.peer(0);
    clock.advance(TIMES.connectTimeoutMs);
    assert.equal(await asked.end(), 'unreachable');
    await eventually(() => server.open === 0, 'the connection to be gone');
  });
});

describe('over TLS', () => {
  const { cert, key } = selfSigned();
  const secure = { cert, key, ALPNProtocols: ['h2', 'http/1.1'] };

  it('a certificate that nobody vouches for is refused, and its call never sent', async () => {
    const { server, call } = await start({ secure });
    assert.equal(await call().end(), 'broken');
    assert.equal(server.peers.map(({ received }) => received).join(''), '');
  });

  it('a certificate for another name is refused', async () => {
    const { call } = await start({
      secure,
      ca: cert,
      listen: { host: '::1', port: 0 },
      baseUrl: (port) => `https://[::1]:${port}`,
    });
    assert.equal(await call().end(), 'broken');
  });

  it('names the server, speaks HTTP/1.1, and resumes its session', async () => {
    const started = await start({
      secure,
      ca: cert,
      listen: { host: 'localhost', port: 0 },
      baseUrl: (port) => `https://localhost:${port}/v1`,
    });
    const seen: unknown[][] = [];
    started.server.server.on('secureConnection', (socket: TLSSocket) => {
      seen.push([Reflect.get(socket, 'servername'), socket.alpnProtocol, socket.isSessionReused()]);
    });
    await served(started, 0, 1);
    await served(started, 0, 2);
    (await started.server.peer(0)).socket.end();
    await eventually(() => started.server.open === 0, 'the end of the first connection');
    await served(started, 1, 1);
    assert.deepEqual(seen, [
      ['localhost', 'http/1.1', false],
      ['localhost', 'http/1.1', true],
    ]);
  });

  it('an address is no name, and is checked all the same', async () => {
    const started = await start({ secure, ca: cert });
    const names: unknown[] = [];
    started.server.server.on('secureConnection', (socket: TLSSocket) => names.push(Reflect.get(socket, 'servername')));
    await served(started, 0, 1);
    assert.deepEqual(names, [false]);
  });

  it('is as strict, and as quick to notice an end', async () => {
    const started = await start({ secure, ca: cert });
    await served(started, 0, 1);
    const asked = started.call();
    const peer = await (await started.server.peer(0)).asked(2);
    peer.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore');
    assert.deepEqual([await asked.end(), asked.body], ['end', 'ok']);
    await eventually(() => started.server.open === 0, 'the connection to be given up');
    await served(started, 1, 1);
    const second = started.call();
    (await (await started.server.peer(1)).asked(2)).socket.destroy();
    assert.equal(await second.end(), 'stale');
  });

  it('takes an answer of many reads from a reader that pauses', async () => {
    const started = await start({ secure, ca: cert });
    const asked = started.call();
    asked.takesMore = false;
    const size = 3_000_000;
    (await (await started.server.peer(0)).asked()).answer('y'.repeat(size));
    const resuming = setInterval(() => asked.exchange?.resume(), 1);
    try {
      assert.equal(await asked.end(), 'end');
    } finally {
      clearInterval(resuming);
    }
    assert.equal(asked.body.length, size);
  });
});

describe('other ways to a server', () => {
  it('an address of IPv6', async () => {
    await served(await start({ listen: { host: '::1', port: 0 }, baseUrl: (port) => `http://[::1]:${port}/v1` }), 0, 1);
  });

  it('a Unix socket', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'megallm-'));
    closing.push(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, 'llm.sock');
    const started = await start({ listen: { path }, baseUrl: () => `unix:${path}:/v1` });
    await served(started, 0, 1);
    assert.match(started.server.peers[0]?.received ?? '', /\r\nhost: localhost\r\n/);
    assert.equal(serverAddressOf(`unix:${path}:/v1/`).path, '/v1');
  });
});

it('a server at work for thousands of calls at once gets as many connections, and the client keeps no timer for any', async () => {
  const started = await start({ connections: 5_000 });
  const calls = Array.from({ length: 200 }, () => started.call());
  await within(
    eventually(() => started.server.peers.length === 200, 'all connections'),
    'all connections',
  );
  for (const peer of started.server.peers) (await peer.asked()).answer();
  for (const call of calls) assert.equal(await call.end(), 'end');
  assert.ok(started.clock.size <= 4, `${started.clock.size} timers`);
});
