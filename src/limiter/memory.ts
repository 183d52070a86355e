import { LRUCache } from 'lru-cache';
import { positiveInteger } from '../checks.js';
import { type Bucket, drawFrom, fullBucket, remainingOf, setRefill, usedOf, waitMsFor } from './bucket.js';
import { heldTable } from './held.js';
import type { Draw, LimiterStore, Reservation, Slot } from './limiter-store.js';

export interface MemoryLimiterOptions {
  /**
   * Most buckets remembered. Above it one of those unused for longest is forgotten: one that is full, which changes
   * nothing, or else the very oldest, which is full when next asked for. @default 100_000
   */
  readonly maxBuckets?: number;
}

/** A slot tells nobody when it comes free. */
const SLOT_RETRY_MS = 1_000;
/** How far to look for a full bucket. To look through all of them would stop the process for 40 ms. */
const MAX_EXAMINED = 8;

/**
 * Limit counters in this process's memory: for one process, and gone with it. Each call is one synchronous turn and so
 * atomic. A bucket's refusals say to the millisecond when it would grant. Reservations that draw nothing and hold no
 * slot are not remembered.
 * @throws {TypeError} when `maxBuckets` is not a positive integer; from `reserve` when a reservation of that id is held.
 */
export function memoryLimiter({ maxBuckets = 100_000 }: MemoryLimiterOptions = {}): LimiterStore {
  const buckets = bucketTable(maxBuckets);
  const slots = new Map<string, number>();
  const held = heldTable();
  let latest = 0;

  /** The latest instant ever heard of: a clock that steps back stands still here. Whole, so that waits are exact. */
  function advanceTo(now: number): number {
    const whole = Math.floor(now);
    if (whole > latest) latest = whole;
    for (let late = held.takeExpired(latest); late !== undefined; late = held.takeExpired(latest)) {
      giveBack(late, undefined);
    }
    return latest;
  }

  function drawWaitMs(draw: Draw, bucket: Bucket | undefined, draws: readonly Draw[]): number {
    if (draw.amount === 0) return 0;
    // A credit is what `settle` is for.
    if (draw.amount < 0) return Number.POSITIVE_INFINITY;
    let amount = 0;
    for (const other of draws) if (other.bucket === draw.bucket) amount += other.amount;
    const wanted = { amount, capacity: draw.capacity };
    if (bucket === undefined) return waitMsFor(fullBucket(draw.refillPerMs, latest), wanted, latest);
    setRefill(bucket, draw.refillPerMs, latest);
    return waitMsFor(bucket, wanted, latest);
  }

  function slotWaitMs({ name, capacity }: Slot, wanted: readonly Slot[]): number {
    let count = 0;
    for (const other of wanted) if (other.name === name) count += 1;
    if (!(count <= capacity)) return Number.POSITIVE_INFINITY;
    return (slots.get(name) ?? 0) + count <= capacity ? 0 : SLOT_RETRY_MS;
  }

  function waitMsOf({ draws, slots: wanted }: Reservation, found: readonly (Bucket | undefined)[]): number {
    let drawsMs = 0;
    let slotsMs = 0;
    for (const [index, draw] of draws.entries()) drawsMs = Math.max(drawsMs, drawWaitMs(draw, found[index], draws));
    for (const slot of wanted) slotsMs = Math.max(slotsMs, slotWaitMs(slot, wanted));
    return drawsMs === 0 || slotsMs === Number.POSITIVE_INFINITY ? slotsMs : drawsMs;
  }

  function take(reservation: Reservation, found: (Bucket | undefined)[]): void {
    const { draws, slots: wanted } = reservation;
    if (wanted.length === 0 && draws.every(({ amount }) => amount === 0)) return;
    held.add(reservation, latest);
    for (const [index, draw] of draws.entries()) {
      if (draw.amount === 0) continue;
      const bucket = found[index] ?? buckets.open(draw, latest);
      found[index] = bucket;
      drawFrom(bucket, draw.amount, latest);
    }
    for (const { name } of wanted) slots.set(name, (slots.get(name) ?? 0) + 1);
  }

  /** @param amounts what was truly used; absent, nothing was. */
  function giveBack({ draws, slots: freed }: Reservation, amounts: readonly number[] | undefined): void {
    const refunds: (() => void)[] = [];
    for (const [index, draw] of draws.entries()) {
      const more = amounts === undefined ? -draw.amount : trueAmount(draw, amounts[index]) - draw.amount;
      if (more === 0) continue;
      const bucket = buckets.get(draw.bucket);
      if (more > 0) drawFrom(bucket ?? buckets.open(draw, latest), more, latest);
      // What is still to be drawn comes first: of two draws on one bucket, a refund must not be cut off at the brim.
      else if (bucket !== undefined) refunds.push(() => drawFrom(bucket, more, latest));
    }
    for (const refund of refunds) refund();
    for (const { name } of freed) {
      const left = (slots.get(name) ?? 0) - 1;
      if (left > 0) slots.set(name, left);
      else slots.delete(name);
    }
  }

  return {
    reserve(reservation, now) {
      const at = advanceTo(now);
      if (held.has(reservation.id)) throw new TypeError('Expected the id of a reservation to be unique');
      const { draws } = reservation;
      const found = draws.map(({ bucket }) => buckets.get(bucket));
      const waitMs = waitMsOf(reservation, found);
      const granted = waitMs === 0;
      if (granted) take(reservation, found);
      return {
        granted,
        // From the caller's instant, which may lie before ours.
        retryAfterMs: granted ? 0 : waitMs + (at - Math.floor(now)),
        remaining: draws.map(({ bucket, capacity }, index) =>
          remainingOf(found[index] ?? buckets.get(bucket), capacity, at),
        ),
      };
    },
    settle({ id }, amounts, now) {
      advanceTo(now);
      const reservation = held.take(id);
      if (reservation !== undefined) giveBack(reservation, amounts);
    },
  };
}

/** What makes no sense must not make the call free. */
function trueAmount(draw: Draw, amount: number | undefined): number {
  return amount !== undefined && amount >= 0 ? amount : draw.amount;
}

interface BucketTable {
  get(name: string): Bucket | undefined;
  /** The draw's bucket, a full one when there is none. */
  open(draw: Draw, at: number): Bucket;
}

function bucketTable(maxBuckets: number): BucketTable {
  const table = new LRUCache<string, Bucket>({ max: positiveInteger('maxBuckets', maxBuckets) });

  /** One full bucket goes, which changes nothing; where there is none, the table drops the one unused for longest. */
  function makeRoom(at: number): void {
    if (table.size < maxBuckets) return;
    let examined = 0;
    for (const name of table.rkeys()) {
      const bucket = table.peek(name);
      if (bucket !== undefined && usedOf(bucket, at) === 0) return void table.delete(name);
      examined += 1;
      if (examined === MAX_EXAMINED) return;
    }
  }

  return {
    get: (name) => table.get(name),
    open({ bucket: name, refillPerMs }, at) {
      const known = table.get(name);
      if (known !== undefined) return known;
      makeRoom(at);
      const bucket = fullBucket(refillPerMs, at);
      table.set(name, bucket);
      return bucket;
    },
  };
}
