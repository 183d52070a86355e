import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  createGateway,
  fromFunction,
  type GatewayOptions,
  memoryKeys,
  memoryLimiter,
  type Refusal,
} from 'megallm-middleware';
import { networkOf } from '../../src/keys/guesses.js';

const SECRET = 'sk-host-secret-0123456789';
const OTHER = 'sk-other-secret-0123456789';
const ADMIN = 'b1946ac92492d2347c6235b4d2611184';
const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] };

/** Time that goes on only when it is told to. */
function handClock() {
  let now = 1_800_000_000_000;
  const timers = new Set<{ readonly at: number; readonly run: () => void }>();
  return {
    wallMs: () => now,
    steadyMs: () => now,
    setTimer(run: () => void, delayMs: number) {
      const timer = { at: now + delayMs, run };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    /** Lets so much time pass, and all that waits on it run. */
    async pass(ms: number) {
      const until = now + ms;
      for (;;) {
        const [next] = [...timers].filter(({ at }) => at <= until).sort((one, other) => one.at - other.at);
        if (next === undefined) break;
        timers.delete(next);
        now = Math.max(now, next.at);
        next.run();
        await turn();
      }
      now = until;
    },
  };
}

/** Lets all promises run that can. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

interface Asked {
  readonly method?: string;
  readonly url?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: unknown;
  readonly address?: string;
}

function scene(options: GatewayOptions = {}) {
  const refusals: Refusal[] = [];
  const errors: unknown[] = [];
  const notices: string[] = [];
  const clock = handClock();
  const gateway = createGateway({
    environment: {},
    clock,
    keys: memoryKeys([
      { secret: SECRET, id: 'ann', owner: 'acme', models: ['gpt-4o-mini'], limits: { requestsPerMinute: 1 } },
    ]),
    upstream: fromFunction(() => 'Hello', { name: 'mine' }),
    admin: { secret: ADMIN },
    hooks: {
      onRefused: (refusal) => void refusals.push(refusal),
      onError: (error) => void errors.push(error),
      onNotice: (text) => void notices.push(text),
    },
    ...options,
  });
  async function ask({ method = 'POST', url = '/v1/chat/completions', headers, body = CALL, address }: Asked = {}) {
    const response = await gateway.handle({
      method,
      url,
      headers: headers ?? { authorization: `Bearer ${SECRET}` },
      signal: new AbortController().signal,
      body: { parsed: body },
      native: undefined,
      address,
    });
    return response?.status;
  }
  return { gateway, ask, refusals, errors, notices, clock };
}

describe('every request that is refused reaches `onRefused`', () => {
  it('with key, owner, status, code, model and upstream as far as they are known', async () => {
    const { ask, refusals, gateway } = scene({ maxBodyBytes: 300 });
    assert.equal(await ask({ headers: {}, address: '203.0.113.7' }), 401);
    assert.equal(await ask({ headers: { authorization: `Bearer ${OTHER}` } }), 401);
    assert.equal(await ask({ body: { ...CALL, model: 'gpt-4o' } }), 403);
    assert.equal(await ask({ url: '/v1/chat/nothing?a=1' }), 404);
    assert.equal(await ask({ method: 'GET', url: '/v1/embeddings' }), 405);
    assert.equal(await ask({ body: { model: 'gpt-4o-mini' } }), 400);
    assert.equal(await ask({ body: { ...CALL, user: 'x'.repeat(400) } }), 413);
    assert.equal(await ask(), 200);
    assert.equal(await ask(), 429);
    assert.equal(await ask({ method: 'GET', url: '/v1/organization/costs', headers: {} }), 401);
    void gateway.close();
    assert.equal(await ask(), 503);
    const told = refusals.map(({ status, code, keyId, owner, method, path, model, upstream }) => [
      status,
      code,
      keyId,
      owner,
      `${method} ${path}`,
      model,
      upstream,
    ]);
    const chat = 'POST /chat/completions';
    assert.deepEqual(told, [
      [401, undefined, undefined, undefined, chat, undefined, undefined],
      [401, 'invalid_api_key', undefined, undefined, chat, undefined, undefined],
      [403, 'model_not_found', 'ann', 'owner:acme', chat, 'gpt-4o', undefined],
      [404, undefined, 'ann', 'owner:acme', 'POST /chat/nothing', undefined, undefined],
      [405, undefined, 'ann', 'owner:acme', 'GET /embeddings', undefined, undefined],
      [400, told[5]?.[1], 'ann', 'owner:acme', chat, undefined, undefined],
      [413, 'request_too_large', 'ann', 'owner:acme', chat, undefined, undefined],
      [429, 'rate_limit_exceeded', 'ann', 'owner:acme', chat, 'gpt-4o-mini', 'mine'],
      [401, 'invalid_api_key', undefined, undefined, 'GET /organization/costs', undefined, undefined],
      [503, 'shutting_down', undefined, undefined, chat, undefined, undefined],
    ]);
    assert.equal(refusals[0]?.address, '203.0.113.7');
  });
});

describe('a hook that fails hurts no call and reaches `onError`', () => {
  for (const [way, fail] of Object.entries({
    'throws at once': () => {
      throw new Error('hook');
    },
    rejects: async () => {
      throw new Error('hook');
    },
    'returns what is like a promise and rejects': () => ({
      // biome-ignore lint/suspicious/noThenProperty: a promise of another library.
      then: (_done: unknown, failed: (error: unknown) => void) => failed(new Error('hook')),
    }),
  })) {
    it(`where it ${way}`, async () => {
      const errors: unknown[] = [];
      const onError = (error: unknown) => void errors.push(error);
      const limits = { shadow: { requestsPerMinute: 1 } };
      const keys = memoryKeys([{ secret: SECRET, id: 'ann', tier: 'nosuch', limits }]);
      const hooks = { onError, onFinish: fail, onRefused: fail, onNotice: fail, onShadowLimit: fail };
      const { ask } = scene({ keys, hooks: hooks as GatewayOptions['hooks'] });
      assert.deepEqual([await ask(), await ask(), await ask({ headers: {} })], [200, 200, 401]);
      await turn();
      // onNotice and onShadowLimit once, onFinish twice, onRefused once.
      assert.deepEqual(
        errors.map(String),
        Array.from({ length: 5 }, () => 'Error: hook'),
      );
      const deaf = scene({ keys, hooks: { ...hooks, onError: fail } as GatewayOptions['hooks'] });
      assert.deepEqual([await deaf.ask(), await deaf.ask({ headers: {} })], [200, 401]);
    });
  }
});

describe('where a key may stand', () => {
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
  it('in three headers, and as the password of Basic', async () => {
    for (const headers of [
      { 'x-api-key': SECRET },
      { 'api-key': SECRET },
      { authorization: basic(`anybody:${SECRET}`) },
      { authorization: basic(`:${SECRET}`) },
      { authorization: basic(`${SECRET}:`) },
      { authorization: `Bearer ${SECRET}`, 'api-key': SECRET, 'x-api-key': SECRET },
      // Sent twice, by a client and a proxy.
      { authorization: [`Bearer ${SECRET}`, basic(`a:${SECRET}`)] },
      { 'x-api-key': [SECRET, SECRET] },
      { 'api-key': ['', SECRET] },
    ]) {
      assert.equal(await scene().ask({ headers }), 200, JSON.stringify(headers));
    }
  });

  it('two that differ are refused, wherever they stand', async () => {
    for (const headers of [
      { authorization: [`Bearer ${SECRET}`, `Bearer ${OTHER}`] },
      { authorization: [`Bearer ${OTHER}`, basic(`a:${SECRET}`)] },
      { authorization: `Bearer ${SECRET}`, 'api-key': OTHER },
      { 'x-api-key': SECRET, 'api-key': OTHER },
      { authorization: basic(`a:${OTHER}`), 'x-api-key': SECRET },
    ]) {
      assert.equal(await scene().ask({ headers }), 400, JSON.stringify(headers));
    }
    assert.equal(await scene().ask({ headers: { authorization: 'Basic !!!' } }), 401);
  });
});

describe('guessing is slow', () => {
  const wrong = { headers: { authorization: `Bearer ${OTHER}` } };

  it('answers to wrong keys of one address are held back after twenty, a right key never', async () => {
    const { ask, clock, notices } = scene();
    const address = '203.0.113.7';
    for (let guesses = 0; guesses < 20; guesses += 1) assert.equal(await ask({ ...wrong, address }), 401);
    const answered: (number | undefined)[] = [];
    void ask({ ...wrong, address }).then((status) => answered.push(status));
    await turn();
    assert.equal(await ask({ address }), 200, 'a right key');
    assert.equal(await ask({ ...wrong, address: '203.0.113.8' }), 401, 'another address');
    assert.equal(await ask({ headers: {}, address }), 401, 'no key at all is no guess');
    await clock.pass(249);
    assert.deepEqual(answered, []);
    await clock.pass(1);
    await turn();
    assert.deepEqual(answered, [401]);
    assert.equal(notices.length, 1);
    assert.match(notices[0] ?? '', /203\.0\.113\.7/);
    await clock.pass(60_000);
    assert.equal(await ask({ ...wrong, address }), 401, 'a minute later it begins anew');
  });

  it('those of one minute are counted together, to the millisecond', async () => {
    for (const [passMs, isHeld] of [
      [59_999, true],
      [60_000, false],
    ] as const) {
      const { ask, clock } = scene();
      const address = '203.0.113.7';
      for (let guesses = 0; guesses < 20; guesses += 1) assert.equal(await ask({ ...wrong, address }), 401);
      await clock.pass(passMs);
      let isAnswered = false;
      const asking = ask({ ...wrong, address }).then(() => {
        isAnswered = true;
      });
      await turn();
      assert.equal(isAnswered, !isHeld);
      await clock.pass(250);
      await asking;
    }
  });

  it('each further guess waits twice as long, up to four seconds', async () => {
    const { ask, clock } = scene();
    const address = '203.0.113.7';
    for (let guesses = 0; guesses < 20; guesses += 1) assert.equal(await ask({ ...wrong, address }), 401);
    for (const delayMs of [250, 500, 1_000, 2_000, 4_000, 4_000, 4_000]) {
      let isAnswered = false;
      void ask({ ...wrong, address }).then(() => {
        isAnswered = true;
      });
      await turn();
      await clock.pass(delayMs - 1);
      await turn();
      assert.equal(isAnswered, false, `${delayMs}`);
      await clock.pass(1);
      await turn();
      assert.equal(isAnswered, true, `${delayMs}`);
    }
  });

  it('so are guesses of the admin secret, of any address of one IPv6 network, and no more than 256 at a time', async () => {
    const { ask, clock, gateway } = scene();
    const guess = {
      method: 'GET',
      url: '/v1/organization/costs',
      headers: { authorization: `Bearer ${'x'.repeat(32)}` },
    };
    const addressOf = (n: number) => `2001:db8:0:1::${n.toString(16)}`;
    for (let n = 0; n < 20; n += 1) assert.equal(await ask({ ...guess, address: addressOf(n) }), 401);
    let held = 0;
    const all = Array.from({ length: 256 }, (_, n) => {
      held += 1;
      return ask({ ...guess, address: addressOf(n + 100) }).then(() => (held -= 1));
    });
    await turn();
    assert.equal(held, 256);
    assert.equal(await ask({ ...guess, address: addressOf(9_999) }), 401, 'one more is answered at once');
    const right = {
      ...guess,
      url: '/v1/organization/costs?start_time=1',
      headers: { authorization: `Bearer ${ADMIN}` },
    };
    assert.equal(await ask({ ...right, address: addressOf(1) }), 200);
    const closed = gateway.close();
    await Promise.all(all);
    await clock.pass(0);
    await closed;
  });

  it('networks are told apart by what one guesser has', () => {
    assert.equal(networkOf('203.0.113.7'), '203.0.113.7');
    assert.equal(networkOf('::ffff:203.0.113.7'), '203.0.113.7');
    assert.equal(networkOf('2001:DB8::1'), networkOf('2001:0db8:0:0:ffff::2'));
    assert.equal(networkOf('fe80::1%eth0'), networkOf('fe80:0:0:0:2::%eth1'));
    assert.notEqual(networkOf('2001:db8:0:1::1'), networkOf('2001:db8:0:2::1'));
    assert.equal(networkOf('::1'), '0:0:0:0::/64');
  });

  it('the right admin secret finds nothing at an unknown path', async () => {
    const { ask } = scene();
    const url = '/v1/organization/nothing';
    for (const unknown of [url, '/v1/organization', '/v1/organization/', '/v1/organization?limit=1']) {
      assert.equal(await ask({ method: 'GET', url: unknown, headers: { authorization: `Bearer ${ADMIN}` } }), 404);
    }
    assert.equal(await ask({ method: 'GET', url }), 404);
    assert.equal(await ask({ method: 'GET', url, headers: { authorization: `Bearer ${OTHER}` } }), 401);
    assert.equal(
      await ask({ method: 'GET', url: '/v1/chat/nothing', headers: { authorization: `Bearer ${ADMIN}` } }),
      401,
    );
  });
});

describe('a promise of the host that never settles', () => {
  const never = () => new Promise<never>(() => {});
  it('holds a call no longer than `timeoutMs`, and a close not at all', async () => {
    for (const part of [{ identify: never }, { keys: { find: never } }]) {
      const { ask, clock, errors, gateway } = scene({ ...part, timeoutMs: 1_000 });
      const asking = ask();
      await turn();
      await gateway.close();
      await clock.pass(1_000);
      assert.equal(await asking, 503);
      assert.match(String(errors[0]), /did not answer within `timeoutMs`/);
    }
  });

  it('in the limiter, holds a call no longer than `timeoutMs`', async () => {
    const { ask, clock } = scene({ limiter: { ...memoryLimiter(), reserve: never }, timeoutMs: 1_000 });
    const asking = ask();
    await turn();
    await clock.pass(1_000);
    assert.equal(await asking, 503);
  });

  it('in the limiter, holds the answer to a bad request for ten seconds, as its headers tell of limits', async () => {
    const { ask, clock } = scene({ limiter: { ...memoryLimiter(), reserve: never } });
    const asking = ask({ body: { model: 'gpt-4o-mini' } });
    await turn();
    await clock.pass(10_000);
    assert.equal(await asking, 400);
  });

  it('in a store that settles nothing, holds a close for its grace and five seconds', async () => {
    const limiter = { ...memoryLimiter(), settle: never };
    const { ask, clock, errors, gateway } = scene({ limiter });
    void ask();
    await turn();
    await turn();
    let isClosed = false;
    const closed = gateway.close({ graceMs: 100 }).then(() => {
      isClosed = true;
    });
    await clock.pass(5_099);
    assert.equal(isClosed, false);
    await clock.pass(1);
    await closed;
    assert.match(String(errors[0]), /1 calls have not been settled/);
  });

  it('a limiter that is dead does not hold a close of the gateway for its grace', async () => {
    const down = async () => {
      throw new Error('down');
    };
    const { ask, clock, gateway } = scene({ limiter: { reserve: down, settle: down } });
    assert.equal(await ask(), 503);
    let isClosed = false;
    const closed = gateway.close({ graceMs: 30_000 }).then(() => {
      isClosed = true;
    });
    await turn();
    // Twice the time after which it is asked again: it may be back.
    await clock.pass(999);
    await turn();
    assert.equal(isClosed, false);
    await clock.pass(1);
    await turn();
    assert.equal(isClosed, true);
    await closed;
  });
});
