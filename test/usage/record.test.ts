import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { toPrice } from '../../src/models/pricing.js';
import { type Ending, usageRecord } from '../../src/usage/record.js';
import { startOf, usageRecordOf } from '../contracts/usage-store.js';
import { runs } from '../helpers/depth.js';

const RESERVED = 48_000;
const START = startOf(usageRecordOf({ keyId: 'k', reservedNanoUsd: RESERVED, reservedInputTokens: 120 }));
const NOTHING: Ending = {
  outcome: 'ok',
  usage: undefined,
  deliveredTokens: undefined,
  isGivenUp: false,
  chargesUnknown: false,
  firstByteMs: undefined,
  durationMs: 5,
};

/** The cost of a call that ended so, at the price of tokens of `START` or at another. */
function costOf(ending: Partial<Ending>, price: Parameters<typeof toPrice>[0] | undefined = undefined) {
  const start = price === undefined ? START : { ...START, price: toPrice(price) };
  return usageRecord(start, { ...NOTHING, ...ending }).costNanoUsd;
}

describe('the cost of a call whose usage nobody told', () => {
  it('is what was reserved exactly where money is limited and the answer was made, or may have been', () => {
    const endings = fc.record({
      outcome: fc.constantFrom('ok' as const, 'error' as const, 'aborted' as const),
      firstByteMs: fc.constantFrom(undefined, 0, 7),
      isGivenUp: fc.boolean(),
      chargesUnknown: fc.boolean(),
    });
    fc.assert(
      fc.property(endings, (ending) => {
        const { outcome, firstByteMs, isGivenUp, chargesUnknown } = ending;
        // Only one that failed before its first byte, and that nobody gave up, was not made.
        const isUnmade = outcome === 'error' && firstByteMs === undefined && !isGivenUp;
        assert.equal(costOf(ending), chargesUnknown && !isUnmade ? RESERVED : undefined);
      }),
      runs(200),
    );
  });

  it('is that of the pieces that were asked for, where those have a price and there are some', () => {
    const byPicture = { inputUsdPerMillion: 1, outputUsdPerMillion: 1, usdPerImage: 0.04 };
    const byCharacter = { inputUsdPerMillion: 1, outputUsdPerMillion: 1, usdPerMillionCharacters: 15 };
    const ended = { outcome: 'ok', chargesUnknown: true } as const;
    for (const [units, price, cost] of [
      [{ images: 3 }, byPicture, 120_000_000],
      [{ images: 0 }, byPicture, RESERVED],
      [{ characters: 100 }, byPicture, RESERVED],
      [undefined, byPicture, RESERVED],
      [{ characters: 1_000 }, byCharacter, 15_000_000],
      [{ characters: 0 }, byCharacter, RESERVED],
      [{ images: 3 }, byCharacter, RESERVED],
      [undefined, byCharacter, RESERVED],
      [{ images: 3, characters: 9 }, undefined, RESERVED],
    ] as const) {
      assert.equal(costOf({ ...ended, units }, price), cost, JSON.stringify([units, price]));
    }
  });
});

describe('the cost of a call whose tokens were told', () => {
  const byToken = { inputUsdPerMillion: 1, outputUsdPerMillion: 1 };
  const byPicture = { ...byToken, usdPerImage: 0.04 };
  const byCharacter = { ...byToken, usdPerMillionCharacters: 15 };
  const usage = { ...usageRecordOf({ keyId: 'k' }), inputTokens: 100, outputTokens: 50, cachedInputTokens: undefined };
  const TOKENS = 150_000;
  for (const [operation, price, units, cost] of [
    ['chat.completions', byToken, undefined, TOKENS],
    ['images', byToken, undefined, TOKENS],
    ['audio', byToken, undefined, TOKENS],
    ['images', byToken, { images: 3 }, TOKENS],
    // A chat makes no pictures by the piece, whatever its model could.
    ['chat.completions', byPicture, undefined, TOKENS],
    ['images', byPicture, { images: 3 }, 120_000_000 + TOKENS],
    ['audio', byCharacter, { characters: 1_000 }, 15_000_000 + TOKENS],
    // Nobody told how many there were.
    ['images', byPicture, undefined, undefined],
    ['audio', byCharacter, { images: 3 }, undefined],
  ] as const) {
    it(`of ${operation} ${JSON.stringify([price, units])}`, () => {
      const start = { ...START, operation, price: toPrice(price) };
      assert.equal(usageRecord(start, { ...NOTHING, usage, units }).costNanoUsd, cost);
    });
  }
});
