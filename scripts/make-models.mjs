// Makes src/models/model-data.ts of what `@pydantic/genai-prices` and scripts/models-by-hand.mjs know, and says what has no price,
// and where a price could not be said exactly. `--check` writes nothing and fails if the file is not up to date.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findProvider } from '@pydantic/genai-prices';
import { BATCHES, FACTS, LEFT_OUT, NAMES_LEFT_OUT, NOT_THE_VENDORS, TOOL_FEES } from './models-by-hand.mjs';

const FILE = fileURLToPath(new URL('../src/models/model-data.ts', import.meta.url));

/** Vendors that sell their own models, by their ids in the package, with the names that own their models here. */
export const VENDORS = {
  openai: 'openai',
  anthropic: 'anthropic',
  google: 'google',
  'x-ai': 'xai',
  mistral: 'mistralai',
  deepseek: 'deepseek',
  cohere: 'cohere',
  moonshotai: 'moonshotai',
};

/** Rates of the package, with ours. */
const RATES = {
  input_mtok: 'input',
  cache_read_mtok: 'cachedInput',
  cache_write_mtok: 'cacheWrite',
  cache_write_1h_mtok: 'cacheWriteLong',
  input_audio_mtok: 'inputAudio',
  input_image_mtok: 'inputImage',
  output_mtok: 'output',
  output_reasoning_mtok: 'reasoning',
  output_audio_mtok: 'outputAudio',
};
/** Rates that the factor of a long input multiplies. */
const INPUT_RATES = ['input', 'cachedInput', 'cacheWrite', 'cacheWriteLong', 'inputAudio', 'inputImage'];
const TOOLS = { web_searches_kcount: 'web_search', storage_searches_kcount: 'file_search' };
const PRICING_FIELDS = {
  input: 'inputUsdPerMillion',
  cachedInput: 'cachedInputUsdPerMillion',
  cacheWrite: 'cacheWriteUsdPerMillion',
  cacheWriteLong: 'cacheWriteLongUsdPerMillion',
  inputAudio: 'inputAudioUsdPerMillion',
  inputImage: 'inputImageUsdPerMillion',
  output: 'outputUsdPerMillion',
  reasoning: 'reasoningUsdPerMillion',
  outputAudio: 'outputAudioUsdPerMillion',
  request: 'usdPerRequest',
  image: 'usdPerImage',
  audioMinute: 'usdPerAudioMinute',
  millionCharacters: 'usdPerMillionCharacters',
};

/** The models in the order of the table, the ids that nobody prices with reasons, and notes on prices said dearer than they are. */
export function makeModels(
  providers = Object.keys(VENDORS).map((providerId) => findProvider({ providerId })),
  facts = FACTS,
) {
  const notes = [
    'openai: pictures and containers that hosted tools make have the dearest picture’s and one container’s price for each call',
  ];
  const unpriced = [];
  const drafts = new Map();
  for (const { id, models } of providers) {
    for (const model of models) {
      // Google's list has Anthropic's models as they are sold in its cloud.
      if (id === 'google' && model.id.startsWith('claude')) continue;
      const reason = reasonToLeaveOut(model);
      if (reason === undefined) drafts.set(model.id, ofPackage(model, VENDORS[id], notes));
      else unpriced.push(`${model.id}: ${reason}`);
    }
  }
  for (const fact of facts) applyFact(fact, drafts);
  const models = [...drafts.values()].map(finished);
  checkNames(models);
  // Some of what the package cannot say is written by hand.
  const left = unpriced.filter((line) => !drafts.has(line.slice(0, line.indexOf(':'))));
  return { models, unpriced: left.sort(), notes };
}

function reasonToLeaveOut({ id, prices, price_comments: comments = '' }) {
  const told = LEFT_OUT.find(({ models }) => models.test(id))?.reason;
  if (told !== undefined) return told;
  if (id.includes(':') && !id.startsWith('ft:')) return 'is a variant of another seller';
  if (NOT_THE_VENDORS.test(comments)) return "has another seller's price only";
  return periodsOf(prices).every(({ input }) => input === undefined) ? 'has no price by the token' : undefined;
}

function ofPackage(model, ownedBy, notes) {
  const periods = periodsOf(model.prices);
  if (periods.some(({ dearest }) => dearest))
    notes.push(`${model.id}: dearer at some hours of the day; has the dearest`);
  for (const period of periods) for (const note of period.notes) notes.push(`${model.id}: ${note}`);
  return {
    id: model.id.startsWith('ft:') ? model.id.replace(/-$/, '') : model.id,
    aliases: namesIn(model.match).map((name) => (name.startsWith('ft:') ? name.replace(/-(?:2024-)?$|-0$/, '') : name)),
    ownedBy,
    contextLength: model.context_window,
    operation: operationOf(model.id),
    toolCallUsd: toolsOf(model.prices),
    prices: periods.map(({ notes: _notes, dearest: _dearest, ...price }) => price),
  };
}

