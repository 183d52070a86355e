import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { modelTable } from '../../src/config/models.js';
import type { KnownModel } from '../../src/models/known-model.js';
import { findKnownModel, KNOWN_MODELS, priceInForce } from '../../src/models/known-models.js';
import { type Pricing, toPrice } from '../../src/models/pricing.js';

const TODAY = Date.parse('2026-11-28T12:00:00Z');

function pricingOf(name: string, nowMs = TODAY): Pricing {
  const known = findKnownModel(name) ?? assert.fail(name);
  return priceInForce(known, nowMs)?.pricing ?? assert.fail(name);
}

function pricings({ prices }: KnownModel): readonly Pricing[] {
  return prices.map(({ pricing }) => pricing);
}

describe('known models', () => {
  it('names each model once', () => {
    const ids = KNOWN_MODELS.flatMap(({ id, aliases = [] }) => [id, ...aliases]);
    assert.equal(new Set(ids).size, ids.length);
  });

  it('what writes has a price, and a ceiling within its context; what embeds or judges has no output', () => {
    for (const model of KNOWN_MODELS) {
      const { id, operation, maxOutputTokens, contextLength, listed } = model;
      if (operation === 'images' || operation === 'audio') continue;
      const writes = operation === 'chat.completions' || operation === 'completions';
      if (listed === true) assert.ok(contextLength !== undefined && maxOutputTokens !== undefined, id);
      if (contextLength !== undefined) assert.ok(contextLength >= (maxOutputTokens ?? 0), id);
      if (maxOutputTokens !== undefined) assert.equal(maxOutputTokens > 0, writes, id);
      for (const { outputUsdPerMillion } of pricings(model)) assert.equal(outputUsdPerMillion > 0, writes, id);
    }
  });

  it('each has a price that is one, and none is dearer cached than uncached or long than its shorter rates', () => {
    for (const model of KNOWN_MODELS) {
      assert.ok(model.prices.length > 0, model.id);
      for (const pricing of pricings(model)) {
        const price = toPrice(pricing, model.id);
        assert.ok(price.cachedInputNanoUsdPerMillion <= price.inputNanoUsdPerMillion, model.id);
        const { longContext, serviceTiers = {}, toolCallUsd = {} } = pricing;
        if (longContext !== undefined) {
          assert.ok(longContext.inputFactor > 1 && longContext.outputFactor > 1, model.id);
          assert.ok(longContext.aboveInputTokens <= (model.contextLength ?? Number.POSITIVE_INFINITY), model.id);
        }
        for (const factor of Object.values(serviceTiers)) assert.ok(factor > 0 && factor <= 6, model.id);
        for (const usd of Object.values(toolCallUsd)) assert.ok(usd > 0 && usd <= 0.25, model.id);
      }
    }
  });

  it('writing to a cache costs more than reading, and what is kept long costs more', () => {
    for (const model of KNOWN_MODELS) {
      for (const pricing of pricings(model)) {
        const { inputUsdPerMillion, cacheWriteUsdPerMillion: write, cacheWriteLongUsdPerMillion: long } = pricing;
        if (write !== undefined) assert.ok(write > inputUsdPerMillion, model.id);
        if (write !== undefined && long !== undefined) assert.ok(long > write, model.id);
      }
    }
  });

  it('sound costs more than text, to hear and to speak, as do pictures to look at', () => {
    const priceOf = (id: string) => toPrice(pricingOf(id));
    for (const id of ['gpt-4o-audio-preview', 'gpt-4o-mini-audio-preview', 'gpt-audio']) {
      const price = priceOf(id);
      assert.ok(price.inputAudioNanoUsdPerMillion > price.inputNanoUsdPerMillion, id);
      assert.ok(price.outputAudioNanoUsdPerMillion > price.outputNanoUsdPerMillion, id);
    }
    for (const id of ['gpt-image-1', 'gpt-image-1-mini']) {
      const price = priceOf(id);
      assert.ok(price.inputImageNanoUsdPerMillion > price.inputNanoUsdPerMillion, id);
    }
  });

  for (const [id, family, operation] of [
    ['gpt-4o-2024-08-06', 'gpt-4o', 'chat.completions'],
    ['gpt-3.5-turbo-instruct-0914', 'gpt-3.5-turbo-instruct', 'completions'],
    ['gpt-3.5-turbo-0125', 'gpt-3.5-turbo', 'chat.completions'],
    ['davinci-002', 'davinci-002', 'completions'],
    // Dearer than its family.
    ['gpt-4o-2024-05-13', 'gpt-4o-2024-05-13', 'chat.completions'],
    ['gpt-4o-audio-preview-2025-06-03', 'gpt-4o-audio-preview', 'chat.completions'],
    ['gpt-4o-mini-tts-2025-12-15', 'gpt-4o-mini-tts', 'audio'],
    ['gpt-image-1', 'gpt-image-1', 'images'],
    ['text-embedding-ada-002', 'text-embedding-ada-002', 'embeddings'],
    ['omni-moderation-2024-09-26', 'omni-moderation-2024-09-26', 'moderations'],
  ] as const) {
    it(`${id} is ${family}, for ${operation}`, () => {
      const known = findKnownModel(id);
      assert.deepEqual([known?.id, known?.operation], [family, operation]);
    });
  }

  for (const id of [
    ...[
      'constructor',
      '__proto__',
      'toString',
      '',
      'openai/constructor',
      'ft:constructor:acme::1',
      'ft:',
      '/',
      'openai/',
    ],
    // With fees that no page tells.
    ...['sonar-pro', 'gpt-4o-search-preview', 'gpt-4o-mini-search-preview', 'mistral-ocr-latest'],
    // Names of no model.
    ...[
      'text-embedding-3',
      'omni-moderation',
      'gpt-4o-',
      'gpt-4o-20240806x',
      '-latest',
      'GPT-4o',
      ' gpt-4o',
      `gpt-4o${'-001'.repeat(1_000)}`,
    ],
    // Sold by many, at many prices; another vendor's; variants that a reseller prices otherwise.
    ...[
      'groq/gpt-4o',
      'openai/claude-opus-4-1',
      'anthropic/gpt-4o',
      'mistralai/mistral-large-2411',
      'deepseek/deepseek-chat',
    ],
    ...['openai/gpt-4o:free', 'x/openai/gpt-4o', 'gpt-oss-120b'],
    // Trained further, without a price of that.
    'ft:gpt-4.1-2025-04-14:acme::7p4l',
  ]) {
    it(`does not know ${JSON.stringify(id.slice(0, 40))}`, () => assert.equal(findKnownModel(id), undefined));
  }

  for (const [id, family, ownedBy] of [
    ['claude-sonnet-4-5-20250929', 'claude-sonnet-4-5', 'anthropic'],
    ['claude-opus-4-1@20250805', 'claude-opus-4-1', 'anthropic'],
    ['claude-3-5-haiku-20241022', 'claude-3-5-haiku-latest', 'anthropic'],
    ['claude-opus-4-20250514', 'claude-opus-4-0', 'anthropic'],
    ['claude-opus-5-5-20261101', 'claude-opus-5-5', 'anthropic'],
    ['claude-haiku-5-5-20261007', 'claude-haiku-5-5', 'anthropic'],
    ['gemini-2.0-flash-001', 'gemini-2.0-flash', 'google'],
    ['gemini-2.5-pro-preview-05-06', 'gemini-2.5-pro', 'google'],
    ['gemini-2.5-flash-preview-09-2025', 'gemini-2.5-flash', 'google'],
    ['gemini-2.5-flash-preview-05-20', 'gemini-2.5-flash', 'google'],
    ['gemini-3-pro-preview-11-2025', 'gemini-3-pro-preview', 'google'],
    ['gemini-3.8-flash-001', 'gemini-3.8-flash', 'google'],
    ['mistral-large-2411', 'mistral-large', 'mistralai'],
    ['mistral-medium-latest', 'mistral-medium-latest', 'mistralai'],
    ['mistral-medium-2604', 'mistral-medium-latest', 'mistralai'],
    ['ministral-3b-latest', 'ministral-3b-2512', 'mistralai'],
    ['ministral-3b-2609', 'ministral-3b-2512', 'mistralai'],
    ['mistral-small-2609', 'mistral-small-2603', 'mistralai'],
    ['grok-4-latest', 'grok-4-0709', 'xai'],
    ['grok-4.6-20260807', 'grok-4.6', 'xai'],
    ['command-r-plus-08-2024', 'command-r-plus', 'cohere'],
    ['gpt-5.6-luna-2026-07-09', 'gpt-5.6-luna', 'openai'],
    ['gpt-6.2-sol-2026-11-17', 'gpt-6.2-sol', 'openai'],
    ['computer-use-preview-2025-03-11', 'computer-use', 'openai'],
    ['gpt-4o-mini-audio-preview-2024-12-17', 'gpt-4o-mini-audio-preview', 'openai'],
    ['openai/gpt-4o', 'gpt-4o', 'openai'],
    ['openai/gpt-4o-2024-11-20', 'gpt-4o', 'openai'],
    ['anthropic/claude-sonnet-4.5', 'claude-sonnet-4-5', 'anthropic'],
    ['google/gemini-2.5-pro', 'gemini-2.5-pro', 'google'],
    ['models/gemini-2.5-flash', 'gemini-2.5-flash', 'google'],
    ['x-ai/grok-4', 'grok-4-0709', 'xai'],
    ['ft:gpt-4o-mini-2024-07-18:acme::7p4l', 'ft:gpt-4o-mini', 'openai'],
    ['ft:gpt-4o-2024-08-06:acme:suffix:7p4l', 'ft:gpt-4o', 'openai'],
    ['ft:gpt-3.5-turbo-0125:acme::7p4l', 'ft:gpt-3.5-turbo', 'openai'],
  ] as const) {
    it(`${id} is ${family} of ${ownedBy}`, () => {
      const known = findKnownModel(id);
      assert.deepEqual([known?.id, known?.ownedBy], [family, ownedBy]);
    });
  }

  it('a version with a price of its own keeps it', () => {
    const input = (name: string) => pricingOf(name).inputUsdPerMillion;
    assert.deepEqual(['gpt-4o-2024-05-13', 'gpt-4o-2024-08-06'].map(input), [5, 2.5]);
    assert.deepEqual(['mistral-large-2411', 'mistral-large-2512'].map(input), [2, 0.5]);
    assert.deepEqual(['gpt-3.5-turbo-0613', 'gpt-3.5-turbo-1106', 'gpt-3.5-turbo-0125'].map(input), [1.5, 1, 0.5]);
    assert.deepEqual(['command-r-03-2024', 'command-r-08-2024'].map(input), [0.5, 0.15]);
    assert.equal(pricingOf('gpt-4o-audio-preview-2024-10-01').inputAudioUsdPerMillion, 100);
  });
});

