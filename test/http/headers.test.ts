import assert from 'node:assert/strict';
import { createServer, get, type IncomingMessage, type RequestListener, ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { createGateway, GatewayError, type GatewayResponse } from 'megallm-middleware';
import { writeResponse } from '../../adapters/node-io.js';
import { createCancellation } from '../../src/base/cancellation.js';
import { respondError } from '../../src/http/respond.js';
import { SECRET, testSetup } from '../helpers/gateway-options.js';

/** What a client gets of a server that answers so. */
async function answerOf(listener: RequestListener): Promise<IncomingMessage> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    return await new Promise((resolve, reject) => {
      get({ host: '127.0.0.1', port, agent: false }, (res) => res.resume().on('end', () => resolve(res))).on(
        'error',
        reject,
      );
    });
  } finally {
    server.close();
  }
}

const TWICE: GatewayResponse = {
  status: 200,
  headers: ['x-one', '1', 'set-cookie', 'a=1', 'set-cookie', 'b=2', 'content-length', '2'],
  body: 'ok',
};

describe('headers of an answer', () => {
  it('are one list of names in lower case and values, with the size of a whole body', async () => {
    const gateway = createGateway(testSetup().options);
    for (const [url, status] of [
      ['/v1/models', 200],
      ['/v1/embeddings', 405],
      ['/v1/threads', 404],
    ] as const) {
      const answer = await gateway.handle({
        method: 'GET',
        url,
        headers: { authorization: `Bearer ${SECRET}` },
        signal: createCancellation(),
        body: { parsed: undefined },
        native: undefined,
      });
      assert.ok(answer !== undefined && typeof answer.body === 'string');
      assert.equal(answer.status, status);
      const names = answer.headers.filter((_, index) => index % 2 === 0);
      assert.equal(names.length * 2, answer.headers.length);
      assert.equal(new Set(names).size, names.length);
      for (const name of names) assert.match(name, /^[a-z][a-z0-9-]*$/);
      const size = answer.headers[answer.headers.indexOf('content-length') + 1];
      assert.equal(size, String(Buffer.byteLength(answer.body)));
    }
  });

  it('may hold a name twice, whether Node’s own method writes them or another one in its place', async () => {
    for (const isReplaced of [false, true]) {
      const res = await answerOf((req, response) => {
        if (isReplaced) {
          const { writeHead } = ServerResponse.prototype;
          // As packages do that look at the headers before they go out, and know no lists.
          response.writeHead = (status: number, headers: unknown) => {
            assert.ok(!Array.isArray(headers));
            return Reflect.apply(writeHead, response, [status, headers]);
          };
        }
        void writeResponse(req, response, TWICE);
      });
      assert.deepEqual(res.headers['set-cookie'], ['a=1', 'b=2']);
      assert.equal(res.headers['x-one'], '1');
    }
  });

  it('leave with a small body in one text, and no list of them, whoever listens to the end', async () => {
    for (const body of ['ok', Buffer.from('ok'), '']) {
      const written: string[] = [];
      let isFinished = false;
      const headers = ['content-length', String(body.length)];
      await answerOf((req, response) => {
        const { socket } = response;
        assert.ok(socket !== null && socket._writev !== undefined);
        const { _write, _writev } = socket;
        socket._write = (...given) => {
          written.push(String(given[0]));
          Reflect.apply(_write, socket, given);
        };
        socket._writev = (...given) => {
          written.push('a list');
          Reflect.apply(_writev, socket, given);
        };
        response.on('finish', () => {
          isFinished = true;
        });
        void writeResponse(req, response, { status: 200, headers, body });
      });
      assert.equal(written.length, 1);
      assert.match(written[0] ?? '', new RegExp(`^HTTP/1.1 200 OK\\r\\n.*\\r\\n\\r\\n${String(body)}$`, 's'));
      assert.ok(isFinished);
    }
  });

  it('take those of an error that it may have, and none twice', () => {
    const error = new GatewayError({
      status: 429,
      message: 'Slow down.',
      type: 'rate_limit_error',
      retryAfterMs: 1_500,
      headers: { 'X-Request-Id': 'theirs', 'Retry-After': '7', 'content-length': '1', 'x-more': 'y' },
    });
    const { headers, body } = respondError(error, ['x-request-id', 'ours']);
    const named = new Map<string, string>();
    for (let at = 0; at < headers.length; at += 2) {
      assert.ok(!named.has(headers[at] ?? ''), headers[at]);
      named.set(headers[at] ?? '', headers[at + 1] ?? '');
    }
    assert.equal(named.get('x-request-id'), 'ours');
    assert.equal(named.get('retry-after'), '7');
    assert.equal(named.get('retry-after-ms'), '1500');
    assert.equal(named.get('x-more'), 'y');
    assert.equal(named.get('content-length'), String(Buffer.byteLength(String(body))));
  });
});
