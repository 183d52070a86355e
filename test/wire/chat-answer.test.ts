import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ChatAnswer, type ChatChoice, chatCompletion, chatHead, usageBody } from '../../src/wire/chat/answer.js';
import { asksForUsage, chatChunks } from '../../src/wire/chat/chunks.js';
import { collectChunks } from '../../src/wire/chat/collect-chunks.js';
import { readAnswer } from '../../src/wire/chat/read-answer.js';
import { chatCompletionId, toolCallId } from '../../src/wire/ids.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { recordedAnswers, recordingsAreMissing } from '../conformance/recordings.js';
import { joinedChunks, shapeOf } from '../helpers/openai-shapes.js';

const head = { ...chatHead('seed', 'gpt-4o', 1_770_950_813_999), serviceTier: 'default', systemFingerprint: 'fp_1' };
const usage = usageBody({ inputTokens: 11, outputTokens: 9, reasoningTokens: 4 });
const hello: ChatChoice = { text: ['Hel', 'lo', '!'], toolCalls: [], finishReason: 'stop' };
const calls: ChatChoice = {
  text: null,
  toolCalls: [
    { kind: 'function', id: toolCallId('a'), name: 'first', text: ['{"x"', ':1}'] },
    { kind: 'function', id: toolCallId('b'), name: 'second', text: ['{}'] },
  ],
  finishReason: 'tool_calls',
};
const custom: ChatChoice = {
  text: null,
  toolCalls: [
    { kind: 'custom', id: toolCallId('c'), name: 'shell', text: ['ls', ' -l'] },
    { kind: 'function', id: toolCallId('d'), name: 'last', text: ['{}'] },
  ],
  finishReason: 'tool_calls',
};
const entry = (token: string) => ({ token, logprob: -0.1, bytes: [...Buffer.from(token)], top_logprobs: [] });
const withLogprobs: ChatChoice = { ...hello, logprobs: ['Hel', 'lo', '!'].map(entry) };
const legacy: ChatChoice = {
  text: null,
  toolCalls: [],
  functionCall: { name: 'f', text: ['{', '}'] },
  finishReason: 'function_call',
};

function answer(...choices: ChatChoice[]): ChatAnswer {
  return { head, choices, usage };
}

function chunksOf(of: ChatAnswer, includeUsage = false) {
  return [...chatChunks(of, { includeUsage })];
}

describe('a whole answer', () => {
  it('has the members of a recorded one in their order', { skip: recordingsAreMissing }, () => {
    const recorded = recordedAnswers('POST /v1/chat/completions 200 application/json');
    assert.ok(recorded.length > 0);
    for (const one of recorded) assert.deepEqual(shapeOf(chatCompletion(answer(hello))), shapeOf(one));
  });

  it('puts tool calls where OpenAI does, and no content beside them', () => {
    const [choice] = Object.values(chatCompletion(answer(calls)).choices ?? {});
    assert.deepEqual(choice, {
      index: 0,
      message: {
        role: 'assistant',
        content: null,
        tool_calls: [
          { id: toolCallId('a'), type: 'function', function: { name: 'first', arguments: '{"x":1}' } },
          { id: toolCallId('b'), type: 'function', function: { name: 'second', arguments: '{}' } },
        ],
        refusal: null,
        annotations: [],
      },
      logprobs: null,
      finish_reason: 'tool_calls',
    });
  });

  it('puts the input of a custom tool where OpenAI does', () => {
    const [choice] = Object.values(chatCompletion(answer(custom)).choices ?? {});
    assert.deepEqual(choice.message.tool_calls, [
      { id: toolCallId('c'), type: 'custom', custom: { name: 'shell', input: 'ls -l' } },
      { id: toolCallId('d'), type: 'function', function: { name: 'last', arguments: '{}' } },
    ]);
  });

  it('is what OpenAI describes', { skip: specIsMissing }, () => {
    const check = specChecker();
    for (const choice of [hello, calls, custom, withLogprobs, legacy, { ...hello, text: null, refusal: 'No.' }]) {
      check('CreateChatCompletionResponse', chatCompletion(answer(choice, choice)));
    }
  });

  it('leaves out what nobody said', () => {
    const bare = chatCompletion({ head: chatHead('x', 'm', 1_000), choices: [hello], usage: undefined });
    assert.deepEqual(Object.keys(bare), ['id', 'object', 'created', 'model', 'choices']);
    assert.equal(bare.created, 1);
  });
});

