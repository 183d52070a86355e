import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  costNanoUsd,
  isPricedTier,
  type Price,
  type PricedTokens,
  type PricedUnits,
  type Pricing,
  serviceTierNamed,
  toPrice,
  worstCostNanoUsd,
} from '../../src/models/pricing.js';

/** OpenAI's prices of gpt-6-astra. */
const ASTRA: Pricing = {
  inputUsdPerMillion: 10,
  cachedInputUsdPerMillion: 1,
  cacheWriteUsdPerMillion: 12.5,
  cacheWriteLongUsdPerMillion: 25,
  outputUsdPerMillion: 50,
  longContext: { aboveInputTokens: 271_999, inputFactor: 2, outputFactor: 1.5 },
  serviceTiers: { flex: 0.5, priority: 2, ultrafast: 6 },
  toolCallUsd: { web_search: 0.01, file_search: 0.0025 },
};
const PLAIN: Pricing = { inputUsdPerMillion: 10, outputUsdPerMillion: 50 };

function tokens(counts: Partial<PricedTokens>): PricedTokens {
  return {
    inputTokens: 0,
    cachedInputTokens: undefined,
    inputAudioTokens: undefined,
    inputImageTokens: undefined,
    outputTokens: 0,
    reasoningTokens: undefined,
    outputAudioTokens: undefined,
    ...counts,
  };
}

function usd(pricing: Pricing, counts: Partial<PricedTokens>, terms: Parameters<typeof costNanoUsd>[2] = {}): number {
  return costNanoUsd(toPrice(pricing), tokens(counts), terms) / 1e9;
}

