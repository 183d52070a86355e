import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  createGateway,
  type LimiterStore,
  memoryKeys,
  memoryLimiter,
  memoryUsage,
  type Upstream,
  type UsageRecord,
  type UsageStore,
} from 'megallm-middleware';
import { createCancellation } from 'megallm-middleware/adapter';
import { laneOf } from '../../src/limits/lane.js';
import { streamEvents, wholeChat } from '../helpers/chat-answers.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET } from '../helpers/gateway-options.js';

const CONCURRENCY = 2;
const USD_PER_DAY = 1_000;
const NANO_PER_USD = 1_000_000_000;

interface Parts {
  readonly send?: Upstream['send'];
  readonly open?: UsageStore['open'];
}

/** A gateway whose calls are limited by the lane of a limiter in memory. */
function world({ send = answer, open = () => {} }: Parts = {}) {
  const limiter = memoryLimiter();
  assert.ok(laneOf(limiter) !== undefined);
  const records: UsageRecord[] = [];
  const clock = frozenClock();
  const gateway = createGateway({
    clock,
    limiter,
    environment: { NODE_ENV: 'test' },
    keys: memoryKeys([{ secret: SECRET, id: 'k', tier: 'small' }]),
    tiers: { small: { concurrency: CONCURRENCY, usdPerDay: USD_PER_DAY, tokensPerMinute: 1_000_000 } },
    models: { m: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 2 } } },
    upstream: { name: 'scripted', send },
    usage: { ...memoryUsage(), open },
    hooks: { onFinish: (record) => void records.push(record), onError() {} },
  });

  async function call(stream = false, client = createCancellation()) {
    const body = Buffer.from(JSON.stringify({ model: 'm', stream, messages: [{ role: 'user', content: 'Hello' }] }));
    const headers = {
      authorization: `Bearer ${SECRET}`,
      'content-type': 'application/json',
      'content-length': String(body.length),
    };
    const request = { method: 'POST', url: '/v1/chat/completions', headers, signal: client, native: undefined };
    const response = await gateway.handle({ ...request, body: pieces([body]) });
    assert.ok(response !== undefined);
    return response;
  }

  /** Nano-dollars that the budget has lost, once all places are free. */
  async function lost(): Promise<number> {
    const day = new Date(clock.wallMs()).toISOString().slice(0, 10);
    const slot = { name: 'key:k:concurrency', capacity: 1 };
    const capacity = USD_PER_DAY * NANO_PER_USD;
    const budget = { endsAt: clock.wallMs() + 1, spent: 0 };
    const draw = { bucket: `key:k:usdPerDay:${day}`, capacity, refillPerMs: 0, amount: 0, budget };
    const look = { id: 'look', draws: [draw], slots: [slot], ttlMs: 1, dryRun: true };
    const { granted, remaining } = await limiter.reserve(look, clock.steadyMs());
    assert.ok(granted, 'all places are free');
    return capacity - (remaining[0] ?? 0);
  }

  return { limiter, records, call, lost };
}

async function* pieces<T>(all: readonly T[], end: () => unknown = () => {}): AsyncGenerator<T> {
  yield* all;
  await end();
}

const answer: Upstream['send'] = async ({ stream }) =>
  stream ? streamed(EVENTS) : { kind: 'whole', body: Buffer.from(JSON.stringify(wholeChat('Hello'))) };

const EVENTS = streamEvents(['Hel', 'lo']).map((event) => Buffer.from(event));

function streamed(events: readonly Uint8Array[], end?: () => unknown) {
  return { kind: 'bytes', contentType: 'text/event-stream', body: pieces(events, end) } as const;
}

function fail(): never {
  throw new Error('It is broken.');
}

const never = (): Promise<never> => new Promise(() => {});

it('a limiter in memory that the host changes while the gateway runs is asked from then on', async () => {
  const { limiter, call } = world();
  assert.equal((await call()).status, 200);
  const { reserve } = limiter;
  let asked = 0;
  const counting: LimiterStore['reserve'] = (reservation, now) => {
    asked += 1;
    return reserve(reservation, now);
  };
  limiter.reserve = counting;
  assert.equal((await call()).status, 200);
  assert.ok(asked > 0);
  limiter.reserve = fail;
  assert.equal((await call()).status, 503);
});

/** Ways in which a call may end. @param leave the client's leaving */
const ENDS: Readonly<Record<string, (leave: () => void) => Parts>> = {
  'a good answer': () => ({}),
  'an answer that is none': () => ({ send: async () => ({ kind: 'whole', body: Buffer.from('{"choices":{}}') }) }),
  'an upstream that fails at once': () => ({ send: fail }),
  'an upstream that fails later': () => ({ send: async () => fail() }),
  'a stream that breaks off': () => ({ send: async () => streamed(EVENTS.slice(0, 1), fail) }),
  'a client that leaves while the upstream is asked': (leave) => ({
    send() {
      leave();
      return never();
    },
  }),
  'a client that leaves in the middle of the answer': (leave) => ({
    async send() {
      return streamed(EVENTS.slice(0, 1), () => {
        leave();
        return never();
      });
    },
  }),
  'a client that leaves while the ledger takes note': (leave) => ({
    async open() {
      leave();
    },
  }),
  'a ledger that fails at once': () => ({ open: fail }),
  'a ledger that fails later': () => ({ open: async () => fail() }),
  'a ledger that fails when the client has left': (leave) => ({
    async open() {
      leave();
      fail();
    },
  }),
};

for (const [name, ending] of Object.entries(ENDS)) {
  for (const stream of [false, true]) {
    const asked = stream ? 'streamed' : 'whole';
    it(`a limiter in memory has its places back and has lost what was recorded after ${name}, ${asked}`, async () => {
      let leave = (): void => {};
      const { records, call, lost } = world(ending(() => leave()));
      for (let count = 0; count <= CONCURRENCY; count += 1) {
        const client = createCancellation();
        leave = () => client.abort(new Error('The client is gone.'));
        const { status, body } = await call(stream, client);
        assert.notEqual(status, 429);
        if (typeof body === 'string' || body instanceof Uint8Array) continue;
        for await (const _ of body);
      }
      const cost = records.reduce((sum, { costNanoUsd = 0 }) => sum + costNanoUsd, 0);
      assert.equal(await lost(), cost);
      if (name === 'a good answer') assert.ok(cost > 0);
    });
  }
}
