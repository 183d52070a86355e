import type { JsonObject } from '../../base/json.js';
import type { UsageGroup, UsageSums } from '../../usage/usage-store.js';
import type { Operation } from '../../wire/operations.js';
import { costUsd } from './usage-report.js';

/** Labels that results may be grouped by; in results that are not, a label is `null`. */
export type OrganizationLabel =
  | 'project_id'
  | 'user_id'
  | 'api_key_id'
  | 'model'
  | 'batch'
  | 'service_tier'
  | 'size'
  | 'source'
  | 'vector_store_id'
  | 'context_level'
  | 'line_item';

/** The width of a bucket, and how many of them a page has. */
export interface BucketWidth {
  readonly every: 'minute' | 'hour' | 'day';
  readonly seconds: number;
  readonly defaultLimit: number;
  readonly maxLimit: number;
}

/** One of OpenAI's organisation reports. */
export interface OrganizationEndpoint {
  /** Name of its results. */
  readonly object: string;
  /** The calls it tells of. `all`: every one; empty: nothing of the kind is recorded. */
  readonly operations: readonly Operation[] | 'all';
  readonly labels: readonly OrganizationLabel[];
  /** Filters by what is not recorded: better refused than answered wrongly. */
  readonly unknownFilters?: readonly string[];
  readonly widths: Readonly<Record<string, BucketWidth>>;
  /** Whether it tells of calls of that model. @default true */
  readonly tellsOf?: (model: string) => boolean;
  /** The figures of a result; `undefined`: there are none. */
  readonly figures: (sums: UsageSums) => JsonObject | undefined;
}

const WIDTHS: OrganizationEndpoint['widths'] = {
  '1d': { every: 'day', seconds: 86_400, defaultLimit: 7, maxLimit: 31 },
  '1h': { every: 'hour', seconds: 3_600, defaultLimit: 24, maxLimit: 168 },
  '1m': { every: 'minute', seconds: 60, defaultLimit: 60, maxLimit: 1_440 },
};
const COST_WIDTHS: OrganizationEndpoint['widths'] = {
  '1d': { every: 'day', seconds: 86_400, defaultLimit: 7, maxLimit: 180 },
};

const CALLER: readonly OrganizationLabel[] = ['project_id', 'user_id', 'api_key_id'];
const CALL: readonly OrganizationLabel[] = [...CALLER, 'model'];

/** A report on what is not recorded, so that programs that read all reports find it empty. */
const unrecorded = (name: string, labels: readonly OrganizationLabel[]): OrganizationEndpoint => ({
  object: `organization.usage.${name}.result`,
  operations: [],
  labels,
  widths: WIDTHS,
  figures: () => undefined,
});

/** The ledger has one operation for all audio; whoever speaks has a model that says so. */
const isSpeech = (model: string): boolean => /tts|speech/i.test(model);

/** Each of OpenAI's reports, and which calls it tells of. What its description wants and nobody recorded is 0. */
export const ORGANIZATION_ENDPOINTS = {
  completions: {
    object: 'organization.usage.completions.result',
    operations: ['chat.completions', 'completions', 'responses', 'batches'],
    labels: [...CALL, 'batch', 'service_tier'],
    widths: WIDTHS,
    figures: (sums) =>
      sums.requests + sums.inputTokens + sums.outputTokens === 0
        ? undefined
        : {
            input_tokens: sums.inputTokens,
            input_cached_tokens: sums.cachedInputTokens,
            input_cache_write_tokens: sums.cacheWriteTokens,
            input_cache_write_30m_tokens: Math.max(0, sums.cacheWriteTokens - sums.cacheWriteLongTokens),
            input_cache_write_12h_tokens: sums.cacheWriteLongTokens,
            input_audio_tokens: sums.inputAudioTokens,
            output_tokens: sums.outputTokens,
            output_audio_tokens: sums.outputAudioTokens,
            num_model_requests: sums.requests,
          },
  },
  embeddings: {
    object: 'organization.usage.embeddings.result',
    operations: ['embeddings'],
    labels: CALL,
    widths: WIDTHS,
    figures: inputFigures,
  },
  moderations: {
    object: 'organization.usage.moderations.result',
    operations: ['moderations'],
    labels: CALL,
    widths: WIDTHS,
    figures: inputFigures,
  },
  images: {
    object: 'organization.usage.images.result',
    operations: ['images'],
    labels: [...CALL, 'size', 'source'],
    unknownFilters: ['sources', 'sizes'],
    widths: WIDTHS,
    figures: ({ requests }) => ({ images: 0, num_model_requests: requests }),
  },
  audioSpeeches: {
    object: 'organization.usage.audio_speeches.result',
    operations: ['audio'],
    labels: CALL,
    widths: WIDTHS,
    tellsOf: isSpeech,
    figures: ({ requests }) => ({ characters: 0, num_model_requests: requests }),
  },
  audioTranscriptions: {
    object: 'organization.usage.audio_transcriptions.result',
    operations: ['audio'],
    labels: CALL,
    widths: WIDTHS,
    tellsOf: (model) => !isSpeech(model),
    figures: ({ requests }) => ({ seconds: 0, num_model_requests: requests }),
  },
  vectorStores: unrecorded('vector_stores', ['project_id']),
  codeInterpreterSessions: unrecorded('code_interpreter_sessions', ['project_id']),
  fileSearchCalls: unrecorded('file_searches', [...CALLER, 'vector_store_id']),
  webSearchCalls: unrecorded('web_searches', [...CALL, 'context_level']),
  costs: {
    object: 'organization.costs.result',
    operations: 'all',
    labels: ['project_id', 'line_item', 'api_key_id'],
    widths: COST_WIDTHS,
    figures: costFigures,
  },
} satisfies Record<string, OrganizationEndpoint>;

/** The labels of a group of calls in OpenAI's words: a user is an owner, and a key that stands alone is nobody's. */
export function labelsOf({ of }: UsageGroup): Readonly<Record<OrganizationLabel, string | boolean | null>> {
  const { owner = '', keyId = null, model = null, operation } = of;
  return {
    project_id: null,
    user_id: owner.startsWith(OWNER) ? owner.slice(OWNER.length) : null,
    api_key_id: keyId,
    model,
    batch: operation === 'batches',
    service_tier: null,
    size: null,
    source: null,
    vector_store_id: null,
    context_level: null,
    line_item: model,
  };
}

/** How owners are told from keys that stand alone. */
export const OWNER = 'owner:';

function inputFigures({ inputTokens, requests }: UsageSums): JsonObject {
  return { input_tokens: inputTokens, num_model_requests: requests };
}

/** Calls whose cost nobody knows make no result: it would say that they cost nothing. */
function costFigures(sums: UsageSums): JsonObject | undefined {
  const value = costUsd(sums);
  return value === null ? undefined : { amount: { value, currency: 'usd' }, quantity: null, quantity_unit: null };
}