describe('prices of 2026', () => {
  it('writes, the step by context and the tier, as the provider bills them', () => {
    const used = { inputTokens: 300_000, cacheWriteTokens: 300_000, outputTokens: 10_000 };
    assert.equal(usd(ASTRA, used), 8.25);
    assert.equal(usd(ASTRA, used, { serviceTier: 'default' }), 8.25);
    assert.equal(usd(ASTRA, used, { serviceTier: 'priority' }), 16.5);
    assert.equal(usd(ASTRA, used, { serviceTier: 'fast' }), 16.5);
    assert.equal(usd(ASTRA, used, { serviceTier: 'flex' }), 4.125);
    assert.equal(usd(ASTRA, used, { serviceTier: 'ultrafast' }), 49.5);
  });

  it('the step is for the whole call, from the first token above the last cheap count', () => {
    assert.equal(usd(ASTRA, { inputTokens: 271_999, outputTokens: 1_000 }), 2.76999);
    assert.equal(usd(ASTRA, { inputTokens: 272_000, outputTokens: 1_000 }), 5.515);
  });

  it('parts of the input in their order, each at most what is left', () => {
    const parts: Pricing = {
      ...ASTRA,
      inputAudioUsdPerMillion: 100,
      inputImageUsdPerMillion: 200,
      longContext: undefined,
      inputUsdPerMillion: 10,
    };
    // 10 read, 30 long, 20 short, 25 audio, 10 images, 5 text.
    const some = {
      inputTokens: 100,
      cachedInputTokens: 10,
      cacheWriteTokens: 50,
      cacheWriteLongTokens: 30,
      inputAudioTokens: 25,
      inputImageTokens: 10,
    };
    const nano = (10 * 1 + 30 * 25 + 20 * 12.5 + 25 * 100 + 10 * 200 + 5 * 10) * 1_000;
    assert.equal(costNanoUsd(toPrice(parts), tokens(some)), nano);
    const tooMany = { ...some, cachedInputTokens: 60, cacheWriteTokens: 900, cacheWriteLongTokens: 30 };
    assert.equal(costNanoUsd(toPrice(parts), tokens(tooMany)), (60 * 1 + 30 * 25 + 10 * 12.5) * 1_000);
    // A long part without its whole is a write all the same.
    assert.equal(usd(parts, { inputTokens: 1_000_000, cacheWriteLongTokens: 1_000_000 }), 25);
  });

  it('a write costs what the host says, and never less than the input', () => {
    const written = { inputTokens: 1_000_000, cacheWriteTokens: 1_000_000 };
    const long = { ...written, cacheWriteLongTokens: 1_000_000 };
    assert.equal(usd(PLAIN, written), 10);
    assert.equal(usd(PLAIN, long), 10);
    assert.equal(usd({ ...PLAIN, cacheWriteUsdPerMillion: 12 }, written), 12);
    assert.equal(usd({ ...PLAIN, cacheWriteUsdPerMillion: 12 }, long), 24);
    assert.equal(usd({ ...PLAIN, cacheWriteLongUsdPerMillion: 20 }, written), 12.5);
    assert.equal(usd({ ...PLAIN, cacheWriteLongUsdPerMillion: 20 }, long), 20);
    assert.equal(usd({ ...PLAIN, cacheWriteUsdPerMillion: 0 }, written), 0);
  });

  it('calls of tools by their fees, beside every factor', () => {
    const toolCalls = { web_search: 3, file_search: 2, code_interpreter: 7 };
    assert.equal(usd(ASTRA, {}, { toolCalls, serviceTier: 'ultrafast' }), 0.035);
    assert.equal(usd(PLAIN, {}, { toolCalls }), 0);
    assert.equal(usd(ASTRA, {}, { toolCalls: { constructor: 9 } }), 0);
    assert.equal(worstCostNanoUsd(toPrice(ASTRA), { inputTokens: 0, outputTokens: 0, toolCalls: 10 }), 100_000_000);
  });

  it('pictures, minutes and characters where these are the unit', () => {
    const pieces: Pricing = {
      inputUsdPerMillion: 0,
      outputUsdPerMillion: 0,
      usdPerImage: 0.04,
      usdPerAudioMinute: 0.006,
      usdPerMillionCharacters: 15,
    };
    assert.equal(usd(pieces, {}, { images: 3 }), 0.12);
    assert.equal(usd(pieces, {}, { audioMs: 90_000 }), 0.009);
    assert.equal(usd(pieces, {}, { characters: 2_000 }), 0.03);
    assert.equal(
      worstCostNanoUsd(toPrice(pieces), { inputTokens: 0, outputTokens: 0, images: 2, audioMs: 60_000 }),
      86_000_000,
    );
  });

  it('knows the names of tiers, and those it cannot price', () => {
    assert.equal(serviceTierNamed('priority'), 'fast');
    assert.equal(serviceTierNamed('standard'), 'default');
    for (const tier of ['default', 'standard', 'flex', 'fast', 'priority', 'ultrafast']) {
      assert.ok(isPricedTier(toPrice(ASTRA), tier), tier);
    }
    for (const tier of ['constructor', '__proto__', 'scale', '', 'Fast']) {
      assert.equal(isPricedTier(toPrice(ASTRA), tier), false, tier);
    }
    for (const tier of ['default', 'flex', 'batch']) assert.ok(isPricedTier(toPrice(PLAIN), tier), tier);
    for (const tier of ['fast', 'priority', 'ultrafast', 'x']) assert.equal(isPricedTier(toPrice(PLAIN), tier), false);
    // Of two factors for one tier, the dearer.
    assert.equal(
      usd({ ...PLAIN, serviceTiers: { fast: 2, priority: 3 } }, { inputTokens: 1e6 }, { serviceTier: 'fast' }),
      30,
    );
    assert.equal(
      usd({ ...PLAIN, serviceTiers: { priority: 3, fast: 2 } }, { inputTokens: 1e6 }, { serviceTier: 'fast' }),
      30,
    );
  });

  it('refuses what cannot be a price', () => {
    const bad: readonly [Partial<Record<keyof Pricing, unknown>>, RegExp][] = [
      [{ cacheWriteUsdPerMillion: -1 }, /p\.cacheWriteUsdPerMillion/],
      [{ cacheWriteLongUsdPerMillion: '5' }, /p\.cacheWriteLongUsdPerMillion/],
      [{ longContext: null }, /p\.longContext/],
      [{ longContext: { aboveInputTokens: 1.5, inputFactor: 1, outputFactor: 1 } }, /p\.longContext\.aboveInputTokens/],
      [{ longContext: { aboveInputTokens: 1, outputFactor: 1 } }, /p\.longContext\.inputFactor/],
      [{ longContext: { aboveInputTokens: 1, inputFactor: 1, outputFactor: Number.NaN } }, /outputFactor/],
      [{ serviceTiers: ['flex'] }, /p\.serviceTiers/],
      [{ serviceTiers: { flex: '0.5' } }, /p\.serviceTiers\.flex/],
      [{ serviceTiers: { flex: -0.5 } }, /p\.serviceTiers\.flex/],
      [{ toolCallUsd: { web_search: Number.POSITIVE_INFINITY } }, /p\.toolCallUsd\.web_search/],
      [{ usdPerImage: 4_501 }, /p\.usdPerImage/],
      [{ usdPerAudioMinute: true }, /p\.usdPerAudioMinute/],
      [{ usdPerMillionCharacters: -1 }, /p\.usdPerMillionCharacters/],
      [{ version: 3 }, /p\.version/],
      [{ inputUsdPerMillion: 1_000, serviceTiers: { fast: 6 } }, /`p` to cost at most 4500/],
      [
        {
          outputUsdPerMillion: 1_600,
          serviceTiers: { fast: 2 },
          longContext: { aboveInputTokens: 9, inputFactor: 1, outputFactor: 1.5 },
        },
        /`p` to cost at most 4500/,
      ],
    ];
    for (const [fields, message] of bad) {
      assert.throws(() => Reflect.apply(toPrice, undefined, [{ ...PLAIN, ...fields }, 'p']), {
        name: 'TypeError',
        message,
      });
    }
    toPrice({ ...PLAIN, inputUsdPerMillion: 750, serviceTiers: { fast: 6 } });
  });
});

