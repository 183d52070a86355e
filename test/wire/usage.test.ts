import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readToolCalls } from '../../src/wire/hosted-tools.js';
import {
  readAnswerUsage,
  readServiceTier,
  readToldUsage,
  readUsage,
  type TokenUsage,
  UsageTail,
  withoutOutput,
} from '../../src/wire/usage.js';
import { scanUsage } from '../../src/wire/usage-scan.js';
import { runs } from '../helpers/depth.js';

const NOTHING: TokenUsage = {
  inputTokens: 0,
  cachedInputTokens: undefined,
  cacheWriteTokens: undefined,
  cacheWriteLongTokens: undefined,
  inputAudioTokens: undefined,
  inputImageTokens: undefined,
  outputTokens: 0,
  reasoningTokens: undefined,
  outputAudioTokens: undefined,
};

describe('readUsage', () => {
  const said: readonly [string, Parameters<typeof readUsage>[0], Partial<TokenUsage>][] = [
    [
      'a chat completion with sound',
      {
        prompt_tokens: 100,
        completion_tokens: 50,
        total_tokens: 150,
        prompt_tokens_details: { cached_tokens: 30, audio_tokens: 60, image_tokens: 10 },
        completion_tokens_details: { reasoning_tokens: 5, audio_tokens: 40, accepted_prediction_tokens: 0 },
      },
      {
        inputTokens: 100,
        cachedInputTokens: 30,
        inputAudioTokens: 60,
        inputImageTokens: 10,
        outputTokens: 50,
        reasoningTokens: 5,
        outputAudioTokens: 40,
      },
    ],
    [
      'a response',
      {
        input_tokens: 20,
        input_tokens_details: { cached_tokens: 3 },
        output_tokens: 7,
        output_tokens_details: { reasoning_tokens: 2 },
      },
      { inputTokens: 20, cachedInputTokens: 3, outputTokens: 7, reasoningTokens: 2 },
    ],
    [
      'a picture',
      { input_tokens: 50, input_tokens_details: { text_tokens: 10, image_tokens: 40 }, output_tokens: 272 },
      { inputTokens: 50, inputImageTokens: 40, outputTokens: 272 },
    ],
    [
      'a transcription',
      {
        type: 'tokens',
        input_tokens: 14,
        input_token_details: { text_tokens: 4, audio_tokens: 10 },
        output_tokens: 45,
        total_tokens: 59,
      },
      { inputTokens: 14, inputAudioTokens: 10, outputTokens: 45 },
    ],
    ['an embedding', { prompt_tokens: 8, total_tokens: 8 }, { inputTokens: 8 }],
    [
      'an OpenAI completion that wrote to a cache',
      {
        prompt_tokens: 300_000,
        completion_tokens: 10,
        prompt_tokens_details: {
          cached_tokens: 5,
          cache_write_tokens: 1_000,
          cache_write_tokens_details: { ttl_30m_tokens: 400, ttl_12h_tokens: 600 },
        },
      },
      {
        inputTokens: 300_000,
        cachedInputTokens: 5,
        cacheWriteTokens: 1_000,
        cacheWriteLongTokens: 600,
        outputTokens: 10,
      },
    ],
    [
      'Anthropic, whose input has neither what was cached nor what was written (docs.anthropic.com, prompt caching)',
      {
        input_tokens: 10,
        cache_creation_input_tokens: 200,
        cache_read_input_tokens: 3_000,
        cache_creation: { ephemeral_5m_input_tokens: 150, ephemeral_1h_input_tokens: 50 },
        output_tokens: 7,
      },
      {
        inputTokens: 3_210,
        cachedInputTokens: 3_000,
        cacheWriteTokens: 200,
        cacheWriteLongTokens: 50,
        outputTokens: 7,
      },
    ],
    [
      'LiteLLM of Anthropic, whose prompt has all of it',
      {
        prompt_tokens: 3_210,
        completion_tokens: 7,
        total_tokens: 3_217,
        prompt_tokens_details: { cached_tokens: 3_000, cache_creation_tokens: 200 },
        cache_creation_input_tokens: 200,
        cache_read_input_tokens: 3_000,
      },
      { inputTokens: 3_210, cachedInputTokens: 3_000, cacheWriteTokens: 200, outputTokens: 7 },
    ],
    [
      'Gemini through its compatible API: thoughts are in the sum alone',
      { prompt_tokens: 9, completion_tokens: 20, total_tokens: 529 },
      { inputTokens: 9, outputTokens: 520 },
    ],
    [
      'Gemini itself',
      { promptTokenCount: 9, candidatesTokenCount: 20, thoughtsTokenCount: 500, totalTokenCount: 529 },
      { inputTokens: 9, outputTokens: 520, reasoningTokens: 500 },
    ],
    [
      'xAI, whose reasoning stands beside the completion',
      {
        prompt_tokens: 12,
        completion_tokens: 1,
        total_tokens: 9_013,
        completion_tokens_details: { reasoning_tokens: 9_000 },
      },
      { inputTokens: 12, outputTokens: 9_001, reasoningTokens: 9_000 },
    ],
    [
      'xAI without a sum',
      { prompt_tokens: 12, completion_tokens: 1, completion_tokens_details: { reasoning_tokens: 9_000 } },
      { inputTokens: 12, outputTokens: 9_001, reasoningTokens: 9_000 },
    ],
    [
      'DeepSeek',
      {
        prompt_tokens: 50,
        completion_tokens: 3,
        prompt_cache_hit_tokens: 40,
        prompt_cache_miss_tokens: 10,
        total_tokens: 53,
      },
      { inputTokens: 50, cachedInputTokens: 40, outputTokens: 3 },
    ],
    [
      'Mistral',
      { prompt_tokens: 50, total_tokens: 55, completion_tokens: 5, num_cached_tokens: 32 },
      { inputTokens: 50, cachedInputTokens: 32, outputTokens: 5 },
    ],
    [
      'Perplexity, which bills citations as input and reasoning beside the completion',
      {
        prompt_tokens: 7,
        completion_tokens: 3_847,
        total_tokens: 3_854,
        citation_tokens: 47_964,
        num_search_queries: 30,
        reasoning_tokens: 308_156,
      },
      { inputTokens: 47_971, outputTokens: 312_003, reasoningTokens: 308_156 },
    ],
    ['Ollama itself', { prompt_eval_count: 26, eval_count: 259 }, { inputTokens: 26, outputTokens: 259 }],
    [
      'a sum that has more than its parts',
      { prompt_tokens: 9, total_tokens: 1_009 },
      { inputTokens: 9, outputTokens: 1_000 },
    ],
    [
      'a completion of null beside a sum',
      { prompt_tokens: 9, completion_tokens: null, total_tokens: 12 },
      { inputTokens: 9, outputTokens: 3 },
    ],
    ['E10: nothing', { prompt_tokens: 0, completion_tokens: 0 }, {}],
    [
      'a part that is null is one nobody told of',
      { prompt_tokens: 1, completion_tokens: 1, prompt_tokens_details: { cached_tokens: null, audio_tokens: 0 } },
      { inputTokens: 1, outputTokens: 1, inputAudioTokens: 0 },
    ],
  ];
  for (const [name, usage, tokens] of said) {
    it(name, () => assert.deepEqual(readUsage(usage), { ...NOTHING, ...tokens }));
  }

  it('E11: parts larger than their whole, or garbage, are believed no more than the whole of it', () => {
    const garbage: readonly Parameters<typeof readUsage>[0][] = [
      { prompt_tokens_details: { cached_tokens: 11 } },
      { prompt_tokens_details: { audio_tokens: 11 } },
      { prompt_tokens_details: { image_tokens: 11 } },
      { prompt_tokens_details: { audio_tokens: 6, image_tokens: 5 } },
      { completion_tokens_details: { audio_tokens: 6 } },
      { completion_tokens_details: { audio_tokens: 3, reasoning_tokens: 3 } },
      { prompt_tokens_details: { audio_tokens: -1 } },
      { prompt_tokens_details: { audio_tokens: 0.5 } },
      { prompt_tokens_details: { image_tokens: '4' } },
      { prompt_tokens_details: { cached_tokens: -4 } },
      { completion_tokens_details: { audio_tokens: 1e300 } },
    ];
    const whole = { prompt_tokens: 10, completion_tokens: 5 };
    assert.ok(readUsage(whole));
    for (const parts of garbage) {
      assert.equal(readUsage({ ...whole, ...Object(parts) }), undefined, JSON.stringify(parts));
    }
  });

  it('what is absent or null is not 0, and is no exact usage', () => {
    for (const usage of [
      { prompt_tokens: 5 },
      { prompt_tokens: 5, completion_tokens: null },
      { completion_tokens: 5 },
    ]) {
      assert.equal(readUsage(usage), undefined);
      assert.equal(readToldUsage(usage)?.isDoubtful, true);
    }
    for (const usage of [
      {},
      { prompt_tokens: null, completion_tokens: null },
      { type: 'duration', seconds: 9 },
      null,
      5,
    ]) {
      assert.equal(readToldUsage(usage), undefined);
    }
  });

  it('a total alone tells nothing of its parts, but for what makes no output', () => {
    for (const usage of [{ total_tokens: 9 }, { totalTokenCount: 9 }, { total_tokens: 9, prompt_tokens: null }]) {
      const told = readToldUsage(usage);
      assert.deepEqual([told?.inputTokens, told?.lacks, told?.isDoubtful], [9, 'output', true]);
      assert.deepEqual(withoutOutput(told), { ...NOTHING, inputTokens: 9, outputTokens: 0 });
    }
    assert.equal(readToldUsage({ total_tokens: 9, prompt_tokens: 4 })?.isDoubtful, undefined);
    assert.equal(readToldUsage({ total_tokens: 9, completion_tokens: 4 })?.inputTokens, 5);
  });

  it("Gemini's thoughts stand beside its candidates, also without a total", () => {
    const told = { promptTokenCount: 5, candidatesTokenCount: 70, thoughtsTokenCount: 7 };
    assert.deepEqual([readUsage(told)?.outputTokens, readUsage(told)?.reasoningTokens], [77, 7]);
    assert.equal(readUsage({ ...told, totalTokenCount: 82 })?.outputTokens, 77);
  });

  it('of what is not believable nothing less is taken than it says', () => {
    const cases: readonly [Parameters<typeof readUsage>[0], number, number][] = [
      [{ prompt_tokens: 10, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 11 } }, 21, 5],
      [{ prompt_tokens: 10, completion_tokens: 5, completion_tokens_details: { audio_tokens: 600 } }, 10, 600],
      [{ prompt_tokens: -1, completion_tokens: 5_000 }, 0, 5_000],
      [{ prompt_tokens: '900', completion_tokens: 10.2 }, 900, 11],
    ];
    for (const [usage, input, output] of cases) {
      const told = readToldUsage(usage);
      assert.deepEqual([told?.inputTokens, told?.outputTokens, told?.isDoubtful], [input, output, true]);
    }
  });

  it('never undercuts a number that it was told, whatever the others are', () => {
    const count = fc.option(fc.nat(100_000), { nil: undefined });
    const usage = fc.record({
      prompt: count,
      completion: count,
      total: count,
      cached: count,
      reasoning: count,
      written: count,
    });
    fc.assert(
      fc.property(usage, ({ prompt, completion, total, cached, reasoning, written }) => {
        const told = readToldUsage(
          JSON.parse(
            JSON.stringify({
              prompt_tokens: prompt,
              completion_tokens: completion,
              total_tokens: total,
              prompt_tokens_details: { cached_tokens: cached, cache_write_tokens: written },
              completion_tokens_details: { reasoning_tokens: reasoning },
            }),
          ),
        );
        if (told === undefined) {
          assert.ok(prompt === undefined && completion === undefined && total === undefined);
          return;
        }
        const { inputTokens, outputTokens } = told;
        assert.ok(inputTokens >= (prompt ?? 0) && inputTokens >= (cached ?? 0) + (written ?? 0));
        assert.ok(outputTokens >= (completion ?? 0) && outputTokens >= (reasoning ?? 0));
        assert.ok(inputTokens + outputTokens >= (total ?? 0));
      }),
      runs(2_000),
    );
  });

  it('E11: whatever is said, what is believed is whole numbers up to a billion and parts within their whole', () => {
    const odd = fc.oneof(fc.constantFrom(-1, 0.5, 1e300, '12', null, true, [], {}), fc.nat(2_000_000_000), fc.nat(9));
    const details = fc.oneof(
      odd,
      fc.record(
        { cached_tokens: odd, audio_tokens: odd, image_tokens: odd, reasoning_tokens: odd },
        { requiredKeys: [] },
      ),
    );
    const usage = fc.record(
      {
        prompt_tokens: odd,
        input_tokens: odd,
        completion_tokens: odd,
        output_tokens: odd,
        prompt_tokens_details: details,
        input_token_details: details,
        completion_tokens_details: details,
      },
      { requiredKeys: [] },
    );
    let believed = 0;
    fc.assert(
      fc.property(usage, (said) => {
        const read = readUsage(JSON.parse(JSON.stringify(said)));
        if (read === undefined) return;
        believed += 1;
        for (const count of Object.values(read)) {
          assert.ok(count === undefined || (Number.isSafeInteger(count) && count >= 0 && count <= 1_000_000_000));
        }
        assert.ok((read.cachedInputTokens ?? 0) <= read.inputTokens);
        assert.ok((read.inputAudioTokens ?? 0) + (read.inputImageTokens ?? 0) <= read.inputTokens);
        assert.ok((read.reasoningTokens ?? 0) + (read.outputAudioTokens ?? 0) <= read.outputTokens);
      }),
      runs(2_000),
    );
    assert.ok(believed > 100, `${believed} believed`);
  });
});