describe('prices of today, as the vendors publish them', () => {
  const { aboveInputTokens, ...doubled } = { aboveInputTokens: 272_000, inputFactor: 2, outputFactor: 1.5 };
  const tools = {
    ...{ web_search: 0.01, file_search: 0.0025, code_interpreter: 0.03 },
    ...{ shell: 0.03, image_generation: 0.25 },
  };
  for (const [name, expected] of [
    [
      'gpt-6-astra',
      {
        ...{ inputUsdPerMillion: 10, cachedInputUsdPerMillion: 1, cacheWriteUsdPerMillion: 12.5 },
        ...{ cacheWriteLongUsdPerMillion: 25, outputUsdPerMillion: 50 },
        longContext: { aboveInputTokens: 271_999, ...doubled },
        serviceTiers: { batch: 0.5, flex: 0.5, fast: 2, priority: 2, ultrafast: 6 },
        toolCallUsd: tools,
      },
    ],
    [
      'gpt-6.2-sol',
      {
        ...{ inputUsdPerMillion: 2, cachedInputUsdPerMillion: 0.1, cacheWriteUsdPerMillion: 2.5 },
        ...{ cacheWriteLongUsdPerMillion: 5, outputUsdPerMillion: 10 },
        longContext: { aboveInputTokens, ...doubled },
        serviceTiers: { batch: 0.5, fast: 2, priority: 2, ultrafast: 3 },
        toolCallUsd: tools,
      },
    ],
    [
      'gpt-5.5',
      {
        ...{ inputUsdPerMillion: 5, cachedInputUsdPerMillion: 0.5, outputUsdPerMillion: 30 },
        longContext: { aboveInputTokens: 271_999, ...doubled },
        serviceTiers: { batch: 0.5, flex: 0.5, fast: 2.5, priority: 2.5 },
        toolCallUsd: tools,
      },
    ],
    [
      'claude-opus-5-5',
      {
        ...{ inputUsdPerMillion: 4, cachedInputUsdPerMillion: 0.2, cacheWriteUsdPerMillion: 5 },
        ...{ cacheWriteLongUsdPerMillion: 8, outputUsdPerMillion: 20 },
        serviceTiers: { batch: 0.5, fast: 2 },
        toolCallUsd: { web_search: 0.01 },
      },
    ],
    [
      'claude-haiku-5-5',
      {
        ...{ inputUsdPerMillion: 0.1, cachedInputUsdPerMillion: 0.01, cacheWriteUsdPerMillion: 0.125 },
        ...{ cacheWriteLongUsdPerMillion: 0.2, outputUsdPerMillion: 0.5 },
        longContext: { aboveInputTokens: 100_000, inputFactor: 5, outputFactor: 5 },
        toolCallUsd: { web_search: 0.01 },
      },
    ],
    [
      'gemini-2.5-pro',
      {
        ...{ inputUsdPerMillion: 1.25, cachedInputUsdPerMillion: 0.125, outputUsdPerMillion: 10 },
        longContext: { aboveInputTokens: 200_000, ...doubled },
        serviceTiers: { batch: 0.5, flex: 0.5, priority: 2 },
        toolCallUsd: { web_search: 0.035 },
      },
    ],
    // The dearest hours of the day.
    ['deepseek-v4-pro', { inputUsdPerMillion: 1.32, cachedInputUsdPerMillion: 0.044, outputUsdPerMillion: 3.96 }],
    ['mistral-large-2512', { inputUsdPerMillion: 0.5, cachedInputUsdPerMillion: 0.05, outputUsdPerMillion: 1.5 }],
  ] as const satisfies readonly (readonly [string, Pricing])[]) {
    it(name, () => {
      const { version, ...pricing } = pricingOf(name);
      assert.deepEqual(pricing, expected);
      assert.match(version ?? '', /^2026-\d\d-\d\d$/);
    });
  }
});

