/**
 * Facts about models that `@pydantic/genai-prices` lacks or has otherwise, for scripts/make-models.mjs. Each entry says where its
 * facts stand and when they were read; of two that tell the same of a model, the later one wins. `models` that no price list has
 * become models once an entry has their `ownedBy` and `prices`. Money is US dollars for a million tokens. Nothing is guessed:
 * what no entry tells stays unknown, and a ceiling is told only where the vendor publishes it.
 */

const OPENAI_PRICES = 'https://developers.openai.com/api/docs/pricing';
const openai = (model) => `https://developers.openai.com/api/docs/models/${model}`;
const claude = (model) => `https://platform.claude.com/docs/en/models/${model}/overview`;
const AT_271_999 = { aboveInputTokens: 271_999, inputFactor: 2, outputFactor: 1.5 };
const AT_272K = { aboveInputTokens: 272_000, inputFactor: 2, outputFactor: 1.5 };
/** Google's models with one context, one ceiling and one set of tiers. */
const GEMINI_2_AND_3 = [
  ...['gemini-2.5-pro', 'gemini-2.5-flash', 'gemini-2.5-flash-lite', 'gemini-3-flash-preview', 'gemini-3-pro-preview'],
  ...[
    'gemini-3.1-pro-preview',
    'gemini-3.1-flash-lite',
    'gemini-3.5-flash',
    'gemini-3.5-flash-lite',
    'gemini-3.6-flash',
  ],
];
const FAST = { fast: 2, priority: 2 };
const FLEX = { flex: 0.5 };

/** Entries of the package that are no price of the vendor's for calls that pass through a gateway, and the reason. */
export const LEFT_OUT = [
  {
    models:
      /^(?:ada|babbage|curie|davinci|text-davinci-00\d|claude-v1|claude-2|command|command-light|gemini-1\.0-pro-vision-001|gemini-pro)$/,
    reason: 'retired',
  },
  { models: /^gemini-(?:1\.5|flash-1\.5|pro-1\.5)/, reason: 'retired' },
  { models: /^gemini-2\.5-flash-preview$/, reason: 'retired, and cheaper than the model that has the name today' },
  { models: /-search-preview$/, reason: 'has a fee for each request of which no page could be opened' },
  { models: /^mistral-small-latest$/, reason: 'cheaper than the model that has the name today' },
  { models: /realtime|-live-|^gemini-live|^grok-voice/, reason: 'speaks over a socket' },
  { models: /^voxtral-small/, reason: 'hears sound, whose tokens have a price of their own' },
  { models: /^mistral-ocr/, reason: 'is paid for by the page' },
  { models: /^gemini-omni/, reason: 'makes videos, whose tokens have a price of their own' },
  { models: /^gpt-4o-mini-2024-07-18\.ft-$/, reason: "is Azure's name" },
];

/** Names that the package gives to models whose price they do not have: searching models have a fee for each request. */
export const NAMES_LEFT_OUT = /-search-preview/;

/**
 * Fees of hosted tools that all chat models of a vendor have, below what the package or an entry tells of a model. A container is
 * paid for once and used by many calls: each is counted as one. A picture is counted as the dearest, of `gpt-image-1` in high quality.
 */
export const TOOL_FEES = {
  openai: {
    toolCallUsd: { web_search: 0.01, file_search: 0.0025, code_interpreter: 0.03, shell: 0.03, image_generation: 0.25 },
    source: OPENAI_PRICES,
    date: '2026-11-25',
  },
  anthropic: {
    toolCallUsd: { web_search: 0.01 },
    source: 'https://platform.claude.com/docs/en/about-claude/pricing',
    date: '2026-11-28',
  },
  google: {
    // $14 for a thousand queries from Gemini 3 on. A grounded prompt of an older model costs more: see below.
    toolCallUsd: { web_search: 0.014 },
    source: 'https://github.com/iyulab/TokenMeter/releases/tag/v0.13.0',
    date: '2026-11-28',
  },
};

/** Factors of what runs in batches, for the models whose service tiers are known. */
export const BATCHES = {
  openai: {
    factor: 0.5,
    // “The same model costs half as much through the Batch API”, as it reads OpenAI's page on 2026-08-27.
    source: 'https://raw.githubusercontent.com/api-evangelist/openai/refs/heads/main/plans/openai-plans-pricing.yml',
    date: '2026-11-28',
  },
  anthropic: {
    factor: 0.5,
    // As a model's own page says, such as https://platform.claude.com/docs/en/models/opus-5/overview: 50 % off input and output.
    source: 'https://platform.claude.com/docs/en/about-claude/pricing',
    date: '2026-11-28',
  },
  google: {
    factor: 0.5,
    // “Batch API (50% cost reduction)”, as it reads Google's page on 2026-09-20.
    source: 'https://raw.githubusercontent.com/api-evangelist/gemini/refs/heads/main/plans/gemini-plans-pricing.yml',
    date: '2026-11-28',
  },
};

