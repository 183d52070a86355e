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
