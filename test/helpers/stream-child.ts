// A process of its own: the garbage and the promises that a warm stream of 20 chunks makes in the core.
import assert from 'node:assert/strict';
import { createGateway, type GatewayRequest, memoryKeys, type Upstream } from 'megallm-middleware';
import { createCancellation, iterableOf, type StepSource } from 'megallm-middleware/adapter';
import { streamEvents } from './chat-answers.js';
import { garbagePerCall, promisesPerCall } from './garbage.js';

const SECRET = 'sk-path-0123456789abcdef0123456789abcdef';
const CALLS = 300;
const SPANS = 5;
const WARM_UP = 2_000;

const WORDS = Array.from({ length: 20 }, (_, at) => `word ${at} `);
/** As OpenAI sends them to who asks for the usage: it is null in each chunk, which is taken out. */
const PIECES = streamEvents(WORDS).map((event) => Buffer.from(event));

/** The events one by one, each there when it is asked for. */
class Events implements StepSource<Uint8Array> {
  private at = 0;

  read(onStep: (step: Uint8Array | undefined) => void): void {
    this.at += 1;
    onStep(PIECES[this.at - 1]);
  }

  leave(): void {}

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return iterableOf(this)[Symbol.asyncIterator]();
  }
}

const upstream: Upstream = {
  name: 'instant',
  send: () => Promise.resolve({ kind: 'bytes', contentType: 'text/event-stream', body: new Events() }),
};
const limits = { requestsPerMinute: 1e9, tokensPerMinute: 1e12, concurrency: 1e5 };
const gateway = createGateway({
  upstream,
  keys: memoryKeys([{ secret: SECRET, id: 'path', limits }]),
  environment: {},
});
const messages = [{ role: 'user', content: 'Say hello. '.repeat(85) }];
const request: GatewayRequest = {
  method: 'POST',
  url: '/v1/chat/completions',
  headers: { 'content-type': 'application/json', authorization: `Bearer ${SECRET}` },
  signal: createCancellation(),
  body: { parsed: Buffer.from(JSON.stringify({ model: 'gpt-4o', stream: true, messages })) },
  native: undefined,
};

const onFailure = (reason: unknown): never => assert.fail(String(reason));

/** Reads one stream to its end by calls, as adapters do. */
async function readOne(onRead: () => void): Promise<void> {
  const response = await gateway.handle(request);
  const body = response?.body;
  assert.ok(typeof body === 'object' && 'leave' in body);
  let pieces = 0;
  const onPiece = (piece: string | Uint8Array | undefined): void => {
    if (piece !== undefined) {
      pieces += 1;
      body.read(onPiece, onFailure);
    } else {
      assert.ok(pieces >= WORDS.length);
      onRead();
    }
  };
  body.read(onPiece, onFailure);
}

async function run(calls: number): Promise<void> {
  for (let call = 0; call < calls; call += 1) await readOne(() => {});
}

const bytesPerCall = await garbagePerCall(run, { calls: CALLS, spans: SPANS, warmUp: WARM_UP });
// Of `readOne`: its own, and that of its `await`.
const promises = await promisesPerCall(readOne, { calls: CALLS, own: 2 });
console.log(JSON.stringify({ bytesPerCall, promises }));
