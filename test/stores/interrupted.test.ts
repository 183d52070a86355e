import assert from 'node:assert/strict';
import { it } from 'node:test';
import { toPrice } from '../../src/models/pricing.js';
import { chargeOfInterrupted } from '../../src/stores/interrupted.js';

const free = { inputUsdPerMillion: 0, outputUsdPerMillion: 0 };

it('an interrupted call for pictures, minutes or characters costs what was reserved: nobody wrote down how many there were', () => {
  for (const unit of ['usdPerImage', 'usdPerAudioMinute', 'usdPerMillionCharacters']) {
    const price = JSON.stringify(toPrice({ ...free, [unit]: 1 }));
    const call = { reservedInputTokens: 0, reservedOutputTokens: 0, reservedNanoUsd: 7, price, serviceTier: undefined };
    for (const checkpoint of [undefined, 0, 3]) {
      assert.equal(chargeOfInterrupted({ ...call, checkpoint }).costNanoUsd, 7, unit);
    }
  }
});

it('an interrupted call has the fee of its request', () => {
  const price = JSON.stringify(toPrice({ ...free, usdPerRequest: 0.5 }));
  const call = { reservedInputTokens: 1, reservedOutputTokens: 1, reservedNanoUsd: 9e8, price, serviceTier: undefined };
  assert.equal(chargeOfInterrupted({ ...call, checkpoint: 1 }).costNanoUsd, 5e8);
});

it("the host's own cost of an interrupted call is told by its own price", () => {
  const price = JSON.stringify(toPrice({ inputUsdPerMillion: 2, outputUsdPerMillion: 4 }));
  const upstreamPrice = JSON.stringify(toPrice({ inputUsdPerMillion: 1, outputUsdPerMillion: 2 }));
  const call = { reservedInputTokens: 100, reservedOutputTokens: 50, reservedNanoUsd: 9e8, serviceTier: undefined };
  const charge = chargeOfInterrupted({ ...call, price, upstreamPrice, checkpoint: 10 });
  assert.deepEqual([charge.costNanoUsd, charge.upstreamCostNanoUsd], [240_000, 120_000]);
  for (const unknown of [undefined, 'not JSON']) {
    const { costNanoUsd, upstreamCostNanoUsd } = chargeOfInterrupted({
      ...call,
      price,
      upstreamPrice: unknown,
      checkpoint: 10,
    });
    assert.deepEqual([costNanoUsd, upstreamCostNanoUsd], [240_000, undefined]);
  }
});
