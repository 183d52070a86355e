import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lowerCeiling, readRefusal } from '../../src/upstreams/refusal.js';
import { upstreamFailure } from '../../src/upstreams/upstream-failure.js';

const ROOM = (context: number, prompt: number, ceiling: number) =>
  `This model's maximum context length is ${context} tokens. You requested ${prompt + ceiling} tokens (${prompt} in the messages, ${ceiling} in the completion).`;

describe('the ceiling after one that was refused', () => {
  for (const [what, ceiling, text, expected] of [
    ['is what the prompt leaves of the context', 4_096, ROOM(8_192, 5_000, 4_096), [3_192, 1_024]],
    ['be that ever so little', 4_096, ROOM(8_192, 8_190, 4_096), [2]],
    ['is the number that the server names', 8_192, 'max_tokens must be at most 2,048', [2_048]],
    ['is no number that is too small to be one', 4_096, 'choose max_tokens between 1 and 50', [1_024]],
    ['is a quarter where nothing is said', 4_096, 'no', [1_024, 1_024, 1_024]],
    ['is no number above it', 4_096, 'the limit of this model is 16384', [1_024]],
    ['ends with the least that makes sense', 64, 'no', [16]],
    ['and is none below that', 63, 'no', [undefined]],
  ] as const) {
    it(what, () => {
      assert.deepEqual(
        expected.map((_, round) => lowerCeiling(ceiling, text, round)),
        expected,
      );
    });
  }
});

describe('whether a refusal is about the ceiling', () => {
  /** Refusal of a request to which we added a ceiling, and that has this member of its own. */
  function aboutIn(message: string, own = '') {
    const error = upstreamFailure({ status: 400, body: { error: { message } } });
    const ceiling = { name: 'max_completion_tokens', tokens: 100, isClients: false };
    const hasOwn = (name: string): boolean => name === own;
    const refusal = readRefusal(error, { asksUsage: false, ceiling, dispensable: [], hasOwn });
    return [refusal?.about, refusal?.blamesCeiling];
  }

  // By the sources of `upstream-words.ts`.
  for (const name of [
    'max_completion_tokens',
    'max_tokens',
    'max_output_tokens',
    'max_new_tokens',
    'maxOutputTokens',
    'max_tokens_to_sample',
    'num_predict',
    'n_predict',
  ]) {
    it(`it is where \`${name}\` is named, and the client has not sent that`, () => {
      assert.deepEqual(aboutIn(`${name} exceeds what there is`), ['room', true]);
      assert.deepEqual(aboutIn(`${name}: no such field`), ['additions', true]);
    });
  }

  it('it is not where the client’s own is named, or none', () => {
    assert.deepEqual(aboutIn('num_predict exceeds what there is', 'num_predict'), ['nothing', false]);
    assert.deepEqual(aboutIn('The picture exceeds the maximum length of a side'), ['nothing', false]);
    assert.deepEqual(aboutIn('Not like this'), ['nothing', false]);
  });
});
