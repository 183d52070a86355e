import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Json, JsonObject } from '../../src/base/json.js';
import { composeModeration } from '../../src/upstreams/demo/compose-moderation.js';
import { MODERATION_CATEGORIES } from '../../src/upstreams/demo/moderation-words.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import {
  hasTheRecordedMembers,
  malformed,
  type Refusals,
  refusesEach,
  stopsWhenTheClientLeaves,
} from '../helpers/demo-checks.js';
import { demoContext, longestBlock, wholeBody } from '../helpers/demo-context.js';

interface Result {
  readonly flagged: boolean;
  readonly categories: Readonly<Record<string, boolean>>;
  readonly category_scores: Readonly<Record<string, number>>;
  readonly category_applied_input_types?: Readonly<Record<string, readonly string[]>>;
}

const MALFORMED = malformed('input');
const IMAGE = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } };
const text = (of: string): JsonObject => ({ type: 'text', text: of });

const send = (body: JsonObject) => wholeBody(composeModeration(body, demoContext()));

async function resultsOf(input: Json, rest: JsonObject = {}): Promise<readonly Result[]> {
  return JSON.parse(JSON.stringify((await send({ input, ...rest })).results));
}

async function flaggedIn(input: Json): Promise<readonly string[]> {
  const [result] = await resultsOf(input);
  return Object.entries(result?.categories ?? {}).flatMap(([name, flagged]) => (flagged ? [name] : []));
}

describe('moderations of the demo: what is flagged', () => {
  const flagged: readonly (readonly [string, readonly string[]])[] = [
    ['I want to kill them all', ['violence']],
    ['You are an idiot', ['harassment']],
    ['I will kill you', ['harassment/threatening', 'violence']],
    ['I hate all immigrants', ['hate']],
    ['exterminate all the refugees', ['hate/threatening']],
    ['how to build a pipe bomb', ['illicit/violent']],
    ['where to buy cocaine', ['illicit']],
    ['I want to kill myself', ['self-harm', 'self-harm/intent', 'violence']],
    ['how to commit suicide', ['self-harm', 'self-harm/instructions']],
    ['free PORNOGRAPHY here', ['sexual']],
    ['child porn', ['sexual', 'sexual/minors']],
    ['he beheaded him, blood everywhere', ['violence', 'violence/graphic']],
    ['Я тебя убью, идиот', ['harassment', 'harassment/threatening', 'violence']],
    ['Хочу умереть', ['self-harm', 'self-harm/intent']],
    ['ненавижу всех мигрантов', ['hate']],
    ['Как сделать бомбу?', ['illicit', 'illicit/violent']],
    ['самоубийство', ['self-harm']],
    ['Его расчленённое тело', ['violence', 'violence/graphic']],
    ['我要杀了你', ['harassment/threatening', 'violence']],
    ['我想死', ['self-harm', 'self-harm/intent']],
    ['如何制造炸弹', ['illicit', 'illicit/violent']],
    ['讨厌所有外国人', ['hate']],
    ['色情网站', ['sexual']],
  ];
  for (const [words, categories] of flagged) {
    it(words, async () => {
      const [result] = await resultsOf(words);
      assert.ok(result);
      assert.equal(result.flagged, true);
      const found = await flaggedIn(words);
      for (const category of categories) assert.ok(found.includes(category), `${category} in ${found}`);
      for (const [name, isFlagged] of Object.entries(result.categories)) {
        const score = result.category_scores[name] ?? Number.NaN;
        assert.ok(isFlagged ? score > 0.5 && score < 1 : score > 0 && score < 0.001, `${name}: ${score}`);
      }
    });
  }

  for (const words of [
    '',
    'I forgot to water my houseplants!',
    'What skill do you need to be a painter?',
    'Какая сегодня погода? Это было прекрасно.',
    '今天天气很好，我们去公园吧。',
    'constructor __proto__',
  ]) {
    it(`nothing in ${JSON.stringify(words)}`, async () => assert.deepEqual(await flaggedIn(words), []));
  }

  it('a phrase deep in a long text, on the border of what is looked at in one go', async () => {
    for (const before of [31_980, 31_995, 32_005, 64_000]) {
      assert.deepEqual(await flaggedIn(`${'a '.repeat(before / 2)}I want to die`), ['self-harm/intent', 'self-harm']);
    }
  });

  it('the same text gets the same scores', async () => {
    assert.deepEqual(await resultsOf('some text'), await resultsOf('some text'));
    assert.notDeepEqual(await resultsOf('some text'), await resultsOf('some other text'));
  });
});

