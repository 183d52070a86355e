/**
 * The state of one token bucket: what was drawn since `since`, to be lessened by what flowed back. Nothing is written
 * while it refills, so that no rounding adds up.
 */
export interface Bucket {
  drawn: number;
  /** Whole milliseconds. */
  since: number;
  refillPerMs: number;
}

/**
 * What doubles may be off by at these sizes, far below the least step of a limit by the minute, which is 1/60,000. Budgets are
 * whole numbers that nothing flows back to: up to 9e15 they are exact, and this is either nothing beside them or no whole unit.
 */
const EPSILON = 1e-6;
/** Above this, `drawn` is brought down to what is used, before its size costs precision. */
const MAX_DRAWN = 2 ** 28;

/**
 * How long a budget is remembered after its period: the limiter's clock is not the one that the period is told by, and who
 * still sees the period must not find the budget forgotten.
 */
export const BUDGET_KEPT_MS = 86_400_000;

/** A full bucket. */
export function fullBucket(refillPerMs: number, at: number): Bucket {
  return { drawn: 0, since: at, refillPerMs };
}

/** What is missing to full, never below 0. */
export function usedOf({ drawn, since, refillPerMs }: Bucket, at: number): number {
  return Math.max(0, drawn - refillPerMs * (at - since));
}

/** What a bucket holds; below 0 in debt. */
export function remainingOf(bucket: Bucket | undefined, capacity: number, at: number): number {
  if (bucket === undefined) return capacity;
  return roundIfNear(capacity - usedOf(bucket, at));
}

/** 58.999999999 is 59, also to who rounds down. */
export function roundIfNear(remaining: number): number {
  // Not -0.
  const whole = Math.round(remaining) + 0;
  return Math.abs(remaining - whole) < EPSILON ? whole : remaining;
}

/** Takes out, or gives back when `amount` is below 0, but no more than was missing. */
export function drawFrom(bucket: Bucket, amount: number, at: number): void {
  if (bucket.drawn > MAX_DRAWN || usedOf(bucket, at) === 0) rebase(bucket, at);
  bucket.drawn += amount;
}

/** What flows back from now on. What flowed until now did so at the old rate. */
export function setRefill(bucket: Bucket, refillPerMs: number, at: number): void {
  if (bucket.refillPerMs === refillPerMs) return;
  rebase(bucket, at);
  bucket.refillPerMs = refillPerMs;
}

/**
 * The least whole milliseconds after which `amount` fits: 0 when it does now, `Infinity` when it never will. It is
 * found by the very test that grants, so that who waits as told is granted, and a millisecond earlier is not.
 */
export function waitMsFor(bucket: Bucket, wanted: Wanted, at: number): number {
  // Turned round, so that NaN never fits.
  if (!(wanted.amount <= wanted.capacity + EPSILON)) return Number.POSITIVE_INFINITY;
  const { drawn, since, refillPerMs } = bucket;
  const elapsedMs = at - since;
  if (fits(bucket, wanted, elapsedMs)) return 0;
  if (!(refillPerMs > 0)) return Number.POSITIVE_INFINITY;
  const near = Math.ceil((drawn + wanted.amount - wanted.capacity - EPSILON) / refillPerMs);
  // The division rounds on its own.
  if (!fits(bucket, wanted, near)) return near + 1 - elapsedMs;
  return fits(bucket, wanted, near - 1) ? near - 1 - elapsedMs : near - elapsedMs;
}

interface Wanted {
  readonly amount: number;
  readonly capacity: number;
}

function fits({ drawn, refillPerMs }: Bucket, { amount, capacity }: Wanted, elapsedMs: number): boolean {
  return Math.max(0, drawn - refillPerMs * elapsedMs) + amount <= capacity + EPSILON;
}

function rebase(bucket: Bucket, at: number): void {
  bucket.drawn = usedOf(bucket, at);
  bucket.since = at;
}
