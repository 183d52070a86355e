import { HOUR_COLUMNS, HOUR_MS, SUM_COLUMNS } from '../usage-columns.js';
import type { Database } from './driver.js';

/**
 * The sums of each hour, kept up with the calls in the same transaction. What is added and taken away is read from the
 * call's own row, through the view that reports and `verifySums` read too, so that they cannot come apart.
 */
export interface HourSums {
  /** Adds a call that was settled just now. */
  add(requestId: string): void;
  /** Takes a settled call away again. */
  subtract(requestId: string): void;
}

/** A settled call in the form of an hour's row. */
export const CALL_AS_HOUR = [`at / ${HOUR_MS} * ${HOUR_MS} AS at`, ...HOUR_COLUMNS.slice(1), ...SUM_COLUMNS].join(', ');

export function hourSums(db: Database): HourSums {
  const add = db.prepare(`
    INSERT INTO hours (${[...HOUR_COLUMNS, ...SUM_COLUMNS].join(', ')})
    SELECT ${CALL_AS_HOUR} FROM settled WHERE request_id = ?
    ON CONFLICT (${HOUR_COLUMNS.join(', ')}) DO UPDATE
    SET ${SUM_COLUMNS.map((name) => `${name} = ${name} + excluded.${name}`).join(', ')}
  `);
  const subtract = db.prepare(`
    UPDATE hours SET ${SUM_COLUMNS.map((name) => `${name} = hours.${name} - call.${name}`).join(', ')}
    FROM (SELECT ${CALL_AS_HOUR} FROM settled WHERE request_id = ?) AS call
    WHERE ${HOUR_COLUMNS.map((name) => `hours.${name} = call.${name}`).join(' AND ')}
  `);
  return {
    add: (requestId) => void add.run(requestId),
    subtract: (requestId) => void subtract.run(requestId),
  };
}
