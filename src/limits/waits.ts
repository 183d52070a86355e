import { type Bucket, fullBucket, setRefill, waitMsFor } from './bucket.js';
import type { Draw, Reservation, Slot } from './limiter-store.js';

/** A slot tells nobody when it comes free. */
const SLOT_RETRY_MS = 1_000;

/**
 * The least whole milliseconds after which all of a reservation may be granted: 0 when it is now, `Infinity` when it never is.
 * Buckets flow back at the reservation's rates from now on.
 * @param found the bucket of each draw, where there is one.
 * @param slotsTaken how many hold a slot of that name.
 */
export function waitMsOf(
  { draws, slots }: Reservation,
  found: readonly (Bucket | undefined)[],
  slotsTaken: (name: string) => number,
  at: number,
): number {
  let drawsMs = 0;
  let slotsMs = 0;
  for (const [index, draw] of draws.entries()) drawsMs = Math.max(drawsMs, drawWaitMs(draw, draws, found[index], at));
  for (const slot of slots) slotsMs = Math.max(slotsMs, slotWaitMs(slot, slots, slotsTaken(slot.name)));
  return drawsMs === 0 || slotsMs === Number.POSITIVE_INFINITY ? slotsMs : drawsMs;
}

/** What a draw on a bucket truly used: what makes no sense must not make the call free. */
export function trueAmount(drawn: number, used: number | undefined): number {
  return used !== undefined && used >= 0 ? used : drawn;
}

function drawWaitMs(draw: Draw, draws: readonly Draw[], bucket: Bucket | undefined, at: number): number {
  if (draw.amount === 0) return 0;
  // A credit is what `settle` is for.
  if (draw.amount < 0) return Number.POSITIVE_INFINITY;
  let amount = 0;
  for (const other of draws) if (other.bucket === draw.bucket) amount += other.amount;
  const wanted = { amount, capacity: draw.capacity };
  if (bucket === undefined) return waitMsFor(fullBucket(draw.refillPerMs, at), wanted, at);
  setRefill(bucket, draw.refillPerMs, at);
  return waitMsFor(bucket, wanted, at);
}

function slotWaitMs({ name, capacity }: Slot, wanted: readonly Slot[], taken: number): number {
  let count = 0;
  for (const other of wanted) if (other.name === name) count += 1;
  if (!(count <= capacity)) return Number.POSITIVE_INFINITY;
  return taken + count <= capacity ? 0 : SLOT_RETRY_MS;
}
