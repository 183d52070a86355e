// A process of its own with V8's own functions: how a `Call` is held in memory, and the garbage and promises that a warm call makes.
import assert from 'node:assert/strict';
import { createHook } from 'node:async_hooks';
import { createGateway, type GatewayRequest, memoryKeys, type Upstream } from 'megallm-middleware';
import { createCancellation } from 'megallm-middleware/adapter';
import { Call } from '../../src/call/call.js';
import { wholeChat } from './chat-answers.js';

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

function heldBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function run(calls: number): Promise<void> {
  for (let call = 0; call < calls; call += 1) {
    const response = await gateway.handle(request);
    assert.ok(response?.status === 200 && response.body instanceof Uint8Array && response.body.length > 1_000);
  }
}

await run(WARM_UP);
// The least of them: in the first span, garbage of before is let go, and in any, V8 may still be compiling.
const readings: number[] = [];
for (let span = 0; span < SPANS; span += 1) {
  globalThis.gc?.();
  const before = heldBytes();
  await run(CALLS);
  readings.push((heldBytes() - before) / CALLS);
}
assert.ok(latest instanceof Call, 'a call is its own cancellation');
/** Promises of one call, from `handle` to its answer: the upstream's is among them, the one that waits for the answer here is not. */
async function promisesPerCall(): Promise<number> {
  let made = 0;
  const hook = createHook({
    init(_id, type) {
      if (type === 'PROMISE') made += 1;
    },
  });
  let sum = 0;
  for (let call = 0; call < CALLS; call += 1) {
    hook.enable();
    made = 0;
    const answered = gateway.handle(request);
    await new Promise((resolve) => answered.then(() => resolve(hook.disable())));
    // Those of the line above: of `new`, of `then` and of `await`.
    sum += made - 3;
  }
  return sum / CALLS;
}

const hasFastProperties: unknown = new Function('object', 'return %HasFastProperties(object)')(latest);
const bytesPerCall = Math.round(Math.min(...readings.slice(1)));
console.log(JSON.stringify({ hasFastProperties, bytesPerCall, promises: await promisesPerCall() }));
