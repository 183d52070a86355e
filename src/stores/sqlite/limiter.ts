import type { Reservation, Verdict } from '../../limits/limiter-store.js';
import { reserveIn, settleIn } from '../../limits/rules.js';
import type { Database } from './driver.js';
import type { Instance } from './instance.js';
import { limiterTables } from './limiter-tables.js';
import type { Engine } from './protocol.js';
import type { Writer } from './writer.js';

/** Number of reservations of which one looks for buckets that may go. */
const TIDY_EVERY = 64;

/**
 * Keeps limit counters in the file, for all processes that share it. A transaction serves one or several calls.
 * @param behindMs see `behindShared`.
 */
export function sqliteLimiter(
  db: Database,
  { writer, instance, behindMs }: { writer: Writer; instance: Instance; behindMs: number },
): Pick<Engine, 'reserve' | 'settleReservation'> {
  const tables = limiterTables(db, instance.id);
  let reserved = 0;
  writer.watch(tables);

  function reserve(reservation: Reservation, now: number): Verdict {
    const verdict = reserveIn(tables.state, reservation, now);
    reserved += 1;
    if (reserved % TIDY_EVERY === 0) tables.tidy(Math.floor(now));
    return verdict;
  }

  return {
    reserve: ({ reservation, now }) => writer.write(() => reserve(reservation, now + behindMs)),
    settleReservation: ({ id, amounts, now }) =>
      writer.write(() => settleIn(tables.state, { id, amounts }, now + behindMs)),
  };
}
