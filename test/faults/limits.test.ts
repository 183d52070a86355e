import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type LimiterStore, memoryKeys, memoryLimiter, type Reservation, type Verdict } from 'megallm-middleware';
import { reply, streamEvents, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { patience, runs } from '../helpers/depth.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET } from '../helpers/gateway-options.js';
import { inParallel, range } from '../helpers/in-parallel.js';
import { rawChat, rawExchange, rawRequest } from '../helpers/raw-client.js';
import { CALL, onBareHost } from '../helpers/scene.js';

const call = (more: Record<string, unknown> = {}, secret = SECRET): Buffer => rawChat(secret, { ...CALL, ...more });

onBareHost(
  'E1 of 1,000 calls at once a full bucket of requests admits exactly what it holds',
  () => ({ clock: frozenClock(), key: { limits: { requestsPerMinute: 137 } } }),
  async ({ host, upstream, setup }) => {
    const statuses = await atOnce(
      host.origin,
      range(1_000).map(() => call()),
    );
    assert.deepEqual(statuses, { 200: 137, 429: 863 });
    assert.equal(upstream.requests.length, 137);
    assert.equal(setup.records.length, 137);
  },
);

onBareHost(
  'E1 of 1,000 calls at once a full bucket of tokens admits exactly what fits, while none of them has ended',
  () => ({ clock: frozenClock(), key: { limits: { tokensPerMinute: 50_000 } } }),
  async ({ host, upstream, setup }) => {
    const release = gate();
    upstream.answerWith(async function* () {
      yield { kind: 'wait', until: release.opened };
      yield* reply(wholeChat('Hello'));
    });
    const seen: Record<number, number> = {};
    const refused = (): number => seen[429] ?? 0;
    const running = atOnce(
      host.origin,
      range(1_000).map(() => call({ max_tokens: 990 })),
      seen,
    );
    // All that fit are at the upstream once every other call has been refused.
    await eventually(() => refused() === 1_000 - setup.limiter.open(), 'the calls that do not fit to be refused');
    const admitted = setup.limiter.open();
    release.open();
    const statuses = await running;
    assert.deepEqual(statuses, { 200: admitted, 429: 1_000 - admitted });
    assert.equal(upstream.requests.length, admitted);
    const reserved = setup.limiter.settled.reduce((sum, one) => sum + (one.reservation.draws[0]?.amount ?? 0), 0);
    assert.ok(
      reserved <= 50_000 && reserved + reserved / admitted > 50_000,
      `${reserved} tokens of 50000 for ${admitted}`,
    );
  },
);

onBareHost(
  'E1 of 1,000 calls at once as many run as there are places, and never one more',
  () => ({ key: { limits: { concurrency: 10 } } }),
  async ({ host, setup, upstream }) => {
    const release = gate();
    upstream.answerWith(async function* () {
      yield { kind: 'wait', until: release.opened };
      yield* reply(wholeChat('Hello'));
    });
    const statuses: Record<number, number> = {};
    const calls = range(1_000).map(() => call());
    const running = atOnce(host.origin, calls, statuses);
    await eventually(() => statuses[429] === 990, 'all but ten to be refused');
    release.open();
    assert.deepEqual(await running, { 200: 10, 429: 990 });
    assert.equal(setup.limiter.mostOpen(), 10);
    assert.equal(setup.records.length, 10);
  },
);

onBareHost(
  'E18 keys of one owner share the owner’s limits; others have their own',
  () => ({
    clock: frozenClock(),
    keys: memoryKeys(
      ['a', 'b', 'c'].map((name) => ({
        secret: `secret-of-key-${name}-0000`,
        id: name,
        ...(name === 'c' ? {} : { owner: 'both' }),
        limits: { requestsPerMinute: 20 },
      })),
    ),
  }),
  async ({ host }) => {
    const calls = ['a', 'b', 'c'].flatMap((name) => range(30).map(() => call({}, `secret-of-key-${name}-0000`)));
    assert.deepEqual(await atOnce(host.origin, calls), { 200: 40, 429: 50 });
  },
);

onBareHost(
  'E4 a key with a small limit works with a call that names no ceiling, and the upstream is told the ceiling',
  () => ({ clock: frozenClock(), key: { limits: { tokensPerMinute: 100 } } }),
  async ({ client, upstream, setup }) => {
    assert.equal((await client().chat.completions.create(CALL)).choices[0]?.message.content, 'Hello');
    const body = (await upstream.request(0)).json();
    const ceiling = Number(body.max_completion_tokens);
    assert.ok(ceiling >= 16 && ceiling < 100, String(ceiling));
    const [reservation] = setup.limiter.settled.map((one) => one.reservation);
    assert.ok((reservation?.draws[0]?.amount ?? 0) <= 100);
    assert.deepEqual(setup.limiter.settled[0]?.amounts, [20]);
    // 80 are left: again less than the default ceiling, and again enough.
    await client().chat.completions.create(CALL);
    assert.ok(Number((await upstream.request(1)).json().max_completion_tokens) < ceiling);
  },
);

onBareHost(
  'E4 a ceiling that the client named is the ceiling; without a token limit none is added',
  () => ({ key: { limits: { tokensPerMinute: 10_000 } } }),
  async ({ client, upstream }) => {
    await client().chat.completions.create({ ...CALL, max_tokens: 7 });
    assert.deepEqual((await upstream.request(0)).json(), { ...CALL, max_tokens: 7 });
    await client().chat.completions.create({ ...CALL, max_completion_tokens: 8 });
    assert.deepEqual((await upstream.request(1)).json(), { ...CALL, max_completion_tokens: 8 });
  },
);

onBareHost(
  'E5 a call larger than the whole limit is told so once: the official client does not try again',
  () => ({ key: { limits: { tokensPerMinute: 1_000 } } }),
  async ({ client, upstream }) => {
    let calls = 0;
    const openai = client({
      maxRetries: 3,
      fetch: (input, init) => {
        calls += 1;
        return fetch(input, init);
      },
    });
    await assert.rejects(openai.chat.completions.create({ ...CALL, max_tokens: 5_000 }), (error: unknown) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, /Limit 1,?000, Requested 5,?\d{3}/);
      assert.deepEqual([Reflect.get(error, 'status'), Reflect.get(error, 'code')], [429, 'rate_limit_exceeded']);
      return true;
    });
    assert.equal(calls, 1);
    assert.equal(upstream.requests.length, 0);
  },
);

