import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { type ApiKey, type GatewayOptions, type Limits, memoryKeys, type TierLimits } from 'megallm-middleware';
import OpenAI from 'openai';
import { reply, USAGE, wholeChat } from '../helpers/chat-answers.js';
import { gate, settleSockets, within } from '../helpers/deadline.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET, SMALL_SECRET } from '../helpers/gateway-options.js';
import { rawChat, rawClient, rawExchange } from '../helpers/raw-client.js';
import { CALL, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';

const SPANS = ['usdPerDay', 'usdPerMonth'] as const;
/** 1,000 billionths of a dollar for a token of input, 10,000 for one of output. */
const MODELS = {
  priced: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 10 } },
  unpriced: {},
};
const PRICED = { ...CALL, model: 'priced' };
const BUDGET_USD = 0.001;
const BUDGET_NANO_USD = 1_000_000;

/** Where a budget may stand, and the options that put it there. */
const PLACES: readonly (readonly [place: string, options: (limits: Limits) => SceneOptions])[] = [
  ['the key', (limits) => ({ key: { ownLimits: limits } })],
  ['the owner, by the key', (limits) => ({ key: { limits } })],
  ['the owner, by the tier', (limits) => ({ tiers: tiersOf(limits) })],
  ['the tier together', (limits) => ({ tiers: tiersOf({ shared: limits }) })],
  ['all together', (limits) => ({ globalLimits: limits })],
];

function tiersOf(open: TierLimits): NonNullable<GatewayOptions['tiers']> {
  return { open, small: {} };
}

/** Answers with so many tokens of output. */
const answering = (outputTokens: number) => () =>
  reply(wholeChat('Hello', { usage: { ...USAGE, completion_tokens: outputTokens, total_tokens: 11 + outputTokens } }));

/** Uses up the budget but for what an answer needs, and asks again with the SDK's own retries. */
async function useUp({ client, upstream }: Scene): Promise<void> {
  upstream.answerWith(answering(95));
  await client().chat.completions.create(PRICED);
  const ceiling = Number((await upstream.request(0)).json().max_completion_tokens);
  assert.ok(ceiling >= 95 && ceiling * 10_000 <= BUDGET_NANO_USD, `the ceiling goes upstream: ${ceiling}`);
  let calls = 0;
  const retrying = client({
    maxRetries: 3,
    fetch: (input, init) => {
      calls += 1;
      return fetch(input, init);
    },
  });
  await assert.rejects(retrying.chat.completions.create(PRICED), (error: unknown) => {
    assert.ok(error instanceof OpenAI.RateLimitError, String(error));
    assert.deepEqual([error.status, error.code, error.type], [429, 'insufficient_quota', 'insufficient_quota']);
    assert.match(
      error.message,
      /^429 You exceeded your current quota: .*\$0\.\d+ are left of the (?:day|month)'s budget/,
    );
    assert.equal(error.headers?.get('x-should-retry'), 'false');
    assert.equal(error.headers?.get('retry-after'), null);
    return true;
  });
  assert.equal(calls, 1, 'the SDK does not try again');
  assert.equal(upstream.requests.length, 1, 'and nothing went upstream');
}

onBareHost(
  'a budget that is used up refuses with `insufficient_quota`, which the official client does not retry',
  () => ({ models: MODELS, key: { ownLimits: { usdPerDay: BUDGET_USD } } }),
  useUp,
);

describe('a budget holds', () => {
  for (const [place, optionsOf] of PLACES) {
    for (const span of SPANS) {
      onBareHost(
        `for ${place}: ${span}`,
        () => ({ models: MODELS, clock: frozenClock(), ...optionsOf({ [span]: BUDGET_USD }) }),
        async (scene) => {
          await useUp(scene);
          const [settled] = scene.setup.limiter.settled;
          assert.deepEqual(settled?.amounts, [scene.setup.records[0]?.costNanoUsd]);
          assert.equal(scene.setup.records[0]?.costNanoUsd, 11 * 1_000 + 95 * 10_000);
        },
      );
    }
  }
});

