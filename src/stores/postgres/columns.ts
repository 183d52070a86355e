import { HOUR_COLUMNS, HOUR_MS, SUM_COLUMNS, TOKEN_COLUMNS } from '../usage-columns.js';

/** Columns filled when a call begins, with their types. */
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
  upstream_price: 'text',
  price_version: 'text',
  service_tier: 'text',
};

const TEXT = 'text';

/** Columns filled when a call has ended, with their types. */
export const END_COLUMNS: Readonly<Record<string, string>> = {
  outcome: 'text',
  counted: 'text',
  ...Object.fromEntries(TOKEN_COLUMNS.map((name) => [name, 'bigint'])),
  cost_nano_usd: 'bigint',
  upstream_cost_nano_usd: 'bigint',
  over_reserved: 'boolean',
  status: 'bigint',
  error_code: TEXT,
  first_byte_ms: 'bigint',
  duration_ms: 'bigint',
};

/** Beginning of a call's hour. */
const CALL_HOUR = `started_at / ${HOUR_MS} * ${HOUR_MS}`;

/**
 * A settled call's columns in the form of an hour's row.
 * @param at expression of the time.
 * @param sign `-` to take the call away.
 */
export function callAsHour({ at = CALL_HOUR, sign = '' }: { at?: string; sign?: '' | '-' } = {}): string {
  const sums = [
    '1 AS requests',
    ...TOKEN_COLUMNS.map((name) => `coalesce(${name}, 0) AS ${name}`),
    'coalesce(cost_nano_usd, 0) AS cost_nano_usd',
    '(cost_nano_usd IS NULL)::int AS requests_without_cost',
    'coalesce(upstream_cost_nano_usd, 0) AS upstream_cost_nano_usd',
  ];
  return [`${at} AS at`, ...HOUR_COLUMNS.slice(1), ...sums.map((sum) => `${sign}${sum}`)].join(', ');
}

/**
 * Ends a statement that changes calls: takes the calls of `undone` away from the sums of their hours, and adds those of
 * `done`. Rows are locked in one order, so that no two statements wait for each other.
 */
export function addToHours(schema: string, { undone, done }: { undone: string; done?: string }): string {
  const hour = HOUR_COLUMNS.join(', ');
  const changes = [`SELECT ${callAsHour({ sign: '-' })} FROM ${undone}`];
  if (done !== undefined) changes.push(`SELECT ${callAsHour()} FROM ${done}`);
  return `
    INSERT INTO ${schema}.hours AS hours (${[hour, ...SUM_COLUMNS].join(', ')})
    SELECT ${[hour, ...SUM_COLUMNS.map((name) => `sum(${name})`)].join(', ')}
    FROM (${changes.join(' UNION ALL ')}) AS changes GROUP BY ${hour} ORDER BY ${hour}
    ON CONFLICT (${hour}) DO UPDATE
    SET ${SUM_COLUMNS.map((name) => `${name} = hours.${name} + excluded.${name}`).join(', ')}
  `;
}
