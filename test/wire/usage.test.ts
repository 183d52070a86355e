import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readUsage, type TokenUsage, UsageTail } from '../../src/wire/usage.js';
import { runs } from '../helpers/depth.js';

const NOTHING: TokenUsage = {
  inputTokens: 0,
  cachedInputTokens: undefined,
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
      { completion_tokens_details: { reasoning_tokens: 6 } },
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
