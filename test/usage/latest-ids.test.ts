import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LatestIds } from '../../src/usage/latest-ids.js';
import { runs } from '../helpers/depth.js';

/** Ids as gateways make them, ids that end alike, short ones and none at all. */
const FORMS = [
  (number: number) => `req_0123456789abcdef0123100${100_000_000 + number}`,
  (number: number) => `${number} of a gateway that counts from the same number`,
  (number: number) => String(number),
  (number: number) => 'é'.repeat(number % 40),
];

describe('the latest ids', () => {
  it('knows exactly the last thousand, whatever they look like', () => {
    const steps = fc.array(fc.tuple(fc.nat(FORMS.length - 1), fc.nat(1_400)), { minLength: 2_500, maxLength: 3_500 });
    fc.assert(
      fc.property(steps, (all) => {
        const ids = new LatestIds();
        const known = new Set<string>();
        for (const [form, number] of all) {
          const id = FORMS[form]?.(number) ?? '';
          assert.equal(ids.add(id), !known.has(id), id);
          known.add(id);
          const [oldest = ''] = known;
          if (known.size > 1_000) known.delete(oldest);
        }
      }),
      runs(10),
    );
  });
});
