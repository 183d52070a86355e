import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  fromFunction,
  GatewayError,
  type GatewayOptions,
  memoryLimiter,
  memoryUsage,
  type Upstream,
} from 'megallm-middleware';
import { within } from '../helpers/deadline.js';
import { SECRET, testSetup } from '../helpers/gateway-options.js';
import { BARE_HOST, HOSTS } from '../helpers/hosts.js';
import { type RawResponse, rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL } from '../helpers/scene.js';

const CANARY = 'canary-4711 at postgres://user:password@db';
/** Ways to fail, each as a function that takes the place of any other. */
const WAYS: Record<string, () => never | Promise<never>> = {
  'throws at once': () => {
    throw new Error(CANARY);
  },
  rejects: async () => {
    throw new Error(CANARY);
  },
  'throws null': () => {
    throw null;
  },
  'rejects with null': () => Promise.reject(null),
  'rejects with undefined': () => Promise.reject(),
  'throws a string': () => {
    throw CANARY;
  },
  'throws an object that cannot be read': () => {
    throw new Proxy(
      {},
      {
        get: () => {
          throw new Error(CANARY);
        },
      },
    );
  },
  'throws a frozen error': () => {
    throw Object.freeze(new Error(CANARY));
  },
};

type Part = (fail: () => never | Promise<never>) => Partial<GatewayOptions>;
const answering = fromFunction(() => 'Hello');

/** What breaks, and what the client is told: status and code; 200 where a failure is none of its business. */
const PARTS: Record<string, { readonly part: Part; readonly told: readonly [number, string | null] }> = {
  'the key store': { part: (find) => ({ keys: { find } }), told: [503, 'keys_unavailable'] },
  identify: { part: (identify) => ({ identify }), told: [500, 'internal_error'] },
  'the limiter’s reserve': {
    part: (reserve) => ({ limiter: { ...memoryLimiter(), reserve } }),
    told: [503, 'limiter_unavailable'],
  },
  'the limiter’s settle': { part: (settle) => ({ limiter: { ...memoryLimiter(), settle } }), told: [200, null] },
  'the usage store’s open': {
    part: (open) => ({ usage: { ...memoryUsage(), open } }),
    told: [503, 'ledger_unavailable'],
  },
  'the usage store’s settle': { part: (settle) => ({ usage: { ...memoryUsage(), settle } }), told: [200, null] },
  'the upstream': { part: (send) => ({ upstream: { name: 'bad', send } }), told: [502, 'upstream_error'] },
  onFinish: { part: (onFinish) => ({ hooks: { onFinish, onError: () => {} } }), told: [200, null] },
  onError: {
    part: (onError) => ({ hooks: { onError }, upstream: { name: 'bad', send: () => Promise.reject(new Error('x')) } }),
    told: [502, 'upstream_error'],
  },
  'onError, for a broken store': {
    part: (fail) => ({ hooks: { onError: fail }, keys: { find: fail } }),
    told: [503, 'keys_unavailable'],
  },
};

function assertInContract({ status, headers, body }: RawResponse, told: readonly [number, string | null]): void {
  assert.equal(status, told[0], body);
  assert.match(headers['x-request-id'] ?? '', /^req_[0-9a-f]{32}$/);
  assert.ok(!body.includes('canary') && !JSON.stringify(headers).includes('canary'), body);
  if (status === 200) {
    assert.match(body, /Hello/);
    return;
  }
  const { error } = JSON.parse(body);
  assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type']);
  assert.equal(error.code, told[1]);
}

for (const [what, { part, told }] of Object.entries(PARTS)) {
  // At once: where a store stays broken, each gateway waits two seconds for it when it closes.
  describe(`C19 when ${what} fails, the answer is in contract and the process lives`, { concurrency: true }, () => {
    for (const [way, fail] of Object.entries(WAYS)) {
      it(way, { timeout: 30_000 }, async () => {
        const setup = testSetup({
          upstream: answering,
          broken: true,
          key: { limits: { requestsPerMinute: 100 } },
          ...part(fail),
        });
        const host = await BARE_HOST.start(setup.options);
        try {
          for (const stream of [false, true]) {
            const response = await rawExchange(host.origin, rawChat(SECRET, { ...CALL, stream }));
            assertInContract(response, told);
          }
          if (told[0] !== 200 && !what.startsWith('onError'))
            assert.ok(setup.errors.length >= 2, 'the operator is told');
          assert.deepEqual(host.hostErrors, []);
        } finally {
          await host.close();
        }
      });
    }
  });
}

