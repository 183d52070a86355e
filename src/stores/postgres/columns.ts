import { HOUR_COLUMNS, HOUR_MS, TOKEN_COLUMNS } from '../usage-columns.js';

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
