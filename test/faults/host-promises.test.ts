import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  fromFunction,
  type Gateway,
  type IdempotencyStore,
  type LimiterStore,
  memoryIdempotency,
  memoryLimiter,
  memoryObjects,
  memoryUsage,
  type ObjectStore,
  type UsageReader,
  type UsageStore,
  type Verdict,
} from 'megallm-middleware';
import type { Awaitable } from '../../src/base/awaitable.js';
import { resolveOptions } from '../../src/config/options.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { SECRET, type SetupOptions, testSetup } from '../helpers/gateway-options.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { type RawResponse, rawExchange } from '../helpers/raw-client.js';
import { CALL, MODEL } from '../helpers/scene.js';
import { watchedLimiter, watchedUsage } from '../helpers/watched-stores.js';

/** Longest call of every gateway here. */
const TIMEOUT_MS = 500;

type Later = () => Promise<never>;
type Part = (later: Later) => SetupOptions;

interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

const AUTHORIZATION = { authorization: `Bearer ${SECRET}` };

function post(path: string, body: object, headers: Record<string, string> = {}): Request {
  return {
    method: 'POST',
    path,
    headers: { ...AUTHORIZATION, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  };
}

const without = (method: string, path: string): Request => ({ method, path, headers: AUTHORIZATION, body: '' });

const CHAT = '/v1/chat/completions';
const whole = post(CHAT, CALL);
const streamed = post(CHAT, { ...CALL, stream: true });
const stored = post(CHAT, { ...CALL, store: true });
const storedStream = post(CHAT, { ...CALL, store: true, stream: true });
const once = post(CHAT, CALL, { 'idempotency-key': 'one' });
const streamedOnce = post(CHAT, { ...CALL, stream: true }, { 'idempotency-key': 'two' });
const response = post('/v1/responses', { model: MODEL, input: 'Hi' });
const next = post('/v1/responses', { model: MODEL, input: 'Hi', previous_response_id: `resp_${'a'.repeat(40)}` });
const background = post('/v1/responses', { model: MODEL, input: 'Hi', background: true });
const form: Request = {
  method: 'POST',
  path: '/v1/files',
  headers: { ...AUTHORIZATION, 'content-type': 'multipart/form-data; boundary=b' },
  body: '--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n',
};

const BUDGET = { key: { limits: { usdPerDay: 100 } } };
/** A limiter that has lost every budget until it is told what is spent. */
function forgetful() {
  const store = memoryLimiter();
  return {
    ...store,
    reserve(...[reservation, now]: Parameters<typeof store.reserve>): Verdict | Promise<Verdict> {
      const isUnknown = reservation.draws.some(({ budget }) => budget !== undefined && budget.spent === undefined);
      if (!isUnknown) return Promise.resolve(store.reserve(reservation, now));
      return { granted: false, remaining: [], waits: [], unknownBudgets: true } as never;
    },
  };
}

/** A limiter of this process's memory that the host changes once the gateway has been made. */
function changedLater(methods: Partial<LimiterStore>): LimiterStore {
  const limiter = memoryLimiter();
  setImmediate(() => Object.assign(limiter, methods));
  return limiter;
}

interface Case {
  readonly part: Part;
  /** Requests, each with the statuses that its answer may have. */
  readonly asked: readonly (readonly [Request, number])[];
}

/** Every promise that a host can give: all methods of its stores, its functions and its hooks. */
const CASES: Record<string, Case> = {
  identify: {
    part: (identify) => ({ identify }),
    asked: [
      [whole, 503],
      [without('GET', '/v1/models'), 503],
      [form, 503],
    ],
  },
  'keys.find': { part: (find) => ({ keys: { find } }), asked: [[whole, 503]] },
  'limiter.reserve': {
    part: (reserve) => ({ limiter: { ...memoryLimiter(), reserve } }),
    asked: [
      [whole, 503],
      [streamed, 503],
      [response, 503],
    ],
  },
  'limiter.reserve, put there later': {
    part: (reserve) => ({ limiter: changedLater({ reserve }) }),
    asked: [
      [whole, 503],
      [streamed, 503],
    ],
  },
  'limiter.settle, put there later': {
    part: (settle) => ({ limiter: changedLater({ settle }) }),
    asked: [
      [whole, 200],
      [streamed, 200],
    ],
  },
  'limiter.settle': {
    part: (settle) => ({ limiter: { ...memoryLimiter(), settle } }),
    asked: [
      [whole, 200],
      [streamed, 200],
      [without('GET', CHAT), 200],
    ],
  },
  'limiter.settle of a page': {
    part: (settle) => ({ limiter: { ...memoryLimiter(), settle }, key: { limits: { requestsPerMinute: 100 } } }),
    asked: [
      [without('GET', CHAT), 200],
      [without('GET', '/v1/usage'), 200],
    ],
  },
  'limiter.settle of a shadow': {
    part: (settle) => ({
      limiter: { ...memoryLimiter(), settle },
      key: { limits: { shadow: { requestsPerMinute: 100 } } },
    }),
    asked: [[whole, 200]],
  },
  'usage.open': {
    part: (open) => ({ usage: { ...memoryUsage(), open } }),
    asked: [
      [whole, 503],
      [streamed, 503],
      [background, 503],
    ],
  },
  'usage.settle': {
    part: (settle) => ({ usage: { ...memoryUsage(), settle } }),
    asked: [
      [whole, 200],
      [streamed, 200],
      [response, 200],
      [background, 200],
    ],
  },
  'usage.open and usage.settle': {
    part: (later) => ({ usage: { ...memoryUsage(), open: later, settle: later } }),
    asked: [[whole, 503]],
  },
  'usage.checkpoint': {
    part: (checkpoint) => ({ usage: { ...memoryUsage(), checkpoint } }),
    asked: [[streamed, 200]],
  },
  'usage.report': {
    part: (report) => ({ usage: { ...memoryUsage(), report } }),
    asked: [[without('GET', '/v1/usage'), 503]],
  },
  'usage.spent': {
    part: (spent) => ({ limiter: forgetful(), usage: { ...memoryUsage(), spent }, ...BUDGET }),
    asked: [[whole, 503]],
  },
  'objects.find': {
    part: (find) => ({ objects: { ...memoryObjects(), find } }),
    asked: [
      [without('GET', `${CHAT}/chatcmpl-1`), 503],
      [without('DELETE', `${CHAT}/chatcmpl-1`), 503],
      [without('GET', `/v1/responses/resp_${'a'.repeat(40)}`), 503],
      [next, 503],
    ],
  },
  'objects.list': {
    part: (list) => ({ objects: { ...memoryObjects(), listIds: undefined, list } as never }),
    asked: [[without('GET', CHAT), 503]],
  },
  'objects.listIds': {
    part: (listIds) => ({ objects: { ...memoryObjects(), listIds } }),
    asked: [[without('GET', CHAT), 503]],
  },
  'objects.put': {
    part: (put) => ({ objects: { ...memoryObjects(), put } }),
    asked: [
      [stored, 200],
      [storedStream, 200],
      [response, 200],
      [background, 503],
    ],
  },
  'idempotency.claim': {
    part: (claim) => ({ idempotency: { ...memoryIdempotency(), claim } }),
    asked: [
      [once, 503],
      [streamedOnce, 503],
    ],
  },
  'idempotency.finish': {
    part: (finish) => ({ idempotency: { ...memoryIdempotency(), finish } }),
    asked: [
      [once, 200],
      [streamedOnce, 200],
    ],
  },
  'the upstream': {
    part: (send) => ({ upstream: { name: 'stuck', send } }),
    asked: [
      [whole, 504],
      [streamed, 504],
      [background, 200],
    ],
  },
  'the upstream’s hasModel': {
    part: (hasModel) => ({ upstream: { ...fromFunction(() => 'Hello'), hasModel } }),
    asked: [[without('GET', '/v1/models/some'), 504]],
  },
  'a function': { part: (answer) => ({ upstream: fromFunction(answer) }), asked: [[whole, 504]] },
  'the upstream’s forward': {
    part: (forward) => ({ upstream: { ...fromFunction(() => 'Hello'), forward } }),
    asked: [[form, 504]],
  },
  ...Object.fromEntries(
    (['onFinish', 'onError', 'onRefused', 'onShadowLimit', 'onNotice'] as const).map((hook): [string, Case] => [
      hook,
      {
        part: (later) => ({
          hooks: { onError: () => {}, onNotice: () => {}, [hook]: later },
          limiter: { ...memoryLimiter(), settle: () => Promise.reject(new Error('away')) },
          key: { limits: { shadow: { requestsPerMinute: 1e-9 } } },
        }),
        asked: [
          [whole, 200],
          [streamed, 200],
          [post(CHAT, {}), 400],
        ],
      },
    ]),
  ),
};

type Ask = (request: Request) => Promise<RawResponse>;

async function withGateway(options: SetupOptions, play: (ask: Ask, gateway: Gateway) => Promise<void>): Promise<void> {
  const upstream = fromFunction(() => 'Hello '.repeat(300));
  const setup = testSetup({ upstream, broken: true, timeoutMs: TIMEOUT_MS, ...options });
  const host = await BARE_HOST.start(setup.options);
  const ask: Ask = ({ method, path, headers, body }) => {
    const lines = Object.entries({ host: 'localhost', ...headers, 'content-length': String(Buffer.byteLength(body)) });
    const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    return rawExchange(host.origin, `${method} ${path} HTTP/1.1\r\n${head}\r\n${body}`);
  };
  try {
    await play(ask, host.gateway);
  } finally {
    await host.close();
  }
}

async function holdsNothing(name: string, { part, asked }: Case): Promise<void> {
  await withGateway(
    part(() => new Promise<never>(() => {})),
    async (ask, gateway) => {
      await Promise.all(
        asked.map(async ([request, status]) => {
          const { status: answered, body } = await ask(request);
          assert.equal(answered, status, `${name}, ${request.method} ${request.path} ${request.body}: ${body}`);
        }),
      );
      await within(gateway.close({ graceMs: 100 }), `${name}: the gateway to close`);
    },
  );
}

/** Every method that a store may have: a new one must stand here, and be passed on. */
const WHOLE = {
  limiter: { reserve: fail, settle: fail, settleInterrupted: fail } satisfies Required<LimiterStore>,
  usage: {
    ...{ open: fail, settle: fail, checkpoint: fail, onInterrupted: fail, report: fail, spent: fail },
  } satisfies Required<UsageStore & UsageReader>,
  objects: { find: fail, list: fail, listIds: fail, put: fail, remove: fail } satisfies Required<ObjectStore>,
  idempotency: { claim: fail, finish: fail } satisfies Required<IdempotencyStore>,
};

function fail(): never {
  throw new Error('asked');
}

describe('a promise of the host', () => {
  it('may come from any method of a store: all of them are passed on, and no others', () => {
    const config = resolveOptions({ environment: {}, ...WHOLE });
    for (const [part, store] of Object.entries(WHOLE)) {
      const passed = Object(Reflect.get(config, part));
      assert.deepEqual(Object.keys(passed).sort(), Object.keys(store).sort(), part);
      for (const method of Object.keys(store))
        assert.throws(() => passed[method](...Array(5).fill({})), /^Error: asked$/);
    }
    const least = resolveOptions({ environment: {}, usage: { open: fail, settle: fail } });
    assert.deepEqual(Object.keys(least.usage), ['open', 'settle']);
  });

  it('that never settles holds no call and no close: methods of stores, functions, hooks', async () => {
    await Promise.all(Object.entries(CASES).map(([name, given]) => holdsNothing(name, given)));
  });

  it('that settles late gives back what nobody waits for any more', async () => {
    const limiter = watchedLimiter();
    const claims = memoryIdempotency();
    const usage = watchedUsage();
    /** Answers only once somebody opens the gate. */
    type Wait = <T>(run: () => Awaitable<T>) => Promise<T>;
    const stores: Record<string, (after: Wait) => SetupOptions> = {
      limiter: (after) => ({
        limiter: { ...limiter, reserve: (...given) => after(() => limiter.reserve(...given)) },
      }),
      idempotency: (after) => ({
        idempotency: { ...claims, claim: (...given) => after(() => claims.claim(...given)) },
      }),
      usage: (after) => ({ usage: { ...usage, open: (start) => after(() => usage.open(start)) } }),
    };
    await Promise.all(
      Object.entries(stores).map(([name, optionsOf]) => {
        const late = gate();
        const options = optionsOf(async (run) => {
          await late.opened;
          return await run();
        });
        return withGateway({ key: { limits: { concurrency: 1 } }, ...options }, async (ask) => {
          assert.equal((await ask(once)).status, 503, name);
          // The gateway gives back at once what may have been granted, which is too early here.
          if (name === 'limiter') await eventually(() => limiter.settled.length > 0, 'the first try to give back');
          late.open();
          // A place, a claim: either would refuse the next call.
          await eventually(async () => (await ask(once)).status === 200, `${name} to answer again`);
        });
      }),
    );
    await eventually(() => limiter.open() === 0, 'the reservation to be given back');
    await usage.allSettled();
  });

  it('that only looked gives back nothing, however late it comes: it had taken nothing', async () => {
    const late = gate();
    const settled: string[] = [];
    const limiter: LimiterStore = {
      async reserve() {
        await late.opened;
        return { granted: true, retryAfterMs: 0, remaining: [] };
      },
      settle: ({ id }) => void settled.push(id),
    };
    const bounded = resolveOptions({ ...testSetup().options, limiter, timeoutMs: 1 }).limiter;
    const reserve = async (id: string, dryRun: boolean): Promise<unknown> =>
      bounded.reserve({ id, draws: [], slots: [], ttlMs: 1_000, dryRun }, 0);
    await Promise.all(['look', 'call'].map((id) => assert.rejects(reserve(id, id === 'look'), /did not answer/)));
    late.open();
    await eventually(() => settled.length > 0, 'the reservation to be given back');
    assert.deepEqual(settled, ['call']);
  });
});
