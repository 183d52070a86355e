import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { modelTable } from '../../src/config/models.js';
import {
  costNanoUsd,
  type Price,
  type PricedTokens,
  type Pricing,
  toPrice,
  worstCostNanoUsd,
} from '../../src/models/pricing.js';
import { runs } from '../helpers/depth.js';

const NOTHING: PricedTokens = {
  inputTokens: 0,
  cachedInputTokens: undefined,
  inputAudioTokens: undefined,
  inputImageTokens: undefined,
  outputTokens: 0,
  reasoningTokens: undefined,
  outputAudioTokens: undefined,
};
const EACH: Pricing = {
  inputUsdPerMillion: 1,
  cachedInputUsdPerMillion: 0.1,
  inputAudioUsdPerMillion: 30,
  inputImageUsdPerMillion: 7,
  outputUsdPerMillion: 2,
  reasoningUsdPerMillion: 5,
  outputAudioUsdPerMillion: 60,
};
const FIELDS = [
  'inputUsdPerMillion',
  'cachedInputUsdPerMillion',
  'inputAudioUsdPerMillion',
  'inputImageUsdPerMillion',
  'outputUsdPerMillion',
  'reasoningUsdPerMillion',
  'outputAudioUsdPerMillion',
] as const;

const BILLION = 1_000_000_000;
const count = fc.oneof(fc.nat(100), fc.nat(1_000_000), fc.nat(BILLION));
const part = fc.option(count, { nil: undefined });
/** Parts may be anything: larger than their whole, overlapping, absent. */
const anyTokens = fc.record({
  inputTokens: count,
  cachedInputTokens: part,
  cacheWriteTokens: part,
  cacheWriteLongTokens: part,
  inputAudioTokens: part,
  inputImageTokens: part,
  outputTokens: count,
  reasoningTokens: part,
  outputAudioTokens: part,
});
/** Up to the dearest there is: 4,500 dollars. */
const nano = fc.oneof(
  fc.nat(1_000),
  fc.nat(2 ** 31 - 1),
  fc.nat(4_500_000).map((value) => value * 1_000_000),
);
const anyPrice = fc.record({
  inputNanoUsdPerMillion: nano,
  cachedInputNanoUsdPerMillion: nano,
  cacheWriteNanoUsdPerMillion: nano,
  cacheWriteLongNanoUsdPerMillion: nano,
  inputAudioNanoUsdPerMillion: nano,
  inputImageNanoUsdPerMillion: nano,
  outputNanoUsdPerMillion: nano,
  reasoningNanoUsdPerMillion: nano,
  outputAudioNanoUsdPerMillion: nano,
});

/** The same by another way: token kinds take what is left of their whole, one after the other, in whole numbers of any size. */
function exactCost(price: Price, tokens: PricedTokens): bigint {
  const shares = (whole: number, kinds: readonly (readonly [number | undefined, number])[], rest: number): bigint => {
    let left = BigInt(whole);
    let sum = 0n;
    for (const [wanted, nanoUsd] of kinds) {
      const taken = BigInt(wanted ?? 0) < left ? BigInt(wanted ?? 0) : left;
      left -= taken;
      sum += taken * BigInt(nanoUsd);
    }
    return sum + left * BigInt(rest);
  };
  const { inputTokens, cachedInputTokens, inputAudioTokens, inputImageTokens } = tokens;
  const { cacheWriteTokens = 0, cacheWriteLongTokens = 0 } = tokens;
  const input = shares(
    inputTokens,
    [
      [cachedInputTokens, price.cachedInputNanoUsdPerMillion],
      [cacheWriteLongTokens, price.cacheWriteLongNanoUsdPerMillion],
      [Math.max(0, cacheWriteTokens - cacheWriteLongTokens), price.cacheWriteNanoUsdPerMillion],
      [inputAudioTokens, price.inputAudioNanoUsdPerMillion],
      [inputImageTokens, price.inputImageNanoUsdPerMillion],
    ],
    price.inputNanoUsdPerMillion,
  );
  const output = shares(
    tokens.outputTokens,
    [
      [tokens.reasoningTokens, price.reasoningNanoUsdPerMillion],
      [tokens.outputAudioTokens, price.outputAudioNanoUsdPerMillion],
    ],
    price.outputNanoUsdPerMillion,
  );
  return (input + output + 500_000n) / 1_000_000n;
}