describe('dated prices', () => {
  const LUNA = findKnownModel('gpt-5.6-luna') ?? assert.fail();
  const CUT = Date.parse('2026-07-30T00:00:00Z');

  it('the price is the one in force at that moment, and says from when and until when it holds', () => {
    const at = (nowMs: number) => {
      const { pricing, untilMs } = priceInForce(LUNA, nowMs) ?? assert.fail();
      return [pricing.inputUsdPerMillion, pricing.outputUsdPerMillion, pricing.version, untilMs];
    };
    assert.deepEqual(at(CUT - 1), [1, 6, '2026-11-28', CUT]);
    assert.deepEqual(at(CUT), [0.2, 1.2, '2026-07-30', Number.POSITIVE_INFINITY]);
    assert.deepEqual(at(0), [1, 6, '2026-11-28', CUT]);
  });

  it('a price that is to come does not hold before its day', () => {
    const at = (name: string, date: string) => pricingOf(name, Date.parse(date));
    assert.equal(at('gemini-4-argon', '2026-11-30T23:59:59.999Z').outputUsdPerMillion, 10);
    assert.equal(at('gemini-4-argon', '2026-12-01').outputUsdPerMillion, 20);
    assert.equal(at('gpt-6.2-sol', '2027-02-28T23:59:59.999Z').serviceTiers?.ultrafast, 3);
    assert.equal(at('gpt-6.2-sol', '2027-03-01').serviceTiers?.ultrafast, 6);
    // A promise until that day: what came then nobody tells, and nothing is undercut.
    assert.equal(at('gpt-5.6-sol', '2026-11-21').outputUsdPerMillion, 20);
    assert.equal(at('gpt-5.6-sol', '2026-11-22').outputUsdPerMillion, 30);
    assert.equal(at('claude-sonnet-5-5', '2026-10-06').cachedInputUsdPerMillion, 0.2);
    assert.equal(at('claude-sonnet-5-5', '2026-10-07').cachedInputUsdPerMillion, 0.1);
  });

  it('a table of models changes to the new price at its time, under aliases too, and says nothing of a price of the host', () => {
    let nowMs = CUT - 1;
    const own = { inputUsdPerMillion: 7, outputUsdPerMillion: 8 };
    const models = {
      'gpt-5.6-luna': { aliases: ['cheap'] },
      house: { upstreamModel: 'gpt-5.6-luna' },
      own: { upstreamModel: 'gpt-5.6-luna', pricing: own },
    };
    const table = modelTable(models, true, () => nowMs);
    const prices = () =>
      ['gpt-5.6-luna', 'cheap', 'house', 'own', 'gpt-5.6-luna-2026-07-09'].map((name) => {
        const { price, pricing } = table.find(name) ?? assert.fail(name);
        assert.equal(price?.inputNanoUsdPerMillion, (pricing?.inputUsdPerMillion ?? 0) * 1e9);
        return [pricing?.inputUsdPerMillion, pricing?.version];
      });
    const before = [1, '2026-11-28'];
    assert.deepEqual(prices(), [before, before, before, [7, undefined], before]);
    const made = table.listed.map(({ createdAt }) => createdAt);
    nowMs = CUT;
    const after = [0.2, '2026-07-30'];
    assert.deepEqual(
      table.listed.map(({ pricing }) => pricing?.inputUsdPerMillion),
      [0.2, 0.2, 7],
    );
    assert.deepEqual(prices(), [after, after, after, [7, undefined], after]);
    assert.deepEqual(
      table.listed.map(({ createdAt }) => createdAt),
      made,
    );
    assert.equal(table.find('cheap'), table.find('gpt-5.6-luna'));
    // What is passed on is kept, though not for ever.
    const passed = table.find('gpt-5.6-luna-2026-07-09');
    assert.equal(table.find('gpt-5.6-luna-2026-07-09'), passed);
    for (let name = 0; name < 1_000; name += 1) table.find(String(name));
    assert.notEqual(table.find('gpt-5.6-luna-2026-07-09'), passed);
    assert.deepEqual(table.find('gpt-5.6-luna-2026-07-09'), passed);
  });
});

describe('the file of models', () => {
  it('is what the script makes of the package and of the facts written by hand', () => {
    const said = execFileSync(process.execPath, ['scripts/make-models.mjs', '--check'], { encoding: 'utf8' });
    assert.match(said, /^\d+ models, \d+ kB\.$/m);
    // The script tells what has no price.
    assert.match(said, /^ {2}mistral-ocr-latest: is paid for by the page$/m);
    assert.doesNotMatch(said, /whisper-1/);
  });
});
