import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Json, JsonObject } from '../../src/base/json.js';
import { composeCompletion } from '../../src/upstreams/demo/compose-completion.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { malformed, type Refusals, refusesEach, stopsWhenTheClientLeaves } from '../helpers/demo-checks.js';
import { demoContext, longestBlock, wholeBody } from '../helpers/demo-context.js';

interface Logprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  readonly text_offset: readonly number[];
}
interface Choice {
  readonly text: string;
  readonly index: number;
  readonly logprobs: Logprobs | null;
  readonly finish_reason: string | null;
}
interface Answer {
  readonly id: string;
  readonly created: number;
  readonly choices: readonly Choice[];
  readonly usage?: JsonObject | null;
}

const context = demoContext();
const MALFORMED = malformed('prompt');

const ask = (rest: JsonObject = {}): JsonObject => ({
  model: 'gpt-3.5-turbo-instruct',
  prompt: 'Once upon a time',
  ...rest,
});
const send = (rest?: JsonObject) => wholeBody(composeCompletion(ask(rest), context));

async function answerTo(rest: JsonObject = {}): Promise<Answer> {
  return JSON.parse(JSON.stringify(await send(rest)));
}

async function choiceOf(rest: JsonObject = {}): Promise<Choice> {
  const [choice] = (await answerTo(rest)).choices;
  assert.ok(choice);
  return choice;
}

async function streamed(rest: JsonObject = {}): Promise<readonly (Answer & JsonObject)[]> {
  const reply = await composeCompletion(ask({ ...rest, stream: true }), context);
  assert.equal(reply.kind, 'chunks');
  return reply.kind === 'chunks' ? JSON.parse(JSON.stringify([...reply.chunks])) : [];
}

