import type { UsageDimension, UsageGroup, UsageQuery, UsageSums } from '../usage/usage-store.js';

/** The columns of a call's tokens. */
export const TOKEN_COLUMNS: readonly string[] = [
  'input_tokens',
  'cached_input_tokens',
  'cache_write_tokens',
  'cache_write_long_tokens',
  'input_audio_tokens',
  'input_image_tokens',
  'output_tokens',
  'reasoning_tokens',
  'output_audio_tokens',
];

/** Columns of hours and of calls that add up. */
export const SUM_COLUMNS: readonly string[] = [
  'requests',
  ...TOKEN_COLUMNS,
  'cost_nano_usd',
  'requests_without_cost',
  'upstream_cost_nano_usd',
];

/** Columns by which an hour's sums are kept apart. */
export const HOUR_COLUMNS: readonly string[] = ['at', 'key_id', 'owner', 'tier', 'model', 'operation'];

/** Dimensions of a report, in the order of their filters. */
export const DIMENSIONS = ['keyId', 'owner', 'model', 'operation'] as const;
/** The column of each dimension. */
export const DIMENSION_COLUMNS = { keyId: 'key_id', owner: 'owner', model: 'model', operation: 'operation' } as const;

export const HOUR_MS = 3_600_000;
/** Milliseconds of each span of a report. */
export const STEP_MS = { minute: 60_000, hour: HOUR_MS, day: 24 * HOUR_MS } as const;

/** An hour whose kept sums are not those of its calls. */
export interface SumDifference {
  /** Unix time in milliseconds. */
  readonly startsAt: number;
  readonly keyId: string;
  readonly owner: string;
  readonly tier: string;
  readonly model: string;
  readonly operation: string;
  readonly kept: UsageSums;
  /** Sums added up from the rows just now. */
  readonly recomputed: UsageSums;
}

/** Reads one row of an engine by the names of its columns. */
export interface RowReader {
  readonly numberIn: (column: string) => number;
  readonly textIn: (column: string) => string;
}

/** Reads the sums of a row. @param suffix of the columns' names. */
export function sumsOf({ numberIn }: Pick<RowReader, 'numberIn'>, suffix = ''): UsageSums {
  const sum = (column: string): number => numberIn(column + suffix);
  return {
    requests: sum('requests'),
    inputTokens: sum('input_tokens'),
    cachedInputTokens: sum('cached_input_tokens'),
    cacheWriteTokens: sum('cache_write_tokens'),
    cacheWriteLongTokens: sum('cache_write_long_tokens'),
    inputAudioTokens: sum('input_audio_tokens'),
    inputImageTokens: sum('input_image_tokens'),
    outputTokens: sum('output_tokens'),
    reasoningTokens: sum('reasoning_tokens'),
    outputAudioTokens: sum('output_audio_tokens'),
    costNanoUsd: sum('cost_nano_usd'),
    requestsWithoutCost: sum('requests_without_cost'),
    upstreamCostNanoUsd: sum('upstream_cost_nano_usd'),
  };
}

/** Reads one group of a report, whose row has `starts_at`, the dimensions and the sums. */
export function groupOf({ by, every, from }: UsageQuery, row: RowReader): UsageGroup {
  const of: { [Dimension in UsageDimension]?: string } = {};
  for (const name of by) of[name] = row.textIn(DIMENSION_COLUMNS[name]);
  return { startsAt: every === undefined ? from : row.numberIn('starts_at'), of, sums: sumsOf(row) };
}

/** Reads a row that has both sums of an hour, `…_kept` and `…_recomputed`. */
export function differenceOf(row: RowReader): SumDifference {
  return {
    startsAt: row.numberIn('at'),
    keyId: row.textIn('key_id'),
    owner: row.textIn('owner'),
    tier: row.textIn('tier'),
    model: row.textIn('model'),
    operation: row.textIn('operation'),
    kept: sumsOf(row, '_kept'),
    recomputed: sumsOf(row, '_recomputed'),
  };
}
