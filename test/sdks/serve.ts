/** A gateway for the SDK suites: `demo()` for everything, and the models of SCENARIOS.md that fail on purpose. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import express from 'express';
import { createKey, defaultModels, demo, fromFunction, GatewayError, memoryKeys, type Upstream } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/express';

const counts: Record<string, { calls: number; cancelled: number }> = {};

/** Counts the calls that reach the upstream, and those whose signal aborts. */
function counted(model: string, upstream: Upstream): Upstream {
  const count = { calls: 0, cancelled: 0 };
  counts[model] = count;
  return {
    ...upstream,
    send(call) {
      count.calls += 1;
      call.signal.addEventListener('abort', () => {
        if (/client/.test(String(call.signal.reason))) count.cancelled += 1;
      });
      return upstream.send(call);
    },
  };
}

function refusing(fields: ConstructorParameters<typeof GatewayError>[0]): Upstream {
  return fromFunction(() => {
    throw new GatewayError(fields);
  });
}

const faults: Record<string, Upstream> = {
  'fault-400': refusing({
    status: 400,
    message: "Invalid value: 'temperature' is not to this model's taste.",
    code: 'invalid_value',
    param: 'temperature',
  }),
  'fault-429': refusing({
    status: 429,
    message: 'Rate limit reached for fault-429. Please try again in 10ms.',
    type: 'requests',
    code: 'rate_limit_exceeded',
    retryAfterMs: 10,
  }),
  'fault-500': refusing({ status: 500, message: 'The server had an error while processing your request. Sorry!' }),
  'fault-mid-stream': fromFunction(async function* () {
    yield 'one ';
    yield 'two ';
    await wait(50);
    throw new Error('This upstream always fails here');
  }),
  'slow-stream': fromFunction(async function* (_body, { signal }) {
    for (let words = 0; words < 12_000 && !signal.aborted; words += 1) {
      yield 'word ';
      await wait(50);
    }
  }),
};

const { secret, hash, key } = createKey({
  id: 'sdks',
  limits: { requestsPerMinute: 100_000, tokensPerMinute: 100_000_000, concurrency: 100 },
});
const upstream = demo();
const app = express();
app.get('/counts', (_req, res) => {
  res.json(counts);
});
app.use(
  megallm({
    upstream,
    keys: memoryKeys([{ ...key, hash }]),
    models: {
      ...defaultModels(),
      ...Object.fromEntries(Object.entries(faults).map(([model, fault]) => [model, { upstream: counted(model, fault) }])),
    },
    unlistedModels: 'pass',
    hooks: { onError: () => {} },
    environment: {},
  }),
);
const server = createServer(app).listen(0, '127.0.0.1');
await once(server, 'listening');
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
console.log(JSON.stringify({ baseUrl: `${origin}/v1`, apiKey: secret, countsUrl: `${origin}/counts` }));
process.stdin.resume().once('end', () => process.exit(0));
