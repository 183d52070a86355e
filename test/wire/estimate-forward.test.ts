import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { estimateForward, type ForwardRequest } from '../../src/wire/estimate.js';

type Case = readonly [given: Omit<ForwardRequest, 'assumesMost'>, usual: readonly number[], most: readonly number[]];
const form = (path: string, byteLength: number) => ({ path, body: undefined, byteLength });

/** Tokens of input and output: as a rule, and where money is at stake. */
const CASES: readonly Case[] = [
  [{ path: '/images/generations', body: {}, byteLength: 300 }, [100, 6_240], [300, 6_240]],
  [{ path: '/images/generations', body: { n: 4 }, byteLength: 30 }, [10, 24_960], [30, 24_960]],
  [{ path: '/images/generations', body: { n: 999, partial_images: 2 }, byteLength: 30 }, [10, 64_400], [30, 64_400]],
  [{ path: '/images/generations', body: { n: 'two', partial_images: -1 }, byteLength: 30 }, [10, 6_240], [30, 6_240]],
  [{ path: '/images/edits', body: { images: [{}, {}] }, byteLength: 30 }, [12_490, 6_240], [12_510, 6_240]],
  [form('/images/edits', 1_000), [6_240, 6_240], [16 * 6_240, 10 * 6_540]],
  [form('/images/variations', 1_000), [6_240, 6_240], [6_240, 10 * 6_540]],
  [{ path: '/audio/speech', body: {}, byteLength: 300 }, [100, 600], [300, 600]],
  [form('/audio/transcriptions', 45_000), [1_000, 500], [1_000, 500]],
  [form('/audio/translations', 1), [1, 1], [1, 1]],
];

describe('what pictures and sound may use', () => {
  for (const [given, usual, most] of CASES) {
    it(`${given.path} ${JSON.stringify(given.body) ?? 'as a form'}`, () => {
      for (const [assumesMost, expected] of [[false, usual] as const, [true, most] as const]) {
        const { inputTokens, outputTokens } = estimateForward({ ...given, assumesMost });
        assert.deepEqual([inputTokens, outputTokens], expected);
      }
    });
  }
});
