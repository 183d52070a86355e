import type { UsageSums } from '../../usage/usage-store.js';
import { numberOf, type Row } from './pool.js';

/** The columns of a call's tokens. */
export const TOKEN_COLUMNS: readonly string[] = [
  'input_tokens',
  'cached_input_tokens',
  'input_audio_tokens',
  'input_image_tokens',
  'output_tokens',
  'reasoning_tokens',
  'output_audio_tokens',
];

/** What is known when a call begins, with the types of the columns. */
export const START_COLUMNS: Readonly<Record<string, string>> = {
  request_id: 'text',
  key_id: 'text',
  owner: 'text',
  tier: 'text',
  operation: 'text',
  model: 'text',
  upstream: 'text',
  started_at: 'bigint',
  reserved_input_tokens: 'bigint',
  reserved_output_tokens: 'bigint',
  reserved_nano_usd: 'bigint',
  price: 'text',
};

/** What is known when it has ended. */
export const END_COLUMNS: Readonly<Record<string, string>> = {
  outcome: 'text',
  counted: 'text',
  ...Object.fromEntries(TOKEN_COLUMNS.map((name) => [name, 'bigint'])),
  cost_nano_usd: 'bigint',
  first_byte_ms: 'bigint',
  duration_ms: 'bigint',
};

/** What an hour's sums are kept by. */
export const HOUR_COLUMNS: readonly string[] = ['at', 'key_id', 'owner', 'tier', 'model', 'operation'];

/** The columns that add up. */
export const SUM_COLUMNS: readonly string[] = ['requests', ...TOKEN_COLUMNS, 'cost_nano_usd', 'requests_without_cost'];

export const HOUR_MS = 3_600_000;

/** The beginning of the hour of a call. */
const CALL_HOUR = `started_at / ${HOUR_MS} * ${HOUR_MS}`;

/**
 * A settled call's columns in the form of an hour's row.
 * @param at what stands for the time. @param sign `-` for what is taken away.
 */
export function callAsHour({ at = CALL_HOUR, sign = '' }: { at?: string; sign?: '' | '-' } = {}): string {
  const sums = [
    '1 AS requests',
    ...TOKEN_COLUMNS.map((name) => `coalesce(${name}, 0) AS ${name}`),
    'coalesce(cost_nano_usd, 0) AS cost_nano_usd',
    '(cost_nano_usd IS NULL)::int AS requests_without_cost',
  ];
  return [`${at} AS at`, ...HOUR_COLUMNS.slice(1), ...sums.map((sum) => `${sign}${sum}`)].join(', ');
}

/** @param suffix of the columns' names. */
export function sumsOf(row: Row, suffix = ''): UsageSums {
  const sum = (column: string): number => numberOf(row[`${column}${suffix}`]);
  return {
    requests: sum('requests'),
    inputTokens: sum('input_tokens'),
    cachedInputTokens: sum('cached_input_tokens'),
    inputAudioTokens: sum('input_audio_tokens'),
    inputImageTokens: sum('input_image_tokens'),
    outputTokens: sum('output_tokens'),
    reasoningTokens: sum('reasoning_tokens'),
    outputAudioTokens: sum('output_audio_tokens'),
    costNanoUsd: sum('cost_nano_usd'),
    requestsWithoutCost: sum('requests_without_cost'),
  };
}