/** Notes of the package that say that a price is not the vendor's own. */
export const NOT_THE_VENDORS = /^(?:imported from openrouter|seen on openrouter|can't find pricing|i can't find)/i;

export const FACTS = [
  // OpenAI's models of the first table, read from the price page and the models' own pages.
  ...firstTable(),
  {
    models: ['gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'gpt-4.1-mini'],
    // The package has $10 for a thousand searches; the preview tool of models that do not reason costs $25, under the same name in answers.
    toolCallUsd: { web_search: 0.025 },
    source: OPENAI_PRICES,
    date: '2026-11-25',
  },
  {
    models: ['gpt-4o-audio-preview-2024-10-01'],
    ownedBy: 'openai',
    contextLength: 128_000,
    maxOutputTokens: 16_384,
    prices: [{ input: 2.5, output: 10, inputAudio: 100, outputAudio: 200 }],
    source: openai('gpt-4o-audio-preview'),
    date: '2026-11-25',
  },
  {
    models: ['gpt-3.5-turbo-16k'],
    contextLength: 16_385,
    maxOutputTokens: 4_096,
    source: openai('gpt-3.5-turbo-16k-0613'),
    date: '2026-11-28',
  },
  {
    models: ['o1', 'o1-pro', 'o3-pro', 'o3-deep-research', 'o4-mini-deep-research'],
    maxOutputTokens: 100_000,
    vision: true,
    structuredOutput: true,
    source: openai('o1'),
    date: '2026-11-28',
  },
  {
    models: ['o3-mini', 'codex-mini'],
    maxOutputTokens: 100_000,
    structuredOutput: true,
    source: openai('o3-mini'),
    date: '2026-11-28',
  },
  { models: ['o1-mini'], maxOutputTokens: 65_536, source: openai('o1-mini'), date: '2026-11-28' },
  { models: ['o1-preview'], maxOutputTokens: 32_768, source: openai('o1-preview'), date: '2026-11-28' },
  { models: ['chatgpt-4o-latest'], maxOutputTokens: 16_384, source: openai('chatgpt-4o-latest'), date: '2026-11-28' },
  {
    models: ['gpt-audio-mini'],
    maxOutputTokens: 16_384,
    listed: true,
    source: openai('gpt-audio-mini'),
    date: '2026-11-28',
  },
  {
    models: ['gpt-image-1.5', 'gpt-image-2'],
    vision: true,
    listed: true,
    source: openai('gpt-image-2'),
    date: '2026-11-28',
  },
  {
    models: ['gpt-5-pro'],
    maxOutputTokens: 272_000,
    vision: true,
    structuredOutput: true,
    source: openai('gpt-5-pro'),
    date: '2026-11-28',
  },
  {
    models: [
      'gpt-5.1',
      'gpt-5.1-codex-mini',
      'gpt-5.2',
      'gpt-5.3-codex',
      'gpt-5.4',
      'gpt-5.4-mini',
      'gpt-5.4-nano',
      'gpt-5.5',
    ],
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    listed: true,
    source: openai('gpt-5.4'),
    date: '2026-11-28',
  },
  {
    models: ['gpt-5.2-pro', 'gpt-5.4-pro', 'gpt-5.5-pro'],
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    source: openai('gpt-5.5-pro'),
    date: '2026-11-28',
  },
  {
    models: ['gpt-5.3'],
    maxOutputTokens: 16_384,
    vision: true,
    structuredOutput: true,
    source: openai('gpt-5.3-chat-latest'),
    date: '2026-11-28',
  },
  {
    models: ['gpt-5.6-luna', 'gpt-5.6-terra', 'gpt-5.6-sol'],
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    listed: true,
    released: '2026-07-09',
    source: openai('gpt-5.6-luna'),
    date: '2026-11-28',
  },
  {
    models: ['gpt-6-astra', 'gpt-6-sol', 'gpt-6-luna'],
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    listed: true,
    source: openai('gpt-6-sol'),
    date: '2026-11-28',
  },
  {
    models: ['gpt-5.6-sol'],
    prices: [
      { input: 5, cachedInput: 0.5, cacheWrite: 6.25, output: 30, longContext: AT_271_999 },
      { effectiveFrom: '2026-08-21', input: 4, cachedInput: 0.4, cacheWrite: 5, output: 20, longContext: AT_271_999 },
      // Promised until 21 November. What came then no page was found to tell: the list price, which is the dearer.
      {
        effectiveFrom: '2026-11-22',
        input: 5,
        cachedInput: 0.5,
        cacheWrite: 6.25,
        output: 30,
        longContext: AT_271_999,
      },
    ],
    source: 'https://docs.laozhang.ai/announcements/gpt-5-6-sol-price-cut-2026-09.md',
    date: '2026-11-28',
  },
  // Newer than the package.
  {
    models: ['gpt-6.1-sol'],
    ownedBy: 'openai',
    contextLength: 1_050_000,
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    listed: true,
    released: '2026-09-29',
    prices: [{ input: 2, cachedInput: 0.1, cacheWrite: 2.5, output: 10, longContext: AT_272K }],
    source: openai('gpt-6.1-sol'),
    date: '2026-11-28',
  },
  {
    models: ['gpt-6.1-terra'],
    ownedBy: 'openai',
    contextLength: 1_050_000,
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    listed: true,
    released: '2026-10-26',
    prices: [{ input: 1, cachedInput: 0.05, cacheWrite: 1.25, output: 5, longContext: AT_272K }],
    // As https://docs.litellm.ai/blog/gpt-6-1-terra reads it, too.
    source: openai('gpt-6.1-terra'),
    date: '2026-11-28',
  },
  {
    models: ['gpt-6.2-sol'],
    ownedBy: 'openai',
    contextLength: 1_050_000,
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    listed: true,
    released: '2026-11-17',
    prices: [
      {
        input: 2,
        cachedInput: 0.1,
        cacheWrite: 2.5,
        output: 10,
        longContext: AT_272K,
        serviceTiers: { ...FAST, ultrafast: 3 },
      },
      {
        effectiveFrom: '2027-03-01',
        ...{ input: 2, cachedInput: 0.1, cacheWrite: 2.5, output: 10, longContext: AT_272K },
        serviceTiers: { ...FAST, ultrafast: 6 },
      },
    ],
    source: openai('gpt-6.2-sol'),
    date: '2026-11-28',
  },
  {
    models: ['gpt-6.2-astra'],
    ownedBy: 'openai',
    contextLength: 1_050_000,
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    listed: true,
    released: '2026-11-17',
    prices: [{ input: 8, cachedInput: 0.4, cacheWrite: 10, output: 40, longContext: AT_272K, serviceTiers: FAST }],
    // As https://github.com/iyulab/TokenMeter/releases/tag/v0.17.0 and https://github.com/BerriAI/litellm/discussions/52347 read it.
    source: OPENAI_PRICES,
    date: '2026-11-28',
  },
  {
    models: [
      'gpt-5.6-luna',
      'gpt-5.6-terra',
      'gpt-5.6-sol',
      'gpt-6-astra',
      'gpt-6-sol',
      'gpt-6-luna',
      'gpt-6.1-sol',
      'gpt-6.1-terra',
      'gpt-6.2-sol',
      'gpt-6.2-astra',
    ],
    // Twelve hours: 2.5 times the input.
    cacheWriteLongFactor: 2.5,
    source: openai('gpt-6.2-sol'),
    date: '2026-11-28',
  },
  // Service tiers, OpenAI's. `fast` was called `priority` until 2026-07-30; both words are taken.
  {
    models: [
      'gpt-5.6-luna',
      'gpt-5.6-terra',
      'gpt-5.6-sol',
      'gpt-6-sol',
      'gpt-6-luna',
      'gpt-6.1-sol',
      'gpt-6.1-terra',
      'gpt-5.4',
      'gpt-5.4-mini',
      'gpt-5.2',
      'gpt-5.1',
      'gpt-5',
    ],
    serviceTiers: { ...FLEX, ...FAST },
    source: 'https://openai.com/api-fast-mode/',
    date: '2026-11-28',
  },
  {
    models: ['gpt-6-astra'],
    serviceTiers: { ...FLEX, ...FAST, ultrafast: 6 },
    source: 'https://developers.openai.com/api/docs/guides/ultrafast-mode',
    date: '2026-11-28',
  },
  { models: ['gpt-5.3-codex'], serviceTiers: FAST, source: OPENAI_PRICES, date: '2026-11-28' },
  {
    models: ['gpt-5.5'],
    serviceTiers: { ...FLEX, fast: 2.5, priority: 2.5 },
    source: 'https://openai.com/api-fast-mode/',
    date: '2026-11-28',
  },
  {
    models: ['gpt-5-mini'],
    serviceTiers: { ...FLEX, fast: 1.8, priority: 1.8 },
    source: 'https://openai.com/api-priority-processing/',
    date: '2026-11-28',
  },
  { models: ['gpt-5-nano', 'gpt-5.4-nano'], serviceTiers: FLEX, source: OPENAI_PRICES, date: '2026-11-28' },
  {
    models: ['gpt-4.1', 'gpt-4.1-mini', 'gpt-4o-2024-05-13'],
    serviceTiers: { fast: 1.75, priority: 1.75 },
    source: 'https://openai.com/api-priority-processing/',
    date: '2026-11-28',
  },
  {
    models: ['o3'],
    serviceTiers: { ...FLEX, fast: 1.75, priority: 1.75 },
    source: 'https://openai.com/api-priority-processing/',
    date: '2026-11-28',
  },
  {
    models: ['gpt-4.1-nano'],
    serviceTiers: FAST,
    source: 'https://openai.com/api-priority-processing/',
    date: '2026-11-28',
  },
  // 4.25 for 2.5, 0.25 for 0.15 and 2 for 1.1, the last two rounded up.
  {
    models: ['gpt-4o'],
    serviceTiers: { fast: 1.7, priority: 1.7 },
    source: 'https://openai.com/api-priority-processing/',
    date: '2026-11-28',
  },
  {
    models: ['gpt-4o-mini'],
    serviceTiers: { fast: 1.6667, priority: 1.6667 },
    source: 'https://openai.com/api-priority-processing/',
    date: '2026-11-28',
  },
  {
    models: ['o4-mini'],
    serviceTiers: { ...FLEX, fast: 1.8182, priority: 1.8182 },
    source: 'https://openai.com/api-priority-processing/',
    date: '2026-11-28',
  },

  // What is paid for by the piece. Of prices by size and quality the dearest.
  {
    models: ['whisper-1'],
    ownedBy: 'openai',
    operation: 'audio',
    prices: [{ input: 0, output: 0, audioMinute: 0.006 }],
    // $0.36 an hour in the package, which names this page.
    source: openai('whisper-1'),
    date: '2026-11-28',
  },
  {
    models: ['gpt-transcribe'],
    ownedBy: 'openai',
    operation: 'audio',
    prices: [{ input: 0, output: 0, audioMinute: 0.0045 }],
    // $0.27 an hour in the package, which names this page.
    source: openai('gpt-transcribe'),
    date: '2026-11-28',
  },
  {
    models: ['tts-1'],
    aliases: ['tts-1-1106'],
    ownedBy: 'openai',
    operation: 'audio',
    prices: [{ input: 0, output: 0, millionCharacters: 15 }],
    source: openai('tts-1'),
    date: '2026-11-28',
  },
  {
    models: ['tts-1-hd'],
    aliases: ['tts-1-hd-1106'],
    ownedBy: 'openai',
    operation: 'audio',
    prices: [{ input: 0, output: 0, millionCharacters: 30 }],
    source: openai('tts-1-hd.md'),
    date: '2026-11-28',
  },
  {
    models: ['dall-e-2'],
    ownedBy: 'openai',
    operation: 'images',
    prices: [{ input: 0, output: 0, image: 0.02 }],
    // OpenAI shut both down in 2026; Azure's and others' may be there still.
    source: 'https://github.com/kevinhermawan/Canvas/blob/main/model-info.json',
    date: '2026-11-28',
  },
  {
    models: ['dall-e-3'],
    ownedBy: 'openai',
    operation: 'images',
    prices: [{ input: 0, output: 0, image: 0.12 }],
    source: 'https://github.com/kevinhermawan/Canvas/blob/main/model-info.json',
    date: '2026-11-28',
  },
  {
    models: ['voxtral-mini-2602'],
    ownedBy: 'mistralai',
    operation: 'audio',
    prices: [{ input: 0, output: 0, audioMinute: 0.003 }],
    // $0.18 an hour in the package, which names this page.
    source: 'https://docs.mistral.ai/models/voxtral-mini-transcribe-26-02',
    date: '2026-11-28',
  },
  // Perplexity's fees at the most search context. Sonar Pro has other fees for Pro Search, which no page could be opened of.
  {
    models: ['sonar'],
    ownedBy: 'perplexity',
    contextLength: 128_000,
    prices: [{ input: 1, output: 1, request: 0.012 }],
    // The fee as the package has it.
    source: 'https://docs.perplexity.ai/getting-started/pricing',
    date: '2026-11-28',
  },
  {
    models: ['sonar-reasoning-pro'],
    ownedBy: 'perplexity',
    contextLength: 128_000,
    prices: [{ input: 2, output: 8, request: 0.014 }],
    // The fee as the package has it.
    source: 'https://docs.perplexity.ai/getting-started/pricing',
    date: '2026-11-28',
  },

  // Anthropic.
  {
    models: ['claude-3-haiku', 'claude-3-opus-latest', 'claude-3-sonnet'],
    maxOutputTokens: 4_096,
    vision: true,
    source: 'https://platform.claude.com/docs/en/about-claude/models/overview',
    date: '2026-11-28',
  },
  {
    models: ['claude-3-5-haiku-latest', 'claude-3-5-sonnet'],
    maxOutputTokens: 8_192,
    vision: true,
    source: 'https://platform.claude.com/docs/en/about-claude/models/overview',
    date: '2026-11-28',
  },
  {
    models: ['claude-3-7-sonnet-latest', 'claude-sonnet-4-0'],
    maxOutputTokens: 64_000,
    vision: true,
    source: 'https://platform.claude.com/docs/en/about-claude/models/overview',
    date: '2026-11-28',
  },
  {
    models: ['claude-opus-4-0'],
    maxOutputTokens: 32_000,
    vision: true,
    source: 'https://platform.claude.com/docs/en/about-claude/models/overview',
    date: '2026-11-28',
  },
  {
    models: ['claude-opus-4-1'],
    maxOutputTokens: 32_000,
    vision: true,
    structuredOutput: true,
    source: 'https://platform.claude.com/docs/en/about-claude/models/overview',
    date: '2026-11-28',
  },
  {
    models: ['claude-haiku-4-5', 'claude-sonnet-4-5', 'claude-opus-4-5'],
    maxOutputTokens: 64_000,
    vision: true,
    structuredOutput: true,
    source: claude('haiku-4-5'),
    date: '2026-11-28',
  },
  {
    models: ['claude-sonnet-4-6'],
    vision: true,
    structuredOutput: true,
    source: claude('sonnet-4-6'),
    date: '2026-11-28',
  },
  {
    models: [
      'claude-opus-4-6',
      'claude-opus-4-7',
      'claude-opus-4-8',
      'claude-opus-5',
      'claude-opus-5-5',
      'claude-fable-5',
      'claude-fable-5-1',
      'claude-sonnet-5',
    ],
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    source: claude('opus-5'),
    date: '2026-11-28',
  },
  { models: ['claude-opus-5'], released: '2026-07-24', source: claude('opus-5'), date: '2026-11-28' },
  { models: ['claude-sonnet-5'], released: '2026-06-30', source: claude('sonnet-5'), date: '2026-11-28' },
  { models: ['claude-fable-5'], released: '2026-06-09', source: claude('fable-5'), date: '2026-11-28' },
  {
    models: ['claude-fable-5-2'],
    ownedBy: 'anthropic',
    contextLength: 1_000_000,
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    released: '2026-11-09',
    prices: [{ input: 8, cachedInput: 0.2, cacheWrite: 10, output: 40, serviceTiers: { fast: 2 } }],
    cacheWriteLongFactor: 2,
    // Opened: https://docs.laozhang.ai/en/announcements/claude-fable-5-2-2026-11.md and, for the cache,
    // https://github.com/archid21/rightsize/releases/tag/v0.10.2; the vendor's own page was not.
    source: claude('fable-5-2'),
    date: '2026-11-28',
  },
  {
    models: ['claude-sonnet-5-5'],
    aliases: ['claude-sonnet-5.5'],
    ownedBy: 'anthropic',
    contextLength: 1_000_000,
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    released: '2026-09-28',
    prices: [
      { input: 2, cachedInput: 0.2, cacheWrite: 2.5, output: 10 },
      { effectiveFrom: '2026-10-07', input: 2, cachedInput: 0.1, cacheWrite: 2.5, output: 10 },
    ],
    cacheWriteLongFactor: 2,
    // The cheaper reads of 7 October: https://github.com/kurofune/claudit/releases/tag/v1.9.2, read from the price page.
    source: claude('sonnet-5-5'),
    date: '2026-11-28',
  },
  {
    models: ['claude-haiku-5-5'],
    aliases: ['claude-haiku-5.5'],
    ownedBy: 'anthropic',
    contextLength: 1_000_000,
    maxOutputTokens: 128_000,
    vision: true,
    structuredOutput: true,
    released: '2026-10-07',
    prices: [
      {
        ...{ input: 0.1, cachedInput: 0.01, cacheWrite: 0.125, output: 0.5 },
        longContext: { aboveInputTokens: 100_000, inputFactor: 5, outputFactor: 5 },
      },
    ],
    cacheWriteLongFactor: 2,
    // Opened: https://github.com/kurofune/claudit/releases/tag/v1.9.2, which reads the price page.
    source: claude('haiku-5-5'),
    date: '2026-11-28',
  },
  { models: ['claude-fable-5-2'], aliases: ['claude-fable-5.2'], source: claude('fable-5-2'), date: '2026-11-28' },
  { models: ['claude-fable-5-1'], aliases: ['claude-fable-5.1'], source: claude('fable-5-1'), date: '2026-11-28' },
  // `speed: 'fast'`: twice the price, but six times with Opus 4.6 and 4.7.
  {
    models: ['claude-opus-4-8', 'claude-opus-5', 'claude-opus-5-5'],
    serviceTiers: { fast: 2 },
    source: 'https://platform.claude.com/docs/en/build-with-claude/fast-mode',
    date: '2026-11-28',
  },
  {
    models: ['claude-opus-4-6', 'claude-opus-4-7'],
    serviceTiers: { fast: 6 },
    source: 'https://openrouter.ai/anthropic/claude-opus-4.6-fast',
    date: '2026-11-28',
  },

  {
    models: [
      'gemini-2.0-flash',
      'gemini-2.0-flash-lite',
      'gemini-2.5-pro',
      'gemini-2.5-flash',
      'gemini-2.5-flash-lite',
    ],
    // $35 for a thousand grounded prompts, however many queries each takes.
    toolCallUsd: { web_search: 0.035 },
    source: 'https://github.com/iyulab/TokenMeter/releases/tag/v0.13.0',
    date: '2026-11-28',
  },
  // Google. `priority` costs 75 to 100 % more where no factor is published.
  {
    models: ['gemini-2.0-flash', 'gemini-2.0-flash-lite'],
    contextLength: 1_048_576,
    maxOutputTokens: 8_192,
    vision: true,
    structuredOutput: true,
    source: 'https://ai.google.dev/gemini-api/docs/models/gemini-2.0-flash',
    date: '2026-11-28',
  },
  {
    models: [...GEMINI_2_AND_3, 'gemini-3.7-flash', 'gemini-3.8-flash'],
    contextLength: 1_048_576,
    maxOutputTokens: 65_536,
    vision: true,
    structuredOutput: true,
    source: 'https://ai.google.dev/gemini-api/docs/models',
    date: '2026-11-28',
  },
  {
    models: GEMINI_2_AND_3,
    serviceTiers: { flex: 0.5, priority: 2 },
    source: 'https://ai.google.dev/gemini-api/docs/optimization',
    date: '2026-11-28',
  },
  {
    models: ['gemini-3.7-flash', 'gemini-3.8-flash'],
    serviceTiers: { flex: 0.5, priority: 1.8 },
    source: 'https://ai.google.dev/gemini-api/docs/pricing',
    date: '2026-11-28',
  },
  {
    models: ['gemini-4-argon', 'gemini-4-carbon'],
    ownedBy: 'google',
    contextLength: 1_048_576,
    vision: true,
    structuredOutput: true,
    prices: [
      { input: 2, cachedInput: 0.1, output: 10 },
      { effectiveFrom: '2026-12-01', input: 4, cachedInput: 0.2, output: 20 },
    ],
    serviceTiers: { flex: 0.5, priority: 1.8 },
    // As https://github.com/BerriAI/litellm/discussions/46238 and /50970 read it, and the tiers
    // https://github.com/TrazumAPP/Trazum/releases/tag/v2.7.9.
    source: 'https://ai.google.dev/gemini-api/docs/generate-content/latest-model',
    date: '2026-11-28',
  },
  {
    models: ['gemini-4-argon'],
    released: '2026-09-30',
    source: 'https://ai.google.dev/gemini-api/docs/models/gemini-4-argon',
    date: '2026-11-28',
  },
  {
    models: ['gemini-4-carbon'],
    released: '2026-11-10',
    source: 'https://ai.google.dev/gemini-api/docs/models/gemini-4-carbon',
    date: '2026-11-28',
  },
  {
    models: ['gemini-4-neon'],
    ownedBy: 'google',
    contextLength: 1_048_576,
    maxOutputTokens: 65_536,
    prices: [{ input: 3, cachedInput: 0.15, output: 15, serviceTiers: { flex: 0.5, priority: 1.8 } }],
    // As https://github.com/iyulab/TokenMeter/releases/tag/v0.17.0 reads it.
    source: 'https://ai.google.dev/gemini-api/docs/pricing',
    date: '2026-11-28',
  },
  {
    models: ['gemini-4-hydrogen'],
    ownedBy: 'google',
    contextLength: 1_048_576,
    prices: [{ input: 1.5, cachedInput: 0.075, output: 7.5, serviceTiers: { flex: 0.5, priority: 1.8 } }],
    // As https://github.com/iyulab/TokenMeter/releases/tag/v0.17.0 and https://github.com/BerriAI/litellm/discussions/51436 read it.
    source: 'https://ai.google.dev/gemini-api/docs/pricing',
    date: '2026-11-28',
  },

  // xAI: fees of tools, for the models that have server-side tools.
  {
    models: [
      'grok-4-0709',
      'grok-4-1-fast-non-reasoning',
      'grok-4-1-fast-reasoning',
      'grok-4-fast-non-reasoning',
      'grok-4-fast-reasoning',
      'grok-4.20',
      'grok-4.20-multi-agent',
      'grok-4.3',
      'grok-4.5',
      'grok-4.6',
    ],
    toolCallUsd: {
      web_search: 0.005,
      x_search: 0.005,
      code_interpreter: 0.005,
      code_execution: 0.005,
      attachment_search: 0.01,
      file_search: 0.0025,
      collections_search: 0.0025,
    },
    vision: true,
    structuredOutput: true,
    source: 'https://docs.x.ai/developers/pricing.md',
    date: '2026-11-28',
  },
  { models: ['grok-2-vision-1212'], vision: true, source: 'https://docs.x.ai/docs/models', date: '2026-11-28' },
  {
    models: ['grok-4.20'],
    aliases: ['grok-4.20-0309-reasoning', 'grok-4.20-0309-non-reasoning'],
    // The names: https://docs.apiyi.com/api-capabilities/grok/overview, compared with xAI's page there.
    source: 'https://docs.x.ai/docs/models',
    date: '2026-11-28',
  },
  {
    models: ['grok-4.5'],
    released: '2026-07-08',
    source: 'https://docs.x.ai/docs/models/grok-4.5',
    date: '2026-11-28',
  },

  // Mistral: `-latest` is the newest of its family; the package's are older.
  {
    models: ['ministral-3b-2512'],
    aliases: ['ministral-3b-latest'],
    source: 'https://mistral.ai/pricing/api',
    date: '2026-11-28',
  },
  {
    models: ['mistral-small-2603'],
    aliases: ['mistral-small-latest', 'mistral-small'],
    vision: true,
    structuredOutput: true,
    source: 'https://mistral.ai/pricing/api',
    date: '2026-11-28',
  },
  {
    models: [
      'mistral-medium-3-1',
      'mistral-medium-3-5',
      'mistral-medium-latest',
      'mistral-large-2512',
      'pixtral-12b',
      'pixtral-large',
    ],
    vision: true,
    structuredOutput: true,
    source: 'https://docs.mistral.ai/capabilities/vision',
    date: '2026-11-28',
  },

  // DeepSeek: at the dearest hours of the day. Calls to V4 Flash are answered by its follower, at its price.
  {
    models: ['deepseek-flash'],
    ownedBy: 'deepseek',
    contextLength: 1_000_000,
    vision: true,
    released: '2026-09-10',
    prices: [{ input: 0.3, cachedInput: 0.006, output: 1.2 }],
    source: 'https://api-docs.deepseek.com/quick_start/pricing',
    date: '2026-11-28',
  },
  {
    models: ['deepseek-v4-flash'],
    prices: [
      { input: 0.14, cachedInput: 0.0028, output: 0.28 },
      { effectiveFrom: '2026-08-16', input: 0.44, cachedInput: 0.014, output: 1.32 },
      { effectiveFrom: '2026-09-11', input: 0.3, cachedInput: 0.006, output: 1.2 },
    ],
    source: 'https://api-docs.deepseek.com/quick_start/pricing',
    date: '2026-11-28',
  },
  {
    models: ['deepseek-flash', 'deepseek-v4-flash', 'deepseek-v4-pro'],
    maxOutputTokens: 384_000,
    source: 'https://api-docs.deepseek.com/quick_start/pricing',
    date: '2026-11-28',
  },

  // Cohere: the first versions, which were dearer than those that bear the family's price.
  {
    models: ['command-r-03-2024'],
    ownedBy: 'cohere',
    contextLength: 128_000,
    prices: [{ input: 0.5, output: 1.5 }],
    source: 'https://cohere.com/pricing',
    date: '2026-11-28',
  },
  {
    models: ['command-r-plus-04-2024'],
    ownedBy: 'cohere',
    contextLength: 128_000,
    prices: [{ input: 3, output: 15 }],
    source: 'https://cohere.com/pricing',
    date: '2026-11-28',
  },
];

/** The models that the table always had, with the figures that it had. */
function firstTable() {
  const told = (
    id,
    [contextLength, maxOutputTokens],
    [input, cachedInput, output, parts],
    created,
    abilities = [],
    operation,
  ) => ({
    models: [id],
    ownedBy: 'openai',
    contextLength,
    maxOutputTokens,
    prices: [{ input, cachedInput, output, ...parts }],
    created,
    vision: abilities.includes('vision'),
    structuredOutput: abilities.includes('structuredOutput'),
    operation,
    listed: true,
    source: OPENAI_PRICES,
    date: '2026-11-25',
  });
  const sound = (inputAudio, outputAudio) => ({ inputAudio, outputAudio });
  const both = ['vision', 'structuredOutput'];
  return [
    told('gpt-4', [8_192, 8_192], [30, undefined, 60], 1_687_882_411),
    told('gpt-4-32k', [32_768, 32_768], [60, undefined, 120], 1_687_979_321),
    told('gpt-4-turbo', [128_000, 4_096], [10, undefined, 30], 1_712_361_441, ['vision']),
    told('gpt-3.5-turbo', [16_385, 4_096], [0.5, undefined, 1.5], 1_677_610_602),
    told('gpt-3.5-turbo-1106', [16_385, 4_096], [1, undefined, 2], 1_698_959_748),
    told('gpt-4o', [128_000, 16_384], [2.5, 1.25, 10], 1_715_367_049, both),
    told('gpt-4o-2024-05-13', [128_000, 4_096], [5, undefined, 15], 1_715_368_132, ['vision']),
    told('gpt-4o-mini', [128_000, 16_384], [0.15, 0.075, 0.6], 1_721_172_741, both),
    told('gpt-4.1', [1_047_576, 32_768], [2, 0.5, 8], 1_744_316_542, both),
    told('gpt-4.1-mini', [1_047_576, 32_768], [0.4, 0.1, 1.6], 1_744_318_173, both),
    told('gpt-4.1-nano', [1_047_576, 32_768], [0.1, 0.025, 0.4], 1_744_321_707, both),
    told('o3', [200_000, 100_000], [2, 0.5, 8], 1_744_225_308, both),
    told('o4-mini', [200_000, 100_000], [1.1, 0.275, 4.4], 1_744_225_351, both),
    told('gpt-5', [400_000, 128_000], [1.25, 0.125, 10], 1_754_425_777, both),
    told('gpt-5-mini', [400_000, 128_000], [0.25, 0.025, 2], 1_754_425_928, both),
    told('gpt-5-nano', [400_000, 128_000], [0.05, 0.005, 0.4], 1_754_426_384, both),
    told('gpt-4o-audio-preview', [128_000, 16_384], [2.5, undefined, 10, sound(40, 80)], 1_727_460_443),
    told('gpt-4o-mini-audio-preview', [128_000, 16_384], [0.15, undefined, 0.6, sound(10, 20)], 1_734_387_424),
    told('gpt-audio', [128_000, 16_384], [2.5, undefined, 10, sound(32, 64)], 1_756_339_249),
    told('gpt-4o-mini-tts', [2_000, undefined], [0.6, undefined, 12], 1_742_403_959, [], 'audio'),
    // The package has a price of sound heard, which the first table had not.
    told('gpt-4o-transcribe', [16_000, 2_000], [2.5, undefined, 10, { inputAudio: 6 }], 1_742_068_463, [], 'audio'),
    told(
      'gpt-4o-mini-transcribe',
      [16_000, 2_000],
      [1.25, undefined, 5, { inputAudio: 3 }],
      1_742_068_596,
      [],
      'audio',
    ),
    // Cached pictures and cached text differ in price: as long as no usage tells them apart, neither is cheaper.
    told(
      'gpt-image-1',
      [undefined, undefined],
      [5, undefined, 40, { inputImage: 10 }],
      1_745_517_030,
      ['vision'],
      'images',
    ),
    told(
      'gpt-image-1-mini',
      [undefined, undefined],
      [2, undefined, 8, { inputImage: 2.5 }],
      1_758_845_821,
      ['vision'],
      'images',
    ),
    told('text-embedding-3-small', [8_192, 0], [0.02, undefined, 0], 1_705_948_997, [], 'embeddings'),
    told('text-embedding-3-large', [8_192, 0], [0.13, undefined, 0], 1_705_953_180, [], 'embeddings'),
    told('text-embedding-ada-002', [8_192, 0], [0.1, undefined, 0], 1_671_217_299, [], 'embeddings'),
    told('omni-moderation-latest', [32_768, 0], [0, undefined, 0], 1_731_689_265, ['vision'], 'moderations'),
    told('omni-moderation-2024-09-26', [32_768, 0], [0, undefined, 0], 1_732_734_466, ['vision'], 'moderations'),
    told('gpt-3.5-turbo-instruct', [4_096, 4_096], [1.5, undefined, 2], 1_692_901_427, [], 'completions'),
    told('davinci-002', [16_384, 16_384], [2, undefined, 2], 1_692_634_301, [], 'completions'),
    told('babbage-002', [16_384, 16_384], [0.4, undefined, 0.4], 1_692_634_615, [], 'completions'),
  ];
}
