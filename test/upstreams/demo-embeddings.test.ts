import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { JsonObject } from '../../src/base/json.js';
import { composeEmbeddings } from '../../src/upstreams/demo/compose-embeddings.js';
import { estimatingTokenizer } from '../../src/upstreams/demo/tokenizer.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { recordedAnswers, recordingsAreMissing } from '../conformance/recordings.js';
import {
  hasTheRecordedMembers,
  malformed,
  type Refusals,
  refusesEach,
  stopsWhenTheClientLeaves,
} from '../helpers/demo-checks.js';
import { demoContext, longestBlock, wholeBody } from '../helpers/demo-context.js';

interface Answer {
  readonly data: readonly { readonly index: number; readonly embedding: readonly number[] }[];
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
}

const context = demoContext();
const MALFORMED = malformed('input');

const ask = (rest: JsonObject = {}): JsonObject => ({ model: 'text-embedding-3-small', input: 'Hello there', ...rest });
const send = (rest?: JsonObject) => wholeBody(composeEmbeddings(ask(rest), context));

async function answerTo(rest: JsonObject): Promise<Answer> {
  return JSON.parse(JSON.stringify(await send(rest)));
}

async function vectorOf(input: string, rest: JsonObject = {}): Promise<readonly number[]> {
  return (await answerTo({ input, ...rest })).data[0]?.embedding ?? [];
}

function cosine(one: readonly number[], other: readonly number[]): number {
  return one.reduce((sum, value, index) => sum + value * (other[index] ?? 0), 0);
}

function fromBase64(text: unknown): number[] {
  const bytes = Buffer.from(String(text), 'base64');
  assert.equal(bytes.toString('base64'), text, 'standard base64 with padding');
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4));
}

describe('embeddings of the demo: the vectors', () => {
  for (const [model, dimensions] of [
    ['text-embedding-3-small', 1_536],
    ['text-embedding-3-large', 3_072],
    ['text-embedding-ada-002', 1_536],
    ['openai/text-embedding-3-small', 1_536],
  ] as const) {
    it(`${model} has ${dimensions} dimensions`, async () => {
      assert.equal((await vectorOf('Hello', { model })).length, dimensions);
    });
  }

  it('is of length 1 and the same for the same text, whatever the text and the dimensions', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 1_536 }),
        async (text, dimensions) => {
          const vector = await vectorOf(text, { dimensions });
          assert.equal(vector.length, dimensions);
          assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5);
          assert.deepEqual(await vectorOf(text, { dimensions }), vector);
        },
      ),
      { numRuns: 60 },
    );
  });

  const near: readonly (readonly [string, string, string, string])[] = [
    ['paraphrase', 'The cat sat on the mat', 'A cat is sitting on a mat', 'Quarterly revenue grew by ten percent'],
    ['case', 'How do I reset my password?', 'HOW DO I RESET MY PASSWORD?', 'The weather is nice in May'],
    ['punctuation', 'hello, world! (again)', 'hello world again', 'goodbye moon'],
    ['inflection', 'she was painting old houses', 'he painted an old house', 'stocks fell in early trading'],
    ['a typo', 'international conference', 'internatonal conferense', 'homemade bread recipe'],
    ['accents', 'café crème à Paris', 'cafe creme a Paris', 'train station in Berlin'],
    ['Russian', 'как испечь хлеб дома', 'Домашний хлеб: как его испечь', 'курс доллара сегодня вырос'],
    ['Russian inflection', 'красивая новая машина', 'красивую новую машину', 'правила дорожного движения'],
    ['Chinese', '我喜欢吃苹果和香蕉', '我爱吃苹果', '股票市场今天下跌'],
    ['Japanese', '東京の天気は晴れです', '今日の東京の天気', '株価が下がった'],
    ['full width', 'ＡＢＣ restaurant', 'abc restaurant', 'xyz museum'],
    ['code', 'const user = await db.find(id);', 'let user = await db.find(userId)', 'SELECT * FROM orders'],
  ];
  for (const [name, text, similar, unrelated] of near) {
    for (const dimensions of [256, 1_536]) {
      it(`similar texts are nearer than unrelated ones: ${name}, ${dimensions} dimensions`, async () => {
        const [one, like, unlike] = await Promise.all(
          [text, similar, unrelated].map((t) => vectorOf(t, { dimensions })),
        );
        assert.ok(one && like && unlike);
        assert.ok(cosine(one, like) > cosine(one, unlike) + 0.15, `${cosine(one, like)} and ${cosine(one, unlike)}`);
      });
    }
  }

  it('a text stays nearer to itself with a few words changed than to other words', async () => {
    const words = fc.array(fc.stringMatching(/^[a-z]{3,9}$/), { minLength: 8, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(words, words, async (text, others) => {
        fc.pre(!others.some((word) => text.includes(word)));
        const one = await vectorOf(text.join(' '));
        const like = await vectorOf([...text.slice(2), 'changed'].join(' '));
        assert.ok(cosine(one, like) > cosine(one, await vectorOf(others.join(' '))));
      }),
      { numRuns: 60 },
    );
  });

  it('the order of words tells texts apart', async () => {
    const similarity = cosine(await vectorOf('dog bites man'), await vectorOf('man bites dog'));
    assert.ok(similarity > 0.8 && similarity < 0.999, String(similarity));
  });

  it('fewer dimensions are the first ones, made length 1 again', async () => {
    const full = (await vectorOf('Hello there')).slice(0, 256);
    const short = await vectorOf('Hello there', { dimensions: 256 });
    const length = Math.hypot(...full);
    for (const [index, value] of short.entries()) assert.ok(Math.abs(value - (full[index] ?? 0) / length) < 1e-6);
  });

  it('vectors of different models have nothing in common', async () => {
    const other = await vectorOf('Hello there', { model: 'text-embedding-ada-002' });
    assert.ok(Math.abs(cosine(await vectorOf('Hello there'), other)) < 0.2);
  });
});

