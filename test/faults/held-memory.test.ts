import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { compiledFile } from '../helpers/compiled.js';
import { eventually, within } from '../helpers/deadline.js';
import { DEPTH } from '../helpers/depth.js';
import { SECRET } from '../helpers/gateway-options.js';
import type { Held, HeldHost } from '../helpers/held-child.js';

/** Bodies, answers and bounds have an eighth of their size at depth 1, a quarter at depth 10, and their whole size at depth 100. */
const SCALE = DEPTH < 10 ? 8 : DEPTH < 100 ? 4 : 1;
const MB = 1_000_000 / SCALE;
const SCALED = {
  maxBodyBytes: 10_485_760 / SCALE,
  maxHeldBytesPerKey: 67_108_864 / SCALE,
  maxResponseBytes: 67_108_864 / SCALE,
};
/** Above the idle process; connections, code and tables take some megabytes, however small bodies are. */
const MOST_BYTES = DEPTH < 10 ? 64_000_000 : DEPTH < 100 ? 56_000_000 : 128_000_000;
/** A key without rates is no `basic` one: it has as many calls at once as it has connections. */
const TIMES_WITHOUT_RATES = 3;
/** On disk, where each store has 64 MB and one owner a quarter; files do not shrink, and there is a log. */
const STORE_BYTES = 64 * MB;
const MOST_DISK = STORE_BYTES + 32_000_000;
const NO_RATES = { requestsPerMinute: 100_000, tokensPerMinute: 1e12, concurrency: 1_000 };
/** How long what is held must stand still, so that an attack has done what it can; and the longest wait for it. */
const STILL_MS = DEPTH < 10 ? 200 : DEPTH < 100 ? 400 : 1_000;
const MOST_MS = DEPTH < 10 ? 3_000 : DEPTH < 100 ? 10_000 : 40_000;

const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] };
const JSON_TYPE = 'content-type: application/json';
const FORM_TYPE = 'content-type: multipart/form-data; boundary=b';
const PICTURE = 'iVBORw0K';
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A picture, which costs few tokens. */
const pictureOf = (bytes: number): string => `data:image/png;base64,${PICTURE.repeat(bytes / PICTURE.length)}`;
const withPicture = (bytes: number): object => ({
  model: 'gpt-4o-mini',
  messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: pictureOf(bytes) } }] }],
});
const askingWithPicture = (bytes: number): object => ({
  model: 'gpt-4o-mini',
  input: [{ role: 'user', content: [{ type: 'input_image', image_url: pictureOf(bytes) }] }],
});

const chunkOf = (content: string): string => {
  const choices = [{ index: 0, delta: { content }, finish_reason: null }];
  return `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices })}\n\n`;
};

/** Resolves when more may be written, or nobody is left to take it. */
function drained(sink: ServerResponse | Socket, patienceMs = 60_000): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(over, patienceMs);
    function over(): void {
      clearTimeout(timer);
      sink.off('drain', over).off('close', over);
      resolve();
    }
    sink.on('drain', over).on('close', over);
  });
}

async function pour(res: ServerResponse, bytes: number, piece: string): Promise<void> {
  for (let sent = 0; sent < bytes && !res.destroyed; sent += piece.length) {
    if (!res.write(piece.slice(0, bytes - sent))) await drained(res);
  }
}

/** Answers as the request's `user` says: so, and with so many bytes. */
async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
  res.on('error', () => {});
  if (req.url === '/v1/files') {
    // It takes a form as slowly as it can.
    req.pause();
    return;
  }
  const sent = (await req.toArray()).map((piece) => piece.toString('latin1')).join('');
  const [, how = 'whole', size = '2'] = /"user":"(\w+) (\d+)"/.exec(sent.slice(0, 1_000) + sent.slice(-1_000)) ?? [];
  const bytes = Number(size);
  const text = Buffer.alloc(Math.min(bytes, 65_536), 'a word. ').toString('latin1');
  switch (how) {
    case 'stream':
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      await pour(res, bytes, chunkOf(text.slice(0, 2_000)));
      return void res.end('data: [DONE]\n\n');
    case 'event':
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write(`${chunkOf('Hi')}${chunkOf('').split('""')[0]}"`);
      return pour(res, bytes, text);
    case 'batch':
      res.writeHead(200, { 'content-type': 'application/jsonl' });
      return pour(res, bytes, text);
    case 'bytewise':
      res.writeHead(200, { 'content-type': 'application/json' });
      for (let at = 0; at < bytes && !res.destroyed; at += 1) if (!res.write(' ')) await drained(res);
      return;
  }
  const message = { role: 'assistant', content: '#' };
  const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
  const choices = [{ index: 0, message, finish_reason: 'stop' }];
  const whole = { id: 'c', object: 'chat.completion', created: 1, model: 'gpt-4o-mini', choices, usage };
  const [head = '', tail = ''] = JSON.stringify(whole).split('#');
  const length = how === 'whole' ? { 'content-length': head.length + tail.length + bytes } : {};
  res.writeHead(200, { 'content-type': 'application/json', ...length });
  res.write(head);
  await pour(res, bytes, text);
  if (how !== 'unended') res.end(tail);
}