describe('ids', () => {
  it('have the length and alphabet of OpenAI, and are the same for the same seed', () => {
    assert.match(chatCompletionId('a'), /^chatcmpl-[A-Za-z0-9]{29}$/);
    assert.match(toolCallId('a'), /^call_[A-Za-z0-9]{24}$/);
    assert.equal(chatCompletionId('a'), chatCompletionId('a'));
    assert.notEqual(chatCompletionId('a'), chatCompletionId('b'));
  });
});

describe('chunks', () => {
  it('come in the recorded sequence', () => {
    const deltas = chunksOf(answer(hello)).map(({ choices }) => choices);
    const step = (delta: object, finish_reason: string | null = null) => [
      { index: 0, delta, logprobs: null, finish_reason },
    ];
    assert.deepEqual(deltas, [
      step({ role: 'assistant', content: '', refusal: null }),
      step({ content: 'Hel' }),
      step({ content: 'lo' }),
      step({ content: '!' }),
      step({}, 'stop'),
    ]);
  });

  it('repeat the head, in the order of the recordings', { skip: recordingsAreMissing }, () => {
    const [first] = recordedAnswers('POST /v1/chat/completions 200 text/event-stream');
    assert.ok(Array.isArray(first));
    const recorded = [
      ...String(first[0]).matchAll(/"(id|object|created|model|service_tier|system_fingerprint|choices|usage)":/g),
    ];
    for (const chunk of chunksOf(answer(hello), true)) {
      assert.deepEqual(
        Object.keys(chunk),
        recorded.map(([, name]) => name),
      );
      assert.equal(chunk.id, head.id);
      assert.equal(chunk.created, 1_770_950_813);
    }
  });

  it('end with the usage when it is asked for, and say usage: null until then', () => {
    const chunks = chunksOf(answer(hello), true);
    assert.deepEqual(chunks.at(-1)?.choices, []);
    assert.deepEqual(chunks.at(-1)?.usage, usage);
    for (const chunk of chunks.slice(0, -1)) assert.equal(chunk.usage, null);
    for (const chunk of chunksOf(answer(hello))) assert.ok(!('usage' in chunk));
  });

  it('say id, type and name of a call in its first delta only', () => {
    const deltas = chunksOf(answer(calls))
      .flatMap(({ choices }) => (Array.isArray(choices) ? choices : []))
      .map(({ delta }) => delta);
    assert.deepEqual(deltas[0], {
      role: 'assistant',
      content: null,
      tool_calls: [{ index: 0, id: toolCallId('a'), type: 'function', function: { name: 'first', arguments: '' } }],
      refusal: null,
    });
    assert.deepEqual(deltas[1], { tool_calls: [{ index: 0, function: { arguments: '{"x"' } }] });
    assert.deepEqual(deltas[3], {
      tool_calls: [{ index: 1, id: toolCallId('b'), type: 'function', function: { name: 'second', arguments: '' } }],
    });
  });

  it('of a call of a custom tool say its input likewise', () => {
    const deltas = chunksOf(answer({ ...custom, text: ['x'] }))
      .flatMap(({ choices }) => (Array.isArray(choices) ? choices : []))
      .map(({ delta }) => delta.tool_calls?.[0]);
    assert.deepEqual(deltas.slice(2, 5), [
      { index: 0, id: toolCallId('c'), type: 'custom', custom: { name: 'shell', input: '' } },
      { index: 0, custom: { input: 'ls' } },
      { index: 0, custom: { input: ' -l' } },
    ]);
  });

  it('of several choices take turns', () => {
    const order = chunksOf(answer(hello, { ...hello, text: ['x'] })).map(({ choices }) => {
      return Array.isArray(choices) ? choices[0].index : undefined;
    });
    assert.deepEqual(order, [0, 1, 0, 1, 0, 1, 0, 0]);
  });

  it('are what OpenAI describes', { skip: specIsMissing }, () => {
    const check = specChecker();
    const all = answer(hello, calls, custom, withLogprobs, legacy, { ...hello, text: null, refusal: 'No.' });
    for (const chunk of chunksOf(all, true)) check('CreateChatCompletionStreamResponse', chunk);
  });

  it('carry the log probabilities of their piece', () => {
    const logprobs = chunksOf(answer(withLogprobs)).map(({ choices }) =>
      Array.isArray(choices) ? choices[0].logprobs : 0,
    );
    assert.deepEqual(logprobs, [
      { content: [], refusal: null },
      ...['Hel', 'lo', '!'].map((token) => ({ content: [entry(token)], refusal: null })),
      null,
    ]);
  });

  for (const [name, choice] of Object.entries({ hello, calls, custom, withLogprobs, legacy })) {
    it(`join to the whole answer: ${name}`, async () => {
      const whole = answer(choice, { ...hello, text: ['an', 'other'] });
      const collected = await collectChunks(asynchronous(chunksOf(whole, true)), chatHead('other', 'other', 0), 1_000);
      assert.deepEqual(chatCompletion(collected), chatCompletion(whole));
    });
  }

  it('join as a client joins them', () => {
    for (const choice of [calls, custom]) {
      const { choices } = chatCompletion(answer(choice));
      assert.ok(Array.isArray(choices));
      const { content, tool_calls } = choices[0].message;
      assert.deepEqual(joinedChunks(chunksOf(answer(choice))), { content, tool_calls, finish_reason: 'tool_calls' });
    }
  });
});

