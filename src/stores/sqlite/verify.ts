import { differenceOf, HOUR_COLUMNS, SUM_COLUMNS, type SumDifference } from '../usage-columns.js';
import { loadDriver, numberOf, textOf } from './driver.js';
import { CALL_AS_HOUR } from './hours.js';
import { openReadOnly } from './open.js';

/**
 * Adds up every hour of a `sqliteStore` file from its calls again, and compares with what is kept; the file may be in use.
 * @returns what differs: nothing, when all is well.
 * @throws {Error} when the file is damaged, another program's or a newer version's, or not there.
 */
export async function verifySums(file: string): Promise<readonly SumDifference[]> {
  const db = openReadOnly(await loadDriver(), file, 'integrity');
  try {
    return db
      .query(DIFFERENCES)
      .map((row) =>
        differenceOf({ numberIn: (column) => numberOf(row[column]), textIn: (column) => textOf(row[column]) }),
      );
  } finally {
    db.close();
  }
}

const hour = HOUR_COLUMNS.join(', ');
const both = SUM_COLUMNS.map(
  (name) => `sum(is_kept * ${name}) AS ${name}_kept, sum((1 - is_kept) * ${name}) AS ${name}_recomputed`,
);
const differs = SUM_COLUMNS.map((name) => `${name}_kept <> ${name}_recomputed`);
const DIFFERENCES = `
  SELECT ${hour}, ${both.join(', ')} FROM (
    SELECT 1 AS is_kept, ${[hour, ...SUM_COLUMNS].join(', ')} FROM hours
    UNION ALL
    SELECT 0 AS is_kept, ${CALL_AS_HOUR} FROM settled
  )
  GROUP BY ${hour} HAVING ${differs.join(' OR ')} ORDER BY ${hour}
`;
