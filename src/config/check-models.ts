import { isRecord, optionalBoolean, positiveInteger, refuseOthers, unexpected } from '../base/checks.js';
import { checkName, isName } from '../keys/key-fields.js';
import type { ListedOperation } from '../models/known-model.js';
import type { Pricing } from '../models/pricing.js';
import type { Upstream } from '../upstreams/upstream.js';
import type { Capabilities, ModelOptions } from './models.js';

type Check = (name: string, value: unknown) => void;

const OPERATIONS = {
  'chat.completions': true,
  completions: true,
  embeddings: true,
  moderations: true,
  responses: true,
  images: true,
  audio: true,
} satisfies Record<ListedOperation, true>;

const CAPABILITIES = {
  functionCalling: true,
  vision: true,
  streaming: true,
  structuredOutput: true,
} satisfies Record<keyof Capabilities, true>;

const PRICES = {
  inputUsdPerMillion: true,
  cachedInputUsdPerMillion: true,
  cacheWriteUsdPerMillion: true,
  cacheWriteLongUsdPerMillion: true,
  inputAudioUsdPerMillion: true,
  inputImageUsdPerMillion: true,
  outputUsdPerMillion: true,
  reasoningUsdPerMillion: true,
  outputAudioUsdPerMillion: true,
  longContext: true,
  serviceTiers: true,
  toolCallUsd: true,
  usdPerRequest: true,
  usdPerImage: true,
  usdPerAudioMinute: true,
  usdPerMillionCharacters: true,
  version: true,
} satisfies Record<keyof Pricing, true>;

/** Checks of each field of a model; the values of prices are checked where they are read. */
const CHECKS: Readonly<Record<string, Check>> = {
  upstream: (name, value) => {
    if (!isUpstream(value)) throw unexpected(name, 'to be an upstream, such as `http({ baseUrl })` makes', value);
  },
  upstreamModel: checkName,
  aliases(name, value) {
    if (!Array.isArray(value)) throw unexpected(name, 'to be a list of model ids', value);
    for (const [index, alias] of value.entries()) checkName(`${name}[${index}]`, alias);
  },
  contextLength: positiveInteger,
  maxOutputTokens: positiveInteger,
  pricing: checkPricing,
  cost: checkPricing,
  defaultServiceTier: checkName,
  displayName: checkName,
  ownedBy: checkName,
  capabilities(name, value) {
    if (!isRecord(value)) throw unexpected(name, 'to be an object of booleans', value);
    refuseOthers(name, value, CAPABILITIES);
    for (const [capability, has] of Object.entries(value)) optionalBoolean(`${name}.${capability}`, has);
  },
  operation: oneOf(Object.keys(OPERATIONS)),
  responses: oneOf(['pass', 'translate']),
  createdAt(name, value) {
    if (!Number.isFinite(value)) throw unexpected(name, 'to be Unix time in milliseconds', value);
  },
};

/** @throws {TypeError} for what cannot be a table of models, naming the member. */
export function checkedModels(models: Readonly<Record<string, ModelOptions>>): Readonly<Record<string, ModelOptions>> {
  if (!isRecord(models))
    throw unexpected('models', "to be an object of models by id, such as { 'gpt-4o': {} }", models);
  for (const [id, model] of Object.entries(models)) {
    const name = `models.${id}`;
    if (!isName(id)) {
      throw new TypeError('Expected each id in `models` to be 1 to 256 characters without control characters');
    }
    if (!isRecord(model)) throw unexpected(name, 'to be an object, {} for all defaults', model);
    refuseOthers(name, model, CHECKS);
    for (const [field, value] of Object.entries(model)) {
      if (value !== undefined) CHECKS[field]?.(`${name}.${field}`, value);
    }
  }
  return models;
}

/** Whether a value could be an upstream. */
function isUpstream(value: unknown): value is Upstream {
  return isRecord(value) && typeof value.send === 'function';
}

function checkPricing(name: string, value: unknown): void {
  if (!isRecord(value))
    throw unexpected(name, 'to be prices, such as { inputUsdPerMillion, outputUsdPerMillion }', value);
  refuseOthers(name, value, PRICES);
}

function oneOf(values: readonly string[]): Check {
  return (name, value) => {
    if (typeof value !== 'string' || !values.includes(value)) {
      throw unexpected(name, `to be one of ${values.map((one) => `'${one}'`).join(', ')}`, value);
    }
  };
}
