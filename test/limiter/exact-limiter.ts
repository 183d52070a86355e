import type { Reservation, Verdict } from '../../src/limiter/limiter-store.js';

/** Buckets of the model, with refills whose doubles are not exact. */
export const MODEL_BUCKETS = [
  { bucket: 'slow', capacity: 7, perMinute: 7 },
  { bucket: 'odd', capacity: 100, perMinute: 33 },
  { bucket: 'fast', capacity: 120, perMinute: 90_001 },
  { bucket: 'budget', capacity: 60, perMinute: 0 },
] as const;

export const MODEL_SLOTS = [
  { name: 'one', capacity: 1 },
  { name: 'three', capacity: 3 },
] as const;

export interface Wish {
  readonly draws: readonly { readonly bucket: number; readonly amount: number }[];
  readonly slots: readonly number[];
  readonly ttlMs: number;
}

/** A reservation on the model's buckets and slots, named by their places in the lists. */
export function modelReservation(id: string, { draws, slots, ttlMs }: Wish): Reservation {
  return {
    id,
    draws: draws.map(({ bucket: place, amount }) => {
      const { bucket, capacity, perMinute } = MODEL_BUCKETS[place] ?? MODEL_BUCKETS[0];
      return { bucket, capacity, refillPerMs: perMinute / 60_000, amount };
    }),
    slots: slots.map((place) => MODEL_SLOTS[place] ?? MODEL_SLOTS[0]),
    ttlMs,
  };
}

/** A token is so many units; `perMinute` units flow back each millisecond. */
const UNITS = 60_000n;

interface Open {
  readonly reservation: Reservation;
  readonly expiresAt: number;
}

/** The rules written down as plainly as can be, in whole numbers and without regard to speed. */
export function exactLimiter() {
  const used = new Map<string, bigint>();
  let open: Open[] = [];
  let time = 0;

  const usedOf = (bucket: string): bigint => used.get(bucket) ?? 0n;
  const perMinuteOf = (bucket: string): bigint =>
    BigInt(MODEL_BUCKETS.find((one) => one.bucket === bucket)?.perMinute ?? 0);

  function advanceTo(now: number): void {
    // In steps from expiry to expiry.
    while (time < now) {
      const next = Math.min(now, ...open.map(({ expiresAt }) => expiresAt));
      const passed = BigInt(Math.max(0, next - time));
      for (const { bucket } of MODEL_BUCKETS) {
        used.set(bucket, atLeast0(usedOf(bucket) - passed * perMinuteOf(bucket)));
      }
      time = Math.max(time, next);
      const late = open.filter(({ expiresAt }) => expiresAt <= time);
      for (const { reservation } of late)
        release(
          reservation,
          reservation.draws.map(() => 0),
        );
    }
  }

  function release(reservation: Reservation, amounts: readonly number[]): void {
    open = open.filter((one) => one.reservation.id !== reservation.id);
    for (const { bucket } of MODEL_BUCKETS) {
      const more = reservation.draws.reduce(
        (sum, draw, index) => (draw.bucket === bucket ? sum + BigInt((amounts[index] ?? 0) - draw.amount) : sum),
        0n,
      );
      used.set(bucket, atLeast0(usedOf(bucket) + more * UNITS));
    }
  }

  const slotsHeld = (name: string): number =>
    open.flatMap(({ reservation }) => reservation.slots).filter((slot) => slot.name === name).length;

  /** Whether all draws fit after `waitMs` in which nothing else happens. */
  function drawsFitAfter({ draws }: Reservation, waitMs: number): boolean {
    return draws.every(({ bucket, capacity, amount }) => {
      if (amount === 0) return true;
      const total = draws.reduce((sum, draw) => (draw.bucket === bucket ? sum + BigInt(draw.amount) : sum), 0n);
      const then = atLeast0(usedOf(bucket) - BigInt(waitMs) * perMinuteOf(bucket));
      return then + total * UNITS <= BigInt(capacity) * UNITS;
    });
  }

  /** By halving: the least wait after which the draws fit. */
  function drawsWaitMs(reservation: Reservation): number {
    let above = 2 ** 32;
    if (!drawsFitAfter(reservation, above)) return Number.POSITIVE_INFINITY;
    let below = -1;
    while (above - below > 1) {
      const middle = Math.floor((above + below) / 2);
      if (drawsFitAfter(reservation, middle)) above = middle;
      else below = middle;
    }
    return above;
  }

  function slotsWaitMs({ slots }: Reservation): number {
    const waits = slots.map(({ name, capacity }) => {
      const more = slots.filter((slot) => slot.name === name).length;
      if (more > capacity) return Number.POSITIVE_INFINITY;
      return slotsHeld(name) + more > capacity ? 1_000 : 0;
    });
    return Math.max(0, ...waits);
  }

  return {
    reserve(reservation: Reservation, now: number): Verdict {
      advanceTo(now);
      const drawsMs = drawsWaitMs(reservation);
      const slotsMs = slotsWaitMs(reservation);
      const waitMs = drawsMs === 0 || slotsMs === Number.POSITIVE_INFINITY ? slotsMs : drawsMs;
      const granted = waitMs === 0;
      if (granted) {
        const isEmpty = reservation.slots.length === 0 && reservation.draws.every(({ amount }) => amount === 0);
        if (!isEmpty) open.push({ reservation, expiresAt: time + reservation.ttlMs });
        for (const { bucket, amount } of reservation.draws) used.set(bucket, usedOf(bucket) + BigInt(amount) * UNITS);
      }
      return {
        granted,
        retryAfterMs: granted ? 0 : waitMs + (time - now),
        remaining: reservation.draws.map(
          ({ bucket, capacity }) => Number(BigInt(capacity) * UNITS - usedOf(bucket)) / Number(UNITS),
        ),
      };
    },
    settle(reservation: Reservation, amounts: readonly number[], now: number): void {
      advanceTo(now);
      if (open.some((one) => one.reservation.id === reservation.id)) release(reservation, amounts);
    },
  };
}

function atLeast0(value: bigint): bigint {
  return value < 0n ? 0n : value;
}
