import type { Period, UsageDimension, UsageGroup, UsageQuery, UsageReader } from '../../usage/usage-store.js';
import { HOUR_COLUMNS, HOUR_MS, SUM_COLUMNS, sumsOf } from '../usage-columns.js';
import { callAsHour } from './columns.js';
import { clean } from './ledger.js';
import { type Database, numberOf, type Row, textOf } from './pool.js';

const STEP_MS = { minute: 60_000, hour: HOUR_MS, day: 24 * HOUR_MS };
const DIMENSIONS = ['keyId', 'owner', 'model', 'operation'] as const;
const DIMENSION_COLUMNS = { keyId: 'key_id', owner: 'owner', model: 'model', operation: 'operation' };
const SCOPE_COLUMNS = { key: 'key_id', owner: 'owner', tier: 'tier' };

/** Sums for any period, exact to the millisecond: whole hours from their sums, what is cut off around them from the calls. */
export function postgresReports({ schema, query }: Database): Required<UsageReader> {
  return {
    async report(asked) {
      const { sql, filters } = reportSql(schema, asked);
      const rows = await query(sql, [...partsOf(asked, asked.every === 'minute'), ...filters]);
      return rows.map((row) => groupOf(asked, row));
    },
    async spent(scope, period) {
      const filter = scope.kind === 'all' ? 'true' : `${SCOPE_COLUMNS[scope.kind]} = $5`;
      const values = scope.kind === 'all' ? [] : [clean(scope.id)];
      const [row] = await query(
        `SELECT coalesce(sum(spent), 0)::text AS spent FROM (
          ${sourcesSql(schema, 'cost_nano_usd AS spent', filter)}
          UNION ALL
          SELECT reserved_nano_usd FROM ${schema}.calls
          WHERE state = 'open' AND started_at >= $1 AND started_at < $4 AND ${filter}
        ) AS parts`,
        [...partsOf(period, false), ...values],
      );
      return numberOf(row?.spent);
    },
  };
}

/** `$1` to `$4`: the beginning, where the whole hours begin and end, and the end. */
function partsOf({ from, to }: Period, isFine: boolean): number[] {
  const start = wholeOf(from);
  const end = Math.max(start, wholeOf(to));
  const head = isFine ? end : Math.min(Math.ceil(start / HOUR_MS) * HOUR_MS, end);
  return [start, head, Math.max(head, Math.floor(end / HOUR_MS) * HOUR_MS), end];
}

/** As the calls' instants are. */
function wholeOf(instant: number): number {
  return Math.min(Math.max(Math.ceil(instant), 0), Number.MAX_SAFE_INTEGER);
}

/** Made of this file's own words alone: what callers give is bound. */
function reportSql(schema: string, { by, every, only = {} }: UsageQuery) {
  const startsAt = every === undefined ? '0' : `at / ${STEP_MS[every]} * ${STEP_MS[every]}`;
  const groups = ['starts_at', ...new Set(by.map((name) => DIMENSION_COLUMNS[name]))].join(', ');
  const filtered = DIMENSIONS.filter((name) => only[name] !== undefined);
  const conditions = filtered.map((name, index) => `${DIMENSION_COLUMNS[name]} = ANY($${index + 5}::text[])`);
  const sums = SUM_COLUMNS.map((name) => `sum(${name})::text AS ${name}`);
  const columns = [...HOUR_COLUMNS, ...SUM_COLUMNS].join(', ');
  const sql = `
    SELECT ${groups}, ${sums.join(', ')}
    FROM (
      SELECT ${startsAt} AS starts_at, parts.* FROM (
        ${sourcesSql(schema, columns, ['true', ...conditions].join(' AND '))}
      ) AS parts
    ) AS stepped
    GROUP BY ${groups} HAVING sum(requests) > 0 ORDER BY ${groups}
  `;
  return { sql, filters: filtered.map((name) => only[name]?.map(clean)) };
}

function sourcesSql(schema: string, columns: string, filter: string): string {
  const calls = `(SELECT ${callAsHour({ at: 'started_at' })} FROM ${schema}.calls WHERE state = 'settled') AS calls`;
  const part = (table: string, from: string, to: string) =>
    `SELECT ${columns} FROM ${table} WHERE at >= ${from}::bigint AND at < ${to}::bigint AND ${filter}`;
  return [part(calls, '$1', '$2'), part(`${schema}.hours`, '$2', '$3'), part(calls, '$3', '$4')].join(' UNION ALL ');
}

function groupOf({ by, every, from }: UsageQuery, row: Row): UsageGroup {
  const of: { [Dimension in UsageDimension]?: string } = {};
  for (const name of by) of[name] = textOf(row[DIMENSION_COLUMNS[name]]);
  return {
    startsAt: every === undefined ? from : numberOf(row.starts_at),
    of,
    sums: sumsOf({ numberIn: (column) => numberOf(row[column]) }),
  };
}