/** Names of a model that the package spells out: whole ones, and beginnings, after which come dates and the like. */
function namesIn(match) {
  if (match.or !== undefined) return match.or.flatMap(namesIn);
  if (match.and !== undefined) return match.and.flatMap(namesIn);
  const name = match.equals ?? match.starts_with;
  // A path is another seller's name.
  return name === undefined || name.includes('/') || name.endsWith('@') || NAMES_LEFT_OUT.test(name)
    ? []
    : [name.startsWith('ft:') ? name : name.replace(/-$/, '')];
}

function operationOf(id) {
  if (/embed/.test(id)) return 'embeddings';
  if (/^gpt-image/.test(id)) return 'images';
  if (/-tts$|-transcribe$/.test(id)) return 'audio';
  return /-instruct$/.test(id) && id.startsWith('gpt') ? 'completions' : undefined;
}

/** The prices in the order of their dates. Of prices that change with the hour, the dearest rates are taken. */
function periodsOf(prices) {
  const all = Array.isArray(prices) ? prices : [{ prices }];
  const hourly = all
    .filter(({ constraint }) => constraint?.type === 'time_of_date')
    .map((entry) => readPrice(entry.prices));
  const dated = all.filter(({ constraint }) => constraint?.type !== 'time_of_date');
  return dated.map(({ constraint, prices: rates }) => {
    const price = readPrice(rates);
    for (const other of hourly) {
      for (const rate of Object.values(RATES)) {
        if (other[rate] !== undefined) price[rate] = Math.max(price[rate] ?? 0, other[rate]);
      }
    }
    return { effectiveFrom: constraint?.start_date, ...price, dearest: hourly.length > 0 };
  });
}

function readPrice(rates) {
  const price = { notes: [] };
  const steps = [];
  for (const [name, value] of Object.entries(rates)) {
    const rate = RATES[name];
    if (rate === undefined || value === undefined) continue;
    price[rate] = typeof value === 'number' ? value : value.base;
    if (typeof value === 'number') continue;
    for (const { start, price: long } of value.tiers) steps.push({ rate, start, factor: long / value.base });
  }
  if (price.input !== undefined) price.output ??= 0;
  if (steps.length > 0) price.longContext = oneStep(steps, price.notes);
  sayUnsayable(rates, price);
  return price;
}

/** One step that no long call passes for less than its price: from the first threshold on, at the highest factors. */
function oneStep(steps, notes) {
  const isInput = ({ rate }) => INPUT_RATES.includes(rate);
  const highest = (some) => Math.max(1, ...some.map(({ factor }) => factor));
  const starts = new Set(steps.map(({ start }) => start));
  const factors = new Set(steps.filter(isInput).map(({ factor }) => factor.toFixed(6)));
  if (starts.size > 1 || factors.size > 1) notes.push('has steps by context that differ; has the dearest');
  return {
    aboveInputTokens: Math.min(...starts),
    inputFactor: exact(highest(steps.filter(isInput))),
    outputFactor: exact(highest(steps.filter((step) => !isInput(step)))),
  };
}

/** Quotients of decimals such as 0.04 / 0.02, without the noise of doubles. */
function exact(factor) {
  return Number(factor.toFixed(9));
}

/** Rates that `Pricing` has no field for: none is undercut where a call through the gateway can meet it. */
function sayUnsayable(rates, price) {
  if (rates.output_image_mtok > price.output) {
    price.notes.push('writes pictures dearer than text; all output has their price');
    price.output = rates.output_image_mtok;
  }
  if (rates.cache_image_read_mtok > price.cachedInput) {
    price.notes.push('has cached pictures that are dearer than cached text; neither is cheaper');
    delete price.cachedInput;
  }
  if (rates.cache_audio_read_mtok > price.cachedInput)
    price.notes.push('has cached sound that is dearer than cached text; has the price of text');
  if (rates.input_video_mtok > price.input) price.notes.push('sees videos, which have the price of text');
}

function toolsOf(prices) {
  const latest = Array.isArray(prices) ? prices.at(-1).prices : prices;
  const fees = Object.entries(TOOLS).filter(([name]) => latest[name] !== undefined);
  return fees.length === 0 ? undefined : Object.fromEntries(fees.map(([name, tool]) => [tool, latest[name] / 1_000]));
}