describe('C19 when an upstream’s stream fails in the middle, the client is told and the process lives', () => {
  for (const [way, fail] of Object.entries(WAYS)) {
    it(way, { timeout: 30_000 }, async () => {
      const chunk = {
        id: 'x',
        object: 'chat.completion.chunk',
        created: 1_770_950_813,
        model: CALL.model,
        choices: [{ index: 0, delta: { content: 'Hello' }, finish_reason: null }],
      };
      const upstream: Upstream = {
        name: 'bad',
        send: async () => ({
          kind: 'chunks',
          chunks: (async function* () {
            yield chunk;
            await fail();
          })(),
        }),
      };
      const setup = testSetup({ upstream, broken: true });
      const host = await BARE_HOST.start(setup.options);
      try {
        const response = await rawExchange(host.origin, rawChat(SECRET, { ...CALL, stream: true }));
        assert.equal(response.status, 200);
        assert.match(response.body, /Hello[\s\S]*data: \{"error":\{.*"code":"upstream_stream_interrupted"\}\}\n\n$/);
        assert.ok(!response.body.includes('canary'));
        await setup.finish();
      } finally {
        await host.close();
      }
    });
  }
});

describe('C19 odd values where a promise was made', () => {
  const odd: Record<
    string,
    { readonly options: Partial<GatewayOptions>; readonly told: readonly [number, string | null] }
  > = {
    'a key store that finds null': {
      options: untyped({ keys: { find: async () => null } }),
      told: [401, 'invalid_api_key'],
    },
    'an identify that finds null': { options: untyped({ identify: async () => null }), told: [200, null] },
    'an upstream that answers nothing': {
      options: untyped({ upstream: { name: 'bad', send: async () => null } }),
      told: [502, 'upstream_error'],
    },
    'an upstream that refuses by itself': {
      options: {
        upstream: {
          name: 'no',
          send: () => Promise.reject(new GatewayError({ status: 418, message: 'Tea', code: 'teapot' })),
        },
      },
      told: [418, 'teapot'],
    },
  };
  for (const [what, { options, told }] of Object.entries(odd)) {
    it(what, { timeout: 30_000 }, async () => {
      const setup = testSetup({ upstream: answering, broken: true, ...options });
      const host = await BARE_HOST.start(setup.options);
      try {
        const response = await rawExchange(host.origin, rawChat(SECRET, CALL));
        assert.equal(response.status, told[0], response.body);
        if (told[1] !== null) assert.equal(JSON.parse(response.body).error.code, told[1]);
      } finally {
        await host.close();
      }
    });
  }
});

describe('C19 a failure is never the application’s, whatever it is written in', () => {
  for (const kind of HOSTS) {
    it(kind.name, { timeout: 30_000 }, async () => {
      const fail = (): never => {
        throw new Error(CANARY);
      };
      const setup = testSetup({ broken: true, keys: { find: fail }, hooks: { onError: fail } });
      const host = await kind.start(setup.options);
      try {
        const call = fetch(`${host.baseUrl}/models`, { headers: { authorization: `Bearer ${SECRET}` } });
        const response = await within(call, 'the answer');
        assert.equal(response.status, 503);
        assert.ok(!(await response.text()).includes('canary'));
        assert.equal(await (await fetch(`${host.origin}/host`)).text(), 'host');
        assert.deepEqual(host.hostErrors, []);
      } finally {
        await host.close();
      }
    });
  }
});

/** Options as from a host without types. */
function untyped(options: object): Partial<GatewayOptions> {
  return options;
}
