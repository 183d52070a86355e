import { BUDGET_KEPT_MS, isSameBucket, usedOf } from '../../limits/bucket.js';
import type { Bucket, Held, KeptBucket, LimiterState } from '../../limits/limiter-store.js';
import { type Database, maybeNumberOf, numberOf, type Row, textOf } from './driver.js';
import type { TransactionEnds } from './writer.js';

/** Reads and writes the limiter's tables, within the caller's transactions. */
export interface LimiterTables extends TransactionEnds {
  /** State of the transaction: each row that it needs is read once, and written at the transaction's end if it changed. */
  readonly state: LimiterState;
  /** Looks at a few buckets, and deletes those that mean no more than an absent one. */
  tidy(at: number): void;
}

const TIDY_ROWS = 16;

/** @param instance id of the instance that reserves. */
export function limiterTables(db: Database, instance: string): LimiterTables {
  const read = db.prepare('SELECT latest, (SELECT min(expires_at) FROM held) AS first_expiry FROM limiter_clock');
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
  const expired = db.prepare('SELECT id, expires_at FROM held ORDER BY expires_at LIMIT 1');
  let tidied = '';

  const buckets = new Map<string, KeptBucket>();
  const saved = new Map<string, Bucket>();
  const slots = new Map<string, { readonly before: number; taken: number }>();
  let clock: { latest: number; readonly before: number; firstExpiry: number } | undefined;

  function clockRow() {
    if (clock === undefined) {
      const row = read.get();
      const latest = numberOf(row?.latest);
      const firstExpiry = maybeNumberOf(row?.first_expiry ?? null) ?? Number.POSITIVE_INFINITY;
      clock = { latest, before: latest, firstExpiry };
    }
    return clock;
  }

  function takeHeld(id: string): Held | undefined {
    const row = take.get(id);
    return row === undefined ? undefined : heldOf(textOf(row.wish));
  }

  function slot(name: string) {
    const known = slots.get(name);
    if (known !== undefined) return known;
    const taken = numberOf(readTaken.get(name)?.taken ?? 0);
    const read = { before: taken, taken };
    slots.set(name, read);
    return read;
  }

  const state: LimiterState = {
    advance(now) {
      const row = clockRow();
      row.latest = Math.max(row.latest, now);
      return row.latest;
    },
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
    slotsTaken: (name) => slot(name).taken,
    takeSlot(name, more) {
      const one = slot(name);
      one.taken = Math.max(0, one.taken + more);
    },
    isHeld: (id) => findHeld.get(id) !== undefined,
    hold(id, held, expiresAt) {
      hold.run(id, instance, JSON.stringify(held), expiresAt);
      const row = clockRow();
      row.firstExpiry = Math.min(row.firstExpiry, expiresAt);
    },
    takeHeld,
    takeExpired(at) {
      const known = clockRow();
      if (at < known.firstExpiry) return undefined;
      // It may be settled by now.
      const row = expired.get();
      known.firstExpiry = row === undefined ? Number.POSITIVE_INFINITY : numberOf(row.expires_at);
      return row === undefined || at < known.firstExpiry ? undefined : takeHeld(textOf(row.id));
    },
  };

  return {
    state,
    begin() {
      buckets.clear();
      saved.clear();
      slots.clear();
      clock = undefined;
    },
    finish() {
      for (const [name, bucket] of buckets) {
        const { drawn, since, refillPerMs, endsAt } = bucket;
        if (!isSameBucket(bucket, saved.get(name))) save.run(name, drawn, since, refillPerMs, endsAt ?? null);
      }
      for (const [name, { before, taken }] of slots) {
        if (taken === before) continue;
        if (taken > 0) writeTaken.run(name, taken);
        else freeAll.run(name);
      }
      if (clock !== undefined && clock.latest > clock.before) writeLatest.run(clock.latest);
    },
    tidy(at) {
      const rows = next.all(tidied);
      for (const row of rows) {
        const name = textOf(row.name);
        // One that this transaction knows is in use.
        if (!buckets.has(name) && isSpare(bucketOf(row), at)) forget.run(name);
      }
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
