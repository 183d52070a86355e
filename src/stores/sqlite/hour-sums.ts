import { HOUR_COLUMNS, HOUR_MS, SUM_COLUMNS } from '../usage-columns.js';
import type { Database } from './driver.js';

/**
 * Keeps the sums of each hour in step with the calls, in the same transaction. Both directions read the call's own row,
 * through the view that reports and `verifySums` read too: the sums cannot come apart.
 */
export interface HourSums {
  /** Adds calls that were settled just now, each once. */
  addAll(requestIds: readonly string[]): void;
  /** Takes a settled call away again. */
  subtract(requestId: string): void;
}

/** A settled call in the form of an hour's row. */
export const CALL_AS_HOUR = [`at / ${HOUR_MS} * ${HOUR_MS} AS at`, ...HOUR_COLUMNS.slice(1), ...SUM_COLUMNS].join(', ');

/** Prepares the statements of the hours' sums. */
export function hourSums(db: Database): HourSums {
  const addAll = db.prepare(`
    INSERT INTO hours (${[...HOUR_COLUMNS, ...SUM_COLUMNS].join(', ')})
    SELECT ${HOUR_COLUMNS.join(', ')}, ${SUM_COLUMNS.map((name) => `sum(${name})`).join(', ')}
    FROM (SELECT ${CALL_AS_HOUR} FROM settled WHERE request_id IN (SELECT value FROM json_each(?)))
    GROUP BY ${HOUR_COLUMNS.join(', ')}
    ON CONFLICT (${HOUR_COLUMNS.join(', ')}) DO UPDATE
    SET ${SUM_COLUMNS.map((name) => `${name} = ${name} + excluded.${name}`).join(', ')}
  `);
  const subtract = db.prepare(`
    UPDATE hours SET ${SUM_COLUMNS.map((name) => `${name} = hours.${name} - call.${name}`).join(', ')}
    FROM (SELECT ${CALL_AS_HOUR} FROM settled WHERE request_id = ?) AS call
    WHERE ${HOUR_COLUMNS.map((name) => `hours.${name} = call.${name}`).join(' AND ')}
  `);
  return {
    addAll(requestIds) {
      if (requestIds.length > 0) addAll.run(JSON.stringify(requestIds));
    },
    subtract: (requestId) => void subtract.run(requestId),
  };
}
