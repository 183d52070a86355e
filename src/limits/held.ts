import type { Reservation } from './limiter-store.js';

/** A granted reservation, in line with those of the same `ttlMs`, which expire in the order they came. */
interface Held {
  readonly reservation: Reservation;
  readonly expiresAt: number;
  older: Held | undefined;
  newer: Held | undefined;
}

interface Line {
  oldest: Held | undefined;
  newest: Held | undefined;
}

/** Granted reservations that nobody settled yet. Every step is O(1) in how many there are. */
export interface HeldTable {
  has(id: string): boolean;
  add(reservation: Reservation, at: number): void;
  /** Removes it; `undefined` when it is gone already. */
  take(id: string): Reservation | undefined;
  /** Removes one whose time is up, if there is one. */
  takeExpired(at: number): Reservation | undefined;
}

/** An empty table; as many lines as there are different `ttlMs`. */
export function heldTable(): HeldTable {
  const byId = new Map<string, Held>();
  const lines = new Map<number, Line>();
  /** No reservation expires before this. */
  let quietUntil = Number.POSITIVE_INFINITY;

  function take(id: string): Reservation | undefined {
    const one = byId.get(id);
    if (one === undefined) return undefined;
    byId.delete(id);
    const { reservation, older, newer } = one;
    const line = lines.get(reservation.ttlMs);
    if (older !== undefined) older.newer = newer;
    else if (line !== undefined) line.oldest = newer;
    if (newer !== undefined) newer.older = older;
    else if (line !== undefined) line.newest = older;
    if (line?.oldest === undefined) lines.delete(reservation.ttlMs);
    // Once one of them is old, the garbage collector takes all that hang on it for alive until its next full run.
    one.older = undefined;
    one.newer = undefined;
    return reservation;
  }

  return {
    has: (id) => byId.has(id),
    take,
    add(reservation, at) {
      const expiresAt = at + reservation.ttlMs;
      const line = lines.get(reservation.ttlMs) ?? { oldest: undefined, newest: undefined };
      const one: Held = { reservation, expiresAt, older: line.newest, newer: undefined };
      if (line.newest === undefined) {
        line.oldest = one;
        lines.set(reservation.ttlMs, line);
      } else line.newest.newer = one;
      line.newest = one;
      byId.set(reservation.id, one);
      if (expiresAt < quietUntil) quietUntil = expiresAt;
    },
    takeExpired(at) {
      if (at < quietUntil) return undefined;
      quietUntil = Number.POSITIVE_INFINITY;
      let expired: Held | undefined;
      for (const { oldest } of lines.values()) {
        if (oldest === undefined) continue;
        if (oldest.expiresAt <= at) expired = oldest;
        quietUntil = Math.min(quietUntil, oldest.expiresAt);
      }
      return expired === undefined ? undefined : take(expired.reservation.id);
    },
  };
}