describe('the usage of an answer', () => {
  const usage = { prompt_tokens: 4, completion_tokens: 2 };
  const answers: readonly [string, Parameters<typeof readAnswerUsage>[0]][] = [
    ['beside the choices', { choices: [], usage }],
    ['in the first choice', { choices: [{ index: 0, delta: {}, usage }], usage: null }],
    ['where Groq had it', { choices: [], x_groq: { id: 'req_1', usage } }],
    ['in the words of Ollama', { message: { content: 'x' }, done: true, prompt_eval_count: 4, eval_count: 2 }],
    ['in the words of Gemini', { candidates: [], usageMetadata: { promptTokenCount: 4, candidatesTokenCount: 2 } }],
  ];
  for (const [place, answer] of answers) {
    it(`stands ${place}`, () => {
      assert.deepEqual(readAnswerUsage(answer), { ...NOTHING, inputTokens: 4, outputTokens: 2 });
    });
  }

  it('comes with a service tier, or with none', () => {
    assert.equal(readServiceTier({ service_tier: 'priority', usage: { service_tier: 'standard' } }), 'priority');
    assert.equal(readServiceTier({ usage: { service_tier: 'batch' } }), 'batch');
    assert.equal(readServiceTier({ usage: { speed: 'fast', service_tier: 'standard' } }), 'fast');
    assert.equal(readServiceTier({ service_tier: null, usage: null }), undefined);
  });

  it('comes with the calls of hosted tools', () => {
    const output = ['web_search_call', 'message', 'web_search_call', 'function_call', 'code_interpreter_call'];
    assert.deepEqual(readToolCalls({ output: output.map((type) => ({ type })) }), {
      web_search: 2,
      code_interpreter: 1,
    });
    assert.deepEqual(readToolCalls({ usage: { server_tool_use: { web_search_requests: 3 } } }), { web_search: 3 });
    assert.deepEqual(readToolCalls({ usage: { num_search_queries: 30 } }), { web_search: 30 });
    assert.equal(readToolCalls({ output: [{ type: 'message' }], usage: {} }), undefined);
  });
});

