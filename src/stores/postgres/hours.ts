import { HOUR_COLUMNS, SUM_COLUMNS } from '../usage-columns.js';
import { callAsHour } from './columns.js';

/**
 * The end of a statement that changes calls: takes those in `undone` away from the sums of their hours, and adds those in
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