/** A client that means harm. */
class Attacker {
  private readonly sockets: Socket[] = [];
  private readonly port: number;

  constructor(port: number) {
    this.port = port;
  }

  /** Sends a request as fast as it is taken, and reads nothing of its answer. */
  async send(path: string, headers: readonly string[], pieces: Iterable<string | Uint8Array>): Promise<void> {
    const socket = connect({ port: this.port, host: '127.0.0.1' });
    this.sockets.push(socket);
    socket.on('error', () => {}).pause();
    await once(socket, 'connect');
    const lines = ['host: t', `authorization: Bearer ${SECRET}`, ...headers].join('\r\n');
    socket.write(`POST /v1${path} HTTP/1.1\r\n${lines}\r\n\r\n`);
    for (const piece of pieces) {
      if (socket.destroyed) break;
      if (!socket.write(piece)) await drained(socket, MOST_MS / 10);
    }
  }

  /** Sends a whole request, and reads nothing of its answer. */
  async ask(path: string, body: object, headers: readonly string[] = []): Promise<void> {
    const bytes = Buffer.from(JSON.stringify(body));
    await this.send(path, [JSON_TYPE, `content-length: ${bytes.length}`, ...headers], [bytes]);
  }

  /** Sends a whole request, and reads its answer. */
  async call(path: string, body: object, headers: Readonly<Record<string, string>> = {}): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.port}/v1${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    return response.status === 200 ? text : '';
  }

  leave(): void {
    for (const socket of this.sockets) socket.destroy();
    this.sockets.length = 0;
  }
}

/** Runs so many at once. */
const together = (count: number, run: (at: number) => Promise<unknown>): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, (_, at) => run(at)));

async function inTurn(count: number, run: (at: number) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < count; at += 1) await run(at);
}

interface Attack {
  readonly what: string;
  /** Whether it is fast enough for depth 1. */
  readonly isFast?: boolean;
  readonly host?: Pick<HeldHost, 'limits' | 'options'>;
  /** Whether its stores are in a file. */
  readonly isOnDisk?: boolean;
  run(attacker: Attacker): Promise<unknown>;
}

const RESPONSES = { model: 'gpt-4o-mini', input: 'Hi' };
const chat = '/chat/completions';

