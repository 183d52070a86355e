import { turn } from '../../base/turns.js';
import type { BudgetScope, Period, UsageGroup, UsageQuery, UsageReader } from '../../usage/usage-store.js';
import { addedSums, sortedInTurns } from '../../usage/usage-sums.js';
import { DIMENSION_COLUMNS, DIMENSIONS, groupOf, HOUR_MS, STEP_MS, SUM_COLUMNS } from '../usage-columns.js';
import { type Bindings, type Database, numberOf, readerOf, type Statement } from './driver.js';
import { snapshot } from './writer.js';

const SCOPE_FILTERS = { key: 'key_id = $id', owner: 'owner = $id', tier: 'tier = $id', all: 'true' };

/** Sources of a sum: whole hours come from their sums, the pieces before and after them from the calls. */
const SOURCES = [
  { table: 'settled', from: '$from', to: '$head' },
  { table: 'hours', from: '$head', to: '$tail' },
  { table: 'settled', from: '$tail', to: '$to' },
];

/** Rows that are read in one turn: some 10 ms. */
const ROWS_PER_TURN = 2_000;

/** A period: calls up to `head`, whole hours up to `tail`, calls to its end. */
interface Parts extends Period {
  readonly head: number;
  readonly tail: number;
}

/** Reports sums for any period, exact to the millisecond. Many rows are read in turns, and not all at one instant. */
export function sqliteReports(db: Database): Required<UsageReader> {
  const isUsed = db.prepare('SELECT 1 FROM calls WHERE started_at >= ? AND started_at < ? LIMIT 1');

  /** Beginning and end of the whole hours. An hour without calls after the end of the period counts as whole. */
  function partsOf({ from, to }: Period): Parts {
    const hourEnd = Math.ceil(to / HOUR_MS) * HOUR_MS;
    const end = isUsed.get(to, hourEnd) === undefined ? hourEnd : to;
    const head = Math.min(Math.ceil(from / HOUR_MS) * HOUR_MS, end);
    return { from, head, tail: Math.max(head, Math.floor(end / HOUR_MS) * HOUR_MS), to: end };
  }

  const callAfter = db.prepare(`
    SELECT started_at FROM calls WHERE started_at >= ? AND started_at < ? ORDER BY started_at LIMIT 1 OFFSET ${ROWS_PER_TURN}
  `);
  const hourAfter = db.prepare(`
    SELECT at FROM hours WHERE at >= ? AND at < ? ORDER BY at LIMIT 1 OFFSET ${ROWS_PER_TURN}
  `);

  /** The same period in pieces of so many rows that each takes a few milliseconds. */
  function* piecesOf({ from, head, tail, to }: Parts): Generator<Parts> {
    for (const [start, end] of slices(callAfter, from, Math.min(head, to), 1)) {
      yield { from: start, head: end, tail: end, to: end };
    }
    for (const [start, end] of slices(hourAfter, head, tail, HOUR_MS)) {
      yield { from: start, head: start, tail: end, to: end };
    }
    for (const [start, end] of slices(callAfter, Math.max(tail, head), to, 1)) {
      yield { from: start, head: start, tail: start, to: end };
    }
  }

  function* slices(after: Statement, from: number, to: number, least: number): Generator<[number, number]> {
    for (let start = from; start < to; ) {
      const found = after.get(start, to);
      const next = found === undefined ? to : Math.max(numberOf(Object.values(found)[0]), start + least);
      yield [start, Math.min(next, to)];
      start = next;
    }
  }

  return {
    async report(query) {
      const { from, to, every } = query;
      const parts = every === 'minute' ? { from, head: to, tail: to, to } : partsOf(query);
      const pieces = [...piecesOf(parts)];
      const read = (part: Parts): UsageGroup[] =>
        snapshot(db, () =>
          db
            .query(reportSql(query), { ...bound(part), ...filterValues(query) })
            .map((row) => groupOf(query, readerOf(row))),
        );
      // A few pieces are read at one instant.
      if (pieces.length <= 3) return read(parts);
      const groups = new Map<string, UsageGroup>();
      for (const piece of pieces) {
        for (const group of read(piece)) {
          const name = JSON.stringify([group.startsAt, ...query.by.map((dimension) => group.of[dimension])]);
          groups.set(name, { ...group, sums: addedSums(groups.get(name)?.sums, group.sums) });
        }
        await turn();
      }
      return sortedInTurns([...groups.values()], query.by);
    },
    spent: (scope, period) =>
      snapshot(db, () => {
        const id = scope.kind === 'all' ? {} : { id: scope.id };
        const [row] = db.query(spentSql(scope), { ...bound(partsOf(period)), ...id });
        return numberOf(row?.spent);
      }),
  };
}

const bound = ({ from, head, tail, to }: Parts): Bindings => ({ from, head, tail, to });

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

/** Contains no text of callers: their values are bound. */
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
