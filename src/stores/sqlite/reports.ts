import type {
  BudgetScope,
  Period,
  UsageDimension,
  UsageGroup,
  UsageQuery,
  UsageReader,
} from '../../usage/usage-store.js';
import { HOUR_MS, SUM_COLUMNS, sumsOf } from '../usage-columns.js';
import { type Bindings, type Database, numberOf, type Row, textOf } from './driver.js';
import { snapshot } from './transact.js';

const STEP_MS = { minute: 60_000, hour: HOUR_MS, day: 86_400_000 };
const DIMENSIONS = ['keyId', 'owner', 'model', 'operation'] as const;
const DIMENSION_COLUMNS = { keyId: 'key_id', owner: 'owner', model: 'model', operation: 'operation' };
const SCOPE_FILTERS = { key: 'key_id = $id', owner: 'owner = $id', tier: 'tier = $id', all: 'true' };

/** Where to read: whole hours from their sums, what is cut off before and after them from the calls. */
const SOURCES = [
  { table: 'settled', from: '$from', to: '$head' },
  { table: 'hours', from: '$head', to: '$tail' },
  { table: 'settled', from: '$tail', to: '$to' },
];

/** Sums for any period, exact to the millisecond. */
export function sqliteReports(db: Database): Required<UsageReader> {
  const isUsed = db.prepare('SELECT 1 FROM calls WHERE started_at >= ? AND started_at < ? LIMIT 1');

  /** Where the whole hours begin and end. An hour that has no calls after the end of the period counts as whole. */
  function partsOf({ from, to }: Period): Bindings {
    const hourEnd = Math.ceil(to / HOUR_MS) * HOUR_MS;
    const end = isUsed.get(to, hourEnd) === undefined ? hourEnd : to;
    const head = Math.min(Math.ceil(from / HOUR_MS) * HOUR_MS, end);
    return { from, head, tail: Math.max(head, Math.floor(end / HOUR_MS) * HOUR_MS), to: end };
  }

  return {
    report: (query) =>
      snapshot(db, () => {
        const { from, to, every } = query;
        const parts = every === 'minute' ? { from, head: to, tail: to, to } : partsOf(query);
        return db.query(reportSql(query), { ...parts, ...filterValues(query) }).map((row) => groupOf(query, row));
      }),
    spent: (scope, period) =>
      snapshot(db, () => {
        const id = scope.kind === 'all' ? {} : { id: scope.id };
        const [row] = db.query(spentSql(scope), { ...partsOf(period), ...id });
        return numberOf(row?.spent);
      }),
  };
}

function reportSql({ by, every, only = {} }: UsageQuery): string {
  const startsAt = every === undefined ? '0 * at' : `at / ${STEP_MS[every]} * ${STEP_MS[every]}`;
  const dimensions = by.map((name) => DIMENSION_COLUMNS[name]);
  const filters = DIMENSIONS.filter((name) => only[name] !== undefined).map(
    (name) => `${DIMENSION_COLUMNS[name]} IN (SELECT value FROM json_each($${name}))`,
  );
  const groups = ['starts_at', ...dimensions].join(', ');
  return `
    SELECT ${groups}, ${SUM_COLUMNS.map((name) => `sum(${name}) AS ${name}`).join(', ')}
    FROM (${sourcesSql([`${startsAt} AS starts_at`, ...new Set(dimensions), ...SUM_COLUMNS], filters)})
    GROUP BY ${groups} HAVING sum(requests) > 0 ORDER BY ${groups}
  `;
}

function spentSql({ kind }: BudgetScope): string {
  const scope = SCOPE_FILTERS[kind];
  return `
    SELECT coalesce(sum(spent), 0) AS spent FROM (
      ${sourcesSql(['cost_nano_usd AS spent'], [scope])}
      UNION ALL
      SELECT reserved_nano_usd FROM calls INDEXED BY calls_open
      WHERE state = 'open' AND started_at >= $from AND started_at < $to AND ${scope}
    )
  `;
}

/** Made of this file's own words alone: what callers give is bound. */
function sourcesSql(columns: readonly string[], filters: readonly string[]): string {
  return SOURCES.map(({ table, from, to }) => {
    const conditions = [`at >= ${from}`, `at < ${to}`, ...filters];
    return `SELECT ${columns.join(', ')} FROM ${table} WHERE ${conditions.join(' AND ')}`;
  }).join(' UNION ALL ');
}

function filterValues({ only = {} }: UsageQuery): Bindings {
  return Object.fromEntries(
    DIMENSIONS.flatMap((name) => (only[name] === undefined ? [] : [[name, JSON.stringify(only[name])]])),
  );
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