const ATTACKS: readonly Attack[] = [
  {
    what: '100 bodies of nearly 10 MB that never end',
    isFast: true,
    run: (one) => {
      const pieces = Array.from({ length: 99 }, () => Buffer.alloc(MB / 10, ' '));
      return together(100, () => one.send(chat, [JSON_TYPE, `content-length: ${10 * MB}`], pieces));
    },
  },
  {
    what: '10 bodies that come byte by byte',
    isFast: true,
    run: (one) => {
      const pieces = Array.from({ length: 90 }, () => '1\r\n \r\n'.repeat(MB / 10));
      return together(10, () => one.send(chat, [JSON_TYPE, 'transfer-encoding: chunked'], pieces));
    },
  },
  {
    what: '10 bodies of 9.9 MB whose answers never end',
    run: (one) => together(10, () => one.ask(chat, { ...withPicture(9.9 * MB), user: 'unended 10' })),
  },
  {
    what: '10 bodies of 9.9 MB, translated',
    run: (one) => together(10, () => one.ask('/responses', { ...askingWithPicture(9.9 * MB), user: 'unended 10' })),
  },
  {
    what: '10 bodies of 9.9 MB, passed on as JSON',
    run: (one) => together(10, () => one.ask('/images/generations', { prompt: PICTURE.repeat((9.9 * MB) / 8) })),
  },
  {
    what: '60 forms of 60 MB that are taken slowly',
    run: (one) => {
      const head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n';
      const pieces = [head, ...Array.from({ length: 60 }, () => Buffer.alloc(MB, 'x'))];
      return together(60, () => one.send('/files', [FORM_TYPE, 'transfer-encoding: chunked'], pieces));
    },
  },
  {
    what: '56 whole answers of 10 MB that nobody reads',
    run: (one) => together(56, () => one.ask(chat, { ...CALL, user: `whole ${10 * MB}` })),
  },
  {
    what: '56 the same, without limits by the minute',
    host: { limits: NO_RATES },
    run: (one) => together(56, () => one.ask(chat, { ...CALL, user: `whole ${10 * MB}` })),
  },
  {
    what: '10 whole answers of 60 MB at once',
    run: (one) => together(10, () => one.ask(chat, { ...CALL, user: `whole ${60 * MB}` })),
  },
  {
    what: '10 whole answers of 60 MB that never end',
    isFast: true,
    run: (one) => together(10, () => one.ask(chat, { ...CALL, user: `unended ${60 * MB}` })),
  },
  {
    what: '10 whole answers that come byte by byte',
    run: (one) => together(10, () => one.ask(chat, { ...CALL, user: `bytewise ${MB}` })),
  },
  {
    what: '10 whole answers of 15 MB, translated',
    run: (one) => together(10, () => one.ask('/responses', { ...RESPONSES, user: `whole ${15 * MB}` })),
  },
  {
    what: '500 readers of streams that pause',
    run: (one) => together(500, () => one.ask(chat, { ...CALL, stream: true, user: `stream ${60 * MB}` })),
  },
  {
    what: '500 the same, all at once',
    host: { limits: NO_RATES },
    run: (one) => together(500, () => one.ask(chat, { ...CALL, stream: true, user: `stream ${60 * MB}` })),
  },
  {
    what: '10 events of 60 MB that never end',
    isFast: true,
    run: (one) => together(10, () => one.ask(chat, { ...CALL, stream: true, user: `event ${60 * MB}` })),
  },
  {
    what: '10 streams of 60 MB that are kept',
    run: (one) => together(10, () => one.call(chat, { ...CALL, stream: true, store: true, user: `stream ${60 * MB}` })),
  },
  {
    what: '10 streams of 60 MB, translated',
    run: (one) => together(10, () => one.call('/responses', { ...RESPONSES, stream: true, user: `stream ${60 * MB}` })),
  },
  {
    what: '10 streams of 60 MB in the background',
    run: (one) => {
      const body = { ...RESPONSES, stream: true, background: true, user: `stream ${60 * MB}` };
      return together(10, () => one.call('/responses', body));
    },
  },
  {
    what: '40 kept completions of 9.9 MB',
    run: (one) => inTurn(40, () => one.call(chat, { ...withPicture(9.9 * MB), store: true })),
  },
  {
    what: '40 kept completions of 9.9 MB, in SQLite',
    isOnDisk: true,
    run: (one) => inTurn(40, () => one.call(chat, { ...withPicture(9.9 * MB), store: true })),
  },
  {
    what: '500 kept completions of tiny values',
    host: { limits: NO_RATES },
    run: (one) => {
      const x = Array.from({ length: 20_000 }, () => []);
      const messages = [{ role: 'user', content: 'Hi', x }];
      return inTurn(500, () => one.call(chat, { ...CALL, messages, store: true, metadata: { a: 'b'.repeat(500) } }));
    },
  },
  {
    what: '28 turns of 2 MB, and 10 responses that go on from them',
    host: { limits: NO_RATES },
    run: async (one) => {
      let previous: string | undefined;
      await inTurn(28, async () => {
        const body = { ...askingWithPicture(2 * MB), previous_response_id: previous };
        const text = await one.call('/responses', body);
        if (text !== '') previous = String(JSON.parse(text).id);
      });
      const body = { ...RESPONSES, previous_response_id: previous, user: 'unended 10' };
      await together(10, () => one.ask('/responses', body));
    },
  },
  {
    what: '400 answers of 1 MB kept for `Idempotency-Key`',
    host: { limits: NO_RATES },
    run: (one) =>
      inTurn(400, (at) => one.call(chat, { ...CALL, user: `whole ${MB - 1_000}` }, { 'idempotency-key': `k${at}` })),
  },
  {
    what: '400 the same, in SQLite',
    isOnDisk: true,
    host: { limits: NO_RATES },
    run: (one) =>
      inTurn(400, (at) => one.call(chat, { ...CALL, user: `whole ${MB - 1_000}` }, { 'idempotency-key': `k${at}` })),
  },
  {
    what: '500 streams of 900 KB, recorded for `Idempotency-Key`',
    host: { limits: NO_RATES },
    run: (one) =>
      together(500, (at) =>
        one.ask(chat, { ...CALL, stream: true, user: `stream ${0.9 * MB}` }, [`idempotency-key: k${at}`]),
      ),
  },
];