describe('embeddings of the demo: the answer', () => {
  it('base64 is the same numbers as little-endian float32', async () => {
    const input = ['one', 'two words'];
    const floats = await answerTo({ input });
    const base64 = await answerTo({ input, encoding_format: 'base64' });
    for (const [index, { embedding }] of base64.data.entries()) {
      assert.equal(typeof embedding, 'string');
      assert.deepEqual(fromBase64(embedding), floats.data[index]?.embedding.map(Math.fround));
    }
  });

  it('answers each input in its order', async () => {
    const input = ['first', 'second', 'first'];
    const { data } = await answerTo({ input });
    assert.deepEqual(
      data.map(({ index }) => index),
      [0, 1, 2],
    );
    assert.deepEqual(data[0]?.embedding, data[2]?.embedding);
    assert.deepEqual(data[1]?.embedding, await vectorOf('second'));
  });

  it('tokens embed and count as their text', async () => {
    const text = await answerTo({ input: 'Hello, world!' });
    for (const input of [[9906, 11, 1917, 0], [[9906, 11, 1917, 0]]]) {
      const tokens = await answerTo({ input });
      assert.deepEqual(tokens, text);
    }
    assert.deepEqual(text.usage, { prompt_tokens: 4, total_tokens: 4 }, 'as recorded');
  });

  it('tokens whose text cannot be told embed as tokens', async () => {
    const without = demoContext({
      tokenizerOf: async () => estimatingTokenizer(),
      decoder: async () => () => undefined,
    });
    const body = await wholeBody(
      composeEmbeddings(
        ask({
          input: [
            [1, 2, 3, 4],
            [1, 2, 3, 5],
            [7, 8, 9],
          ],
        }),
        without,
      ),
    );
    const [one, like, unlike] = (JSON.parse(JSON.stringify(body)) as Answer).data.map(({ embedding }) => embedding);
    assert.ok(one && like && unlike);
    assert.ok(cosine(one, like) > cosine(one, unlike) + 0.3);
    assert.equal((await answerTo({ input: [100_261, 9906] })).data.length, 1, 'a number that is no token');
  });

  it('counts the tokens of all inputs', async () => {
    const { usage } = await answerTo({ input: ['Hello, world!', 'Hello, world!'] });
    assert.deepEqual(usage, { prompt_tokens: 8, total_tokens: 8 });
  });

  it('null is absent', async () => {
    assert.deepEqual(await send({ encoding_format: null, dimensions: null, user: null }), await send());
  });

  it('takes as much as OpenAI takes', async () => {
    assert.equal((await answerTo({ input: Array(2_048).fill('a'), dimensions: 1 })).data.length, 2_048);
    const { usage } = await answerTo({ input: 'a '.repeat(8_191) });
    assert.equal(usage.prompt_tokens, 8_192);
    assert.equal((await answerTo({ input: Array(8_192).fill(9906), dimensions: 3 })).usage.prompt_tokens, 8_192);
  });
});

