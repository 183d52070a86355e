// A process that serves calls over sockets, and prints how many bytes of each outlive collections of what is young.
import { createServer } from 'node:http';
import { connect, createServer as createTcpServer, type Server } from 'node:net';
import { http, memoryKeys } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import { replyBytes, streamChat, streamReplyBytes, wholeChat } from './chat-answers.js';
import { rawChat } from './raw-client.js';

const SECRET = 'sk-young-0123456789abcdef0123456789abcdef';
const WARM_UP = 400;
const CALLS = 100;
const SPANS = 8;

const whole = replyBytes(wholeChat('Hello. '.repeat(100)));
const stream = streamReplyBytes([streamChat(['Hel', 'lo.'])]);

/** Resolves to the port. */
async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const upstream = createTcpServer((client) => {
  client.on('data', (bytes) => client.write(bytes.includes('"stream":true') ? stream : whole));
});
const handler = megallm({
  upstream: http({ baseUrl: `http://127.0.0.1:${await listening(upstream)}/v1` }),
  keys: memoryKeys([{ secret: SECRET, id: 'young', limits: { requestsPerMinute: 1e9 } }]),
  environment: {},
});
const socket = connect(await listening(createServer(handler)), '127.0.0.1');

/** Makes calls, one after the other, each with an end that is known. */
function run(calls: number, request: Buffer, end: string): Promise<void> {
  return new Promise((resolve) => {
    let left = calls;
    socket.removeAllListeners('data');
    socket.on('data', (bytes) => {
      if (!bytes.includes(end)) return;
      left -= 1;
      if (left === 0) return resolve();
      socket.write(request);
    });
    socket.write(request);
  });
}

/** The least of some spans counts: in any, V8 may still be compiling. */
async function outliving(request: Buffer, end: string): Promise<number> {
  await run(WARM_UP, request, end);
  let least = Number.POSITIVE_INFINITY;
  for (let span = 0; span < SPANS; span += 1) {
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed;
    await run(CALLS, request, end);
    globalThis.gc?.({ type: 'minor' });
    least = Math.min(least, (process.memoryUsage().heapUsed - before) / CALLS);
  }
  return Math.round(least);
}

const body = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi. '.repeat(100) }] };
const ofWhole = await outliving(rawChat(SECRET, body), '}');
const ofStream = await outliving(rawChat(SECRET, { ...body, stream: true }), '0\r\n\r\n');
console.log(JSON.stringify({ ofWhole, ofStream }));
process.exit();