const MILLION = 1_000_000n;

/** The bill by another way, in whole numbers of any size. */
function exactCost(price: Price, used: PricedTokens, tier: string | undefined): bigint {
  let left = BigInt(used.inputTokens);
  const part = (count: number): bigint => {
    const taken = BigInt(count) < left ? BigInt(count) : left;
    left -= taken;
    return taken;
  };
  const { cacheWriteTokens: writes = 0, cacheWriteLongTokens: long = 0 } = used;
  let input = part(used.cachedInputTokens ?? 0) * BigInt(price.cachedInputNanoUsdPerMillion);
  input += part(long) * BigInt(price.cacheWriteLongNanoUsdPerMillion);
  input += part(Math.max(0, writes - long)) * BigInt(price.cacheWriteNanoUsdPerMillion);
  input += part(used.inputAudioTokens ?? 0) * BigInt(price.inputAudioNanoUsdPerMillion);
  input += part(used.inputImageTokens ?? 0) * BigInt(price.inputImageNanoUsdPerMillion);
  input += left * BigInt(price.inputNanoUsdPerMillion);
  left = BigInt(used.outputTokens);
  let output = part(used.reasoningTokens ?? 0) * BigInt(price.reasoningNanoUsdPerMillion);
  output += part(used.outputAudioTokens ?? 0) * BigInt(price.outputAudioNanoUsdPerMillion);
  output += left * BigInt(price.outputNanoUsdPerMillion);
  const { longContext, serviceTierMillionths = {} } = price;
  const isLong = longContext !== undefined && used.inputTokens > longContext.aboveInputTokens;
  const factor = BigInt(serviceTierMillionths[serviceTierNamed(tier ?? 'default')] ?? MILLION);
  const scaled =
    input * factor * BigInt(isLong ? longContext.inputMillionths : MILLION) +
    output * factor * BigInt(isLong ? longContext.outputMillionths : MILLION);
  const unit = MILLION ** 3n;
  return (scaled + unit / 2n) / unit;
}

/** The bill of pieces and fees, which no factor changes, by another way. */
function exactPieces(price: Price, { images = 0, audioMs = 0, characters = 0 }: PricedUnits, fees: bigint): bigint {
  const { imageNanoUsd = 0, audioNanoUsdPerMillionMs = 0, nanoUsdPerMillionCharacters = 0, requestNanoUsd = 0 } = price;
  const millionths =
    BigInt(audioMs) * BigInt(audioNanoUsdPerMillionMs) + BigInt(characters) * BigInt(nanoUsdPerMillionCharacters);
  return BigInt(requestNanoUsd) + fees + BigInt(images) * BigInt(imageNanoUsd) + (millionths + MILLION / 2n) / MILLION;
}

/** Numbers that look like chance, the same in every run: 32 bits of a multiplicative generator. */
function chance(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c_1b_3c_6d) + 0x9e_37_79_b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x85_eb_ca_6b);
    mixed ^= mixed >>> 13;
    return Math.floor(((mixed >>> 0) / 2 ** 32) * below);
  };
}