onBareHost(
  'E18 100 keys of one owner spend one budget, to the token',
  () => ({
    models: MODELS,
    clock: frozenClock(),
    keys: memoryKeys(
      Array.from({ length: 100 }, (_, index) => ({
        secret: `secret-of-key-${index}-0123456789`,
        id: `k${index}`,
        owner: 'ann',
        // 12 answers of 9 tokens, reserved at 20, and a little more.
        limits: { usdPerDay: 0.0014 },
      })),
    ),
    script: () => reply(wholeChat('Hello')),
  }),
  async ({ host, setup }) => {
    const statuses: number[] = [];
    for (let index = 0; index < 100; index += 1) {
      const call = rawChat(`secret-of-key-${index}-0123456789`, { ...PRICED, max_tokens: 20 });
      statuses.push((await rawExchange(host.origin, call)).status);
    }
    let left = 1_400_000;
    const expected = statuses.map(() => {
      // A text may have three times the tokens that are estimated.
      const worst = 3 * (setup.records[0]?.reservedInputTokens ?? 0) * 1_000 + 20 * 10_000;
      if (worst > left) return 429;
      left -= 11 * 1_000 + 9 * 10_000;
      return 200;
    });
    assert.deepEqual(statuses, expected);
    assert.ok(statuses.includes(200) && statuses.includes(429));
  },
);

onBareHost(
  'E13 a model without a price is refused to a key with a budget, and to that key only',
  () => ({ models: MODELS, key: { limits: { usdPerMonth: 5 } } }),
  async ({ client, upstream, setup }) => {
    const unpriced = { ...CALL, model: 'unpriced' };
    for (const stream of [false, true]) {
      await assert.rejects(client().chat.completions.create({ ...unpriced, stream }), (error: unknown) => {
        assert.ok(error instanceof OpenAI.PermissionDeniedError);
        assert.equal(error.code, 'model_not_allowed');
        assert.match(error.message, /has a budget in US dollars, and the price of `unpriced` is unknown/);
        return true;
      });
    }
    assert.equal(upstream.requests.length, 0);
    assert.equal(setup.usage.opened.length, 0);
    assert.ok((await client({ apiKey: SMALL_SECRET }).chat.completions.create(unpriced)).choices.length > 0);
    assert.equal(setup.records[0]?.costNanoUsd, undefined);
    assert.ok((await client().chat.completions.create(PRICED)).choices.length > 0);
  },
);

onBareHost(
  'E14 the price in force when a call began is what it is settled at, and stands in its record',
  () => ({ models: MODELS, key: { limits: { usdPerDay: 1 } } }),
  async ({ client, setup }) => {
    await client().chat.completions.create(PRICED);
    const [opened] = setup.usage.opened;
    const [record] = setup.records;
    assert.equal(opened?.price?.outputNanoUsdPerMillion, 10_000_000_000);
    assert.deepEqual(record?.price, opened?.price);
    const { inputTokens = 0, outputTokens = 0, costNanoUsd } = record ?? {};
    assert.equal(costNanoUsd, inputTokens * 1_000 + outputTokens * 10_000);
    assert.ok((opened?.reservedNanoUsd ?? 0) >= (costNanoUsd ?? 0));
  },
);

describe('E27 a budget begins anew with its period, and not a millisecond sooner,', () => {
  const berlin = { budgetTimeZone: 'Europe/Berlin' };
  // The night of the 29th the clocks go forward: that day is 23 hours long.
  const nights = ['2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z', '2026-03-30T22:00:00Z'].map((at) => Date.parse(at));
  const months = ['2026-03-31T22:00:00Z', '2026-04-30T22:00:00Z', '2026-05-31T22:00:00Z'].map((at) => Date.parse(at));
  for (const [span, edges] of [
    ['usdPerDay', nights],
    ['usdPerMonth', months],
  ] as const) {
    const startMs = (edges[0] ?? 0) - 3_600_000;
    const clock = frozenClock(startMs);
    onBareHost(
      `where its days are those of Berlin: ${span}`,
      () => ({ models: MODELS, clock, key: { limits: { [span]: BUDGET_USD } }, ...berlin, script: answering(95) }),
      async ({ host }) => {
        const ask = async (): Promise<number> => (await rawExchange(host.origin, rawChat(SECRET, PRICED))).status;
        for (const edge of edges) {
          assert.equal(await ask(), 200);
          assert.equal(await ask(), 429);
          clock.advance(edge - 1 - clock.wallMs());
          assert.equal(await ask(), 429, 'the last millisecond');
          clock.advance(1);
        }
        assert.equal(await ask(), 200, 'the first instant');
      },
    );
  }

  const clock = frozenClock(Date.parse('2026-11-25T23:59:59.000Z'));
  onBareHost(
    'also for a call whose body was on its way at midnight',
    () => ({ models: MODELS, clock, key: { limits: { usdPerDay: BUDGET_USD } } }),
    async ({ host, setup }) => {
      const client = await rawClient(host.origin);
      const bytes = rawChat(SECRET, PRICED);
      client.send(bytes.subarray(0, -10));
      await settleSockets(20);
      clock.advance(2_000);
      client.send(bytes.subarray(-10));
      assert.equal((await client.response()).status, 200);
      client.destroy();
      const [draw] = setup.limiter.settled[0]?.reservation.draws ?? [];
      assert.equal(draw?.bucket, 'key:key_test:usdPerDay:2026-11-26');
      assert.equal(draw?.budget?.endsAt, Date.parse('2026-11-27T00:00:00Z'));
    },
  );
});

