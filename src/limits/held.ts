import type { Reservation } from './limiter-store.js';

/** A granted reservation, in line with others of the same `ttlMs`, which expire in the order in which they came. */
interface Waiting {
  readonly reservation: Reservation;
  readonly expiresAt: number;
  older: Waiting | undefined;
  newer: Waiting | undefined;
}

interface Line {
  oldest: Waiting | undefined;
  newest: Waiting | undefined;
}

/** Lines up to which none is removed when it is empty. */
const MAX_EMPTY_LINES = 8;

/** Granted reservations that nobody settled yet. Every step is O(1) in their number. */
export interface HeldTable {
  has(id: string): boolean;
  add(reservation: Reservation, at: number): void;
  /** Removes a reservation; `undefined` when it is gone already. */
  takeHeld(id: string): Reservation | undefined;
  /** Removes one reservation whose time is up, if there is one. */
  takeExpired(at: number): Reservation | undefined;
}

/** Makes an empty table. It has a line for each different `ttlMs`. */
export function heldTable(): HeldTable {
  const byId = new Map<string, Waiting>();
  const lines = new Map<number, Line>();
  /** No reservation expires before this. */
  let quietUntil = Number.POSITIVE_INFINITY;

  function takeHeld(id: string): Reservation | undefined {
    const one = byId.get(id);
    if (one === undefined) return undefined;
    byId.delete(id);
    const { reservation, older, newer } = one;
    const line = lines.get(reservation.ttlMs);
    if (older !== undefined) older.newer = newer;
    else if (line !== undefined) line.oldest = newer;
    if (newer !== undefined) newer.older = older;
    else if (line !== undefined) line.newest = older;
    // Most gateways have one line: a map that is emptied and filled again makes a new table each time, 170 bytes.
    if (line?.oldest === undefined && lines.size > MAX_EMPTY_LINES) lines.delete(reservation.ttlMs);
    // Once one of them is old, the garbage collector takes all that hang on it for alive until its next full run.
    one.older = undefined;
    one.newer = undefined;
    return reservation;
  }

  function newLine(ttlMs: number): Line {
    const line = { oldest: undefined, newest: undefined };
    lines.set(ttlMs, line);
    return line;
  }

  return {
    has: (id) => byId.has(id),
    takeHeld,
    add(reservation, at) {
      const expiresAt = at + reservation.ttlMs;
      const line = lines.get(reservation.ttlMs) ?? newLine(reservation.ttlMs);
      const one: Waiting = { reservation, expiresAt, older: line.newest, newer: undefined };
      if (line.newest === undefined) line.oldest = one;
      else line.newest.newer = one;
      line.newest = one;
      byId.set(reservation.id, one);
      if (expiresAt < quietUntil) quietUntil = expiresAt;
    },
    takeExpired(at) {
      if (at < quietUntil) return undefined;
      quietUntil = Number.POSITIVE_INFINITY;
      let expired: Waiting | undefined;
      for (const { oldest } of lines.values()) {
        if (oldest === undefined) continue;
        if (oldest.expiresAt <= at) expired = oldest;
        quietUntil = Math.min(quietUntil, oldest.expiresAt);
      }
      return expired === undefined ? undefined : takeHeld(expired.reservation.id);
    },
  };
}
