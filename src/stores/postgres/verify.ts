import { systemClock } from '../../base/clock.js';
import { differenceOf, HOUR_COLUMNS, SUM_COLUMNS, type SumDifference } from '../usage-columns.js';
import { callAsHour } from './columns.js';
import { database, numberOf, type PostgresPool, textOf } from './pool.js';
import { assertPresent } from './schema.js';

/** All calls are read; that may take its time. */
const TIMEOUT_MS = 3_600_000;

/**
 * Adds up every hour of a `postgresStore` from its calls again, and compares with what is kept; it may be in use.
 * @returns what differs: nothing, when all is well.
 * @throws {Error} when the schema is not there, or is not of this version.
 */
export async function verifySums(pool: PostgresPool, schema = 'megallm'): Promise<readonly SumDifference[]> {
  const db = database({ pool, schema, timeoutMs: TIMEOUT_MS, clock: systemClock });
  await assertPresent(db);
  const rows = await db.query(differencesSql(db.schema));
  return rows.map((row) =>
    differenceOf({ numberIn: (column) => numberOf(row[column]), textIn: (column) => textOf(row[column]) }),
  );
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