it('UsageTail finds the parts of a picture and of a transcription at the end of what passes', () => {
  const answers: readonly [string, Partial<TokenUsage>][] = [
    [
      '{"data":[],"usage":{"input_tokens":50,"input_tokens_details":{"image_tokens":40,"text_tokens":10},"output_tokens":9}}',
      { inputTokens: 50, inputImageTokens: 40, outputTokens: 9 },
    ],
    [
      'data: {"type":"transcript.text.done","usage":{"type":"tokens","input_tokens":14,"output_tokens":45,"input_token_details":{"audio_tokens":10}}}\n\n',
      { inputTokens: 14, inputAudioTokens: 10, outputTokens: 45 },
    ],
  ];
  for (const [answer, tokens] of answers) {
    const tail = new UsageTail('application/json');
    for (const byte of Buffer.from(answer)) tail.addPiece(Buffer.from([byte]));
    assert.deepEqual(tail.findUsage(), { ...NOTHING, ...tokens });
  }
});

describe('usage read in its bytes', () => {
  const scanned = (text: string): unknown => {
    const bytes = Buffer.from(`{"usage":${text},"id":"x"}`);
    return scanUsage(bytes, { start: 9, end: 9 + Buffer.byteLength(text) });
  };
  const ordinary = {
    prompt_tokens: 231,
    completion_tokens: 104,
    total_tokens: 335,
    prompt_tokens_details: {
      cached_tokens: 128,
      audio_tokens: 0,
      cache_write_tokens: 7,
      image_tokens: 1,
      text_tokens: 9,
    },
    completion_tokens_details: {
      reasoning_tokens: 40,
      audio_tokens: 1,
      accepted_prediction_tokens: 2,
      rejected_prediction_tokens: 3,
      text_tokens: 4,
    },
  };

  it('is that of the parsed one, in any order and with any space', () => {
    const expected = readToldUsage(ordinary);
    assert.notEqual(expected, undefined);
    assert.deepEqual(scanned(JSON.stringify(ordinary)), expected);
    assert.deepEqual(scanned(JSON.stringify(ordinary, undefined, '\t')), expected);
    const reversed = Object.fromEntries(Object.entries(ordinary).reverse());
    assert.deepEqual(scanned(JSON.stringify(reversed)), expected);
  });

  it('is that of the parsed one whatever is told, or is left to the parser', () => {
    const count = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 500 }).map(String) },
      {
        weight: 1,
        arbitrary: fc.constantFrom('null', '999999999', '1000000000', '-1', '1.5', '1e2', '01', '"3"', '{}', 'nul', ''),
      },
    );
    const names = (from: object): string[] =>
      Object.keys(from).concat('cost', 'input_tokens', 'cached_tokens', 'prompt_token');
    const objectOf = (members: fc.Arbitrary<string>): fc.Arbitrary<string> =>
      fc.array(members, { maxLength: 6 }).map((all) => `{${all.join(', ')}}`);
    const countsOf = (from: object): fc.Arbitrary<string> =>
      objectOf(fc.tuple(fc.constantFrom(...names(from)), count).map(([name, value]) => `"${name}":${value}`));
    const details = fc.oneof(
      countsOf(ordinary.prompt_tokens_details).map((text) => `"prompt_tokens_details" : ${text}`),
      countsOf(ordinary.completion_tokens_details).map((text) => `"completion_tokens_details":${text}`),
    );
    const whole = fc.tuple(
      fc.constantFrom('prompt_tokens', 'completion_tokens', 'total_tokens', 'reasoning_tokens'),
      count,
    );
    const usage = objectOf(
      fc.oneof(
        details,
        whole.map(([name, value]) => `"${name}":${value}`),
      ),
    );
    let read = 0;
    fc.assert(
      fc.property(usage, (text) => {
        const found = scanned(text);
        if (found === undefined) return;
        read += 1;
        assert.deepEqual(found, readToldUsage(JSON.parse(text)), text);
      }),
      runs(1_000),
    );
    assert.ok(read > 50, 'many are ordinary');
  });

  for (const odd of [
    '{"prompt_tokens":1,"prompt_tokens":2}',
    '{"prompt_tokens":1,"cost":2}',
    '{"prompt_tokens":1,}',
    '[]',
    '{"prompt_tokens":1',
  ]) {
    it(`leaves ${odd} to the parser`, () => assert.equal(scanned(odd), undefined));
  }
});
