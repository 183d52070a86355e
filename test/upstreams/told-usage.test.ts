import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { reply, sse, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { SECRET } from '../helpers/gateway-options.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { CALL, onBareHost, type Scene, withScene } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';

type Member = Record<string, unknown>;

const HEAD = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o-mini' };

function chunk(delta: Member, more: Member = {}, finish: string | null = null, inChoice: Member = {}): Member {
  return { ...HEAD, choices: [{ index: 0, delta, finish_reason: finish, ...inChoice }], ...more };
}

function streaming(chunks: readonly Member[]): Script {
  return () => streamReply([...chunks.map(sse), 'data: [DONE]\n\n']);
}

/** The chunks that a client gets, as they stand on the wire. */
async function chunksOf({ host }: Scene, more: Member = {}): Promise<Member[]> {
  const answer = await fetch(`${host.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ...CALL, stream: true, ...more }),
  });
  assert.equal(answer.status, 200);
  const events = (await answer.text()).split('\n\n').map((event) => event.slice('data: '.length));
  assert.deepEqual(events.splice(-2), ['[DONE]', '']);
  return events.map((event) => JSON.parse(event));
}

const CHOICE = { index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' };
const WHOLE = { ...HEAD, object: 'chat.completion' };

/** Whole answers whose usage stands elsewhere than OpenAI has it. */
const ELSEWHERE: Readonly<Record<string, (counts: Member) => Member>> = {
  'choices[0].usage': (usage) => ({ ...WHOLE, choices: [{ ...CHOICE, usage }] }),
  'x_groq.usage': (usage) => ({ ...WHOLE, choices: [CHOICE], x_groq: { id: 'req_1', usage } }),
  'choices[0].usage beside null': (usage) => ({ ...WHOLE, usage: null, choices: [{ ...CHOICE, usage }] }),
  usageMetadata: ({ prompt_tokens, completion_tokens, total_tokens }) => ({
    ...WHOLE,
    choices: [CHOICE],
    usageMetadata: {
      promptTokenCount: prompt_tokens,
      candidatesTokenCount: completion_tokens,
      totalTokenCount: total_tokens,
    },
  }),
};

describe('usage of a whole answer that stands elsewhere', () => {
  for (const [place, answer] of Object.entries(ELSEWHERE)) {
    it(`is shown to the client, too: ${place}`, async () => {
      const counts = { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 };
      await withScene(BARE_HOST, { script: () => reply(answer(counts)) }, async ({ client, setup }) => {
        const whole = await client().chat.completions.create(CALL);
        const { prompt_tokens, completion_tokens, total_tokens } = whole.usage ?? {};
        assert.deepEqual({ prompt_tokens, completion_tokens, total_tokens }, counts);
        assert.equal(whole.choices[0]?.message.content, 'Hello');
        assert.deepEqual([setup.records[0]?.inputTokens, setup.records[0]?.outputTokens], [100, 20]);
      });
    });
  }
});

const ASKING = { stream_options: { include_usage: true } };
const COUNTS = { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 };

/** Ways in which input and output are told by a chunk each. */
const SPLIT: Readonly<Record<string, readonly Member[]>> = {
  'input first': [
    chunk({ role: 'assistant', content: '' }, { usage: { prompt_tokens: 100 } }),
    chunk({ content: 'Hello' }),
    chunk({}, { usage: { completion_tokens: 20 } }, 'stop'),
  ],
  'output first': [
    chunk({ content: 'Hello' }),
    chunk({}, { usage: { completion_tokens: 20 } }, 'stop'),
    { ...HEAD, choices: [], usage: { prompt_tokens: 100 } },
  ],
  'in Anthropic’s names': [
    chunk({ content: '' }, { usage: { input_tokens: 100, output_tokens: 1 } }),
    chunk({ content: 'Hello' }),
    chunk({}, { usage: { output_tokens: 20 } }, 'stop'),
  ],
  'with a sum each': [
    chunk({ content: 'Hello' }, { usage: { prompt_tokens: 100, total_tokens: 100 } }),
    chunk({}, { usage: { completion_tokens: 20, total_tokens: 20 } }, 'stop'),
  ],
  'with a 0 for the other': [
    chunk({ content: 'Hello' }, { usage: { prompt_tokens: 100, completion_tokens: 0, total_tokens: 100 } }),
    chunk({}, { usage: { prompt_tokens: 0, completion_tokens: 20, total_tokens: 20 } }, 'stop'),
  ],
  'with a null for the other': [
    chunk({ content: 'Hello' }, { usage: { prompt_tokens: null, completion_tokens: 20 } }, 'stop'),
    { ...HEAD, choices: [], usage: { prompt_tokens: 100, completion_tokens: null, total_tokens: null } },
  ],
  'in the choices': [
    chunk({ content: 'Hello' }, {}, null, { usage: { prompt_tokens: 100 } }),
    chunk({}, {}, 'stop', { usage: { completion_tokens: 20 } }),
  ],
};

describe('usage that two chunks tell a half of each', () => {
  for (const [name, chunks] of Object.entries(SPLIT)) {
    for (const takes of ['stream', 'collected', 'translated'] as const) {
      it(`is joined ${name}, ${takes}`, async () => {
        const options = {
          script: streaming(chunks),
          ...(takes === 'translated' ? { models: { 'gpt-4o-mini': { responses: 'translate' as const } } } : {}),
        };
        await withScene(BARE_HOST, options, async (scene) => {
          const { client, setup } = scene;
          if (takes === 'translated') {
            const { usage } = await client().responses.create({ model: 'gpt-4o-mini', input: 'Say hello' });
            assert.deepEqual([usage?.input_tokens, usage?.output_tokens], [100, 20]);
          } else if (takes === 'collected') {
            const { usage } = await client().chat.completions.create(CALL);
            assert.deepEqual([usage?.prompt_tokens, usage?.completion_tokens], [100, 20]);
          } else {
            const { usage } = (await chunksOf(scene, ASKING)).at(-1) ?? {};
            assert.ok(typeof usage === 'object' && usage !== null && 'prompt_tokens' in usage);
            assert.equal(usage.prompt_tokens, 100);
          }
          const [record] = setup.records;
          assert.deepEqual([record?.counted, record?.inputTokens, record?.outputTokens], ['exact', 100, 20]);
        });
      });
    }
  }

  onBareHost(
    'is not joined where each chunk tells all of it: the last counts, an explicit 0, too',
    () => ({
      script: streaming([
        chunk({}, { usage: { prompt_tokens: 100, completion_tokens: 7, total_tokens: 107 } }),
        chunk({}, { usage: { prompt_tokens: 100, completion_tokens: 0, total_tokens: 100 } }, 'stop'),
      ]),
    }),
    async (scene) => {
      await chunksOf(scene);
      const [record] = scene.setup.records;
      assert.deepEqual([record?.counted, record?.inputTokens, record?.outputTokens], ['exact', 100, 0]);
    },
  );

  onBareHost(
    'of which one half never comes is the least that was used',
    () => ({
      script: streaming([chunk({ content: 'Hello' }), chunk({}, { usage: { completion_tokens: 5_000 } }, 'stop')]),
    }),
    async (scene) => {
      await scene.client().chat.completions.create(CALL);
      const [record] = scene.setup.records;
      assert.deepEqual([record?.counted, record?.outputTokens], ['estimated', 5_000]);
      assert.ok((record?.inputTokens ?? 0) > 0);
    },
  );
});

/** Places in which vendors tell usage. */
const PLACES: Readonly<Record<string, readonly Member[]>> = {
  'x_groq.usage': [
    chunk({ content: 'Hello' }, { x_groq: { id: 'req_1' } }),
    chunk({}, { x_groq: { id: 'req_1', usage: { ...COUNTS, queue_time: 0.1 } } }, 'stop'),
  ],
  'x_groq.usage alone': [
    chunk({ content: 'Hello' }),
    chunk({}, {}, 'stop'),
    { ...HEAD, choices: [], x_groq: { usage: COUNTS } },
  ],
  'choices[0].usage': [chunk({ content: 'Hello' }), chunk({}, {}, 'stop', { usage: COUNTS })],
  'choices[0].usage of each chunk': [
    chunk({ content: 'Hel' }, {}, null, { usage: { ...COUNTS, completion_tokens: 1, total_tokens: 101 } }),
    chunk({ content: 'lo' }, {}, null, { usage: { ...COUNTS, completion_tokens: 2, total_tokens: 102 } }),
    chunk({}, {}, 'stop', { usage: COUNTS }),
  ],
  usageMetadata: [
    chunk({ content: 'Hello' }),
    chunk({}, { usageMetadata: { promptTokenCount: 100, candidatesTokenCount: 20, totalTokenCount: 120 } }, 'stop'),
  ],
  'usage with its cost': [
    chunk({ content: 'Hello' }),
    chunk({}, { usage: { ...COUNTS, cost: 0.001, cost_details: { upstream_inference_cost: 0.001 } } }, 'stop'),
  ],
};

describe('usage that a client did not ask for', () => {
  for (const [name, chunks] of Object.entries(PLACES)) {
    it(`stays hidden, and is what is recorded: ${name}`, async () => {
      await withScene(BARE_HOST, { script: streaming(chunks) }, async (scene) => {
        const shown = await chunksOf(scene);
        assert.doesNotMatch(JSON.stringify(shown), /usage|cost|_tokens/);
        assert.match(JSON.stringify(shown), /"finish_reason":"stop"/);
        const [record] = scene.setup.records;
        assert.deepEqual([record?.counted, record?.inputTokens, record?.outputTokens], ['exact', 100, 20]);
      });
    });

    it(`is told to one that asked: ${name}`, async () => {
      await withScene(BARE_HOST, { script: streaming(chunks) }, async (scene) => {
        const usages = (await chunksOf(scene, ASKING)).map(({ usage }) => usage).filter((usage) => usage != null);
        assert.ok(usages.length > 0);
        assert.match(JSON.stringify(usages.at(-1)), /"prompt_tokens":100,"completion_tokens":20,"total_tokens":120/);
        assert.doesNotMatch(JSON.stringify(usages), /cost/);
      });
    });
  }

  onBareHost(
    'stays hidden where the upstream tells it although it refused to be asked for it',
    () => ({
      script: (request) =>
        'stream_options' in request.json()
          ? reply({ error: { message: 'Unrecognized request argument supplied: stream_options' } }, { status: 400 })
          : streamReply([
              ...[chunk({ content: 'Hello' }), chunk({}, { usage: COUNTS }, 'stop')].map(sse),
              'data: [DONE]\n\n',
            ]),
    }),
    async (scene) => {
      for (const _ of [1, 2]) assert.doesNotMatch(JSON.stringify(await chunksOf(scene)), /usage/);
      assert.ok(scene.setup.records.every(({ counted, outputTokens }) => counted === 'exact' && outputTokens === 20));
    },
  );

  onBareHost(
    'has no price of the host’s in whole answers either',
    () => ({ script: () => reply(wholeChat('Hello', { usage: { ...COUNTS, cost: 0.001, is_byok: false } })) }),
    async ({ client }) => {
      const { usage } = await client().chat.completions.create(CALL);
      assert.deepEqual(usage, COUNTS);
    },
  );
});

describe('legacy completions', () => {
  const call = { model: 'gpt-3.5-turbo-instruct', prompt: 'Say hello' };
  const piece = (index: number, text: string, more: Member = {}): Member => ({
    id: 'cmpl-1',
    object: 'text_completion',
    created: 1,
    model: call.model,
    choices: [{ index, text, logprobs: null, finish_reason: null, ...more }],
  });
  const logprobs = (token: string, offset: number): Member => ({
    logprobs: { tokens: [token], token_logprobs: [-0.5], top_logprobs: null, text_offset: [offset] },
  });

  onBareHost(
    'that are streamed where a whole one was asked for are collected',
    () => ({
      script: streaming([
        piece(1, 'Bon'),
        piece(0, 'Hel', logprobs('Hel', 0)),
        piece(0, 'lo', logprobs('lo', 3)),
        piece(1, 'jour', { finish_reason: 'eos_token' }),
        piece(0, '', { finish_reason: 'length' }),
        { ...piece(0, ''), choices: [], usage: COUNTS },
      ]),
    }),
    async ({ client, setup }) => {
      const answer = await client().completions.create({ ...call, n: 2 });
      assert.deepEqual(
        answer.choices.map(({ index, text, finish_reason }) => [index, text, finish_reason]),
        [
          [0, 'Hello', 'length'],
          [1, 'Bonjour', 'stop'],
        ],
      );
      assert.deepEqual(answer.choices[0]?.logprobs, {
        tokens: ['Hel', 'lo'],
        token_logprobs: [-0.5, -0.5],
        text_offset: [0, 3],
      });
      assert.deepEqual(answer.usage, COUNTS);
      assert.deepEqual([setup.records[0]?.counted, setup.records[0]?.outputTokens], ['exact', 20]);
    },
  );

  onBareHost(
    'that are streamed without usage and without [DONE] have their usage estimated',
    () => ({
      script: () => streamReply([piece(0, 'Hello '.repeat(100)), piece(0, '', { finish_reason: 'stop' })].map(sse)),
    }),
    async ({ client, setup }) => {
      const { usage } = await client().completions.create(call);
      assert.ok((usage?.completion_tokens ?? 0) >= 200);
      assert.equal(setup.records[0]?.outputTokens, usage?.completion_tokens);
    },
  );

  onBareHost(
    'that are streamed and tell an error, break off or say nothing are errors',
    () => ({
      broken: true,
      script: (request) => {
        const { prompt } = request.json();
        if (prompt === 'error') return streamReply([sse({ error: { message: 'Too hot', code: 400 } })]);
        if (prompt === 'cut') return streamReply([sse(piece(0, 'Hel'))]);
        return streamReply(['data: [DONE]\n\n']);
      },
    }),
    async ({ client }) => {
      await assert.rejects(client().completions.create({ ...call, prompt: 'error' }), { status: 400 });
      await assert.rejects(client().completions.create({ ...call, prompt: 'cut' }), { status: 502 });
    },
  );

  const said = (content: string): Member => ({ role: 'assistant', content });

  onBareHost(
    'that a server answers as it answers chats keep their text, and are paid for',
    () => ({
      script: (request) =>
        request.json().stream === true
          ? reply({ id: 'c', choices: [{ index: 0, message: said('Hello '.repeat(100)), finish_reason: 'stop' }] })
          : streamReply([chunk({ content: 'Hello '.repeat(100) }), chunk({}, {}, 'stop')].map(sse)),
    }),
    async ({ client, setup }) => {
      assert.equal((await client().completions.create(call)).choices[0]?.text, 'Hello '.repeat(100));
      let text = '';
      for await (const { choices } of await client().completions.create({ ...call, stream: true })) {
        text += choices[0]?.text ?? '';
      }
      assert.equal(text, 'Hello '.repeat(100));
      for (const { outputTokens } of setup.records) assert.equal(outputTokens, 200);
    },
  );

  onBareHost(
    'in place of a chat are its text, too, where they are converted',
    () => ({
      script: (request) =>
        request.json().stream === true
          ? reply(piece(0, 'Hello', { finish_reason: 'stop' }))
          : streamReply([piece(0, 'Hel'), piece(0, 'lo', { finish_reason: 'stop' })].map(sse)),
    }),
    async ({ client }) => {
      assert.equal((await client().chat.completions.create(CALL)).choices[0]?.message.content, 'Hello');
      let text = '';
      for await (const { choices } of await client().chat.completions.create({ ...CALL, stream: true })) {
        text += choices[0]?.delta.content ?? '';
      }
      assert.equal(text, 'Hello');
    },
  );

  onBareHost(
    'that are whole where a stream was asked for become a stream',
    () => ({ script: () => reply({ ...piece(0, 'Hello', { finish_reason: 'stop' }), usage: COUNTS }) }),
    async ({ client, setup }) => {
      let text = '';
      let reason: string | null = null;
      for await (const { choices, usage } of await client().completions.create({ ...call, stream: true })) {
        text += choices[0]?.text ?? '';
        reason = choices[0]?.finish_reason ?? reason;
        assert.equal(usage, undefined);
      }
      assert.deepEqual([text, reason], ['Hello', 'stop']);
      assert.deepEqual([setup.records[0]?.counted, setup.records[0]?.outputTokens], ['exact', 20]);
    },
  );
});
