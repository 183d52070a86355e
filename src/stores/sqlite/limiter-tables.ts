import { BUDGET_KEPT_MS, type Bucket, usedOf } from '../../limiter/bucket.js';
import type { Reservation } from '../../limiter/limiter-store.js';
import { type Database, maybeNumberOf, numberOf, type Row, textOf } from './driver.js';

/** A bucket as it is kept. */
export interface KeptBucket extends Bucket {
  /** Unix time in milliseconds of the end of a budget's period; `undefined`: it is none. */
  readonly endsAt: number | undefined;
  /** What the file says of it; `undefined`: nothing yet. */
  readonly saved: Bucket | undefined;
}

/** What a granted reservation took. */
export interface HeldWish {
  readonly draws: readonly HeldDraw[];
  readonly slots: readonly string[];
}
export interface HeldDraw {
  readonly bucket: string;
  readonly amount: number;
  readonly refillPerMs: number;
  readonly isBudget: boolean;
}

/** The limiter's tables, within one transaction. */
export interface LimiterTables {
  /** The latest instant ever heard of, `now` or one before. */
  advance(now: number): number;
  bucket(name: string): KeptBucket | undefined;
  /** Those that changed. */
  saveBuckets(found: ReadonlyMap<string, KeptBucket>): void;
  /** Looks at a few buckets and deletes those that say no more than no bucket does. */
  tidy(at: number): void;
  slotsTaken(name: string): number;
  /** @param more 1, or -1 to free one. */
  takeSlot(name: string, more: number): void;
  isHeld(id: string): boolean;
  hold(reservation: Reservation, expiresAt: number): void;
  /** Removes it; `undefined` when it is gone already. */
  takeHeld(id: string): HeldWish | undefined;
  /** Removes one whose time is up, if there is one. */
  takeExpired(at: number): HeldWish | undefined;
}

const TIDY_ROWS = 16;

/** @param instance who reserves. */
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

  function takeHeld(id: string): HeldWish | undefined {
    const row = take.get(id);
    return row === undefined ? undefined : wishOf(textOf(row.wish));
  }

  function slotsTaken(name: string): number {
    return numberOf(readTaken.get(name)?.taken ?? 0);
  }

  return {
    advance(now) {
      const latest = numberOf(readLatest.get()?.latest);
      if (now <= latest) return latest;
      writeLatest.run(now);
      return now;
    },
    bucket(name) {
      const row = find.get(name);
      return row === undefined ? undefined : bucketOf(row);
    },
    saveBuckets(found) {
      for (const [name, { drawn, since, refillPerMs, endsAt, saved }] of found) {
        const isSame = saved?.drawn === drawn && saved.since === since && saved.refillPerMs === refillPerMs;
        if (!isSame) save.run(name, drawn, since, refillPerMs, endsAt ?? null);
      }
    },
    tidy(at) {
      const rows = next.all(tidied);
      for (const row of rows) if (isSpare(bucketOf(row), at)) forget.run(textOf(row.name));
      tidied = rows.length < TIDY_ROWS ? '' : textOf(rows.at(-1)?.name);
    },
    slotsTaken,
    takeSlot(name, more) {
      const taken = slotsTaken(name) + more;
      if (taken > 0) writeTaken.run(name, taken);
      else freeAll.run(name);
    },
    isHeld: (id) => findHeld.get(id) !== undefined,
    hold({ id, draws, slots }, expiresAt) {
      const wish: HeldWish = { draws: draws.map(heldDraw), slots: slots.map(({ name }) => name) };
      hold.run(id, instance, JSON.stringify(wish), Math.min(Math.ceil(expiresAt), Number.MAX_SAFE_INTEGER));
    },
    takeHeld,
    takeExpired(at) {
      const row = expired.get(at);
      return row === undefined ? undefined : takeHeld(textOf(row.id));
    },
  };
}

/** A full bucket is as good as none, but an unknown budget is none that is full. */
function isSpare(bucket: KeptBucket, at: number): boolean {
  return bucket.endsAt === undefined ? usedOf(bucket, at) === 0 : bucket.endsAt + BUDGET_KEPT_MS <= at;
}

function bucketOf(row: Row): KeptBucket {
  const saved = {
    drawn: numberOf(row.drawn),
    since: numberOf(row.since),
    refillPerMs: numberOf(row.refill_per_ms),
  };
  return { ...saved, endsAt: maybeNumberOf(row.ends_at), saved };
}

/** A bucket that is not in the file yet. */
export function newBucket(bucket: Omit<KeptBucket, 'saved'>): KeptBucket {
  return { ...bucket, saved: undefined };
}

function heldDraw({ bucket, amount, refillPerMs, budget }: Reservation['draws'][number]): HeldDraw {
  return { bucket, amount, refillPerMs, isBudget: budget !== undefined };
}

/** As `hold` wrote it. */
function wishOf(json: string): HeldWish {
  return JSON.parse(json);
}

/** More than clocks of one machine are apart. */
const TOO_FAR_MS = 60_000;

/**
 * Sets the limiter's clock back, and everything with it, when it is ahead of the machine's: it was told a time that was
 * wrong, and would stand still until then. For a process that is alone with the file.
 */
export function setClockRight(db: Database, now: number): void {
  const [row] = db.query('SELECT latest FROM limiter_clock');
  const ahead = numberOf(row?.latest) - Math.floor(now);
  if (ahead <= TOO_FAR_MS) return;
  const values = { ahead };
  db.query('UPDATE limiter_clock SET latest = latest - $ahead', values);
  db.query('UPDATE buckets SET since = since - $ahead', values);
  db.query('UPDATE held SET expires_at = expires_at - $ahead', values);
}
