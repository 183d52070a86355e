import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { SECRET } from '../helpers/gateway-options.js';
import { rawClient, rawRequest } from '../helpers/raw-client.js';
import { CALL, MODEL, onBareHost } from '../helpers/scene.js';

const body = JSON.stringify(CALL);

describe('C7 what could be two requests to somebody is one to us, or none', () => {
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer ${SECRET}\r\ncontent-type: application/json\r\n`;
  const chunked = `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  const smuggled = `POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer ${SECRET}\r\ncontent-length: 0\r\n\r\n`;
  const variants: Record<string, string> = {
    'length and chunks': `${head}content-length: ${body.length}\r\ntransfer-encoding: chunked\r\n\r\n${chunked}`,
    'two lengths': `${head}content-length: ${body.length}\r\ncontent-length: 5\r\n\r\n${body}`,
    'a folded header': `${head}x: a\r\n b\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    'bare line feeds': `${head.replaceAll('\r\n', '\n')}content-length: ${body.length}\n\n${body}`,
    'a space before the colon': `${head}content-length : ${body.length}\r\n\r\n${body}`,
    'a chunk extension with a line feed': `${head}transfer-encoding: chunked\r\n\r\n5;a\nb\r\n${chunked}`,
    'chunked twice': `${head}transfer-encoding: chunked, chunked\r\n\r\n${chunked}`,
    'an unknown coding': `${head}transfer-encoding: xchunked\r\n\r\n${chunked}`,
    'a negative length': `${head}content-length: -1\r\n\r\n${body}`,
    'a length in hex': `${head}content-length: 0x10\r\n\r\n${body}`,
    'a smuggled second request': `${head}content-length: ${body.length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    '3,000 headers and a length': `${head}${'x: y\r\n'.repeat(3_000)}content-length: ${body.length}\r\n\r\n${body}`,
  };
  for (const [what, bytes] of Object.entries(variants)) {
    onBareHost(
      what,
      () => ({}),
      async ({ host, upstream, client }) => {
        const raw = await rawClient(host.origin);
        raw.send(bytes);
        raw.send(rawRequest('GET', '/host', {}));
        const { status } = await raw.response();
        assert.ok(status === 200 || (status >= 400 && status < 500), String(status));
        raw.destroy();
        assert.ok(upstream.requests.length <= (status === 200 ? 1 : 0), 'no more at the upstream than was accepted');
        for (const request of upstream.requests) assert.equal(request.json().model, MODEL);
        assert.equal((await client().chat.completions.create(CALL)).choices[0]?.message.content, 'Hello');
      },
    );
  }
});
