import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { encode as encodeO200k } from 'gpt-tokenizer';
import { encode as encodeCl100k } from 'gpt-tokenizer/encoding/cl100k_base';
import { isPending } from '../../src/base/awaitable.js';
import { REQUEST_BOUNDS } from '../../src/base/json-document.js';
import { readCall } from '../../src/endpoints/model/read-call.js';
import { estimateTokens } from '../../src/wire/estimate.js';
import { MOST_PER_IMAGE, TOKENS_PER_IMAGE } from '../../src/wire/media.js';
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

type Operation = 'chat.completions' | 'completions' | 'embeddings' | 'responses';

function read(body: object | string, operation: Operation = 'chat.completions') {
  const text = typeof body === 'string' ? body : JSON.stringify({ model: 'gpt-4o', ...body });
  const call = readCall(MODEL_ENDPOINTS[operation], Buffer.from(text), REQUEST_BOUNDS);
  assert.ok(!isPending(call), 'small bodies are read at once');
  return call;
}

function inputTokens(body: object, operation: Operation = 'chat.completions'): number {
  return read(body, operation).inputTokens;
}

const said = (content: unknown) => ({ messages: [{ role: 'user', content }] });

describe('E28 the estimate of a text', () => {
  it('times three is never below what tokenizers make of it, in 30 scripts and more', () => {
    const scripts = new Set<string>();
    for (const language of LANGUAGES) {
      const names = new Intl.DisplayNames([language], { type: 'region' });
      const text = COUNTRIES.map((country) => names.of(country)).join(', ');
      scripts.add(new Intl.Locale(names.resolvedOptions().locale).maximize().script ?? '');
      assert.ok(read(said(text)).mostInputTokens >= realTokens(text), language);
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
        const most = read(said(given)).mostInputTokens;
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
    assert.equal(read(escaped).inputTokens, 107);
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
  const shown = read(said([part, { type: 'text', text: 'image_url' }, part]));
  assert.equal(shown.inputTokens, 7 + 3 + 2 * TOKENS_PER_IMAGE);
  assert.equal(shown.mostInputTokens, 3 * (7 + 3) + 2 * MOST_PER_IMAGE);
  assert.equal(MOST_PER_IMAGE, 48_169);
  const output = [{ type: 'input_image', image_url: 'data:' }];
  const answered = read({ input: [{ type: 'function_call_output', call_id: 'c', output }] }, 'responses');
  assert.ok(answered.mostInputTokens > MOST_PER_IMAGE && answered.mostInputTokens < MOST_PER_IMAGE + 200);
  assert.ok(read({ input: 'input_image' }, 'responses').mostInputTokens < 100);
});

describe('no member lets a text count as nothing', () => {
  const SIZE = 30_000;
  const prose = 'The words of a long story. '.repeat(Math.ceil(SIZE / 27));
  const counts = (body: object | string, operation: Operation = 'chat.completions'): void => {
    const { inputTokens: usual, mostInputTokens: most } = read(body, operation);
    const told = (typeof body === 'string' ? body : JSON.stringify(body)).slice(0, 200);
    assert.ok(usual >= (SIZE * 0.99) / 3, `${usual} usually: ${told}`);
    assert.ok(most >= SIZE * 0.99, `${most} at most: ${told}`);
  };
  const message = { role: 'user', content: 'x' };

  it('in messages, beside them, in their parts, in names, under the types of media', () => {
    const names =
      `content reasoning_content reasoning documents tool_call_id name refusal thinking audio image_url data url
      metadata type role text prefix cache_control`.split(/\s+/);
    for (const name of names) {
      if (name !== 'role' && name !== 'content') counts({ messages: [{ ...message, [name]: prose }] });
      if (name !== 'content')
        counts({ messages: [{ ...message, content: [{ type: 'text', text: 'x', [name]: prose }] }] });
      for (const type of ['image_url', 'input_audio', 'file', 'video_url', 'document', 'unheard_of']) {
        counts({ messages: [{ ...message, content: [{ [name]: prose, type, more: { [name]: prose } }] }] });
        counts({ messages: [{ ...message, content: [{ type, [type]: { [name]: prose } }] }] });
      }
      counts({ input: [{ ...message, [name]: prose }] }, 'responses');
    }
    for (const name of 'documents guided_json chat_template chat_template_kwargs user stop suffix prompt input'.split(
      ' ',
    )) {
      counts({ messages: [message], [name]: [prose] });
    }
    counts({ messages: [{ ...message, [prose]: 1 }] });
    counts({ messages: [message], [prose]: 1 });
    counts({ messages: [message], tools: [{ type: 'function', function: { name: 'f', description: prose } }] });
    counts({ messages: [{ ...message, nested: [[[[prose]]]] }] });
  });

  it('under a name that stands twice, of which a parser keeps the other', () => {
    counts(`{"model":"m","messages":[{"role":"user","content":${JSON.stringify(prose)},"content":"x"}]}`);
    counts(
      `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":${JSON.stringify(prose)},"text":""}]}]}`,
    );
  });

  it('in many small texts, brackets or values', () => {
    const many = (value: unknown, count: number) => ({ messages: [{ ...message, seen: Array(count).fill(value) }] });
    counts(many('words', SIZE / 5));
    for (const value of [[], {}, null, true, 7]) counts(many(value, SIZE / 3));
  });

  it('whatever the body is', () => {
    const text = fc.constant(prose);
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 6 },
        text,
        fc.array(tie('tree'), { minLength: 1, maxLength: 3 }),
        fc.dictionary(
          fc.oneof(
            fc.constantFrom(
              ...'content text type role url data image_url file source input_audio tool_calls x'.split(' '),
            ),
            fc.string({ minLength: 1, maxLength: 8 }),
          ),
          tie('tree'),
          { minKeys: 1, maxKeys: 3 },
        ),
      ),
    }));
    fc.assert(
      fc.property(tree, fc.constantFrom('file', 'image_url', 'text'), (value, type) => {
        const written = JSON.stringify(value);
        // Names that are refused; and it stands there twice, while a body of a megabyte is read in turns.
        if (/__proto__|constructor/.test(written) || 2 * written.length > 1_000_000) return;
        counts({ messages: [{ ...message, content: [{ type, extra: value }], more: value }] });
      }),
      runs(50),
    );
  });
});

