import type { Draw, Reservation, Verdict } from '../../src/limits/limiter-store.js';

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

/** A token is so many units; `perMinute` units flow back each millisecond. */
const UNITS = 60_000n;

interface Open {
  readonly reservation: Reservation;
  readonly expiresAt: number;
}

interface Holding {
  used: bigint;
  /** Units that flow back each millisecond. */
  flow: bigint;
}

/** The rules of the limiter. */
export interface ExactLimiter {
  reserve(reservation: Reservation, now: number): Verdict;
  settle(reservation: Reservation, amounts: readonly number[], now: number): void;
  /** Whether nothing expires up to that instant. */
  isQuietUntil(instant: number): boolean;
  /** What flows back into a bucket now; `undefined` when nobody ever took from it. */
  flowOf(bucket: string): bigint | undefined;
}

/** The rules written down as plainly as can be, in whole numbers and without regard to speed. */
export function exactLimiter(): ExactLimiter {
  const buckets = new Map<string, Holding>();
  let open: Open[] = [];
  let time = 0;

  const usedOf = (bucket: string): bigint => buckets.get(bucket)?.used ?? 0n;

  function flowBack(ms: number): void {
    for (const bucket of buckets.values()) bucket.used = atLeast0(bucket.used - BigInt(ms) * bucket.flow);
  }

  function advanceTo(now: number): void {
    // In steps from expiry to expiry.
    while (time < now) {
      const next = Math.min(now, ...open.map(({ expiresAt }) => expiresAt));
      flowBack(Math.max(0, next - time));
      time = Math.max(time, next);
      const late = open.filter(({ expiresAt }) => expiresAt <= time);
      // Of budgets all was used, as far as anybody knows.
      const kept = ({ draws }: Reservation) => draws.map(({ budget, amount }) => (budget === undefined ? 0 : amount));
      for (const { reservation } of late) release(reservation, kept(reservation));
    }
  }

  function release(reservation: Reservation, amounts: readonly number[]): void {
    open = open.filter((one) => one.reservation.id !== reservation.id);
    const more = new Map<string, bigint>();
    for (const [index, { bucket, amount, refillPerMs }] of reservation.draws.entries()) {
      const change = BigInt(trueAmount(amount, amounts[index]) - amount) * UNITS;
      more.set(bucket, (more.get(bucket) ?? 0n) + change);
      if (change > 0n && !buckets.has(bucket)) buckets.set(bucket, { used: 0n, flow: flowOfRate(refillPerMs) });
    }
    for (const [name, change] of more) {
      const bucket = buckets.get(name);
      if (bucket !== undefined) bucket.used = atLeast0(bucket.used + change);
    }
  }

  const slotsHeld = (name: string): number =>
    open.flatMap(({ reservation }) => reservation.slots).filter((slot) => slot.name === name).length;

  /** Whether all draws fit after `waitMs` in which nothing else happens. */
  function drawsFitAfter({ draws }: Reservation, waitMs: number): boolean {
    return draws.every(({ bucket, capacity, amount, refillPerMs }) => {
      if (amount === 0) return true;
      const total = draws.reduce((sum, draw) => (draw.bucket === bucket ? sum + BigInt(draw.amount) : sum), 0n);
      const then = atLeast0(usedOf(bucket) - BigInt(waitMs) * flowOfRate(refillPerMs));
      return then + total * UNITS <= BigInt(capacity) * UNITS;
    });
  }

  /** By halving: the least wait after which the draws fit. */
  function drawsWaitMs(reservation: Reservation): number {
    if (drawsFitAfter(reservation, 0)) return 0;
    let above = 2 ** 32;
    if (!drawsFitAfter(reservation, above)) return Number.POSITIVE_INFINITY;
    let below = 0;
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

  function decide(reservation: Reservation, now: number): Verdict {
    const drawsMs = drawsWaitMs(reservation);
    const slotsMs = slotsWaitMs(reservation);
    const waitMs = drawsMs === 0 || slotsMs === Number.POSITIVE_INFINITY ? slotsMs : drawsMs;
    const granted = waitMs === 0;
    if (granted && reservation.dryRun !== true) take(reservation);
    return {
      granted,
      retryAfterMs: granted ? 0 : waitMs + (time - now),
      remaining: reservation.draws.map(({ bucket, capacity }) => remainingOf(capacity, usedOf(bucket))),
    };
  }

  function take(reservation: Reservation): void {
    const isEmpty = reservation.slots.length === 0 && reservation.draws.every(({ amount }) => amount === 0);
    if (!isEmpty) open.push({ reservation, expiresAt: time + reservation.ttlMs });
    for (const { bucket, amount } of reservation.draws) {
      const holding = buckets.get(bucket);
      if (holding !== undefined) holding.used += BigInt(amount) * UNITS;
    }
  }

  /** What the ledger knows becomes what was drawn, and what is taken from now flows back at its own rate. */
  function prepare(draws: readonly Draw[]): void {
    for (const { bucket, budget, amount, refillPerMs } of draws) {
      const known = buckets.get(bucket);
      const flow = flowOfRate(refillPerMs);
      if (known === undefined && budget !== undefined) {
        buckets.set(bucket, { used: BigInt(budget.spent ?? 0) * UNITS, flow });
      } else if (amount > 0) buckets.set(bucket, { used: known?.used ?? 0n, flow });
    }
  }

  return {
    isQuietUntil: (instant) => open.every(({ expiresAt }) => expiresAt > instant),
    flowOf: (bucket) => buckets.get(bucket)?.flow,
    reserve(reservation, now) {
      advanceTo(now);
      const { draws, dryRun = false } = reservation;
      if (draws.some(({ bucket, budget }) => budget && budget.spent === undefined && !buckets.has(bucket))) {
        const remaining = draws.map(({ bucket, capacity }) => remainingOf(capacity, usedOf(bucket)));
        return { granted: false, retryAfterMs: 0, remaining, unknownBudgets: true };
      }
      const before = dryRun ? [...buckets].map(([name, holding]) => [name, { ...holding }] as const) : [];
      prepare(draws);
      const verdict = decide(reservation, now);
      if (dryRun) {
        buckets.clear();
        for (const [name, holding] of before) buckets.set(name, holding);
      }
      return verdict;
    },
    settle(reservation, amounts, now) {
      advanceTo(now);
      if (open.some((one) => one.reservation.id === reservation.id)) release(reservation, amounts);
    },
  };
}

/** What makes no sense is taken for what was reserved. */
function trueAmount(drawn: number, amount: number | undefined): number {
  return amount !== undefined && amount >= 0 ? amount : drawn;
}

/** The model's rates are whole numbers by the minute. */
function flowOfRate(refillPerMs: number): bigint {
  return BigInt(Math.round(refillPerMs * 60_000));
}

/** Whole tokens exactly, fractions as near as a double is. */
function remainingOf(capacity: number, used: bigint): number {
  const units = BigInt(capacity) * UNITS - used;
  return units % UNITS === 0n ? Number(units / UNITS) : Number(units) / Number(UNITS);
}

function atLeast0(value: bigint): bigint {
  return value < 0n ? 0n : value;
}
