import assert from 'node:assert/strict';
import { describe } from 'node:test';
import fc from 'fast-check';
import { reply, sse, streamEvents, streamReply, USAGE, type UsagePlace, wholeChat } from '../helpers/chat-answers.js';
import { within } from '../helpers/deadline.js';
import { patience, runs } from '../helpers/depth.js';
import { onBareHost } from '../helpers/scene.js';
import { chunksOf, errorCodeOf, eventsOf, streamText, textOf } from '../helpers/stream-client.js';

const PIECES = ['Once', ' upon', ' a', ' time'];

describe('wherever an upstream puts the usage of a stream, the record has it and a client that did not ask sees no usage chunk', () => {
  const places: [UsagePlace, 'exact' | 'estimated'][] = [
    ['last', 'exact'],
    ['every', 'exact'],
    ['twice', 'exact'],
    ['merged', 'exact'],
    ['never', 'estimated'],
    // Nothing after the end is waited for.
    ['after-done', 'estimated'],
  ];
  for (const [place, counted] of places) {
    for (const asked of [false, true]) {
      onBareHost(
        `${place}, ${asked ? '' : 'not '}asked for`,
        () => ({ script: () => streamReply(streamEvents(PIECES, { usage: place })) }),
        async (scene) => {
          const more = asked ? { stream_options: { include_usage: true } } : {};
          const events = eventsOf(await streamText(scene, more));
          assert.deepEqual([textOf(events), events.at(-1)], [PIECES.join(''), '[DONE]']);
          const usageChunks = chunksOf(events).filter(({ choices }) => Array.isArray(choices) && choices.length === 0);
          const sent = { last: 1, every: 0, twice: 2, merged: 0, never: 1, 'after-done': 1 }[place];
          assert.equal(usageChunks.length, asked ? sent : 0);
          const [record] = scene.setup.records;
          assert.equal(record?.counted, counted);
          assert.equal(record?.outcome, 'ok');
          if (counted === 'exact') assert.deepEqual([record?.inputTokens, record?.outputTokens], [11, 9]);
          else assert.ok((record?.outputTokens ?? 0) >= PIECES.length && (record?.inputTokens ?? 0) > 0);
        },
      );
    }
  }
});

onBareHost(
  'a usage of zero is a usage: nothing is estimated in its place',
  () => ({
    script: () => reply(wholeChat('Hello', { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } })),
    models: { m: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 1 } } },
  }),
  async ({ client, setup }) => {
    await client().chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'Hi' }] });
    const [record] = setup.records;
    assert.deepEqual(
      [record?.counted, record?.inputTokens, record?.outputTokens, record?.costNanoUsd],
      ['exact', 0, 0, 0],
    );
  },
);

const odd = fc.constantFrom<unknown>(-1, 0.5, 1e300, Number.MAX_SAFE_INTEGER, '12', null, true, [], {}, 0, 7, 2 ** 31);
const oddUsage = fc.oneof(
  odd,
  fc.record(
    {
      prompt_tokens: odd,
      completion_tokens: odd,
      total_tokens: odd,
      prompt_tokens_details: fc.oneof(odd, fc.record({ cached_tokens: odd })),
      completion_tokens_details: fc.oneof(odd, fc.record({ reasoning_tokens: odd })),
    },
    { requiredKeys: [] },
  ),
);

onBareHost(
  'lying usage credits nobody and breaks nothing: counts are whole numbers, costs are never negative',
  () => ({
    models: { m: { pricing: { inputUsdPerMillion: 3, cachedInputUsdPerMillion: 1, outputUsdPerMillion: 9 } } },
    key: { limits: { tokensPerMinute: 1_000_000_000 } },
  }),
  async (scene) => {
    const property = fc.asyncProperty(oddUsage, fc.boolean(), async (usage, stream) => {
      const event = sse({ choices: [{ index: 0, delta: { content: 'Hi' }, finish_reason: 'stop' }], usage });
      scene.upstream.answerWith(() =>
        stream ? streamReply([event, 'data: [DONE]\n\n']) : reply({ ...wholeChat('Hi'), usage }),
      );
      const before = scene.setup.records.length;
      const text = await streamText(scene, { model: 'm', stream, max_tokens: 10 });
      assert.match(text, /"Hi"/);
      const record = scene.setup.records[before];
      assert.equal(record?.outcome, 'ok');
      // `testSetup` checks each record's numbers at the end; here only that the cached part is a part.
      assert.ok((record?.cachedInputTokens ?? 0) <= (record?.inputTokens ?? 0));
      const amounts = scene.setup.limiter.settled.at(-1)?.amounts ?? [];
      for (const amount of amounts) assert.ok(Number.isSafeInteger(amount) && amount >= 0, String(amount));
    });
    await within(fc.assert(property, runs(20)), 'the property to be checked', patience(55_000));
  },
);

onBareHost(
  'the cost of an exact usage is exact: cached input at its own price',
  () => ({
    script: () => reply(wholeChat('Hello')),
    models: { m: { pricing: { inputUsdPerMillion: 2.5, cachedInputUsdPerMillion: 1.25, outputUsdPerMillion: 10 } } },
  }),
  async ({ client, setup }) => {
    await client().chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'Hi' }] });
    const cached = USAGE.prompt_tokens_details.cached_tokens;
    const nano = (USAGE.prompt_tokens - cached) * 2_500 + cached * 1_250 + USAGE.completion_tokens * 10_000;
    assert.equal(setup.records[0]?.costNanoUsd, nano);
  },
);

for (const [what, last] of [
  ['tells an error', sse({ error: { message: 'Out of memory', type: 'server_error', code: 'oom' } })],
  ['says what is no JSON', 'data: <html>\n\n'],
  ['just ends', ''],
] as const) {
  onBareHost(
    `a stream that ${what} after it told its usage is charged by that, and not by an estimate`,
    () => ({
      broken: true,
      // Two answers are wanted, and one has not come to its end.
      script: () => streamReply([...streamEvents(PIECES, { done: false }), last].filter((event) => event !== '')),
      models: { m: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 1 } } },
    }),
    async (scene) => {
      const events = eventsOf(await streamText(scene, { model: 'm', n: 2 }));
      assert.notEqual(errorCodeOf(events), undefined, events.at(-1));
      const [record] = scene.setup.records;
      assert.deepEqual(
        [record?.outcome, record?.counted, record?.inputTokens, record?.outputTokens, record?.costNanoUsd],
        ['error', 'exact', 11, 9, 20_000],
      );
    },
  );
}
