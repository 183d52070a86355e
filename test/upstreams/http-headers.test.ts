import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { it } from 'node:test';
import { http } from '../../src/upstreams/http.js';

it('a header of the host goes out once, in whatever case it is written, in place of ours and of the client’s', async () => {
  let sent: readonly string[] = [];
  const server = createServer((req, res) => {
    sent = req.rawHeaders;
    res.setHeader('content-type', 'application/json').end('{}');
  }).listen(0, '127.0.0.1');
  try {
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const upstream = http({
      baseUrl: `http://127.0.0.1:${port}/v1`,
      apiKey: 'sk-other',
      headers: { 'User-Agent': 'the host', AUTHORIZATION: 'Bearer sk-host', Accept: 'application/json' },
    });
    const call = { keyId: 'key', tier: 'basic', requestId: 'req', operation: 'files', method: 'GET' } as const;
    const asked = { ...call, path: '/files', headers: { accept: 'text/html' }, body: undefined };
    await upstream.forward?.({ ...asked, signal: new AbortController().signal });
  } finally {
    server.closeAllConnections();
    server.close();
  }
  const named = (name: string): string[] =>
    sent.filter((_, at) => at % 2 === 1 && sent[at - 1]?.toLowerCase() === name);
  assert.deepEqual(named('user-agent'), ['the host']);
  assert.deepEqual(named('authorization'), ['Bearer sk-host']);
  assert.deepEqual(named('accept'), ['application/json']);
});