onBareHost(
  'E6 n answers reserve n ceilings',
  () => ({ key: { limits: { tokensPerMinute: 1_000 } } }),
  async ({ host, setup }) => {
    assert.equal((await rawExchange(host.origin, call({ n: 4, max_tokens: 300 }))).status, 429);
    assert.equal((await rawExchange(host.origin, call({ n: 3, max_tokens: 300 }))).status, 200);
    assert.ok((setup.limiter.settled[0]?.reservation.draws[0]?.amount ?? 0) > 900);
  },
);

const PROMPT = { model: 'gpt-3.5-turbo-instruct', prompt: 'Say hello' };
/** What is asked, where, and the tokens of output that it may take. */
const MULTIPLIED: readonly (readonly [path: string, body: object, outputTokens: number])[] = [
  ['/v1/chat/completions', { ...CALL, max_tokens: 10 }, 10],
  ['/v1/chat/completions', { ...CALL, max_completion_tokens: 10, n: 128 }, 1_280],
  ['/v1/chat/completions', { ...CALL, max_tokens: 1, max_completion_tokens: 10_000 }, 10_000],
  ['/v1/chat/completions', { ...CALL, max_tokens: 10_000, max_completion_tokens: 1, n: 2 }, 20_000],
  ['/v1/completions', PROMPT, 16],
  ['/v1/completions', { ...PROMPT, max_tokens: 10, n: 2, best_of: 5 }, 50],
  ['/v1/completions', { ...PROMPT, max_tokens: 10, best_of: 3, n: 3, prompt: ['a', 'b'] }, 60],
  ['/v1/completions', { ...PROMPT, max_tokens: 0, echo: true }, 0],
  ['/v1/completions', { ...PROMPT, max_tokens: 10, best_of: 0, n: 2 }, 20],
];

