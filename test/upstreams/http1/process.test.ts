import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { http } from 'megallm-middleware';
import { chunkBytes, head, streamEvents, streamReplyBytes, wholeChat } from '../../helpers/chat-answers.js';
import { programArgs } from '../../helpers/compiled.js';
import { eventually, within } from '../../helpers/deadline.js';
import { type RawBehaviour, type RawServer, rawServer } from '../../helpers/raw-server.js';
import { CALL } from '../../helpers/scene.js';
import { callWith } from '../../helpers/upstream-call.js';

const KEPT = { 'content-type': 'application/json', 'keep-alive': 'timeout=600' };
const TEXT = JSON.stringify(wholeChat('Hello'));
const GOOD = `${head(200, { ...KEPT, 'content-length': String(Buffer.byteLength(TEXT)) })}${TEXT}`;
const BEGUN = Buffer.concat([
  Buffer.from(head(200, { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' })),
  chunkBytes(streamEvents(['Hi'])[0] ?? ''),
]);

/** Answers as the call's `way` says, and keeps each connection for as long as the client does. */
const ANSWERS: RawBehaviour = {
  onConnection: (socket) => void socket.on('end', () => socket.destroy()),
  onData: (socket, heard) => {
    const way = /"way":"(\w+)"/.exec(heard.slice(heard.lastIndexOf('POST ')))?.[1];
    if (!heard.endsWith('}') || way === 'late' || way === 'leave') return;
    if (way === 'whole') socket.write(GOOD);
    else socket.write(way === 'half' || way === 'unread' ? BEGUN : streamReplyBytes(streamEvents(['Hi'])));
  },
};

/** Resolves with what a process printed, once it has ended by itself. */
async function printedBy(server: RawServer, ways: readonly string[]): Promise<string> {
  const args = [...programArgs('test/helpers/one-call-child.ts'), `http://127.0.0.1:${server.port}/v1`, ...ways];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    printed += text;
  });
  try {
    const [code] = await within(
      new Promise<unknown[]>((resolve) => child.once('close', (...how) => resolve(how))),
      `a process to end by itself after ${ways}; it printed ${printed}`,
    );
    assert.equal(code, 0);
    return printed;
  } finally {
    child.kill();
  }
}

describe('a process that calls an upstream', () => {
  // A connection that rests, one whose stream is left, a call that was given up: none of them keeps it alive.
  it('ends by itself when its calls are over, however they ended', async () => {
    const server = await rawServer(ANSWERS);
    try {
      assert.equal(await printedBy(server, ['whole', 'stream', 'half', 'leave', 'late', 'whole']), 'done\n');
    } finally {
      await server.close();
    }
  });

  it('holds nothing but resting connections after a hundred calls of each kind', async () => {
    const server = await rawServer(ANSWERS);
    const held = (): number =>
      process.getActiveResourcesInfo().filter((kind) => /TCPSocketWrap|Timeout/.test(kind)).length;
    try {
      const upstream = http({ baseUrl: `http://127.0.0.1:${server.port}/v1`, headersTimeoutMs: 1_000 });
      const before = held();
      for (const way of ['whole', 'stream', 'half', 'leave', 'late', 'whole']) {
        const calls = Array.from({ length: 100 }, async () => {
          const leaving = new AbortController();
          const call = upstream.send(callWith({ ...CALL, way, stream: way !== 'whole' }, { signal: leaving.signal }));
          if (way === 'leave') setImmediate(() => leaving.abort(new Error('gone')));
          const reply = await call.catch(() => undefined);
          if (reply?.kind !== 'bytes') return;
          for await (const _ of reply.body) if (way === 'half') break;
        });
        await within(Promise.all(calls), `a hundred calls: ${way}`);
      }
      const open = (): number => server.sockets.filter((socket) => !socket.destroyed && !socket.readableEnded).length;
      // Each resting connection has two ends in this process.
      await eventually(
        () => held() <= before + 2 * open() + 1 && open() <= 200,
        () => `${held()} handles are held, ${before} were before, ${open()} connections rest`,
      );
      assert.ok(open() > 0, 'connections are kept for the next calls');
    } finally {
      await server.close();
    }
  });
});

describe('a server behind a Unix socket', {
  skip: process.platform === 'win32' && 'Windows has no Unix sockets',
}, () => {
  it('is called by the path of its socket and that of its API, and its connection is kept', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'megallm-unix-'));
    const path = join(folder, 'a model.sock');
    const server = await rawServer(ANSWERS, { path });
    try {
      const upstream = http({ baseUrl: `unix:${path}:/api/v1` });
      for (let call = 0; call < 3; call += 1) {
        assert.equal((await within(upstream.send(callWith({ ...CALL, way: 'whole' })), 'an answer')).kind, 'whole');
      }
      assert.equal(server.sockets.length, 1);
      assert.match(server.heard[0] ?? '', /^POST \/api\/v1\/chat\/completions HTTP\/1\.1\r\nhost: localhost\r\n/i);
    } finally {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('that is not there is a 502 without its path', async () => {
    const upstream = http({ baseUrl: 'unix:/nowhere/secret.sock:/v1' });
    await assert.rejects(within(upstream.send(callWith(CALL)), 'a failure'), (error: Error) => {
      assert.equal(Reflect.get(error, 'status'), 502);
      assert.doesNotMatch(error.message, /nowhere|secret/);
      return true;
    });
  });
});
