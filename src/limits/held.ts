import { AgeOrder, type InAgeOrder } from '../base/age-order.js';
import type { Reservation } from './limiter-store.js';

/** A granted reservation, in line with others of the same `ttlMs`, which expire in the order in which they came. */
interface Waiting extends InAgeOrder<Waiting> {
  readonly reservation: Reservation;
  readonly expiresAt: number;
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
  const lines = new Map<number, AgeOrder<Waiting>>();
  /** No reservation expires before this. */
  let quietUntil = Number.POSITIVE_INFINITY;

  function takeHeld(id: string): Reservation | undefined {
    const one = byId.get(id);
    if (one === undefined) return undefined;
    byId.delete(id);
    const { reservation } = one;
    const line = lines.get(reservation.ttlMs);
    line?.remove(one);
    // Most gateways have one line: a map that is emptied and filled again makes a new table each time, 170 bytes.
    if (line?.oldest === undefined && lines.size > MAX_EMPTY_LINES) lines.delete(reservation.ttlMs);
    return reservation;
  }

  function newLine(ttlMs: number): AgeOrder<Waiting> {
    const line = new AgeOrder<Waiting>();
    lines.set(ttlMs, line);
    return line;
  }

  return {
    has: (id) => byId.has(id),
    takeHeld,
    add(reservation, at) {
      const expiresAt = at + reservation.ttlMs;
      const line = lines.get(reservation.ttlMs) ?? newLine(reservation.ttlMs);
      const one: Waiting = { reservation, expiresAt, older: undefined, newer: undefined };
      line.add(one);
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
