import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { programArgs } from '../helpers/compiled.js';
import { eventually, within } from '../helpers/deadline.js';
import { BARE, launch, type Started, startFolder } from './npm-start.js';

const folder = startFolder();
const SECRET = 'test-secret-0123456789';
const START_MS = 30_000;
/** Time that npm may take, on a busy machine, to end after its child. */
const END_MS = 45_000;
const CHAT = JSON.stringify({ model: 'any', stream: true, messages: [{ role: 'user', content: 'Hi' }] });

// A model whose answer goes on until it is told to end.
let answer: ServerResponse | undefined;
const model = createServer((_req, res) => {
  answer = res.writeHead(200, { 'content-type': 'text/event-stream' });
  res.write(event('begun', null));
});

function event(content: string, finish: string | null): string {
  const choices = [{ index: 0, delta: { content }, finish_reason: finish }];
  return `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'any', choices })}\n\n`;
}

before(async () => {
  await once(model.listen(0, '127.0.0.1'), 'listening');
});
after(() => {
  model.closeAllConnections();
  model.close();
});

/** The real command, and where it listens. */
async function npmStart(database: string): Promise<{ running: Started; baseUrl: string }> {
  const address = model.address();
  assert.ok(typeof address === 'object' && address !== null);
  const running = launch('npm', ['start'], {
    ...BARE,
    PORT: '0',
    MEGALLM_DB: join(folder, database),
    MEGALLM_KEYS: SECRET,
    OPENAI_API_KEY: 'upstream-0123456789',
    OPENAI_BASE_URL: `http://127.0.0.1:${address.port}/v1`,
  });
  const url = (): string | undefined => /http:\/\/localhost:\d+\/v1/.exec(running.out())?.[0];
  await eventually(
    () => url() !== undefined,
    () => `it listens: ${running.all()}`,
    START_MS,
  );
  return { running, baseUrl: url() ?? '' };
}

/** Whether a new connection is refused. One that is kept alive may still be served while it is in use. */
function isRefused(baseUrl: string): Promise<boolean> {
  const { hostname, port } = new URL(baseUrl);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  it(`${signal} to npm alone ends everything that \`npm start\` began, once a running stream is complete`, async () => {
    const { running, baseUrl } = await npmStart(`${signal}.db`);
    const headers = { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' };
    const streamed = await fetch(`${baseUrl}/chat/completions`, { method: 'POST', headers, body: CHAT });
    assert.equal(streamed.status, 200);
    running.child.kill(signal);
    await eventually(() => isRefused(baseUrl), 'new connections are refused', END_MS);
    answer?.end(`${event(' and complete', 'stop')}data: [DONE]\n\n`);
    const text = await within(streamed.text(), 'the rest of the stream', END_MS);
    assert.match(text, /begun.*and complete.*\[DONE\]/s);
    // `npm` and the server hold the same pipes: they close when the last of them has gone.
    assert.equal(await within(running.ended, 'the end of npm and the server', END_MS), 0, running.all());
    assert.ok(!running.all().includes(SECRET), 'a secret that was given is not printed');
  });
}

it('a secret that is too short ends the start with one line, which names the variable and the length', async () => {
  const env = { ...BARE, PORT: '0', MEGALLM_DB: join(folder, 'short.db'), MEGALLM_KEYS: 'sk-test-1' };
  const running = launch(process.execPath, programArgs('examples/start.ts'), env);
  assert.equal(await within(running.ended, 'the end of the program', END_MS), 1);
  assert.match(running.all(), /^[^\n]*`MEGALLM_KEYS`[^\n]* 16 to 256 [^\n]*\n$/);
  assert.ok(!running.all().includes('sk-test-1'), 'the secret is not printed');
});