/** The choices of a stream, put together as a client does. */
function joined(chunks: readonly Answer[]): Choice[] {
  const choices: Choice[] = [];
  for (const chunk of chunks) {
    for (const { text, index, logprobs, finish_reason } of chunk.choices) {
      const before = choices[index];
      const all = logprobs ?? { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
      const had = before?.logprobs ?? { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
      choices[index] = {
        text: (before?.text ?? '') + text,
        index,
        logprobs: {
          tokens: [...had.tokens, ...all.tokens],
          token_logprobs: [...had.token_logprobs, ...all.token_logprobs],
          top_logprobs: [...had.top_logprobs, ...all.top_logprobs],
          text_offset: [...had.text_offset, ...all.text_offset],
        },
        finish_reason: finish_reason ?? before?.finish_reason ?? null,
      };
    }
  }
  return choices;
}

describe('completions of the demo: the text', () => {
  it('says in its first 16 tokens that it is a demo', async () => {
    const { text, finish_reason } = await choiceOf();
    assert.match(text, /^ This is the built-in demo model; no real model was asked\./);
    assert.equal(finish_reason, 'length');
  });

  it('ends by itself where there is room', async () => {
    const { text, finish_reason } = await choiceOf({ max_tokens: 500 });
    assert.match(
      text,
      /stands in for gpt-3\.5-turbo-instruct\. The prompt ended: "Once upon a time" Configure an upstream/,
    );
    assert.equal(finish_reason, 'stop');
  });

  it('is the same for the same body', async () => {
    const rest = { n: 3, max_tokens: 200, temperature: 2, seed: 5, logprobs: 5 };
    assert.deepEqual((await answerTo(rest)).choices, (await answerTo(rest)).choices);
  });

  it('stops before the first stop', async () => {
    for (const stop of ['; no', ['real', '; no'], ['', '; no', 'x', 'y']]) {
      const { text, finish_reason } = await choiceOf({ stop });
      assert.deepEqual([text, finish_reason], [' This is the built-in demo model', 'stop']);
    }
    assert.equal((await choiceOf({ stop: null })).finish_reason, 'length');
  });

  it('is on one line, as many stop at its end', async () => {
    assert.doesNotMatch((await choiceOf({ prompt: 'a\nb\r\nc', max_tokens: 500 })).text, /[\r\n]/);
  });

  it('comes before a suffix, which counts', async () => {
    const answer = await answerTo({ suffix: 'The end.', max_tokens: 500 });
    assert.match(answer.choices[0]?.text ?? '', /comes before your suffix/);
    assert.ok(Number(answer.usage?.prompt_tokens) > Number((await answerTo()).usage?.prompt_tokens));
  });
});

describe('completions of the demo: prompts and choices', () => {
  it('answers each prompt n times, in order', async () => {
    const { choices } = await answerTo({ prompt: ['first', 'second'], n: 3, max_tokens: 500 });
    assert.deepEqual(
      choices.map(({ index }) => index),
      [0, 1, 2, 3, 4, 5],
    );
    assert.deepEqual(
      choices.map(({ text }) => /ended: "(\w+)"/.exec(text)?.[1]),
      ['first', 'first', 'first', 'second', 'second', 'second'],
    );
    assert.equal(new Set(choices.map(({ text }) => text)).size, 6);
  });

  it('takes tokens for text', async () => {
    const text = await answerTo({ prompt: 'Hello, world!', max_tokens: 500 });
    const tokens = [9906, 11, 1917, 0];
    assert.deepEqual(await answerTo({ prompt: tokens, max_tokens: 500 }), text);
    assert.deepEqual(
      (await answerTo({ prompt: [tokens, tokens], max_tokens: 500 })).choices[1]?.text,
      text.choices[0]?.text,
    );
    const unknown = demoContext({ decoder: async () => () => undefined });
    const body = await wholeBody(composeCompletion(ask({ prompt: tokens, echo: true }), unknown));
    assert.match(JSON.stringify(body), /"text":"\[4 tokens\] This/);
  });

  for (const prompt of [undefined, null, '']) {
    it(`writes without a prompt: ${JSON.stringify(prompt)}`, async () => {
      const { choices, usage } = await answerTo({ prompt, max_tokens: 100 });
      assert.match(choices[0]?.text ?? '', /There was no prompt/);
      assert.equal(usage?.prompt_tokens, 1);
    });
  }

  it('shows n of best_of, and counts them all', async () => {
    const one = await answerTo({ max_tokens: 10 });
    const best = await answerTo({ max_tokens: 10, n: 2, best_of: 5 });
    assert.equal(best.choices.length, 2);
    assert.deepEqual([one.usage?.completion_tokens, best.usage?.completion_tokens], [10, 50]);
    assert.equal(best.usage?.prompt_tokens, one.usage?.prompt_tokens);
  });

  it('counts all prompts once and all choices', async () => {
    const { usage } = await answerTo({ prompt: ['Hello, world!', 'Hello, world!'], n: 3, max_tokens: 7 });
    assert.deepEqual(usage, { prompt_tokens: 8, completion_tokens: 42, total_tokens: 50 });
  });

  for (const model of [
    'davinci-002',
    'babbage-002',
    'gpt-3.5-turbo-instruct-0914',
    'ft:davinci-002:acme::abc',
    'openai/babbage-002',
  ]) {
    it(`plays ${model}`, async () => assert.equal((await send({ model })).model, model));
  }
});

describe('completions of the demo: echo and log probabilities', () => {
  it('echo puts the prompt before the text', async () => {
    const { text } = await choiceOf();
    assert.equal((await choiceOf({ echo: true })).text, `Once upon a time${text}`);
  });

  it('with no tokens to write there is the prompt alone', async () => {
    for (const [echo, text] of [
      [true, 'Once upon a time'],
      [false, ''],
    ] as const) {
      const choice = await choiceOf({ echo, max_tokens: 0 });
      assert.deepEqual([choice.text, choice.finish_reason], [text, 'length']);
    }
  });

  for (const top of [0, 1, 5]) {
    it(`has log probabilities with ${top} alternatives`, async () => {
      const { text, logprobs } = await choiceOf({ logprobs: top });
      assert.ok(logprobs);
      assert.equal(logprobs.tokens.join(''), text);
      for (const [index, token] of logprobs.tokens.entries()) {
        const own: number | null | undefined = logprobs.token_logprobs[index];
        const alternatives: (readonly [string, number])[] = Object.entries(logprobs.top_logprobs[index] ?? {});
        assert.equal(alternatives.length, Math.max(1, top));
        assert.deepEqual(alternatives[0], [token, own]);
        assert.ok(alternatives.every(([, logprob], at) => logprob <= (alternatives[at - 1]?.[1] ?? 0)));
      }
    });
  }

  it('offsets count characters from the beginning of the prompt', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 30 }), fc.boolean(), async (prompt, echo) => {
        const { text, logprobs } = await choiceOf({ model: 'davinci-002', prompt, echo, logprobs: 1, max_tokens: 60 });
        assert.ok(logprobs);
        const whole = [...(echo ? text : prompt.toWellFormed() + text)];
        for (const [index, token] of logprobs.tokens.entries()) {
          const at: number = logprobs.text_offset[index] ?? Number.NaN;
          assert.equal(whole.slice(at, at + [...token].length).join(''), token);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('the first token of an echoed prompt has no probability', async () => {
    const { logprobs, text } = await choiceOf({ model: 'davinci-002', echo: true, logprobs: 2 });
    assert.ok(logprobs);
    assert.deepEqual([logprobs.token_logprobs[0], logprobs.top_logprobs[0]], [null, null]);
    assert.ok(logprobs.token_logprobs.slice(1).every((logprob) => logprob !== null && logprob <= 0));
    assert.equal(logprobs.tokens.join(''), text);
  });
});

describe('completions of the demo: streams', () => {
  it('chunks join to the whole answer', async () => {
    for (const rest of [
      { max_tokens: 40, n: 2, prompt: ['a', 'b'], logprobs: 3 },
      { model: 'davinci-002', echo: true, logprobs: 0 },
      { echo: true, stop: 'demo', logprobs: null },
      { max_tokens: 0 },
    ]) {
      const whole = await answerTo(rest);
      const chunks = await streamed(rest);
      const none = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
      assert.deepEqual(
        joined(chunks),
        whole.choices.map((choice) => ({ ...choice, logprobs: choice.logprobs ?? none })),
      );
      assert.ok(chunks.every((chunk) => chunk.id === whole.id && chunk.object === 'text_completion'));
      assert.ok(chunks.every((chunk) => !('usage' in chunk)));
    }
  });

  it('each choice ends once, in a chunk of its own', async () => {
    const chunks = await streamed({ n: 3 });
    const ends = chunks.flatMap(({ choices }) => choices).filter(({ finish_reason }) => finish_reason !== null);
    assert.deepEqual(
      ends,
      [0, 1, 2].map((index) => ({ text: '', index, logprobs: null, finish_reason: 'length' })),
    );
  });

  it('ends with usage when asked', async () => {
    const chunks = await streamed({ stream_options: { include_usage: true } });
    const last = chunks.at(-1);
    assert.deepEqual(last?.choices, []);
    assert.deepEqual(last?.usage, (await answerTo()).usage);
    assert.ok(chunks.slice(0, -1).every(({ usage }) => usage === null));
  });
});

describe('completions of the demo: refusals', () => {
  const tooLong = (context: number, prompt: number, completion: number): string =>
    `This model's maximum context length is ${context} tokens, however you requested ${prompt + completion} tokens (${prompt} in your prompt; ${completion} for the completion). Please reduce your prompt; or completion length.`;
  const range = (param: string, kind: string, sign: string, limit: number, got: number): JsonObject => ({
    message: `Invalid '${param}': ${kind} ${sign === '>=' ? 'below minimum' : 'above maximum'} value. Expected a value ${sign} ${limit}, but got ${got} instead.`,
    code: `${kind}_${sign === '>=' ? 'below_min' : 'above_max'}_value`,
    param,
  });
  const type = (param: string, expected: string, got: string): JsonObject => ({
    message: `Invalid type for '${param}': expected ${expected}, but got ${got} instead.`,
    code: 'invalid_type',
    param,
  });
  const refusals: Refusals = [
    [
      'a chat model',
      { model: 'gpt-4o' },
      {
        status: 404,
        param: 'model',
        message:
          'This is a chat model and not supported in the v1/completions endpoint. Did you mean to use v1/chat/completions?',
      },
    ],
    [
      'a made-up model',
      { model: 'davinci-009' },
      {
        status: 404,
        code: 'model_not_found',
        message: 'The model `davinci-009` does not exist or you do not have access to it.',
      },
    ],
    ['no model', { model: null }, { message: 'you must provide a model parameter' }],
    ['a prompt that is an object', { prompt: {} }, { message: MALFORMED }],
    ['no prompts', { prompt: [] }, { message: MALFORMED }],
    ['texts and numbers', { prompt: ['a', 1] }, { message: MALFORMED }],
    ['tokens below 0', { prompt: [[-1]] }, { message: MALFORMED }],
    ['a long prompt', { prompt: Array(4_090).fill(1) }, { message: tooLong(4_096, 4_090, 16) }],
    ['a high ceiling', { max_tokens: 4_096 }, { message: tooLong(4_096, 4, 4_096) }],
    [
      'one long prompt among others',
      { model: 'davinci-002', prompt: [[1], Array(16_380).fill(1)], max_tokens: 5 },
      { message: tooLong(16_384, 16_380, 5) },
    ],
    ['a ceiling below 0', { max_tokens: -1 }, range('max_tokens', 'integer', '>=', 0, -1)],
    ['half a token', { max_tokens: 1.5 }, type('max_tokens', 'an integer', 'a decimal number')],
    ['n of 0', { n: 0 }, range('n', 'integer', '>=', 1, 0)],
    ['n of 129', { n: 129 }, range('n', 'integer', '<=', 128, 129)],
    ['best_of of 0', { best_of: 0 }, range('best_of', 'integer', '>=', 1, 0)],
    ['best_of of 21', { best_of: 21 }, range('best_of', 'integer', '<=', 20, 21)],
    [
      'best_of below n',
      { n: 3, best_of: 2 },
      {
        message:
          "You requested that the server return more choices than it will generate (HINT: you must set 'n' (currently 3) to be at most 'best_of' (currently 2), or omit either parameter if you don't specifically want to use them.)",
      },
    ],
    ['logprobs of 6', { logprobs: 6 }, range('logprobs', 'integer', '<=', 5, 6)],
    ['logprobs below 0', { logprobs: -1 }, range('logprobs', 'integer', '>=', 0, -1)],
    ['logprobs of chat', { logprobs: true }, type('logprobs', 'an integer', 'a boolean')],
    [
      'logprobs of an echoed prompt, for the instruct model',
      { logprobs: 1, echo: true },
      { message: "Setting 'echo' and 'logprobs' at the same time is not supported for this model." },
    ],
    ['echo that is a text', { echo: 'yes' }, type('echo', 'a boolean', 'a string')],
    [
      'a suffix, for a base model',
      { model: 'davinci-002', suffix: 'a' },
      { message: 'Unrecognized request argument supplied: suffix' },
    ],
    ['a suffix that is a number', { suffix: 1 }, type('suffix', 'a string', 'an integer')],
    [
      'five stops',
      { stop: ['a', 'b', 'c', 'd', 'e'] },
      {
        message:
          "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length 5 instead.",
        code: 'array_above_max_length',
        param: 'stop',
      },
    ],
    ['a stop that is a number', { stop: ['a', 1] }, type('stop[1]', 'a string', 'an integer')],
    ['a hot temperature', { temperature: 2.1 }, range('temperature', 'decimal', '<=', 2, 2.1)],
    ['a top_p below 0', { top_p: -1 }, range('top_p', 'decimal', '>=', 0, -1)],
    ['a presence penalty', { presence_penalty: 3 }, range('presence_penalty', 'decimal', '<=', 2, 3)],
    ['a frequency penalty', { frequency_penalty: -3 }, range('frequency_penalty', 'decimal', '>=', -2, -3)],
    ['a seed that is a text', { seed: 'a' }, type('seed', 'an integer', 'a string')],
    ['a user that is a number', { user: 1 }, type('user', 'a string', 'an integer')],
    ['a bias that is a text', { logit_bias: { 5: 'a' } }, type('logit_bias.5', 'a decimal', 'a string')],
    [
      'usage of a stream that is none',
      { stream_options: { include_usage: true } },
      { message: "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param: 'stream_options' },
    ],
    [
      'too many prompts for so many choices',
      { prompt: Array(17).fill('a'), n: 128 },
      {
        message:
          "Invalid 'prompt': array too long. Expected an array with maximum length 16, but got an array with length 17 instead.",
        code: 'array_above_max_length',
        param: 'prompt',
      },
    ],
    [
      'too much to echo',
      { model: 'davinci-002', prompt: Array(16).fill(' '.repeat(5_000)), n: 128, echo: true },
      {
        message: 'The prompts are too long to be echoed in every choice of one answer.',
        code: 'invalid_request',
        param: 'echo',
      },
    ],
    [
      'too much to echo with log probabilities',
      { model: 'davinci-002', prompt: Array(16).fill(' '.repeat(250)), n: 128, echo: true, logprobs: 0 },
      {
        message: 'The prompts are too long to be echoed in every choice of one answer.',
        code: 'invalid_request',
        param: 'echo',
      },
    ],
  ];
  refusesEach(refusals, send);
});

describe('completions of the demo: other work', () => {
  const prompt: readonly Json[] = Array(100).fill('some ordinary words '.repeat(4_000));

  it('much to do leaves time for others', async () => {
    await send();
    for (const rest of [{ prompt }, { prompt: prompt.slice(0, 6), logprobs: 5 }]) {
      const many = ask({ model: 'davinci-002', echo: true, max_tokens: 10, ...rest });
      const block = await longestBlock(() => composeCompletion(many, context));
      assert.ok(block < 300, `stood still for ${block} ms`);
    }
  });

  stopsWhenTheClientLeaves((context) => composeCompletion(ask({ model: 'davinci-002', prompt }), context));
});

describe('completions of the demo against OpenAI', { skip: specIsMissing }, () => {
  it('is what the description says', async () => {
    const check = specChecker();
    for (const rest of [
      {},
      { n: 3, logprobs: 0 },
      { logprobs: 5, max_tokens: 200 },
      { echo: true },
      { max_tokens: 0 },
    ]) {
      check('CreateCompletionResponse', await send(rest));
    }
  });

  it('differs where the description is at fault', async () => {
    const check = specChecker();
    // Nothing comes before the first token, so that real answers have null there; the description has numbers only.
    const echoed = await send({ model: 'davinci-002', echo: true, logprobs: 1 });
    assert.throws(() => check('CreateCompletionResponse', echoed), /token_logprobs\/0 must be number/);
    // It says of chunks that they have the shape of whole answers, yet only the last has a finish_reason.
    const [first, ...others] = await streamed();
    assert.throws(() => check('CreateCompletionResponse', first), /finish_reason must be string/);
    check('CreateCompletionResponse', others.at(-1));
  });
});
