import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { compiledFile } from '../helpers/compiled.js';
import { within } from '../helpers/deadline.js';
import { DEPTH } from '../helpers/depth.js';
import { SECRET } from '../helpers/gateway-options.js';

const MB = 1_048_576;
const WARM_UP = (DEPTH < 10 ? 8 : 40) * MB;
/** More than may be held, several times over. */
const SIZE = (DEPTH < 10 ? 80 : 200) * MB;
/** Of the process, once compiled code and the heap are as large as traffic makes them. */
const MOST_GROWTH = 20 * MB;
/** When the garbage is collected is chance, which may add 20 MB to one peak; what is held in memory shows in each. */
const ROUNDS = 3;
/** On their way, and garbage of a few milliseconds; less than a body that is held as a whole. */
const MOST_BUFFERS = 60 * MB;
const B = 'the-boundary';
const HEAD = Buffer.from(`--${B}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n`);
const TAIL = Buffer.from(`\r\n--${B}\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--${B}--\r\n`);
const PIECE = Buffer.alloc(65_536, 'The quick brown fox jumps over the lazy dog.\r\n');

/** Peaks since they were last asked for, in bytes. */
interface Measured {
  readonly peakRss: number;
  /** Of all buffers together, garbage left out. */
  readonly peakBuffers: number;
}

async function ask<T>(child: ChildProcess, message?: string): Promise<T> {
  const answered = once(child, 'message');
  if (message !== undefined) child.send(message);
  const [answer] = await within(answered, 'the child to answer');
  return answer as T;
}

/** Writes the pieces as fast as they are taken. */
async function pour(sink: NodeJS.WritableStream, bytes: number, hash?: ReturnType<typeof createHash>): Promise<void> {
  for (let sent = 0; sent < bytes; sent += PIECE.length) {
    hash?.update(PIECE);
    if (!sink.write(PIECE)) await once(sink, 'drain');
  }
}

async function digest(source: AsyncIterable<Buffer>, slowly = false): Promise<{ size: number; hex: string }> {
  const hash = createHash('sha256');
  let size = 0;
  let pause = 0;
  for await (const piece of source) {
    hash.update(piece);
    size += piece.length;
    if (slowly && size > pause) {
      pause += 8 * MB;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return { size, hex: hash.digest('hex') };
}

/** Takes whatever comes and tells its digest; sends 200 MB where speech is asked for. */
async function serve(req: IncomingMessage, res: ServerResponse, isSlow: () => boolean): Promise<void> {
  if (req.url === '/v1/audio/speech') {
    const size = Number(JSON.parse((await req.toArray()).join('')).input);
    res.writeHead(200, { 'content-type': 'audio/pcm', 'content-length': size });
    await pour(res, size);
    res.end();
    return;
  }
  const { size, hex } = await digest(req, isSlow());
  res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ id: 'file-1', size, text: hex }));
}

async function exchange(
  port: number,
  path: string,
  headers: Record<string, string>,
  write: (sink: NodeJS.WritableStream) => Promise<unknown>,
) {
  const req = httpRequest({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path,
    headers: { authorization: `Bearer ${SECRET}`, ...headers },
  });
  const answered = once(req, 'response');
  await write(req);
  req.end();
  const [res]: [IncomingMessage] = (await within(answered, 'an answer', 60_000)) as [IncomingMessage];
  return res;
}

for (const host of ['node', 'express']) {
  describe(`bodies of ${mb(SIZE)} through ${host === 'express' ? 'Express behind json()' : 'node:http'}`, () => {
    for (const path of ['/v1/files', '/v1/audio/transcriptions', '/v1/audio/speech']) {
      for (const slow of [false, true]) {
        it(`${path}, ${slow ? 'a slow reader' : 'as fast as it goes'}`, { timeout: 110_000 }, async (context) => {
          const upstream = createServer((req, res) => void serve(req, res, () => slow));
          await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
          const address = upstream.address();
          const baseUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/v1`;
          const child = fork(compiledFile('test/helpers/large-bodies-child.ts'), [host, baseUrl, SECRET], {
            execArgv: ['--expose-gc'],
          });
          try {
            const { port } = await ask<{ port: number }>(child);
            const run = path.endsWith('speech')
              ? (size: number) => download(port, path, size, slow)
              : (size: number) => upload(port, path, size);
            // The first times code is loaded and compiled, which costs 25 MB for a moment.
            for (let times = 0; times < 3; times += 1) await run(WARM_UP);
            let growth = Number.POSITIVE_INFINITY;
            for (let round = 1; round <= ROUNDS && growth >= MOST_GROWTH; round += 1) {
              await ask<Measured>(child, 'measure');
              await run(WARM_UP);
              const before = await ask<Measured>(child, 'measure');
              await run(SIZE);
              const after = await ask<Measured>(child, 'measure');
              growth = after.peakRss - before.peakRss;
              context.diagnostic(
                `peak RSS with ${mb(WARM_UP)} ${mb(before.peakRss)}, with ${mb(SIZE)} ${mb(after.peakRss)}: ${mb(growth)} more; at most ${mb(after.peakBuffers)} in buffers`,
              );
              assert.ok(after.peakBuffers < MOST_BUFFERS, `${mb(after.peakBuffers)} in buffers`);
            }
            assert.ok(growth < MOST_GROWTH, `grew by ${mb(growth)}`);
          } finally {
            child.disconnect();
            upstream.close();
            upstream.closeAllConnections();
          }
        });
      }
    }
  });
}

function mb(bytes: number): string {
  return `${(bytes / MB).toFixed(1)} MB`;
}

async function upload(port: number, path: string, size: number): Promise<void> {
  const hash = createHash('sha256').update(HEAD);
  const length = String(HEAD.length + size + TAIL.length);
  const headers = { 'content-type': `multipart/form-data; boundary=${B}`, 'content-length': length };
  const res = await exchange(port, path, headers, async (sink) => {
    sink.write(HEAD);
    await pour(sink, size, hash);
    sink.write(TAIL);
  });
  const told = JSON.parse((await res.toArray()).join(''));
  assert.deepEqual([res.statusCode, told.text, String(told.size)], [200, hash.update(TAIL).digest('hex'), length]);
}

async function download(port: number, path: string, size: number, slow: boolean): Promise<void> {
  const body = JSON.stringify({ model: 'tts-1', input: String(size), voice: 'alloy' });
  const headers = { 'content-type': 'application/json', 'content-length': String(body.length) };
  const res = await exchange(port, path, headers, async (sink) => sink.write(body));
  assert.equal((await digest(res, slow)).size, size);
}
