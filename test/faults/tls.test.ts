import assert from 'node:assert/strict';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { connect as connectHttp2, constants, createSecureServer, type IncomingHttpHeaders } from 'node:http2';
import { Agent, request as requestHttps } from 'node:https';
import { describe, it } from 'node:test';
import Koa from 'koa';
import { fromFunction, type Gateway, type GatewayOptions } from 'megallm-middleware';
import { megallm as koaMegallm } from 'megallm-middleware/koa';
import { megallm } from 'megallm-middleware/node';
import { selfSigned } from '../helpers/certificate.js';
import { eventually, within } from '../helpers/deadline.js';
import { SECRET, type Setup, testSetup, UNKNOWN_SECRET } from '../helpers/gateway-options.js';
import { CALL } from '../helpers/scene.js';

const { cert, key } = selfSigned();

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** A call that was begun, and can be left. */
interface Begun {
  readonly answered: Promise<Answer>;
  leave(): void;
}

interface Client {
  begin(secret: string, body: string | Buffer): Begun;
  close(): void;
}

const PATH = '/v1/chat/completions';
const fields = (secret: string) => ({ authorization: `Bearer ${secret}`, 'content-type': 'application/json' });

/** Clients of both protocols that one port speaks. */
const CLIENTS: Record<string, (port: number) => Client> = {
  'HTTP/2'(port) {
    const session = connectHttp2(`https://localhost:${port}`, { ca: cert });
    session.on('error', () => {});
    return {
      begin(secret, body) {
        const call = session.request({ ':method': 'POST', ':path': PATH, ...fields(secret) });
        const answered = new Promise<Answer>((resolve, reject) => {
          let headers: IncomingHttpHeaders = {};
          let text = '';
          call.on('response', (given) => {
            headers = given;
          });
          call.setEncoding('utf8').on('data', (piece) => {
            text += piece;
          });
          call.on('error', reject);
          call.on('end', () => resolve({ status: Number(headers[':status']), headers, text }));
        });
        answered.catch(() => {});
        call.end(body);
        return { answered, leave: () => call.close(constants.NGHTTP2_CANCEL) };
      },
      close: () => session.destroy(),
    };
  },
  'HTTP/1.1'(port) {
    const agent = new Agent({ ca: cert, keepAlive: true });
    return {
      begin(secret, body) {
        const headers = { ...fields(secret), 'content-length': Buffer.byteLength(body) };
        const call = requestHttps({ agent, host: 'localhost', port, path: PATH, method: 'POST', headers });
        const answered = new Promise<Answer>((resolve, reject) => {
          call.on('error', reject);
          call.on('response', (res) => {
            let text = '';
            res.setEncoding('utf8').on('data', (piece) => {
              text += piece;
            });
            res.on('error', reject);
            res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, text }));
          });
        });
        answered.catch(() => {});
        call.end(body);
        return { answered, leave: () => call.destroy() };
      },
      close: () => agent.destroy(),
    };
  },
};

/** To its types, Node's compatible API is something else than what it is compatible with. */
function nodes<T>(message: unknown): T {
  return message as T;
}

type Host = (options: GatewayOptions) => { readonly listener: RequestListener; readonly gateway: Gateway };
const HOSTS: Record<string, Host> = {
  'node:http2': (options) => {
    const llm = megallm(options);
    return { listener: (req, res) => void llm(req, res), gateway: llm.gateway };
  },
  Koa: (options) => {
    const llm = koaMegallm(options);
    const listener = new Koa().use(llm).callback();
    return { listener: (req, res) => void listener(req, res), gateway: llm.gateway };
  },
};

async function onServer(
  make: Host,
  options: Parameters<typeof testSetup>[0],
  play: (served: { readonly port: number; readonly gateway: Gateway; readonly setup: Setup }) => Promise<void>,
): Promise<void> {
  const setup = testSetup(options);
  const { listener, gateway } = make(setup.options);
  const server = createSecureServer({ allowHTTP1: true, cert, key }, (req, res) =>
    listener(nodes<IncomingMessage>(req), nodes<ServerResponse<IncomingMessage> & { req: IncomingMessage }>(res)),
  );
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  try {
    await play({ port: address.port, gateway, setup });
    await setup.finish();
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Calls that are left, of each kind. */
const LEFT = 5;

for (const [host, make] of Object.entries(HOSTS)) {
  for (const [protocol, clientOf] of Object.entries(CLIENTS)) {
    describe(`over TLS, ${protocol}, in ${host}`, () => {
      it('calls are answered, refused whatever they still send, and ended when their client leaves', async () => {
        let asked = 0;
        let left = 0;
        const upstream = fromFunction(async function* (body, { signal }) {
          yield 'Hello';
          if (!JSON.stringify(body).includes('go on')) return;
          asked += 1;
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          left += 1;
        });
        await onServer(make, { upstream, maxBodyBytes: 1_000_000 }, async ({ port, setup }) => {
          const client = clientOf(port);
          const ask = (secret: string, body: string | Buffer): Promise<Answer> =>
            within(client.begin(secret, body).answered, 'an answer');
          const whole = await ask(SECRET, JSON.stringify(CALL));
          assert.deepEqual([whole.status, JSON.parse(whole.text).choices[0].message.content], [200, 'Hello']);
          const streamed = await ask(SECRET, JSON.stringify({ ...CALL, stream: true }));
          assert.match(streamed.text, /"content":"Hello".*\[DONE\]/s);
          assert.equal((await ask(UNKNOWN_SECRET, Buffer.alloc(3_000_000, 0x20))).status, 401);
          assert.equal((await ask(SECRET, Buffer.alloc(3_000_000, 0x20))).status, 413);
          for (const stream of [false, true]) {
            const body = JSON.stringify({ ...CALL, stream, user: 'go on' });
            const begun = Array.from({ length: LEFT }, () => client.begin(SECRET, body));
            const before = left;
            await eventually(() => asked === before + LEFT, 'the upstream to be asked');
            for (const call of begun) call.leave();
            await eventually(() => left === before + LEFT, 'the upstream to be left');
          }
          const outcomes = setup.records.map(({ outcome }) => outcome);
          assert.deepEqual(outcomes, ['ok', 'ok', ...Array(2 * LEFT).fill('aborted')]);
          client.begin(SECRET, JSON.stringify({ ...CALL, stream: true, user: 'go on' }));
          await eventually(() => asked === 2 * LEFT + 1, 'a call on the connection');
          client.close();
          await eventually(() => left === asked, 'the call to end with its connection');
        });
      });

      it('a closing gateway says so, and keeps no connection of HTTP/1.1', async () => {
        const upstream = fromFunction(() => 'Hello');
        await onServer(make, { upstream }, async ({ port, gateway }) => {
          const client = clientOf(port);
          const ask = (): Promise<Answer> => within(client.begin(SECRET, JSON.stringify(CALL)).answered, 'an answer');
          assert.equal((await ask()).headers.connection, protocol === 'HTTP/2' ? undefined : 'keep-alive');
          await within(gateway.close(), 'the gateway to close');
          const { status, headers } = await ask();
          assert.deepEqual([status, headers.connection], [503, protocol === 'HTTP/2' ? undefined : 'close']);
          client.close();
        });
      });
    });
  }
}