const opening = gate();
const asked = gate();
onBareHost(
  'a client that leaves while its call is being written down costs nothing of a budget either',
  () => ({
    models: MODELS,
    key: { limits: { usdPerDay: 1 } },
    usage: {
      open: async () => {
        asked.open();
        await opening.opened;
      },
      settle: () => {},
    },
  }),
  async ({ host, setup, upstream }) => {
    const client = await rawClient(host.origin);
    client.send(rawChat(SECRET, PRICED));
    await within(asked.opened, 'the call to be written down');
    client.reset();
    await setup.limiter.allBack();
    opening.open();
    await settleSockets(10);
    assert.equal(upstream.requests.length, 0);
    assert.deepEqual(setup.limiter.settled[0]?.amounts, [0]);
    // Its record is in this test's own store.
    setup.records.length = 0;
  },
);

/** Keys whose budget the ledger knows to be spent in part. */
const ledgerOf = (spentNanoUsd: number): NonNullable<GatewayOptions['usage']> & { readonly asked: unknown[] } => {
  const asked: unknown[] = [];
  return {
    asked,
    open: () => {},
    settle: () => {},
    spent: (scope, period) => {
      asked.push([scope, period.to - period.from]);
      return Promise.resolve(spentNanoUsd);
    },
  };
};

const KEY: Partial<ApiKey> = { owner: 'ann', limits: { usdPerDay: 1 }, ownLimits: { usdPerDay: BUDGET_USD } };
const ledger = ledgerOf(900_000);
onBareHost(
  'a budget that the limiter does not know begins with what the ledger says was spent, asked of whose it is',
  () => ({
    models: MODELS,
    key: KEY,
    usage: ledger,
    limiter: forgetful(),
    tiers: tiersOf({ shared: { usdPerDay: 1 } }),
    globalLimits: { usdPerDay: 1 },
  }),
  async ({ host, setup }) => {
    assert.equal((await rawExchange(host.origin, rawChat(SECRET, { ...PRICED, max_tokens: 6 }))).status, 200);
    assert.equal((await rawExchange(host.origin, rawChat(SECRET, { ...PRICED, max_tokens: 16 }))).status, 429);
    const day = 86_400_000;
    assert.deepEqual(ledger.asked.slice(0, 4), [
      [{ kind: 'owner', id: 'owner:ann' }, day],
      [{ kind: 'key', id: 'key_test' }, day],
      [{ kind: 'tier', id: 'open' }, day],
      [{ kind: 'all' }, day],
    ]);
    setup.records.length = 0;
  },
);

/** A limiter that has lost every budget, and begins it with what it is told. */
function forgetful(): NonNullable<GatewayOptions['limiter']> {
  return {
    reserve({ draws }) {
      const remaining = draws.map(({ capacity, budget }) => capacity - (budget?.spent ?? 0));
      if (draws.some(({ budget }) => budget !== undefined && budget.spent === undefined)) {
        return { granted: false, retryAfterMs: 0, remaining, unknownBudgets: true };
      }
      const granted = draws.every(({ amount }, index) => amount <= (remaining[index] ?? 0));
      return { granted, retryAfterMs: granted ? 0 : Number.POSITIVE_INFINITY, remaining };
    },
    settle() {},
  };
}
