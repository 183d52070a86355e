import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCancellation } from '../src/base/cancellation.js';
import { DEPTH } from './helpers/depth.js';
import { Seeded } from './helpers/seeded.js';

describe('a cancellation', () => {
  it('tells those who listen then, once, in the order in which they came, however many came and went', () => {
    for (let seed = Math.floor(Math.random() * 2 ** 31), left = 300 * DEPTH; left > 0; seed += 1, left -= 1) {
      const random = new Seeded(seed);
      const source = createCancellation();
      const told: number[] = [];
      const listeners = Array.from({ length: 6 }, (_, at) => () => {
        told.push(at);
        // Whoever is told goes, as does the next: it was there, and is told all the same.
        for (const one of [at, at + 1]) source.removeEventListener('abort', listeners[one] ?? nobody);
      });
      const nobody = (): void => assert.fail('nobody listens');
      let expected: number[] = [];
      for (let step = random.below(20); step > 0; step -= 1) {
        const at = random.below(listeners.length);
        const listener = listeners[at] ?? nobody;
        if (expected.includes(at)) {
          source.removeEventListener('abort', listener);
          expected = expected.filter((one) => one !== at);
        } else {
          source.removeEventListener('abort', listener);
          source.addEventListener('abort', listener);
          expected.push(at);
        }
      }
      source.abort(new Error('gone'));
      source.abort(new Error('again'));
      assert.deepEqual(told, expected, `seed ${seed}`);
    }
  });
});