async function told<T>(child: ChildProcess, message?: string): Promise<T> {
  const answered = once(child, 'message');
  if (message !== undefined) child.send(message);
  const [answer] = await within(answered, 'the child to answer', 60_000);
  return answer as T;
}

/** Bytes that the child holds once it holds no more than before. */
async function heldAtLast(child: ChildProcess): Promise<Held> {
  const end = performance.now() + MOST_MS;
  let last = await told<Held>(child, 'look');
  for (;;) {
    await pause(STILL_MS);
    const held = await told<Held>(child, 'look');
    if (held.peak - last.peak < MB / 10 || performance.now() > end) return held;
    last = held;
  }
}

const mb = (bytes: number): string => `${(bytes / 1_000_000).toFixed(1)} MB`.padStart(9);

describe('what one key can make a process hold', () => {
  const upstream = createServer((req, res) => void serve(req, res).catch(() => {}));
  const folder = mkdtempSync(join(tmpdir(), 'megallm-held-'));
  let baseUrl = '';
  let shared: { readonly child: ChildProcess; readonly port: number } | undefined;

  before(async () => {
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const { port } = upstream.address() as AddressInfo;
    baseUrl = `http://127.0.0.1:${port}/v1`;
  });
  after(() => {
    shared?.child.kill('SIGKILL');
    upstream.closeAllConnections();
    upstream.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function begin({ host, isOnDisk = false }: Attack) {
    const given: HeldHost = {
      baseUrl,
      secret: SECRET,
      ...host,
      options: { ...SCALED, ...host?.options },
      ...(isOnDisk
        ? {
            sqlite: {
              file: join(mkdtempSync(join(folder, 'db-')), 'megallm.db'),
              maxObjectBytes: STORE_BYTES,
              maxAnswerBytes: STORE_BYTES,
            },
          }
        : {}),
    };
    const child = fork(compiledFile('test/helpers/held-child.ts'), [JSON.stringify(given)], {
      execArgv: ['--expose-gc'],
    });
    const { port } = await told<{ port: number }>(child);
    await told(child, 'idle');
    return { child, port };
  }

  async function attackOnce(attack: Attack, { child, port }: { child: ChildProcess; port: number }) {
    const attacker = new Attacker(port);
    await told(child, 'begin');
    await Promise.race([attack.run(attacker), pause(MOST_MS)]);
    const held = await heldAtLast(child);
    attacker.leave();
    const isGivenBack = async (): Promise<boolean> => (await told<Held>(child, 'look')).now < MOST_BYTES / 2;
    await eventually(isGivenBack, 'what was held to be given back', 60_000);
    return held;
  }

  function judge(context: TestContext, { what, isOnDisk, host }: Attack, { peak, disk }: Held): void {
    const most = host?.limits === undefined ? MOST_BYTES : TIMES_WITHOUT_RATES * MOST_BYTES;
    const onDisk = isOnDisk === true ? `, on disk ${mb(disk)} of ${mb(MOST_DISK)}` : '';
    context.diagnostic(`${what.padEnd(60)} ${mb(peak)} of ${mb(most)}${onDisk}`);
    assert.ok(peak < most, `${what}: ${mb(peak)}`);
    assert.ok(disk < MOST_DISK, `${what}: ${mb(disk)} on disk`);
  }

  const chosen = ATTACKS.filter(({ isFast }) => DEPTH >= 10 || isFast === true);
  for (const attack of chosen) {
    it(`${attack.what}`, { timeout: 300_000 }, async (context) => {
      if (DEPTH < 10) {
        shared ??= await begin({ ...attack, host: { limits: { ...NO_RATES, concurrency: 10 } } });
        judge(context, attack, await attackOnce(attack, shared));
        return;
      }
      const process = await begin(attack);
      try {
        judge(context, attack, await attackOnce(attack, process));
      } finally {
        process.child.kill('SIGKILL');
      }
    });
  }
});
