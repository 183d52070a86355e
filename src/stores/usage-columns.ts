import type { UsageSums } from '../usage/usage-store.js';

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

/** The columns that add up, of an hour as of a call. */
export const SUM_COLUMNS: readonly string[] = ['requests', ...TOKEN_COLUMNS, 'cost_nano_usd', 'requests_without_cost'];

/** What an hour's sums are kept by. */
export const HOUR_COLUMNS: readonly string[] = ['at', 'key_id', 'owner', 'tier', 'model', 'operation'];

export const HOUR_MS = 3_600_000;

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
  /** As added up from the rows just now. */
  readonly recomputed: UsageSums;
}

/** How one row of an engine is read, by its columns' names. */
export interface RowReader {
  readonly numberIn: (column: string) => number;
  readonly textIn: (column: string) => string;
}

/** @param suffix of the columns' names. */
export function sumsOf({ numberIn }: Pick<RowReader, 'numberIn'>, suffix = ''): UsageSums {
  const sum = (column: string): number => numberIn(column + suffix);
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

/** Of a row that has both sums of an hour, `…_kept` and `…_recomputed`. */
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
