import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lowerCeiling } from '../../src/upstreams/refusal.js';

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
