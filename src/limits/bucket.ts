import type { Bucket, Draw, Reservation } from './limiter-store.js';

/**
 * Largest error of doubles at these sizes, far below the least step of a limit by the minute, which is 1/60,000.
 * Budgets are whole numbers that never refill: they are exact up to 9e15, and this error is no whole unit of them.
 */
const EPSILON = 1e-6;
/** Above this, `drawn` is brought down to the amount in use, before its size costs precision. */
const MAX_DRAWN = 2 ** 28;

/**
 * Milliseconds for which a budget is remembered after its period: another clock tells the period, and a process that is
 * still in it must not find the budget forgotten.
 */
export const BUDGET_KEPT_MS = 86_400_000;

/** A slot tells nobody when it comes free. */
const SLOT_RETRY_MS = 1_000;

/** A full bucket. */
export function fullBucket(refillPerMs: number, at: number): Bucket {
  return { drawn: 0, since: at, refillPerMs };
}

/** Whether two states of a bucket are the same, and the second need not be written. */
export function isSameBucket(bucket: Bucket, saved: Bucket | undefined): boolean {
  return bucket.drawn === saved?.drawn && bucket.since === saved.since && bucket.refillPerMs === saved.refillPerMs;
}

/** The amount missing to a full bucket, never below 0. */
export function usedOf({ drawn, since, refillPerMs }: Bucket, at: number): number {
  return Math.max(0, drawn - refillPerMs * (at - since));
}

/** The amount that a bucket holds; below 0 in debt. */
export function remainingOf(bucket: Bucket | undefined, capacity: number, at: number): number {
  if (bucket === undefined) return capacity;
  return roundIfNear(capacity - usedOf(bucket, at));
}

/** Rounds 58.999999999 to 59, as a caller may round down. */
export function roundIfNear(remaining: number): number {
  // Not -0.
  const whole = Math.round(remaining) + 0;
  return Math.abs(remaining - whole) < EPSILON ? whole : remaining;
}

/** Takes `amount` out of the bucket, or gives it back when it is below 0, but no more than was missing. */
export function drawFrom(bucket: Bucket, amount: number, at: number): void {
  const used = usedOf(bucket, at);
  if (bucket.drawn > MAX_DRAWN || used === 0) {
    bucket.drawn = used;
    bucket.since = at;
  }
  bucket.drawn += amount;
}

/**
 * The least whole milliseconds after which `amount` fits: 0 when it does now, `Infinity` when it never will. The very
 * test that grants decides: a caller that waits so long is granted, and a millisecond earlier is not.
 */
export function waitMsFor(bucket: Bucket, wanted: Wanted, at: number): number {
  // Turned round, so that NaN never fits.
  if (!(wanted.amount <= wanted.capacity + EPSILON)) return Number.POSITIVE_INFINITY;
  const { drawn, since, refillPerMs } = bucket;
  const elapsedMs = at - since;
  if (fits(bucket, wanted.amount, wanted.capacity, elapsedMs)) return 0;
  if (!(refillPerMs > 0)) return Number.POSITIVE_INFINITY;
  const near = Math.ceil((drawn + wanted.amount - wanted.capacity - EPSILON) / refillPerMs);
  // The division rounds on its own.
  if (!fits(bucket, wanted.amount, wanted.capacity, near)) return near + 1 - elapsedMs;
  return fits(bucket, wanted.amount, wanted.capacity, near - 1) ? near - 1 - elapsedMs : near - elapsedMs;
}

/** Whether so much can be taken now. @param bucket `undefined`: there is none, which counts as full. */
export function fitsNow(bucket: Bucket | undefined, amount: number, capacity: number, at: number): boolean {
  if (amount === 0) return true;
  // Credit is given by `settle` alone, and NaN never fits.
  if (!(amount > 0)) return false;
  return bucket === undefined ? amount <= capacity + EPSILON : fits(bucket, amount, capacity, at - bucket.since);
}

interface Wanted {
  readonly amount: number;
  readonly capacity: number;
}

function fits({ drawn, refillPerMs }: Bucket, amount: number, capacity: number, elapsedMs: number): boolean {
  return Math.max(0, drawn - refillPerMs * elapsedMs) + amount <= capacity + EPSILON;
}

/**
 * The least whole milliseconds after which all of a reservation may be granted: 0 when it is now, `Infinity` when it
 * never is. Buckets refill at the reservation's rates from now on.
 * @param found the bucket of each draw, where there is one.
 * @param slotsTaken number of reservations that hold a slot of that name.
 */
export function waitMsOf(
  { draws, slots }: Reservation,
  found: readonly (Bucket | undefined)[],
  slotsTaken: (name: string) => number,
  at: number,
): number {
  let drawsMs = 0;
  // Not by `entries`, which makes an object and a pair for each step.
  for (let index = 0; index < draws.length; index += 1) {
    const draw = draws[index];
    if (draw !== undefined) drawsMs = Math.max(drawsMs, drawWaitMs(draw, draws, found[index], at));
  }
  let slotsMs = 0;
  for (const { name, capacity } of slots) {
    let wanted = 0;
    for (const other of slots) if (other.name === name) wanted += 1;
    if (!(wanted <= capacity)) return Number.POSITIVE_INFINITY;
    if (!(slotsTaken(name) + wanted <= capacity)) slotsMs = SLOT_RETRY_MS;
  }
  return drawsMs === 0 ? slotsMs : drawsMs;
}

/** The amount that a draw truly used. A senseless amount must not make the call free: it counts as drawn. */
export function trueAmount(drawn: number, used: number | undefined): number {
  return used !== undefined && used >= 0 ? used : drawn;
}

function drawWaitMs(draw: Draw, draws: readonly Draw[], bucket: Bucket | undefined, at: number): number {
  if (draw.amount === 0) return 0;
  // Credit is given by `settle` alone.
  if (draw.amount < 0) return Number.POSITIVE_INFINITY;
  let amount = 0;
  for (let index = 0; index < draws.length; index += 1) {
    const other = draws[index];
    if (other?.bucket === draw.bucket) amount += other.amount;
  }
  const wanted = { amount, capacity: draw.capacity };
  if (bucket === undefined) return waitMsFor(fullBucket(draw.refillPerMs, at), wanted, at);
  if (bucket.refillPerMs !== draw.refillPerMs) {
    // The time until now counts at the old rate.
    bucket.drawn = usedOf(bucket, at);
    bucket.since = at;
    bucket.refillPerMs = draw.refillPerMs;
  }
  return waitMsFor(bucket, wanted, at);
}