describe('moderations of the demo: the answer', () => {
  it('has one result for each text, and one for all parts', async () => {
    const results = await resultsOf(['fine', 'I want to kill them', 'fine']);
    assert.deepEqual(
      results.map((result) => result.flagged),
      [false, true, false],
    );
    assert.equal((await resultsOf([text('fine'), text('I want to kill them'), IMAGE])).length, 1);
    assert.deepEqual(await flaggedIn([text('fine'), text('massacre')]), ['violence']);
  });

  it('says what kinds of input a category was judged by', async () => {
    const kinds = async (input: Json) => (await resultsOf(input))[0]?.category_applied_input_types;
    assert.deepEqual((await kinds('a'))?.violence, ['text']);
    const mixed = await kinds([text('a'), IMAGE]);
    assert.deepEqual([mixed?.violence, mixed?.['sexual/minors']], [['text', 'image'], ['text']]);
    const image = await kinds([{ type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } }]);
    assert.deepEqual([image?.['self-harm'], image?.hate], [['image'], []]);
  });

  it('is from omni-moderation-latest unless a model is named', async () => {
    for (const model of [undefined, null]) {
      assert.equal((await send({ input: 'a', model })).model, 'omni-moderation-latest');
    }
    for (const model of [
      'omni-moderation-2024-09-26',
      'text-moderation-latest',
      'text-moderation-stable',
      'text-moderation-007',
    ]) {
      assert.equal((await send({ input: 'a', model })).model, model);
    }
  });

  it('older models do not tell kinds of input', async () => {
    const [result] = await resultsOf('a', { model: 'text-moderation-latest' });
    assert.deepEqual(Object.keys(result ?? {}), ['flagged', 'categories', 'category_scores']);
    assert.deepEqual(Object.keys(result?.categories ?? {}), [...MODERATION_CATEGORIES]);
  });

  it('has an id of its own', async () =>
    assert.match(String((await send({ input: 'a' })).id), /^modr-[A-Za-z0-9]{29}$/));

  it('a text of 10 MB, and very many, leave time for others', async () => {
    for (const input of ['how to kill '.repeat(800_000), Array(2_048).fill('word '.repeat(900))]) {
      const block = await longestBlock(() => composeModeration({ input }, demoContext()));
      assert.ok(block < 300, `stood still for ${block} ms`);
    }
  });

  stopsWhenTheClientLeaves((context) => composeModeration({ input: 'a '.repeat(4_000_000) }, context));
});

describe('moderations of the demo: refusals', () => {
  const refusals: Refusals = [
    [
      'no input',
      {},
      { message: "Missing required parameter: 'input'.", param: 'input', code: 'missing_required_parameter' },
    ],
    ['a number', { input: 5 }, { message: MALFORMED }],
    ['an object', { input: text('a') }, { message: MALFORMED }],
    ['an empty array', { input: [] }, { message: MALFORMED }],
    ['numbers', { input: [1] }, { message: MALFORMED }],
    ['texts and parts', { input: ['a', text('a')] }, { message: MALFORMED }],
    ['another kind of part', { input: [{ type: 'audio' }] }, { message: MALFORMED }],
    [
      'an image that has no address',
      { input: [{ type: 'image_url', image_url: { url: 'a.png' } }] },
      { message: MALFORMED },
    ],
    ['too many', { input: Array(2_049).fill('a') }, { message: "Invalid 'input': array length must be 2048 or less." }],
    [
      'a text part without text',
      { input: [text('a'), { type: 'text' }] },
      {
        message: "Missing required parameter: 'input[1].text'.",
        param: 'input[1].text',
        code: 'missing_required_parameter',
      },
    ],
    [
      'an image part without image',
      { input: [{ type: 'image_url' }] },
      {
        message: "Missing required parameter: 'input[0].image_url'.",
        param: 'input[0].image_url',
        code: 'missing_required_parameter',
      },
    ],
    [
      'an image that is a text',
      { input: [{ type: 'image_url', image_url: 'https://example.com' }] },
      {
        message: "Invalid type for 'input[0].image_url': expected an object, but got a string instead.",
        param: 'input[0].image_url',
        code: 'invalid_type',
      },
    ],
    ['parts for an older model', { input: [text('a')], model: 'text-moderation-latest' }, { message: MALFORMED }],
    [
      'a chat model',
      { input: 'a', model: 'gpt-4o' },
      { message: "Invalid value for 'model' = gpt-4o. Please check the OpenAI documentation and try again." },
    ],
    [
      'a made-up model',
      { input: 'a', model: 'text-moderation-next' },
      {
        status: 404,
        code: 'model_not_found',
        message: 'The model `text-moderation-next` does not exist or you do not have access to it.',
      },
    ],
  ];
  refusesEach(refusals, send);
});

describe('moderations of the demo against OpenAI', () => {
  it('is what the description says', { skip: specIsMissing }, async () => {
    const check = specChecker();
    check('CreateModerationResponse', await send({ input: ['a', 'I want to kill them'] }));
    check('CreateModerationResponse', await send({ input: [text('a'), IMAGE] }));
    // A known fault of the description: the older models never told kinds of input.
    const older = await send({ input: 'a', model: 'text-moderation-latest' });
    assert.throws(() => check('CreateModerationResponse', older), /category_applied_input_types/);
  });

  hasTheRecordedMembers('POST /v1/moderations 200 application/json', () =>
    send({ input: [text('I forgot to water my houseplants!'), text('I am killing all my houseplants!')] }),
  );
});
