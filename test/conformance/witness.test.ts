import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { describe, it } from 'node:test';
import { sse, streamChat, wholeChat } from '../helpers/chat-answers.js';
import { specIsMissing } from './description.js';
import { type Witness, witness } from './witness.js';

const REQUEST_ID = `req_${'0'.repeat(32)}`;
const BAD = { ...wholeChat('Hello'), created: 'yesterday' };

interface Said {
  readonly body: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly path?: string;
}

/** What a witness says of a host that answers so. */
async function seen(answer: Said, prepare: (eye: Witness) => void = () => {}): Promise<Witness> {
  const eye = witness();
  eye.testBegins('a test');
  prepare(eye);
  const listener: RequestListener = (_req, res) => {
    res.writeHead(200, {
      'content-type': answer.type ?? 'application/json',
      'x-request-id': REQUEST_ID,
      ...answer.headers,
    });
    for (const piece of answer.body.match(/[\s\S]{1,100}/g) ?? []) res.write(piece);
    res.end();
  };
  const server = createServer(eye.watched(listener, '/ai'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const response = await fetch(`http://127.0.0.1:${port}/ai/v1${answer.path ?? '/chat/completions'}?a=b`, {
    method: 'POST',
  });
  await response.text();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return eye;
}

const stream = (body: string): Said => ({ body, type: 'text/event-stream' });

describe('a witness', { skip: specIsMissing }, () => {
  it('finds nothing wrong with what OpenAI describes, and counts it', async () => {
    assert.deepEqual((await seen({ body: JSON.stringify(wholeChat('Hello')) })).violations(), []);
    const eye = await seen(stream(streamChat(['Hel', 'lo'])));
    assert.deepEqual(eye.violations(), []);
    // Role, two words, the end, the usage, and `[DONE]`.
    assert.equal(eye.distinct().length, 6);
  });

  it('tells test, path and violation of what OpenAI does not describe', async () => {
    const [violation = '', ...more] = (await seen({ body: JSON.stringify(BAD) })).violations();
    assert.match(violation, /^a test: POST \/chat\/completions 200: \/created must be integer/);
    assert.deepEqual(more, []);
    const event = sse({
      id: 'x',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'm',
      choices: [{ index: 0, delta: {} }],
    });
    assert.match(String((await seen(stream(`${event}data: [DONE]\n\n`))).violations()), /finish_reason/);
    assert.match(String((await seen(stream('data: {"error":{"message":"m"}}\n\n'))).violations()), /\/error must have/);
    assert.match(String((await seen({ body: '{' })).violations()), /is no JSON/);
    assert.match(String((await seen({ body: '{}', path: '/nowhere' })).violations()), /does not know/);
    assert.match(
      String((await seen({ ...stream('data: [DONE]\n\n'), path: '/responses' })).violations()),
      /responses end/,
    );
  });

  it('excuses what an upstream said with the very same fault in the very same test, and nothing else', async () => {
    const answer = { body: JSON.stringify(BAD) };
    assert.deepEqual((await seen(answer, (eye) => void eye.upstreamSays({ ...BAD, id: 'other' }))).violations(), []);
    const raw = `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n    \r\n${Buffer.byteLength(JSON.stringify(BAD)).toString(16)}\r\n`;
    const overheard = await seen(answer, (eye) => {
      const said = eye.upstreamAnswers();
      for (const piece of [raw, JSON.stringify(BAD), '\r\n0\r\n\r\n']) said(piece);
    });
    assert.deepEqual(overheard.violations(), []);
    const unlike: readonly ((eye: Witness) => void)[] = [
      (eye) => void eye.upstreamSays(wholeChat('Hello')),
      (eye) => void eye.upstreamSays({ ...wholeChat('Hello'), model: 5 }),
      (eye) => {
        eye.testBegins('another test');
        eye.upstreamSays(BAD);
        eye.testBegins('a test');
      },
    ];
    for (const prepare of unlike) assert.equal((await seen(answer, prepare)).violations().length, 1);
  });

  it('leaves alone what the gateway did not answer', async () => {
    const eye = await seen({ body: JSON.stringify(BAD), headers: { 'x-request-id': 'of-the-host' } });
    assert.deepEqual(eye.distinct(), []);
  });
});
