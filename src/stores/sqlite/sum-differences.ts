import { differenceOf, HOUR_COLUMNS, SUM_COLUMNS, type SumDifference } from '../usage-columns.js';
import { type Connect, readerOf } from './driver.js';
import { CALL_AS_HOUR } from './hour-sums.js';
import { openReadOnly } from './open.js';

/**
 * Compares the kept sums of a file with those of its calls, added up again.
 * @throws {Error} when the file is damaged, another program's or a newer version's, or not there.
 */
export function sumDifferences(connect: Connect, file: string): readonly SumDifference[] {
  const db = openReadOnly(connect, file, 'integrity');
  try {
    return db.query(DIFFERENCES).map((row) => differenceOf(readerOf(row)));
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
