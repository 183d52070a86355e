import { BUDGET_KEPT_MS, isSameBucket, usedOf } from '../../limits/bucket.js';
import type { Bucket, Held, KeptBucket, LimiterState } from '../../limits/limiter-store.js';
import { type Database, maybeNumberOf, numberOf, type Row, textOf } from './driver.js';

/** Reads and writes the limiter's tables, within the caller's transactions. */
export interface LimiterTables {
  /** Runs work on the state in the tables, and writes its changes. */
  change<T>(work: (state: LimiterState) => T): T;
  /** Looks at a few buckets, and deletes those that mean no more than an absent one. */
  tidy(at: number): void;
}

const TIDY_ROWS = 16;

/** @param instance id of the instance that reserves. */
export function limiterTables(db: Database, instance: string): LimiterTables {
  const readLatest = db.prepare('SELECT latest FROM limiter_clock');
  const writeLatest = db.prepare('UPDATE limiter_clock SET latest = ?');
  const find = db.prepare('SELECT drawn, since, refill_per_ms, ends_at FROM buckets WHERE name = ?');
  const save = db.prepare(`
    INSERT INTO buckets (name, drawn, since, refill_per_ms, ends_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET drawn = excluded.drawn, since = excluded.since,
      refill_per_ms = excluded.refill_per_ms, ends_at = excluded.ends_at
  `);
  const next = db.prepare(
    `SELECT name, drawn, since, refill_per_ms, ends_at FROM buckets WHERE name > ? ORDER BY name LIMIT ${TIDY_ROWS}`,
  );
  const forget = db.prepare('DELETE FROM buckets WHERE name = ?');
  const readTaken = db.prepare('SELECT taken FROM slots WHERE name = ?');
  const writeTaken = db.prepare(
    'INSERT INTO slots (name, taken) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET taken = excluded.taken',
  );
  const freeAll = db.prepare('DELETE FROM slots WHERE name = ?');
  const findHeld = db.prepare('SELECT 1 FROM held WHERE id = ?');
  const hold = db.prepare('INSERT INTO held (id, instance, wish, expires_at) VALUES (?, ?, ?, ?)');
  const take = db.prepare('DELETE FROM held WHERE id = ? RETURNING wish');
  const expired = db.prepare('SELECT id FROM held WHERE expires_at <= ? ORDER BY expires_at LIMIT 1');
  let tidied = '';

  function advance(now: number): number {
    const latest = numberOf(readLatest.get()?.latest);
    if (now <= latest) return latest;
    writeLatest.run(now);
    return now;
  }

  function takeHeld(id: string): Held | undefined {
    const row = take.get(id);
    return row === undefined ? undefined : heldOf(textOf(row.wish));
  }

  function slotsTaken(name: string): number {
    return numberOf(readTaken.get(name)?.taken ?? 0);
  }

  function takeSlot(name: string, more: number): void {
    const taken = slotsTaken(name) + more;
    if (taken > 0) writeTaken.run(name, taken);
    else freeAll.run(name);
  }

  /** Makes the state of one transaction. Each bucket is read once, and written once if it changed. */
  function stateWith(buckets: Map<string, KeptBucket>, saved: Map<string, Bucket>): LimiterState {
    return {
      advance,
      bucket(name) {
        const known = buckets.get(name);
        if (known !== undefined) return known;
        const row = find.get(name);
        if (row === undefined) return undefined;
        const bucket = bucketOf(row);
        buckets.set(name, bucket);
        saved.set(name, { ...bucket });
        return bucket;
      },
      addBucket: (name, bucket) => void buckets.set(name, bucket),
      slotsTaken,
      takeSlot,
      isHeld: (id) => findHeld.get(id) !== undefined,
      hold: (id, held, expiresAt) => void hold.run(id, instance, JSON.stringify(held), expiresAt),
      takeHeld,
      takeExpired(at) {
        const row = expired.get(at);
        return row === undefined ? undefined : takeHeld(textOf(row.id));
      },
    };
  }

  return {
    change(work) {
      const buckets = new Map<string, KeptBucket>();
      const saved = new Map<string, Bucket>();
      const result = work(stateWith(buckets, saved));
      for (const [name, bucket] of buckets) {
        const { drawn, since, refillPerMs, endsAt } = bucket;
        if (!isSameBucket(bucket, saved.get(name))) save.run(name, drawn, since, refillPerMs, endsAt ?? null);
      }
      return result;
    },
    tidy(at) {
      const rows = next.all(tidied);
      for (const row of rows) if (isSpare(bucketOf(row), at)) forget.run(textOf(row.name));
      tidied = rows.length < TIDY_ROWS ? '' : textOf(rows.at(-1)?.name);
    },
  };
}

/**
 * Whether a bucket may go. A full bucket means no more than an absent one, but an absent budget does not count as full.
 */
function isSpare(bucket: KeptBucket, at: number): boolean {
  return bucket.endsAt === undefined ? usedOf(bucket, at) === 0 : bucket.endsAt + BUDGET_KEPT_MS <= at;
}

function bucketOf(row: Row): KeptBucket {
  return {
    drawn: numberOf(row.drawn),
    since: numberOf(row.since),
    refillPerMs: numberOf(row.refill_per_ms),
    endsAt: maybeNumberOf(row.ends_at),
  };
}

/** Reads amounts and slots that `hold` wrote. */
export function heldOf(json: string): Held {
  return JSON.parse(json);
}