describe('embeddings of the demo: refusals', () => {
  const refusals: Refusals = [
    [
      'no input',
      { input: null },
      { message: "Missing required parameter: 'input'.", param: 'input', code: 'missing_required_parameter' },
    ],
    ['an object', { input: {} }, { message: MALFORMED }],
    ['a number', { input: 5 }, { message: MALFORMED }],
    ['an empty array', { input: [] }, { message: MALFORMED }],
    ['an empty array of tokens', { input: [[1], []] }, { message: MALFORMED }],
    ['texts and tokens', { input: ['a', [1]] }, { message: MALFORMED }],
    ['texts and numbers', { input: ['a', 1] }, { message: MALFORMED }],
    ['a token below 0', { input: [-1] }, { message: MALFORMED }],
    ['a token that is too high', { input: [[100_277]] }, { message: MALFORMED }],
    ['half a token', { input: [1.5] }, { message: MALFORMED }],
    ['an empty text', { input: '' }, { message: "Invalid 'input': input cannot be an empty string." }],
    [
      'an empty text among others',
      { input: ['a', ''] },
      { message: "Invalid 'input': input cannot be an empty string." },
    ],
    ['too many', { input: Array(2_049).fill('a') }, { message: "Invalid 'input': array length must be 2048 or less." }],
    ['too long', { input: 'a '.repeat(9_000) }, { message: "Invalid 'input': maximum input length is 8192 tokens." }],
    [
      'too many tokens',
      { input: Array(8_193).fill(1) },
      { message: "Invalid 'input': maximum input length is 8192 tokens." },
    ],
    [
      'too much together',
      { input: Array(40).fill(Array(8_000).fill(9906)) },
      {
        message: 'Requested 320000 tokens, max 300000 tokens per request',
        type: 'max_tokens_per_request',
        code: 'max_tokens_per_request',
      },
    ],
    ['no dimensions', { dimensions: -42 }, { message: "-42 is less than the minimum of 1 - 'dimensions'" }],
    ['dimensions of a text', { dimensions: '5' }, { message: "'5' is not of type 'integer' - 'dimensions'" }],
    ['half a dimension', { dimensions: 1.5 }, { message: "1.5 is not of type 'integer' - 'dimensions'" }],
    [
      'too many dimensions',
      { dimensions: 1_537 },
      { message: "Invalid value for 'dimensions' = 1537. Must be less than or equal to 1536." },
    ],
    [
      'too many dimensions of the large model',
      { model: 'text-embedding-3-large', dimensions: 3_073 },
      { message: "Invalid value for 'dimensions' = 3073. Must be less than or equal to 3072." },
    ],
    [
      'dimensions of ada',
      { model: 'text-embedding-ada-002', dimensions: 1_536 },
      { message: 'This model does not support specifying dimensions.' },
    ],
    [
      'an unknown format',
      { encoding_format: 'int8' },
      { message: "'int8' is not one of ['float', 'base64'] - 'encoding_format'" },
    ],
    [
      'a format that is no text',
      { encoding_format: 3 },
      { message: "3 is not one of ['float', 'base64'] - 'encoding_format'" },
    ],
    ['a user that is no text', { user: 5 }, { message: "5 is not of type 'string' - 'user'" }],
    [
      'a chat model',
      { model: 'gpt-4o' },
      { status: 403, message: 'You are not allowed to generate embeddings from this model' },
    ],
    [
      'a made-up model',
      { model: 'text-embedding-9' },
      {
        status: 404,
        code: 'model_not_found',
        message: 'The model `text-embedding-9` does not exist or you do not have access to it.',
      },
    ],
  ];
  refusesEach(refusals, send);

  it('the words of a refusal are the recorded ones', { skip: recordingsAreMissing }, async () => {
    const recorded = recordedAnswers('POST /v1/embeddings 400 application/json');
    assert.ok(recorded.length > 0);
    for (const { error } of recorded as { error: JsonObject }[]) {
      await assert.rejects(send({ dimensions: -42 }), { ...error });
    }
  });
});

describe('embeddings of the demo: other work', () => {
  const input = Array.from({ length: 2_048 }, (_, index) => `${index} some words of an ordinary sentence. `.repeat(15));

  it('2048 inputs leave time for others', async () => {
    await composeEmbeddings(ask(), context);
    const block = await longestBlock(() => composeEmbeddings(ask({ input, model: 'text-embedding-3-large' }), context));
    assert.ok(block < 200, `stood still for ${block} ms`);
  });

  stopsWhenTheClientLeaves((context) => composeEmbeddings(ask({ input }), context));
});

describe('embeddings of the demo against OpenAI', () => {
  it('is what the description says', { skip: specIsMissing }, async () => {
    const check = specChecker();
    check('CreateEmbeddingResponse', await send({ input: ['a', 'b'] }));
    check('CreateEmbeddingResponse', await send({ encoding_format: 'base64' }));
  });

  hasTheRecordedMembers('POST /v1/embeddings 200 application/json', () => send({ encoding_format: 'base64' }));
});