/** A price with odd digits, so that every rounding shows. */
function anyPrice(pick: (below: number) => number): Price {
  const rate = (): number => [0, pick(1_000) / 1e6, pick(100), pick(1e9) / 1e7][pick(4)] ?? 0;
  const some = <T>(value: T): T | undefined => (pick(3) === 0 ? undefined : value);
  const factor = (): number => [0, 0.05, 0.333333, 0.5, 1, 1.25, 1.5, 2, 3][pick(9)] ?? 1;
  return toPrice({
    inputUsdPerMillion: rate(),
    cachedInputUsdPerMillion: some(rate()),
    cacheWriteUsdPerMillion: some(rate()),
    cacheWriteLongUsdPerMillion: some(rate()),
    inputAudioUsdPerMillion: some(rate()),
    inputImageUsdPerMillion: some(rate()),
    outputUsdPerMillion: rate(),
    reasoningUsdPerMillion: some(rate()),
    outputAudioUsdPerMillion: some(rate()),
    longContext: some({ aboveInputTokens: pick(400_000), inputFactor: factor(), outputFactor: factor() }),
    serviceTiers: some({ flex: factor(), priority: factor(), ultrafast: factor(), batch: factor() }),
    toolCallUsd: some({ web_search: rate(), file_search: rate() }),
    usdPerRequest: some(rate()),
    usdPerImage: some(rate()),
    usdPerAudioMinute: some(rate()),
    usdPerMillionCharacters: some(rate()),
  });
}

function anyTokens(pick: (below: number) => number): PricedTokens {
  const count = (): number => pick([10, 1_000, 600_000, 1e9][pick(4)] ?? 10);
  const part = (): number | undefined => (pick(2) === 0 ? undefined : count());
  return {
    inputTokens: count(),
    cachedInputTokens: part(),
    cacheWriteTokens: part(),
    cacheWriteLongTokens: part(),
    inputAudioTokens: part(),
    inputImageTokens: part(),
    outputTokens: count(),
    reasoningTokens: part(),
    outputAudioTokens: part(),
  };
}

const CASES = 100_000;
const TIERS = [undefined, 'default', 'flex', 'priority', 'fast', 'ultrafast', 'batch', 'unheard-of'];
/** Tools as they are asked for and told: a name may go on after the one that is priced. */
const SEARCHES = ['web_search', 'web_search_preview', 'web_search_20250305'];

describe('settled is at most reserved', () => {
  it(`and both are exact, for ${CASES} prices, usages, tiers and steps`, () => {
    const pick = chance(0x14);
    for (let run = 0; run < CASES; run += 1) {
      const price = anyPrice(pick);
      const used = anyTokens(pick);
      const serviceTier = TIERS[pick(TIERS.length)];
      const units = { images: pick(20), audioMs: pick(10_000_000), characters: pick(100_000) };
      const cost = costNanoUsd(price, used, { serviceTier, ...units });
      assert.ok(Number.isSafeInteger(cost) && cost >= 0, String(cost));
      if (BigInt(cost) !== exactCost(price, used, serviceTier) + exactPieces(price, units, 0n)) {
        assert.fail(`${cost} for ${JSON.stringify({ price, used, units, serviceTier })}`);
      }
      const [searches, files] = [pick(20), pick(20)];
      const search = SEARCHES[pick(SEARCHES.length)] ?? 'web_search';
      const reserved = worstCostNanoUsd(price, {
        inputTokens: used.inputTokens + pick(3) * pick(500_000),
        outputTokens: used.outputTokens + pick(3) * pick(500_000),
        serviceTier,
        toolCalls: searches + files,
        hostedTools: pick(2) === 0 ? undefined : [search, 'file_search'],
        images: units.images + pick(2),
        audioMs: units.audioMs + pick(2) * pick(10_000),
        characters: units.characters + pick(2) * pick(1_000),
      });
      // The answer may name another tier, which is no dearer than the ordinary one or than the one that was asked for.
      const answered = TIERS[pick(TIERS.length)];
      const told =
        factorOf(price, answered) <= Math.max(factorOf(price, undefined), factorOf(price, serviceTier))
          ? answered
          : serviceTier;
      const toolCalls = { [search]: searches, file_search: files };
      const settled = costNanoUsd(price, used, { serviceTier: told, toolCalls, ...units });
      if (settled > reserved) {
        assert.fail(
          `${settled} > ${reserved} for ${JSON.stringify({ price, used, units, serviceTier, told, toolCalls })}`,
        );
      }
    }
  });
});

function factorOf({ serviceTierMillionths = {} }: Price, tier = 'default'): number {
  return serviceTierMillionths[serviceTierNamed(tier)] ?? 1_000_000;
}
