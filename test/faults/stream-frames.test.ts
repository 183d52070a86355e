import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import type { Upstream } from 'megallm-middleware';
import { behind, type Middleware } from '../helpers/behind.js';
import { streamEvents } from '../helpers/chat-answers.js';
import { eventually } from '../helpers/deadline.js';
import { SECRET } from '../helpers/gateway-options.js';
import { rawChat, rawClient, rawExchange } from '../helpers/raw-client.js';
import { CALL } from '../helpers/scene.js';

const EVENTS = streamEvents(['Zürich ', '東京 ', '👍']);
const [FIRST = '', ...REST] = EVENTS;
const TEXT = EVENTS.join('');

/** An upstream whose events come one by one, each when `goOn` was called once more. */
function heldUpstream() {
  let allowed = 1;
  let asked = 0;
  let onAllowed = (): void => {};
  const goOn = (events = 1): void => {
    allowed += events;
    onAllowed();
  };
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (const event of EVENTS) {
      asked += 1;
      while (asked > allowed) {
        await new Promise<void>((resolve) => {
          onAllowed = resolve;
        });
      }
      yield Buffer.from(event);
    }
  }
  const upstream: Upstream = {
    name: 'bytes',
    send: () => Promise.resolve({ kind: 'bytes', contentType: 'text/event-stream', body: pieces() }),
  };
  return { upstream, goOn, asked: () => asked };
}

type Held = Omit<ReturnType<typeof heldUpstream>, 'upstream'>;

/** Runs `play` at a bare host of such an upstream, whose `before` has each request first. */
function held(before: Middleware, play: (origin: string, held: Held) => Promise<void>): Promise<void> {
  const { upstream, ...rest } = heldUpstream();
  return behind(before, { upstream }, (origin) => play(origin, rest));
}

const STREAMED = rawChat(SECRET, { ...CALL, stream: true, stream_options: { include_usage: true } });

describe('the frames of a stream’s chunks', () => {
  it('are one to a read of the upstream, around its very bytes', () =>
    held(
      () => {},
      async (origin, { goOn }) => {
        goOn(EVENTS.length);
        const client = await rawClient(origin);
        client.send(STREAMED);
        await client.until((received) => received.endsWith('\r\n0\r\n\r\n'), 'the end');
        const [, ...body] = client.received().toString().split('\r\n\r\n');
        const framed = EVENTS.map((event) => `${Buffer.byteLength(event).toString(16)}\r\n${event}\r\n`).join('');
        assert.equal(body.join('\r\n\r\n'), `${framed}0\r\n\r\n`);
        client.destroy();
      },
    ));

  it('are Node’s for what the host writes in between, and for the end that it writes', () => {
    let response: ServerResponse | undefined;
    return held(
      (_req, res) => {
        response = res;
      },
      async (origin) => {
        const client = await rawClient(origin);
        client.send(STREAMED);
        await client.until((received) => received.includes('assistant'), 'the first event');
        response?.write(': the host’s\n\n');
        response?.end('data: [DONE]\n\n');
        const { body, whole } = await client.response();
        assert.ok(whole);
        assert.equal(body, `${FIRST}: the host’s\n\ndata: [DONE]\n\n`);
        client.destroy();
      },
    );
  });

  it('come in order where the host holds back what is written', () => {
    let response: ServerResponse | undefined;
    return held(
      (_req, res) => {
        response = res;
      },
      async (origin, { goOn, asked }) => {
        const client = await rawClient(origin);
        client.send(STREAMED);
        await client.until((received) => received.includes('assistant'), 'the first event');
        response?.cork();
        response?.write(': held\n\n');
        goOn();
        await eventually(() => asked() === 3, 'the second event to be written');
        response?.uncork();
        goOn(EVENTS.length);
        const { body, whole } = await client.response();
        assert.ok(whole);
        assert.equal(body, `${FIRST}: held\n\n${REST.join('')}`);
        client.destroy();
      },
    );
  });

  it('are not seen by whoever has replaced `write`', () => {
    const seen: Buffer[] = [];
    return held(
      (_req, res) => {
        const write = res.write.bind(res);
        Object.assign(res, {
          write(piece: string | Uint8Array) {
            seen.push(Buffer.from(piece));
            return write(piece);
          },
        });
      },
      async (origin, { goOn }) => {
        goOn(EVENTS.length);
        const { body, whole } = await rawExchange(origin, STREAMED);
        assert.ok(whole);
        assert.equal(body, TEXT);
        assert.equal(Buffer.concat(seen).toString(), TEXT);
      },
    );
  });

  it('are followed by the trailers that the host has added', () => {
    let response: ServerResponse | undefined;
    return held(
      (_req, res) => {
        response = res;
      },
      async (origin, { goOn }) => {
        const client = await rawClient(origin);
        client.send(STREAMED);
        await client.until((received) => received.includes('assistant'), 'the first event');
        response?.addTrailers({ 'x-host': 'stays' });
        goOn(EVENTS.length);
        await client.until((received) => received.endsWith('[DONE]\n\n\r\n0\r\nx-host: stays\r\n\r\n'), 'the trailers');
        client.destroy();
      },
    );
  });

  it('do not end before what a host that has replaced `end` adds there', () =>
    held(
      (_req, res) => {
        const end = res.end.bind(res);
        Object.assign(res, { end: () => end(': the host’s\n\n') });
      },
      async (origin, { goOn }) => {
        goOn(EVENTS.length);
        const { body, whole } = await rawExchange(origin, STREAMED);
        assert.ok(whole);
        assert.equal(body, `${TEXT}: the host’s\n\n`);
      },
    ));

  it('are none for a client of HTTP/1.0', () =>
    held(
      () => {},
      async (origin, { goOn }) => {
        goOn(EVENTS.length);
        const bytes = STREAMED.toString('latin1').replace('HTTP/1.1', 'HTTP/1.0');
        const { headers, body } = await rawExchange(origin, Buffer.from(bytes, 'latin1'));
        assert.equal(headers['transfer-encoding'], undefined);
        assert.equal(body, TEXT);
      },
    ));
});
