import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isJsonObject, type JsonObject } from '../../src/base/json.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { recordingsAreMissing } from '../conformance/recordings.js';
import { demoClient, growsWithItsInput, hasTheRecordedMembers, refuses } from '../helpers/demo-client.js';

const { whole, streamed } = demoClient();

describe('legacy completions of the demo', () => {
  interface Choice {
    readonly text: string;
    readonly index: number;
    readonly finish_reason: string | null;
    readonly logprobs: {
      readonly tokens: readonly string[];
      readonly token_logprobs: readonly number[];
      readonly top_logprobs: readonly Readonly<Record<string, number>>[];
      readonly text_offset: readonly number[];
    } | null;
  }
  const ask = (rest: JsonObject = {}): JsonObject => ({
    model: 'gpt-3.5-turbo-instruct',
    prompt: 'Once upon a time',
    max_tokens: 60,
    ...rest,
  });
  const complete = (rest: JsonObject = {}) => whole(ask(rest), 'completions');
  const choicesOf = (body: JsonObject): readonly Choice[] => JSON.parse(JSON.stringify(body.choices));

  it('are what OpenAI describes', { skip: specIsMissing }, async () => {
    const check = specChecker();
    for (const rest of [{}, { n: 2, logprobs: 2 }, { prompt: [[1, 2]] }, { prompt: '' }])
      check('CreateCompletionResponse', await complete(rest));
  });

  it('say that they are a demo, on one line, and how the prompt ended', async () => {
    const [choice] = choicesOf(await complete({ prompt: `${'x'.repeat(200)} the\nend` }));
    assert.match(choice?.text ?? '', /^ This is the built-in demo model.* the end"$/);
    assert.equal(choice?.finish_reason, 'stop');
    assert.match(choicesOf(await complete({ prompt: null }))[0]?.text ?? '', /no prompt/);
    const [brief] = choicesOf(await complete({ max_tokens: null }));
    assert.equal(brief?.finish_reason, 'length');
    assert.equal(choicesOf(await complete({ stop: ' built' }))[0]?.text, ' This is the');
  });

  it('have choices for every prompt', async () => {
    const body = await complete({ prompt: ['a', 'b'], n: 2 });
    const choices = choicesOf(body);
    assert.deepEqual(
      choices.map(({ index }) => index),
      [0, 1, 2, 3],
    );
    assert.ok(isJsonObject(body.usage));
    const { prompt_tokens, completion_tokens, total_tokens } = body.usage;
    assert.equal(prompt_tokens, 2);
    assert.ok(Number(completion_tokens) > 80);
    assert.equal(total_tokens, Number(prompt_tokens) + Number(completion_tokens));
  });

  it('bear log probabilities that make up the text', async () => {
    const [choice] = choicesOf(await complete({ prompt: 'Grüße, ', logprobs: 3 }));
    const { tokens = [], token_logprobs, top_logprobs, text_offset } = choice?.logprobs ?? {};
    assert.equal(tokens.join(''), choice?.text);
    for (const [place, token] of tokens.entries()) {
      assert.equal(text_offset?.[place], 7 + tokens.slice(0, place).join('').length);
      assert.equal(top_logprobs?.[place]?.[token], token_logprobs?.[place]);
      assert.equal(Object.keys(top_logprobs?.[place] ?? {}).length, 3);
    }
  });

  it('join from a stream to the whole answer', async () => {
    for (const rest of [{}, { prompt: ['a', 'b'], n: 2 }, { logprobs: 2 }, { max_tokens: 3 }, { max_tokens: 0 }]) {
      const answer = await complete(rest);
      const chunks = await streamed(ask({ ...rest, stream_options: { include_usage: true } }), 'completions');
      const said = chunks.flatMap(choicesOf);
      for (const { index, text, finish_reason, logprobs } of choicesOf(answer)) {
        const own = said.filter((choice) => choice.index === index);
        assert.equal(own.map((choice) => choice.text).join(''), text);
        assert.equal(own.at(-1)?.finish_reason, finish_reason);
        assert.deepEqual(
          own.flatMap((choice) => choice.logprobs?.text_offset ?? []),
          logprobs?.text_offset ?? [],
        );
      }
      assert.deepEqual(chunks.at(-1)?.usage, answer.usage);
    }
  });

  it('are refused to models that chat, and where they would be too long', async () => {
    await refuses(complete({ model: 'gpt-4o' }), /cannot be used for completions/, { param: 'model' });
    await refuses(complete({ model: 'nope' }), /does not exist/, { status: 404 });
    await refuses(complete({ prompt: 'word '.repeat(5_000) }), /maximum context length is 4096/);
    await refuses(complete({ echo: true }), /echoes no prompts/, { param: 'echo' });
    await refuses(complete({ prompt: Array(100).fill('a'), n: 100 }), /at most 2048 choices/);
    await growsWithItsInput((size) => complete({ prompt: Array(size).fill('a'), logprobs: 5 }), 8);
  });
});

describe('embeddings of the demo', () => {
  const ask = (input: JsonObject[string], rest: JsonObject = {}) =>
    whole({ model: 'text-embedding-3-small', input: input ?? null, ...rest }, 'embeddings');
  const vectorsOf = async (
    input: JsonObject[string],
    rest: JsonObject = {},
  ): Promise<readonly (readonly number[])[]> => {
    const { data } = JSON.parse(JSON.stringify(await ask(input, rest)));
    return data.map(({ embedding }: { embedding: number[] }) => embedding);
  };
  const dot = (one: readonly number[] = [], other: readonly number[] = []): number =>
    one.reduce((sum, value, index) => sum + value * (other[index] ?? 0), 0);

  it('have the members of the recordings and of the description', {
    skip: recordingsAreMissing || specIsMissing,
  }, async () => {
    hasTheRecordedMembers(await ask('a', { encoding_format: 'base64' }), 'POST /v1/embeddings 200 application/json');
    specChecker()('CreateEmbeddingResponse', await ask(['a', 'b']));
  });

  it('have the length 1 and the dimensions of their model, or those that were asked for', async () => {
    for (const [rest, dimensions] of [
      [{}, 1_536],
      [{ model: 'text-embedding-3-large' }, 3_072],
      [{ dimensions: 256 }, 256],
      [{ dimensions: 1 }, 1],
      [{ model: 'acme/own-embeddings:latest' }, 1_536],
    ] as const) {
      const [vector] = await vectorsOf('Some text', rest);
      assert.equal(vector?.length, dimensions);
      assert.ok(Math.abs(dot(vector, vector) - 1) < 1e-6);
    }
    await refuses(ask('a', { dimensions: 2_000 }), /integer above maximum/, { param: 'dimensions' });
  });

  it('are the same for the same text, near for texts with words in common, and of each model its own', async () => {
    const [cat, again, cats, stocks] = await vectorsOf([
      'The cat sat on the mat in the kitchen',
      'The cat sat on the mat in the kitchen',
      'Cats sit on mats in kitchens',
      'Quarterly revenue exceeded expectations',
    ]);
    assert.deepEqual(cat, again);
    assert.ok(dot(cat, cats) > dot(cat, stocks) + 0.1, `${dot(cat, cats)} ${dot(cat, stocks)}`);
    const [other] = await vectorsOf('The cat sat on the mat in the kitchen', { model: 'text-embedding-ada-002' });
    assert.ok(Math.abs(dot(cat, other)) < 0.3);
    const [one, near, far] = await vectorsOf([
      [101, 102, 103, 104],
      [101, 102, 103, 105],
      [770, 780, 790, 795],
    ]);
    assert.ok(dot(one, near) > dot(one, far));
  });

  it('come as base64 of little-endian floats', async () => {
    const [floats] = await vectorsOf('Some text', { dimensions: 64 });
    const { data } = JSON.parse(JSON.stringify(await ask('Some text', { dimensions: 64, encoding_format: 'base64' })));
    const bytes = Buffer.from(data[0].embedding, 'base64');
    assert.deepEqual(
      Array.from({ length: 64 }, (_, at) => bytes.readFloatLE(at * 4)),
      floats?.map(Math.fround),
    );
  });

  it('count tokens, and are refused beyond OpenAI’s bounds', async () => {
    assert.deepEqual((await ask(['Hello, world!', 'Hello, world!'])).usage, { prompt_tokens: 8, total_tokens: 8 });
    await refuses(ask('word '.repeat(9_000)), /maximum 8192 tokens/, { param: 'input' });
    await refuses(ask(Array(40).fill('word '.repeat(8_000))), /maximum 300000 tokens/);
    await refuses(ask(Array(1_000_000).fill(1)), /maximum 8192 tokens/);
    await refuses(ask([{}]), /texts or tokens/);
    await refuses(whole({ model: 'gpt-4o', input: 'a' }, 'embeddings'), /cannot be used for embeddings/);
    await growsWithItsInput((size) => ask('a'.repeat(size)), 4_000);
  });
});

describe('moderations of the demo', () => {
  const ask = (input: JsonObject[string], rest: JsonObject = {}) =>
    whole({ input: input ?? null, ...rest }, 'moderations');
  const flagsOf = async (input: JsonObject[string]): Promise<readonly string[]> => {
    const { results } = JSON.parse(JSON.stringify(await ask(input)));
    return Object.keys(results[0].categories).filter((category) => results[0].categories[category]);
  };

  it('have the members of the recordings and of the description', {
    skip: recordingsAreMissing || specIsMissing,
  }, async () => {
    hasTheRecordedMembers(await ask('a'), 'POST /v1/moderations 200 application/json');
    specChecker()('CreateModerationResponse', await ask(['a', 'b'], { model: 'omni-moderation-2024-09-26' }));
  });

  it('flag a few words in three languages, and nothing in what is harmless', async () => {
    assert.deepEqual(await flagsOf('What a lovely day for a walk'), []);
    assert.deepEqual(await flagsOf('I will KILL you'), ['harassment/threatening', 'violence']);
    assert.ok((await flagsOf('я хочу умереть')).includes('self-harm'));
    assert.ok((await flagsOf('我想死')).includes('self-harm'));
    assert.deepEqual(await flagsOf('a skilled painter'), []);
    assert.deepEqual(await flagsOf(`${'word '.repeat(6_398)}I murder`), ['violence']);
  });

  it('score each category, the same for the same text, high where it is flagged', async () => {
    const { results } = JSON.parse(JSON.stringify(await ask(['I murder', 'Hello'])));
    assert.deepEqual(
      results.map(({ flagged }: { flagged: boolean }) => flagged),
      [true, false],
    );
    assert.ok(results[0].category_scores.violence > 0.5);
    assert.ok(Object.values(results[1].category_scores).every((score) => Number(score) < 0.001));
    assert.deepEqual(await ask('I murder'), await ask('I murder'));
  });

  it('judge the parts of a message as one, and say by which they judged', async () => {
    const image = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } };
    const { results } = JSON.parse(JSON.stringify(await ask([{ type: 'text', text: 'I murder' }, image])));
    assert.equal(results.length, 1);
    assert.deepEqual(results[0].category_applied_input_types.violence, ['text', 'image']);
    assert.deepEqual(results[0].category_applied_input_types.hate, ['text']);
    const old = JSON.parse(JSON.stringify(await ask('a', { model: 'text-moderation-latest' })));
    assert.equal(old.results[0].category_applied_input_types, undefined);
  });

  it('are bounded', async () => {
    await refuses(ask(Array(3_000).fill('a')), /maximum length 2048/);
    await refuses(ask('a', { model: 'gpt-4o' }), /cannot be used for moderations/);
    await growsWithItsInput((size) => ask('kill yo'.repeat(size)), 10_000);
  });
});