describe('E12: money is whole billionths of a dollar', () => {
  it('the same as in whole numbers of any size, a safe integer and never negative', () => {
    fc.assert(
      fc.property(anyPrice, anyTokens, (price, tokens) => {
        const cost = costNanoUsd(price, tokens);
        assert.ok(Number.isSafeInteger(cost) && cost >= 0, String(cost));
        assert.equal(BigInt(cost), exactCost(price, tokens));
      }),
      runs(1_000),
    );
  });

  it('never falls when there are more tokens', () => {
    fc.assert(
      fc.property(anyPrice, anyTokens, fc.nat(1_000), fc.nat(1_000), (price, tokens, moreInput, moreOutput) => {
        const more = {
          ...tokens,
          inputTokens: Math.min(BILLION, tokens.inputTokens + moreInput),
          outputTokens: Math.min(BILLION, tokens.outputTokens + moreOutput),
        };
        assert.ok(costNanoUsd(price, more) >= costNanoUsd(price, tokens));
      }),
      runs(500),
    );
  });

  it('adds up to the same in whatever order', () => {
    const priced = fc.array(fc.tuple(anyPrice, anyTokens), { maxLength: 50 });
    const usual = priced.map((calls) =>
      calls.map(([price, tokens]) => costNanoUsd(price, { ...tokens, inputTokens: 1_000, outputTokens: 1_000 })),
    );
    const orders = usual.chain((costs) =>
      fc.tuple(fc.constant(costs), fc.shuffledSubarray(costs, { minLength: costs.length })),
    );
    fc.assert(
      fc.property(orders, ([costs, shuffled]) => {
        const sum = (list: readonly number[]): number => list.reduce((total, cost) => total + cost, 0);
        assert.equal(sum(shuffled), sum(costs));
        assert.equal(
          BigInt(sum(costs)),
          costs.reduce((total, cost) => total + BigInt(cost), 0n),
        );
      }),
    );
  });

  it('no split costs more than the worst', () => {
    fc.assert(
      fc.property(anyPrice, anyTokens, (price, tokens) => {
        const worst = worstCostNanoUsd(price, tokens);
        assert.ok(Number.isSafeInteger(worst));
        assert.ok(worst >= costNanoUsd(price, tokens));
      }),
      runs(1_000),
    );
  });

  it('rounds half up, once', () => {
    const half = toPrice({ inputUsdPerMillion: 0.0005, outputUsdPerMillion: 0.0005 });
    assert.equal(costNanoUsd(half, { ...NOTHING, inputTokens: 1 }), 1);
    assert.equal(costNanoUsd(half, { ...NOTHING, inputTokens: 3 }), 2);
    assert.equal(costNanoUsd(half, { ...NOTHING, inputTokens: 1, outputTokens: 1 }), 1);
  });

  it('rounds down a billionth short of half even where a double cannot tell', () => {
    for (let thousands = 1; thousands <= 1_000; thousands += 1) {
      const inputNanoUsdPerMillion = thousands * 1_000_000 + 500_001;
      const price = { ...toPrice(EACH), inputNanoUsdPerMillion };
      const tokens = { ...NOTHING, inputTokens: BILLION - 1 };
      assert.equal(BigInt(costNanoUsd(price, tokens)), exactCost(price, tokens));
    }
  });

  it('is exact where floating point is not', () => {
    const price = toPrice({ inputUsdPerMillion: 0.15, cachedInputUsdPerMillion: 0.075, outputUsdPerMillion: 0.6 });
    const tokens = { ...NOTHING, inputTokens: 1_000, cachedInputTokens: 400, outputTokens: 10 };
    assert.equal(costNanoUsd(price, tokens), 126_000);
  });
});

describe('costNanoUsd', () => {
  const price = toPrice(EACH);
  const costs: readonly [string, Partial<PricedTokens>, number][] = [
    ['text', { inputTokens: 10, outputTokens: 10 }, 30_000],
    ['cached input', { inputTokens: 10, cachedInputTokens: 4 }, 6_400],
    ['audio in', { inputTokens: 10, inputAudioTokens: 4 }, 126_000],
    ['images in', { inputTokens: 10, inputImageTokens: 4 }, 34_000],
    ['reasoning', { outputTokens: 10, reasoningTokens: 4 }, 32_000],
    ['audio out', { outputTokens: 10, outputAudioTokens: 4 }, 252_000],
    [
      'cached input first, then audio, then images',
      { inputTokens: 10, cachedInputTokens: 6, inputAudioTokens: 3, inputImageTokens: 9 },
      97_600,
    ],
    ['reasoning before audio', { outputTokens: 10, reasoningTokens: 8, outputAudioTokens: 8 }, 160_000],
    [
      'no part is larger than its whole',
      { inputTokens: 2, cachedInputTokens: 9, outputTokens: 2, reasoningTokens: 9 },
      10_200,
    ],
  ];
  for (const [name, tokens, cost] of costs) {
    it(name, () => assert.equal(costNanoUsd(price, { ...NOTHING, ...tokens }), cost));
  }

  it('charges parts without a price like the rest of what they are part of', () => {
    const plain = toPrice({ inputUsdPerMillion: 2, outputUsdPerMillion: 8 });
    fc.assert(
      fc.property(anyTokens, (tokens) => {
        const { inputTokens, outputTokens } = tokens;
        assert.equal(costNanoUsd(plain, tokens), costNanoUsd(plain, { ...NOTHING, inputTokens, outputTokens }));
      }),
    );
  });
});

describe('prices that are none are refused when the gateway is made', () => {
  for (const field of FIELDS) {
    for (const value of [-0.01, Number.NaN, Number.POSITIVE_INFINITY, 4_500.01, '3', null]) {
      it(`${field}: ${String(value)}`, () => {
        const models = { dear: { pricing: { ...EACH, [field]: value } } };
        assert.throws(() => modelTable(models, false), {
          name: 'TypeError',
          message: new RegExp(`^Expected \`models\\.dear\\.pricing\\.${field}\` to be US dollars`),
        });
      });
    }
  }

  it('without a price for input or output', () => {
    const { inputUsdPerMillion: _, ...noInput } = EACH;
    assert.throws(() => toPrice(JSON.parse(JSON.stringify(noInput))), /`pricing\.inputUsdPerMillion`/);
  });

  it('the dearest there is keeps a billion tokens of each a safe integer', () => {
    const dearest = toPrice(Object.assign({}, EACH, { inputUsdPerMillion: 4_500, outputUsdPerMillion: 4_500 }));
    const cost = costNanoUsd(dearest, { ...NOTHING, inputTokens: BILLION, outputTokens: BILLION });
    assert.equal(cost, 9_000_000 * BILLION);
    assert.ok(Number.isSafeInteger(cost));
  });
});