function applyFact({ models, source, date, aliases = [], released, ...facts }, drafts) {
  if (!/^https:\/\//.test(source) || !/^\d{4}-\d\d-\d\d$/.test(date)) throw new Error(`${models}: no source or date`);
  for (const id of models) {
    if (!drafts.has(id) && facts.prices === undefined) throw new Error(`Nobody prices ${id}`);
    const draft = drafts.get(id) ?? { id, aliases: [] };
    // Names that move from one model to another.
    for (const other of drafts.values())
      other.aliases = other.aliases.filter((name) => !aliases.includes(name) && name !== id);
    for (const [name, value] of Object.entries(facts)) if (value !== undefined) draft[name] = value;
    draft.aliases.push(...aliases);
    if (released !== undefined) draft.created = Date.parse(released) / 1_000;
    drafts.set(id, draft);
  }
}

function finished({ id, aliases, prices, toolCallUsd, serviceTiers, cacheWriteLongFactor, ...facts }) {
  const names = [...new Set(aliases)].filter((name) => name !== id);
  const operation = facts.operation ?? 'chat.completions';
  const fees = operation === 'chat.completions' ? { ...TOOL_FEES[facts.ownedBy]?.toolCallUsd, ...toolCallUsd } : {};
  const hasNoOutput = operation === 'embeddings' || operation === 'moderations';
  return compact({
    id,
    aliases: names.length === 0 ? undefined : names,
    ownedBy: facts.ownedBy,
    operation,
    contextLength: facts.contextLength,
    maxOutputTokens: hasNoOutput ? 0 : facts.maxOutputTokens,
    vision: facts.vision === true ? true : undefined,
    structuredOutput: facts.structuredOutput === true ? true : undefined,
    created: facts.created,
    listed: facts.listed,
    prices: prices.map((price) => {
      const rates = hasNoOutput ? { ...price, output: 0 } : { ...price };
      if (cacheWriteLongFactor !== undefined) rates.cacheWriteLong = exact(rates.input * cacheWriteLongFactor);
      return compact({
        effectiveFrom: rates.effectiveFrom,
        pricing: compact({
          ...Object.fromEntries(Object.entries(PRICING_FIELDS).map(([rate, field]) => [field, rates[rate]])),
          longContext: rates.longContext,
          serviceTiers: withBatches(rates.serviceTiers ?? serviceTiers, facts.ownedBy),
          toolCallUsd: Object.keys(fees).length === 0 ? undefined : fees,
        }),
      });
    }),
  });
}

/** A model whose tiers nobody tells has none: its batches have the ordinary price. */
function withBatches(serviceTiers, ownedBy) {
  const batch = BATCHES[ownedBy]?.factor;
  return serviceTiers === undefined || batch === undefined ? serviceTiers : { ...serviceTiers, batch };
}

function compact(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

function checkNames(models) {
  const seen = new Map();
  for (const { id, aliases = [] } of models) {
    for (const name of [id, ...aliases]) {
      if (seen.has(name)) throw new Error(`${id} and ${seen.get(name)} are both called ${name}`);
      seen.set(name, id);
    }
  }
}

/** The text of the generated file: JSON, which is read in a tenth of the time of as much code, a line for each model. */
export function renderModels(models) {
  const lines = models.map((model) => JSON.stringify(model));
  const unquotable = lines.find((line) => /[`\\$]/.test(line));
  if (unquotable !== undefined) throw new Error(`Cannot stand in a template: ${unquotable}`);
  return [
    '// biome-ignore-all format: a line is a model',
    '// Made by scripts/make-models.mjs of @pydantic/genai-prices and scripts/models-by-hand.mjs, which has the sources. Do not edit.',
    'export const MODELS_JSON = `[',
    lines.join(',\n'),
    ']`;',
    '',
  ].join('\n');
}

/** Whether the committed file is what the sources make. */
export function isUpToDate(text = renderModels(makeModels().models)) {
  return readFileSync(FILE, 'utf8') === text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { models, unpriced, notes } = makeModels();
  const text = renderModels(models);
  if (process.argv.includes('--check')) process.exitCode = isUpToDate(text) ? 0 : 1;
  else writeFileSync(FILE, text);
  console.log(`${models.length} models, ${Math.round(text.length / 1_024)} kB.`);
  console.log(`Said dearer or otherwise than the package has it:\n${notes.map((note) => `  ${note}`).join('\n')}`);
  console.log(`Not priced:\n${unpriced.map((line) => `  ${line}`).join('\n')}`);
}