onBareHost(
  'E6 n, best_of, several prompts and both names of the ceiling multiply what is reserved',
  () => ({ clock: frozenClock(), key: { limits: { outputTokensPerMinute: 1_000_000, tokensPerMinute: 1_000_000 } } }),
  async ({ host, setup }) => {
    const headers = { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' };
    for (const [path, body, outputTokens] of MULTIPLIED) {
      assert.equal(
        (await rawExchange(host.origin, rawRequest('POST', path, headers, JSON.stringify(body)))).status,
        200,
      );
      const [tokens, output] = setup.limiter.settled.at(-1)?.reservation.draws ?? [];
      assert.equal(output?.amount, outputTokens, JSON.stringify(body));
      assert.equal(tokens?.amount, outputTokens + (setup.records.at(-1)?.reservedInputTokens ?? 0));
    }
    // More answers than OpenAI makes are refused before anything is reserved.
    const settled = setup.limiter.settled.length;
    assert.equal((await rawExchange(host.origin, call({ n: 129, max_tokens: 1 }))).status, 400);
    assert.equal(setup.limiter.settled.length, settled);
  },
);

onBareHost(
  'E6 four answers of full length use no more than was reserved for them',
  () => ({ key: { limits: { tokensPerMinute: 100_000 } } }),
  async ({ client, upstream, setup }) => {
    upstream.answerWith((request) => {
      const { n, max_completion_tokens: most } = request.json();
      const usage = { prompt_tokens: 8, completion_tokens: Number(n) * Number(most), total_tokens: 0 };
      return reply(wholeChat('Hello', { usage: { ...usage, total_tokens: 8 + usage.completion_tokens } }));
    });
    await client().chat.completions.create({ ...CALL, n: 4 });
    const [settled] = setup.limiter.settled;
    assert.equal(settled?.amounts[0], 8 + 4 * 4_096);
    assert.ok((settled?.amounts[0] ?? 0) <= (settled?.reservation.draws[0]?.amount ?? 0), 'within');
  },
);

onBareHost(
  'E24 what is refused takes nothing, not even a request, and leaves no record',
  () => ({
    clock: frozenClock(),
    key: { limits: { requestsPerMinute: 10, tokensPerMinute: 1_000 }, models: [CALL.model, 'gone'] },
    models: { [CALL.model]: {}, 'gpt-4o': {} },
  }),
  async ({ host, setup }) => {
    const refused: readonly (readonly [status: number, body: Record<string, unknown>])[] = [
      [400, { messages: 'none' }],
      [400, { n: 0 }],
      [403, { model: 'gpt-4o' }],
      [404, { model: 'gone' }],
      [429, { max_tokens: 5_000 }],
    ];
    for (const [status, body] of refused) {
      const answer = await rawExchange(host.origin, call(body));
      assert.equal(answer.status, status, answer.body);
      assert.equal(answer.headers['x-ratelimit-remaining-requests'], '10', JSON.stringify(body));
      assert.equal(answer.headers['x-ratelimit-remaining-tokens'], '1000', JSON.stringify(body));
    }
    assert.equal((await rawExchange(host.origin, call({}, 'unknown-secret-0123456789'))).status, 401);
    await host.gateway.close();
    assert.equal((await rawExchange(host.origin, call())).status, 503);
    assert.deepEqual([setup.usage.opened.length, setup.limiter.granted()], [0, 0]);
  },
);

const clock = frozenClock();
onBareHost(
  'E23 after exactly the wait it was told a refused call is admitted, and not a millisecond sooner',
  () => ({ key: { limits: { requestsPerMinute: 7, tokensPerMinute: 1_000 } }, clock }),
  async ({ host, setup }) => {
    const property = fc.asyncProperty(fc.integer({ min: 1, max: 900 }), async (max_tokens) => {
      for (;;) {
        const refused = await rawExchange(host.origin, call({ max_tokens }));
        if (refused.status === 200) continue;
        assert.equal(refused.status, 429, refused.body);
        const waitMs = Number(refused.headers['retry-after-ms']);
        assert.ok(waitMs >= 1 && waitMs <= Number(refused.headers['retry-after']) * 1_000);
        clock.advance(waitMs - 1);
        assert.equal((await rawExchange(host.origin, call({ max_tokens }))).status, 429, `${waitMs} - 1`);
        clock.advance(1);
        assert.equal((await rawExchange(host.origin, call({ max_tokens }))).status, 200, `${waitMs}`);
        return;
      }
    });
    await within(fc.assert(property, runs(8)), 'the property to be checked', patience(55_000));
    await setup.limiter.allBack();
  },
);

onBareHost(
  'a stream holds its place until its end, and no longer',
  () => ({ key: { limits: { concurrency: 1 } } }),
  async ({ client, upstream }) => {
    const release = gate();
    const [first = '', ...rest] = streamEvents(['Hi']);
    upstream.answerWith(async function* () {
      const [head, event, ...others] = streamReply([first, ...rest]);
      if (head !== undefined && event !== undefined) yield* [head, event];
      yield { kind: 'wait', until: release.opened };
      yield* others;
    });
    const stream = await client().chat.completions.create({ ...CALL, stream: true });
    await assert.rejects(client().chat.completions.create(CALL), { status: 429 });
    release.open();
    for await (const _ of stream);
    const next = await client().chat.completions.create({ ...CALL, stream: true });
    for await (const _ of next);
  },
);

interface Event {
  readonly kind: 'reserve' | 'settle';
  readonly amounts: readonly number[];
  readonly capacities: readonly number[];
  readonly reserved: readonly number[];
  readonly verdict: Verdict | undefined;
}

/** A limiter that keeps the order in which it was asked, behind a store that takes a while. */
function slowLimiter(): LimiterStore & { readonly events: readonly Event[] } {
  const store = memoryLimiter();
  const events: Event[] = [];
  const capacitiesOf = ({ draws }: Reservation): number[] => draws.map(({ capacity }) => capacity);
  const reservedOf = ({ draws }: Reservation): number[] => draws.map(({ amount }) => amount);
  let asked = 0;
  const aWhile = async (): Promise<void> => {
    asked += 1;
    for (let turn = (asked * 7) % 5; turn > 0; turn -= 1) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    events,
    async reserve(reservation, now) {
      await aWhile();
      const verdict = await store.reserve(reservation, now);
      const reserved = reservedOf(reservation);
      events.push({ kind: 'reserve', amounts: [], capacities: capacitiesOf(reservation), reserved, verdict });
      await aWhile();
      return verdict;
    },
    async settle(reservation, amounts, now) {
      await aWhile();
      const reserved = reservedOf(reservation);
      events.push({ kind: 'settle', amounts, capacities: capacitiesOf(reservation), reserved, verdict: undefined });
      await store.settle(reservation, amounts, now);
    },
  };
}

const slow = slowLimiter();
const TOKENS = 20_000;
onBareHost(
  'E1 200 calls at once of any size, against one budget and one bucket: admitted as one after the other, never above',
  () => ({
    clock: frozenClock(),
    limiter: slow,
    models: { priced: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 10 } } },
    key: { limits: { tokensPerMinute: TOKENS, usdPerDay: 0.2 } },
  }),
  async ({ host, upstream, setup }) => {
    const usageOf = ({ max_tokens = 0 }: Record<string, unknown>): Record<string, unknown> => ({
      prompt_tokens: 5,
      completion_tokens: Math.floor(Number(max_tokens) / 3),
      total_tokens: 5 + Math.floor(Number(max_tokens) / 3),
    });
    upstream.answerWith((request) => reply(wholeChat('Hello', { usage: usageOf(request.json()) })));
    const sizes = fc.sample(fc.integer({ min: 1, max: 700 }), { numRuns: 200, seed: 4 });
    const statuses = await atOnce(
      host.origin,
      sizes.map((max_tokens) => call({ model: 'priced', max_tokens })),
    );
    const used = [0, 0];
    let granted = 0;
    for (const { kind, amounts, reserved, capacities, verdict } of slow.events) {
      if (kind === 'settle') {
        for (const [index, amount] of amounts.entries())
          used[index] = (used[index] ?? 0) + amount - (reserved[index] ?? 0);
        continue;
      }
      // A look, or a budget that nobody had asked the ledger about.
      if (reserved.every((amount) => amount === 0) || verdict?.unknownBudgets === true) continue;
      const fits = reserved.every((amount, index) => (used[index] ?? 0) + amount <= (capacities[index] ?? 0));
      assert.equal(verdict?.granted, fits, 'as an exact account of them in their order has it');
      if (!fits) continue;
      granted += 1;
      for (const [index, amount] of reserved.entries()) used[index] = (used[index] ?? 0) + amount;
      assert.ok(
        used.every((amount, index) => amount <= (capacities[index] ?? 0)),
        `${used} of ${capacities}`,
      );
      assert.deepEqual(
        verdict?.remaining,
        capacities.map((capacity, index) => capacity - (used[index] ?? 0)),
      );
    }
    assert.equal(statuses[200], granted);
    assert.equal((statuses[200] ?? 0) + (statuses[429] ?? 0), 200);
    assert.ok(granted > 20 && granted < 200, `${granted} admitted`);
    const spent = setup.records.reduce((sum, { costNanoUsd = 0 }) => sum + (costNanoUsd ?? 0), 0);
    assert.equal(used[1], spent, 'what the budget lost is what the records cost');
  },
);

/** How many calls got which status; counted as they come into `statuses`. */
async function atOnce(
  origin: string,
  calls: readonly Buffer[],
  statuses: Record<number, number> = {},
): Promise<Record<number, number>> {
  await inParallel(calls, calls.length, async (bytes) => {
    const { status } = await rawExchange(origin, bytes);
    statuses[status] = (statuses[status] ?? 0) + 1;
  });
  return statuses;
}
