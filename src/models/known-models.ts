import type { KnownModel, KnownPrice } from './known-model.js';
import { MODELS_JSON } from './model-data.js';
import type { Pricing } from './pricing.js';

/**
 * The models that are known: those of OpenAI, Anthropic, Google, xAI, Mistral, DeepSeek, Cohere, Moonshot and Perplexity whose price
 * some page tells, by the token as a rule, else by the picture (`dall-e-3`), the minute (`whisper-1`) or the character (`tts-1`). Prices
 * are the vendors' standard ones. A host's `models` option decides which models it serves, under which names and at which prices.
 */
export const KNOWN_MODELS: readonly KnownModel[] = readModels(JSON.parse(MODELS_JSON));

const BY_NAME = new Map<string, KnownModel>();
for (const model of KNOWN_MODELS) {
  BY_NAME.set(model.id, model);
  for (const alias of model.aliases ?? []) BY_NAME.set(alias, model);
}

/** Day on which the table was last read over: the version of prices without a date. */
const READ_AT = '2026-11-28';

/** Names that resellers write before a vendor's own, where they sell at the vendor's price. Open weights have many sellers and prices. */
const VENDORS: ReadonlyMap<string, string> = new Map([
  ['openai', 'openai'],
  ['anthropic', 'anthropic'],
  ['google', 'google'],
  ['models', 'google'],
  ['x-ai', 'xai'],
  ['xai', 'xai'],
]);

/** Signs of a version at the end of a name: dates, numbers of four and three digits, `-latest`, `-preview` and `-exp`. */
const VERSION = /(?:[-@](?:\d{4}-\d{2}-\d{2}|\d{2}-\d{4}|\d{2}-\d{2}|\d{8}|\d{4}|\d{3})|-latest|-preview|-exp)$/;
/** Longest name that is looked up otherwise than whole. */
const MAX_NAME = 128;

/**
 * The known model of that name, or else of the family of a version: `gpt-4o-2024-08-06` is `gpt-4o`, `gpt-4-0613` is `gpt-4`,
 * `claude-opus-4-1@20250805` is `claude-opus-4-1`. A version that is known itself has its own price. A vendor's name before
 * it changes nothing: `anthropic/claude-opus-4-1`. What was trained further is priced as that: `ft:gpt-4o:acme::7p4l`.
 */
export function findKnownModel(name: string): KnownModel | undefined {
  if (name.startsWith('ft:')) return findTuned(name);
  const whole = BY_NAME.get(name);
  if (whole !== undefined || name.length > MAX_NAME) return whole;
  const slash = name.indexOf('/');
  if (slash === -1) return findVersion(name);
  const vendor = VENDORS.get(name.slice(0, slash));
  const model = vendor === undefined ? undefined : findVersion(name.slice(slash + 1));
  return model?.ownedBy === vendor ? model : undefined;
}

/** A name such as `ft:gpt-4o-2024-08-06:acme::7p4l` has the model it was trained from, and for whom. */
function findTuned(name: string): KnownModel | undefined {
  const [, base, organisation] = name.split(':', 3);
  return base === undefined || organisation === undefined || name.length > MAX_NAME
    ? undefined
    : findVersion(`ft:${base}`);
}

/** Finds a model whose name the name begins with, the newest of its family first. Several signs may follow each other: `-preview-05-06`. */
function findVersion(name: string): KnownModel | undefined {
  const whole = BY_NAME.get(name);
  if (whole !== undefined) return whole;
  let family = name;
  for (let shorter = family.replace(VERSION, ''); shorter !== family; shorter = family.replace(VERSION, '')) {
    family = shorter;
    const model = BY_NAME.get(`${family}-latest`) ?? BY_NAME.get(family);
    if (model !== undefined) return model;
  }
  return undefined;
}

/** A known price as it holds for some time. */
export interface PriceInForce {
  /** Its version is the day since which it holds, or on which it was last read. */
  readonly pricing: Pricing;
  /** Unix time in milliseconds at which another follows, or `Infinity`. */
  readonly untilMs: number;
}

/** The price that holds at that moment; before the first date, the first. @param nowMs Unix time in milliseconds. */
export function priceInForce({ prices }: Pick<KnownModel, 'prices'>, nowMs: number): PriceInForce | undefined {
  let inForce: KnownPrice | undefined;
  for (const price of prices) {
    const fromMs = price.effectiveFrom === undefined ? Number.NEGATIVE_INFINITY : Date.parse(price.effectiveFrom);
    if (inForce !== undefined && fromMs > nowMs) return { pricing: dated(inForce), untilMs: fromMs };
    inForce = price;
  }
  return inForce && { pricing: dated(inForce), untilMs: Number.POSITIVE_INFINITY };
}

function dated({ pricing, effectiveFrom = READ_AT }: KnownPrice): Pricing {
  return { ...pricing, version: effectiveFrom };
}

function readModels(json: unknown): readonly KnownModel[] {
  if (!areModels(json)) throw new TypeError('Expected a list of models');
  return json;
}

/** Whether the text has models, of which a test looks at each: the file is made by a script. */
function areModels(json: unknown): json is readonly KnownModel[] {
  return Array.isArray(json);
}