describe('collecting chunks', () => {
  it('stops at its bound', async () => {
    const endless = (async function* () {
      for (;;) yield { choices: [{ index: 0, delta: { content: 'word ' } }] };
    })();
    await assert.rejects(collectChunks(endless, head, 1_000), RangeError);
  });

  it('joins calls by index, whatever order they come in', async () => {
    const chunk = (index: number, call: object) => ({
      choices: [{ index: 0, delta: { tool_calls: [{ index, ...call }] } }],
    });
    const { choices } = await collectChunks(
      asynchronous([
        chunk(7, { id: 'late', type: 'function', function: { name: 'b', arguments: '[' } }),
        chunk(1, { id: 'early', type: 'function', function: { name: 'a', arguments: '{' } }),
        chunk(7, { function: { arguments: ']' } }),
        chunk(1, { function: { arguments: '}' } }),
      ]),
      head,
      1_000,
    );
    assert.deepEqual(choices[0]?.toolCalls, [
      { kind: 'function', id: 'early', name: 'a', text: ['{', '}'] },
      { kind: 'function', id: 'late', name: 'b', text: ['[', ']'] },
    ]);
    assert.equal(choices[0]?.finishReason, 'tool_calls');
  });

  it('throws the error a stream reports', async () => {
    await assert.rejects(collectChunks(asynchronous([{ error: { message: 'no' } }]), head, 10), /reported an error/);
  });
});

describe('reading an answer', () => {
  it('gives back the whole answer it was written from', () => {
    for (const choice of [hello, calls, custom, withLogprobs, legacy]) {
      const whole = chatCompletion(answer(choice));
      assert.deepEqual(chatCompletion(readAnswer(whole, chatHead('other', 'other', 0))), whole);
    }
  });

  it('keeps members of the message that we know nothing of', () => {
    const read = readAnswer({ content: 'x', reasoning_content: 'hm', annotations: [] }, head);
    const [choice] = Object.values(chatCompletion(read).choices ?? {});
    assert.deepEqual(choice.message, {
      role: 'assistant',
      content: 'x',
      refusal: null,
      annotations: [],
      reasoning_content: 'hm',
    });
    assert.deepEqual(Object.keys(read.choices[0]?.extra ?? {}), ['reasoning_content']);
  });

  it('takes no usage for usage when it is none', () => {
    for (const bad of [{}, { prompt_tokens: -1, completion_tokens: 1 }, { prompt_tokens: 1.5 }, 'many', null]) {
      assert.equal(readAnswer({ content: 'x', usage: bad }, head).usage, undefined);
    }
    const read = readAnswer({ content: 'x', usage: { prompt_tokens: 2, completion_tokens: 3 } }, head);
    assert.equal(read.usage?.total_tokens, 5);
  });
});

it('asks for usage only by include_usage: true', () => {
  assert.equal(asksForUsage({ stream_options: { include_usage: true } }), true);
  for (const stream_options of [undefined, null, {}, [], { include_usage: false }, { include_usage: 1 }]) {
    assert.equal(asksForUsage({ stream_options }), false);
  }
});

async function* asynchronous<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}