describe('K17 media are taken for what they may cost, not for text', () => {
  const base64 = 'SUQz'.repeat(100_000);
  const cost = (part: object) => {
    const { inputTokens: usual, mostInputTokens: most } = read(said([part]));
    return { usual, most };
  };

  it('sound by its bytes and its format', () => {
    const mp3 = cost({ type: 'input_audio', input_audio: { data: base64, format: 'mp3' } });
    assert.ok(mp3.usual > 300 && mp3.usual < 1_000, `${mp3.usual}`);
    assert.ok(mp3.most > 9_000 && mp3.most < 11_000, `${mp3.most}`);
    const wav = cost({ type: 'input_audio', input_audio: { data: base64, format: 'wav' } });
    assert.ok(wav.usual < mp3.usual && wav.most > 9_000);
    assert.ok(cost({ type: 'audio_url', audio_url: { url: `data:audio/mp3;base64,${base64}` } }).usual < 1_000);
  });

  it('pages by their bytes, other files as text', () => {
    const pdf = cost({ type: 'file', file: { filename: 'a.pdf', file_data: `data:application/pdf;base64,${base64}` } });
    assert.ok(pdf.usual > 2_900 && pdf.usual < 3_200, `${pdf.usual}`);
    assert.ok(pdf.most > 140_000);
    const text = cost({ type: 'file', file: { filename: 'a.txt', file_data: `data:text/plain;base64,${base64}` } });
    assert.ok(text.usual >= 100_000 && text.most >= 300_000);
  });

  it('what an address says that it is, whatever the part is called', () => {
    const under = (type: string, more: string) =>
      cost({ type: 'image_url', image_url: { url: `${type};base64,${more}` } });
    const picture = under('data:image/png', base64);
    assert.deepEqual(under('data:application/octet-stream', base64), picture);
    assert.deepEqual(under('data:', base64), picture);
    for (const type of [
      'data:text/plain',
      'DATA:Text/Markdown',
      'data:application/json',
      'data:text/html;charset=utf-8',
    ]) {
      const { usual, most } = under(type, base64);
      assert.ok(usual >= 100_000 && most >= 300_000, type);
    }
    assert.ok(under('data:application/pdf', base64).most > picture.most);
    const film = cost({ type: 'video_url', video_url: { url: `data:video/mp4;base64,${base64}` } });
    // But for the name of the part.
    assert.ok(Math.abs(under('data:video/mp4', base64).most - film.most) < 20);
  });

  it('whatever the case of the scheme', () => {
    for (const scheme of ['DATA:image/png;base64,', 'Data:;base64,', 'DATA:,']) {
      const image = cost({ type: 'image_url', image_url: { url: `${scheme}${base64}` } });
      assert.ok(image.usual < 2_000 && image.most < 50_000, `${scheme}: ${image.usual}, ${image.most}`);
    }
    const pdf = cost({ type: 'file', file: { file_data: `Data:Application/PDF;base64,${base64}` } });
    assert.ok(pdf.usual < 3_200, `${pdf.usual}`);
  });

  it('films by their bytes; of an address nobody knows what is behind it', () => {
    assert.ok(cost({ type: 'video_url', video_url: { url: `data:video/mp4;base64,${base64}` } }).usual < 1_000);
    assert.ok(cost({ type: 'video_url', video_url: { url: 'https://example.com/a.mp4' } }).most >= 1_000_000);
    const image = cost({ type: 'image_url', image_url: { url: 'https://example.com/a.png' } });
    assert.equal(image.most, 3 * 7 + MOST_PER_IMAGE);
  });
});
