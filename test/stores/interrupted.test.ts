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
