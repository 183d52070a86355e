import { randomUUID } from 'node:crypto';
import type { Database } from './pool.js';

/** One opened store: open calls belong to it. */
export interface Instance {
  /** Random: a process that is started again is another one. */
  readonly id: string;
  /** How long it may still be alive when nothing is heard of it. */
  readonly leaseMs: number;
  /**
   * A statement, or a part of one: says that it lives, and registers it where it was struck off.
   * @param place of the id among the values; the lease comes after it.
   */
  aliveSql(place: number): string;
}

/** The time of the one clock that all machines have in common. */
export const DATABASE_MS = '(extract(epoch FROM now()) * 1000)::bigint';

export function thisInstance({ schema }: Database, leaseMs: number): Instance {
  const aliveSql = (place: number) => `
    INSERT INTO ${schema}.instances AS instances (id, renewed_at, lease_ms)
    VALUES ($${place}, ${DATABASE_MS}, $${place + 1}::bigint)
    ON CONFLICT (id) DO UPDATE SET renewed_at = excluded.renewed_at
    WHERE instances.renewed_at < excluded.renewed_at - least(1000, excluded.lease_ms / 4)
    RETURNING id
  `;
  return { id: randomUUID(), leaseMs, aliveSql };
}
