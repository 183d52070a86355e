import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { costNanoUsd, toPrice } from '../../src/models/pricing.js';

const tokenCount = fc.nat(1_000_000_000);
const usd = fc.nat(1_000_000).map((cents) => cents / 100);

describe('costNanoUsd', () => {
  it('is exact where floating point is not', () => {
    const price = toPrice({ inputUsdPerMillion: 0.15, cachedInputUsdPerMillion: 0.075, outputUsdPerMillion: 0.6 });
    assert.equal(costNanoUsd(price, { inputTokens: 1_000, cachedInputTokens: 400, outputTokens: 10 }), 126_000);
    assert.equal(costNanoUsd(price, { inputTokens: 0, cachedInputTokens: undefined, outputTokens: 0 }), 0);
  });

  it('rounds half up, once', () => {
    const price = { inputNanoUsdPerMillion: 500_000, cachedInputNanoUsdPerMillion: 0, outputNanoUsdPerMillion: 0 };
    assert.equal(costNanoUsd(price, { inputTokens: 1, cachedInputTokens: undefined, outputTokens: 0 }), 1);
    assert.equal(costNanoUsd(price, { inputTokens: 3, cachedInputTokens: undefined, outputTokens: 0 }), 2);
  });

  it('never falls when tokens rise, is never negative and always a safe integer', () => {
    fc.assert(
      fc.property(usd, usd, tokenCount, tokenCount, fc.nat(1_000), (input, output, inputTokens, outputTokens, more) => {
        const price = toPrice({ inputUsdPerMillion: input, outputUsdPerMillion: output });
        const cost = costNanoUsd(price, { inputTokens, cachedInputTokens: undefined, outputTokens });
        const dearer = costNanoUsd(price, {
          inputTokens,
          cachedInputTokens: undefined,
          outputTokens: outputTokens + more,
        });
        assert.ok(cost >= 0 && dearer >= cost);
      }),
    );
  });

  it('is the same as in whole numbers of any size', () => {
    const nano = fc.oneof(
      fc.nat(1_000),
      fc.nat(2 ** 31 - 1),
      fc.nat(2 ** 24).map((value) => value * 2 ** 20),
    );
    fc.assert(
      fc.property(nano, nano, tokenCount, fc.nat(1_000), (input, output, inputTokens, outputTokens) => {
        const price = {
          inputNanoUsdPerMillion: input,
          cachedInputNanoUsdPerMillion: input,
          outputNanoUsdPerMillion: output,
        };
        const total = BigInt(inputTokens) * BigInt(input) + BigInt(outputTokens) * BigInt(output);
        assert.equal(
          costNanoUsd(price, { inputTokens, cachedInputTokens: undefined, outputTokens }),
          Number((total + 500_000n) / 1_000_000n),
        );
      }),
      { numRuns: 5_000 },
    );
  });

  it('charges cached input like other input where no price is named for it', () => {
    const price = toPrice({ inputUsdPerMillion: 2, outputUsdPerMillion: 8 });
    assert.equal(
      costNanoUsd(price, { inputTokens: 10, cachedInputTokens: 10, outputTokens: 0 }),
      costNanoUsd(price, { inputTokens: 10, cachedInputTokens: 0, outputTokens: 0 }),
    );
  });
});
