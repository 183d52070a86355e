import assert from 'node:assert/strict';
import fc from 'fast-check';
import { memoryKeys } from 'megallm-middleware';
import { reply, streamEvents, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate, within } from '../helpers/deadline.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET } from '../helpers/gateway-options.js';
import { inParallel, range } from '../helpers/in-parallel.js';
import { rawChat, rawExchange } from '../helpers/raw-client.js';
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
      assert.deepEqual([Reflect.get(error, 'status'), Reflect.get(error, 'code')], [429, 'request_exceeds_limit']);
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
    await within(fc.assert(property, { numRuns: 60 }), 'the property to be checked', 55_000);
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
