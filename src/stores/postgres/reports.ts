import { systemClock } from '../../base/clock.js';
import { turn } from '../../base/turns.js';
import type { Period, UsageGroup, UsageQuery, UsageReader } from '../../usage/usage-store.js';
import { CELLS_PER_TURN } from '../../usage/usage-sums.js';
import {
  DIMENSION_COLUMNS,
  DIMENSIONS,
  differenceOf,
  groupOf,
  HOUR_COLUMNS,
  HOUR_MS,
  type RowReader,
  STEP_MS,
  SUM_COLUMNS,
  type SumDifference,
} from '../usage-columns.js';
import { callAsHour } from './columns.js';
import { clean } from './ledger.js';
import { type Database, database, numberOf, type PostgresPool, type Row, textOf } from './pool.js';
import { assertPresent } from './schema.js';

const SCOPE_COLUMNS = { key: 'key_id', owner: 'owner', tier: 'tier' };

/**
 * Reports sums for any period, exact to the millisecond: whole hours from their sums, the pieces around them from the
 * calls.
 */
export function postgresReports({ schema, query }: Database): Required<UsageReader> {
  return {
    async report(asked) {
      const { sql, filters } = reportSql(schema, asked);
      const rows = await query(sql, [...partsOf(asked, asked.every === 'minute'), ...filters]);
      const groups: UsageGroup[] = [];
      for (const row of rows) {
        groups.push(groupOf(asked, readerOf(row)));
        if (groups.length % CELLS_PER_TURN === 0) await turn();
      }
      return groups;
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

/** Values of `$1` to `$4`: the beginning, the beginning and end of the whole hours, and the end. */
function partsOf({ from, to }: Period, isFine: boolean): number[] {
  const start = wholeOf(from);
  const end = Math.max(start, wholeOf(to));
  const head = isFine ? end : Math.min(Math.ceil(start / HOUR_MS) * HOUR_MS, end);
  return [start, head, Math.max(head, Math.floor(end / HOUR_MS) * HOUR_MS), end];
}

/** A whole instant, like those of the calls. */
function wholeOf(instant: number): number {
  return Math.min(Math.max(Math.ceil(instant), 0), Number.MAX_SAFE_INTEGER);
}

/** Contains no text of callers: their values are bound. */
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

/** Long, as all calls are read. */
const VERIFY_TIMEOUT_MS = 3_600_000;

/**
 * Adds up every hour of a `postgresStore` from its calls again, and compares it with the kept sums. The store may be in
 * use.
 * @returns the hours that differ: none when all is well.
 * @throws {Error} when the schema is not there, or is not of this version.
 */
export async function verifySums(pool: PostgresPool, schema = 'megallm'): Promise<readonly SumDifference[]> {
  const db = database({ pool, schema, timeoutMs: VERIFY_TIMEOUT_MS, clock: systemClock });
  await assertPresent(db);
  const rows = await db.query(differencesSql(db.schema));
  return rows.map((row) => differenceOf(readerOf(row)));
}

function differencesSql(schema: string): string {
  const hour = HOUR_COLUMNS.join(', ');
  const sides = SUM_COLUMNS.map((name) => ({
    name,
    kept: `coalesce(sum(${name}) FILTER (WHERE is_kept), 0)`,
    recomputed: `coalesce(sum(${name}) FILTER (WHERE NOT is_kept), 0)`,
  }));
  const both = sides.map(
    ({ name, kept, recomputed }) => `${kept}::text AS ${name}_kept, ${recomputed}::text AS ${name}_recomputed`,
  );
  return `
    SELECT ${hour}, ${both.join(', ')} FROM (
      SELECT true AS is_kept, ${[hour, ...SUM_COLUMNS].join(', ')} FROM ${schema}.hours
      UNION ALL
      SELECT false, ${callAsHour()} FROM ${schema}.calls WHERE state = 'settled'
    ) AS sides
    GROUP BY ${hour} HAVING ${sides.map(({ kept, recomputed }) => `${kept} <> ${recomputed}`).join(' OR ')}
    ORDER BY ${hour}
  `;
}

function readerOf(row: Row): RowReader {
  return { numberIn: (column) => numberOf(row[column]), textIn: (column) => textOf(row[column]) };
}
