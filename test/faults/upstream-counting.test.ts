import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { reply, sse, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { MESSAGES, onBareHost } from '../helpers/scene.js';
import { chunksOf, eventsOf, streamResponse, streamText, textOf } from '../helpers/stream-client.js';

const PRICED = { m: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 1 } } };
const delta = (said: object, finish: string | null = null) => ({
  id: 'c',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta: said, finish_reason: finish }],
});
const spaced = (event: object): string => `data: ${JSON.stringify(event).replaceAll('":', '": ')}\n\n`;
const STOP = spaced(delta({}, 'stop'));
const DONE = 'data: [DONE]\n\n';

describe('K15, K16: an answer is never free', () => {
  const words = Array.from({ length: 300 }, () => delta({ content: 'wordwords ' }));
  const streams: readonly (readonly [string, readonly string[], number])[] = [
    ['with blanks in its JSON and no usage', [...words.map(spaced), STOP, DONE], 1_000],
    [
      'with words under a name of its own',
      [...words.map(() => spaced(delta({ musings: 'wordwords ' }))), STOP, DONE],
      1_000,
    ],
    [
      'with usage before its words',
      [sse({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 0 } }), ...words.map(sse), STOP, DONE],
      1_000,
    ],
    [
      'with usage whose sum alone is true',
      [...words.map(sse), STOP, sse({ choices: [], usage: { prompt_tokens: 9, total_tokens: 1_009 } }), DONE],
      1_000,
    ],
    [
      'with arguments that are no text',
      [
        ...Array.from({ length: 300 }, () =>
          sse(delta({ tool_calls: [{ index: 0, function: { name: 'f', arguments: { data: [1234567890] } } }] })),
        ),
        STOP,
        DONE,
      ],
      2_100,
    ],
    [
      'with nothing told but a sum',
      [...words.map(sse), STOP, sse({ choices: [], usage: { total_tokens: 9 } }), DONE],
      1_000,
    ],
  ];
  for (const [what, events, outputTokens] of streams) {
    onBareHost(
      `nor a stream ${what}`,
      () => ({ models: PRICED, script: () => streamReply(events) }),
      async (scene) => {
        await streamText(scene, { model: 'm' });
        const [record] = scene.setup.records;
        assert.equal(record?.outputTokens, outputTokens);
        assert.ok((record?.costNanoUsd ?? 0) >= outputTokens * 1_000);
      },
    );
  }

  onBareHost(
    'nor a whole answer whose words are a list',
    () => ({
      models: PRICED,
      script: () =>
        reply(
          wholeChat(null, {
            usage: null,
            message: { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'x'.repeat(3_000) }] }] },
          }),
        ),
    }),
    async ({ client, setup }) => {
      await client().chat.completions.create({ model: 'm', messages: MESSAGES });
      assert.deepEqual([setup.records[0]?.outputTokens, setup.records[0]?.counted], [1_000, 'estimated']);
    },
  );

  for (const [what, answer] of [
    ['is a number', wholeChat(null, { usage: null, message: { content: 10 ** 20 } })],
    ['is a sum alone', wholeChat('x'.repeat(63), { usage: { total_tokens: 9 } })],
  ] as const) {
    onBareHost(
      `nor a whole answer of which what is told ${what}`,
      () => ({ models: PRICED, script: () => reply(answer) }),
      async ({ client, setup }) => {
        await client().chat.completions.create({ model: 'm', messages: MESSAGES });
        assert.deepEqual(
          [setup.records[0]?.outputTokens, setup.records[0]?.counted],
          [what === 'is a number' ? 7 : 21, 'estimated'],
        );
      },
    );
  }
});

onBareHost(
  'K9 a stream that ends without [DONE] after its finish reason is whole, and has estimated usage for a client that asked',
  () => ({
    models: PRICED,
    script: () => streamReply([sse(delta({ content: 'wordwords ' })), sse(delta({}, 'stop'))]),
  }),
  async (scene) => {
    const events = eventsOf(await streamText(scene, { model: 'm', stream_options: { include_usage: true } }));
    assert.deepEqual([textOf(events), events.at(-1)], ['wordwords ', '[DONE]']);
    const last = chunksOf(events).at(-1);
    assert.deepEqual([last?.id, last?.choices], ['c', []]);
    assert.ok(JSON.stringify(last?.usage).includes('"completion_tokens":4'));
    assert.equal(scene.setup.records[0]?.outcome, 'ok');
  },
);

onBareHost(
  'K12 a stream of nothing but an error event is no answer',
  () => ({
    models: PRICED,
    broken: true,
    script: () => streamReply(['event: error\ndata: {"code":400,"details":"too long"}\n\n', DONE]),
  }),
  async (scene) => {
    const response = await streamResponse(scene, { model: 'm' });
    await response.text();
    assert.ok(response.status >= 400);
    assert.equal(scene.setup.records[0]?.outcome, 'error');
  },
);

onBareHost(
  'a budget is not passed by text in a member that nobody knows, however many calls come at once',
  () => ({
    models: PRICED,
    key: { limits: { usdPerMonth: 1 } },
    script: () =>
      reply(wholeChat('x', { usage: { prompt_tokens: 300_000, completion_tokens: 1, total_tokens: 300_001 } })),
  }),
  async (scene) => {
    const message = { role: 'user', content: 'x', reasoning_content: 'a word '.repeat(43_000) };
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const response = await streamResponse(scene, { model: 'm', messages: [message], max_tokens: 1, stream: false });
        await response.text();
        return response.status;
      }),
    );
    assert.equal(statuses.filter((status) => status === 200).length, 3);
    const spent = scene.setup.records.reduce((sum, { costNanoUsd }) => sum + (costNanoUsd ?? 0), 0);
    assert.ok(spent <= 1_000_000_000, `${spent}`);
  },
);
