// A process of its own with V8's own functions: how a `Call` is held in memory, and the garbage and promises that a warm call makes.
import assert from 'node:assert/strict';
import { createGateway, type GatewayRequest, memoryKeys, type Upstream } from 'megallm-middleware';
import { createCancellation } from 'megallm-middleware/adapter';
import { Call } from '../../src/call/call.js';
import { wholeChat } from './chat-answers.js';
import { garbagePerCall, promisesPerCall } from './garbage.js';

const SECRET = 'sk-path-0123456789abcdef0123456789abcdef';
const CALLS = 500;
const SPANS = 6;
const WARM_UP = 10_000;

const body = Buffer.from(
  JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Say hello. '.repeat(85) }] }),
);
const answer = Buffer.from(
  JSON.stringify(
    wholeChat('Hello. '.repeat(115), { usage: { prompt_tokens: 300, completion_tokens: 240, total_tokens: 540 } }),
  ),
);
const headers = { 'content-type': 'application/json', authorization: `Bearer ${SECRET}` };
let latest: unknown;
const upstream: Upstream = {
  name: 'instant',
  send(call) {
    latest = call.cancellation;
    return Promise.resolve({ kind: 'whole', body: answer });
  },
};
const limits = { requestsPerMinute: 1e9, tokensPerMinute: 1e12, concurrency: 1e5 };
const gateway = createGateway({
  upstream,
  keys: memoryKeys([{ secret: SECRET, id: 'path', limits }]),
  environment: {},
});

const request: GatewayRequest = {
  method: 'POST',
  url: '/v1/chat/completions',
  headers,
  signal: createCancellation(),
  body: { parsed: body },
  native: undefined,
};

async function run(calls: number): Promise<void> {
  for (let call = 0; call < calls; call += 1) {
    const response = await gateway.handle(request);
    assert.ok(response?.status === 200 && response.body instanceof Uint8Array && response.body.length > 1_000);
  }
}

/** From `handle` to its answer. */
const one = (over: () => void): Promise<void> =>
  new Promise((resolve) => gateway.handle(request).then(() => resolve(over())));

const bytesPerCall = await garbagePerCall(run, { calls: CALLS, spans: SPANS, warmUp: WARM_UP });
assert.ok(latest instanceof Call, 'a call is its own cancellation');
const hasFastProperties: unknown = new Function('object', 'return %HasFastProperties(object)')(latest);
// Of `one`: those of `new` and `then`, and of the `await` for it.
const promises = await promisesPerCall(one, { calls: CALLS, own: 3 });
console.log(JSON.stringify({ hasFastProperties, bytesPerCall, promises }));
