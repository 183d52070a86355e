import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { encode as encodeO200k } from 'gpt-tokenizer';
import { encode as encodeCl100k } from 'gpt-tokenizer/encoding/cl100k_base';
import { readCall } from '../../src/endpoints/model/read-call.js';
import { estimateTokens, imagesIn, mostInputTokens, TOKENS_PER_IMAGE } from '../../src/wire/estimate.js';
import { MODEL_ENDPOINTS } from '../../src/wire/model-endpoint.js';
import { runs } from '../helpers/depth.js';

/** In which the names of countries are written in 30 scripts and more. */
const LANGUAGES =
  `en de fr es ru uk el he ar fa ur hi bn ta te kn ml gu pa or si th lo km my ka hy am ti bo dz zh zh-Hant ja
  ko mn chr vi tr ps ne sd ug yi ii nqo zgh vai syr ff-Adlm mni sat`.split(/\s+/);
const COUNTRIES =
  `AD AE AF AG AL AM AO AR AT AU AZ BA BD BE BF BG BR BY CA CH CL CN CO CU CZ DE DK DZ EE EG ES ET FI FR GB GE
  GR HR HU ID IE IL IN IQ IR IS IT JP KE KG KH KR KZ`.split(/\s+/);
/** Those whose texts the estimate alone is enough for, with the tokenizer of all models since GPT-4o. */
const PROSE = new Set('en de es ru uk he ar fa ur hi bn ta te kn ml gu pa si th km my ka ne sd ug'.split(' '));

const bytesOf = (text: string): number => Buffer.byteLength(text);
/** Texts may look like a tokenizer's own marks. */
const PLAIN = { disallowedSpecial: new Set<string>() };

function realTokens(text: string): number {
  return Math.max(encodeO200k(text, PLAIN).length, encodeCl100k(text, PLAIN).length);
}

function inputTokens(
  body: object,
  operation: 'chat.completions' | 'completions' | 'embeddings' = 'chat.completions',
): number {
  return readCall(MODEL_ENDPOINTS[operation], Buffer.from(JSON.stringify({ model: 'gpt-4o', ...body }))).inputTokens;
}

const said = (content: unknown) => ({ messages: [{ role: 'user', content }] });

describe('E28 the estimate of a text', () => {
  it('times three is never below what tokenizers make of it, in 30 scripts and more', () => {
    const scripts = new Set<string>();
    for (const language of LANGUAGES) {
      const names = new Intl.DisplayNames([language], { type: 'region' });
      const text = COUNTRIES.map((country) => names.of(country)).join(', ');
      scripts.add(new Intl.Locale(names.resolvedOptions().locale).maximize().script ?? '');
      assert.ok(mostInputTokens(estimateTokens(bytesOf(text)), 0) >= realTokens(text), language);
      if (!PROSE.has(language)) continue;
      assert.ok(estimateTokens(bytesOf(text)) >= encodeO200k(text).length, `${language} by itself`);
    }
    assert.ok(scripts.size >= 30, `only ${scripts.size} scripts`);
  });

  it('nor of any text at all', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.string({ unit: 'grapheme', maxLength: 200 }),
      fc.string({ unit: fc.constantFrom(...'q!z~}x9\n\t '), maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('base64')),
    );
    fc.assert(
      fc.property(text, (given) => {
        const estimated = inputTokens(said(given));
        const most = mostInputTokens(estimated, 0);
        // Three tokens around each message, and three before the answer.
        const real = realTokens(Buffer.from(given).toString()) + 7;
        assert.ok(most >= real, `${most} < ${real}: ${JSON.stringify(given)}`);
      }),
      runs(200),
    );
  });
});

describe('the estimate of a call', () => {
  it('adds up messages, names, tools and schemas, by the bytes they stand for', () => {
    const one = inputTokens(said('x'.repeat(300)));
    assert.equal(one, 3 + 4 + 100);
    const two = {
      messages: [...said('x'.repeat(300)).messages, { role: 'assistant', content: 'ü'.repeat(150), name: 'abc' }],
    };
    assert.equal(inputTokens(two), one + 4 + 101);
    const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }];
    assert.equal(
      inputTokens({ ...said('x'.repeat(300)), tools }),
      7 + Math.ceil((300 + JSON.stringify(tools).length) / 3),
    );
  });

  it('takes an escaped text for what it means', () => {
    const escaped = `{"model":"gpt-4o","messages":[{"role":"user","content":"${'\\u0061'.repeat(300)}"}]}`;
    assert.equal(readCall(MODEL_ENDPOINTS['chat.completions'], Buffer.from(escaped)).inputTokens, 107);
  });

  it('takes a picture for what it may cost, not for its bytes', () => {
    const url = `data:image/png;base64,${'A'.repeat(30_000)}`;
    const parts = [
      { type: 'text', text: 'x'.repeat(3) },
      { type: 'image_url', image_url: { url } },
    ];
    assert.equal(inputTokens(said(parts)), 3 + 4 + 1 + TOKENS_PER_IMAGE);
  });

  it('counts tokens that are given as such', () => {
    assert.equal(inputTokens({ prompt: [[1, 2, 3], [4]] }, 'completions'), 4);
    assert.equal(inputTokens({ input: ['abc', 'abcd'] }, 'embeddings'), 3);
  });
});

it('E6 an image may take 48,169 tokens in the model that takes most, wherever it stands', () => {
  const part = { type: 'image_url', image_url: { url: 'data:' } };
  assert.equal(imagesIn([{ role: 'user', content: [part, { type: 'text', text: 'image_url' }, part] }]), 2);
  assert.equal(imagesIn([{ type: 'function_call_output', output: [{ type: 'input_image', image_url: 'data:' }] }]), 1);
  assert.equal(imagesIn('input_image'), 0);
  assert.equal(mostInputTokens(TOKENS_PER_IMAGE * 2 + 10, 2), 2 * 48_169 + 30);
});
