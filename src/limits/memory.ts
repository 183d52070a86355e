import { LRUCache } from 'lru-cache';
import { checkOptionNames, positiveInteger } from '../base/checks.js';
import { BUDGET_KEPT_MS, drawFrom, fullBucket, remainingOf, trueAmount, usedOf, waitMsOf } from './bucket.js';
import { heldTable } from './held.js';
import type { Bucket, Draw, LimiterStore, Reservation } from './limiter-store.js';

export interface MemoryLimiterOptions {
  /**
   * Most buckets remembered. Above it a bucket unused for long is forgotten: a full one, which changes nothing, or else
   * the oldest of all, which then counts as full. @default 100_000
   */
  readonly maxBuckets?: number | undefined;
  /**
   * Most budgets remembered, apart from other buckets. Above it a budget is forgotten whose period ended a day ago, or
   * else the budget unused for longest, about which the ledger is then asked anew. @default 100_000
   */
  readonly maxBudgets?: number | undefined;
}

const LIMITER_OPTIONS: Readonly<Record<keyof MemoryLimiterOptions, true>> = {
  maxBuckets: true,
  maxBudgets: true,
};

/** A budget and the end of its period. */
interface KeptBudget extends Bucket {
  readonly endsAt: number;
}

/** Most buckets examined in search of one that may go. Examining all would stop the process for 40 ms. */
const MAX_EXAMINED = 8;
/** Names of slots that are remembered although nobody holds one. */
const MAX_FREE_SLOTS = 1_000;

/**
 * Limit counters in this process's memory: for one process, and gone with it. Decides as its twin `rules.ts` does. Each call is one synchronous turn and so
 * atomic. A bucket's refusal tells to the millisecond when it would grant. A reservation that draws nothing and holds
 * no slot is not remembered. Budgets are exact in whole numbers up to 9e15.
 * @throws {TypeError} when a bound is not a positive integer; from `reserve` when a reservation of that id is held.
 */
export function memoryLimiter(options: MemoryLimiterOptions = {}): LimiterStore {
  checkOptionNames(options, LIMITER_OPTIONS);
  const maxBuckets = positiveInteger('maxBuckets', options.maxBuckets ?? 100_000);
  const maxBudgets = positiveInteger('maxBudgets', options.maxBudgets ?? 100_000);
  // A full bucket is as good as none; an unknown budget is not.
  const buckets = bucketTable<Bucket>(maxBuckets, (bucket, at) => usedOf(bucket, at) === 0);
  const budgets = bucketTable<KeptBudget>(maxBudgets, ({ endsAt }, at) => endsAt + BUDGET_KEPT_MS <= at);
  /** Number of reservations that hold a slot of that name. */
  const slots = new Map<string, number>();
  const slotsTaken = (name: string): number => slots.get(name) ?? 0;
  const held = heldTable();
  let latest = 0;

  /** The latest instant ever told: a clock that steps back stands still here. Whole, so that waits are exact. */
  function advanceTo(now: number): number {
    const whole = Math.floor(now);
    if (whole > latest) latest = whole;
    for (let late = held.takeExpired(latest); late !== undefined; late = held.takeExpired(latest)) {
      giveBack(late, undefined);
    }
    return latest;
  }

  function findBucket({ bucket, budget }: Draw): Bucket | undefined {
    return budget === undefined ? buckets.get(bucket) : budgets.get(bucket);
  }

  /** The bucket of every draw; a `dryRun` gets copies, which are not kept. */
  function findBuckets({ draws, dryRun = false }: Reservation): (Bucket | undefined)[] {
    const found = draws.map(findBucket);
    return dryRun ? found.map(copyOf) : found;
  }

  /** Opens unknown budgets at the ledger's sums. @returns `false` when the ledger was not asked about one of them. */
  function openBudgets({ draws, dryRun = false }: Reservation, found: (Bucket | undefined)[]): boolean {
    let areAllKnown = true;
    for (let index = 0; index < draws.length; index += 1) {
      const budget = draws[index]?.budget;
      if (budget === undefined || found[index] !== undefined) continue;
      if (budget.spent === undefined) return false;
      areAllKnown = false;
    }
    if (areAllKnown) return true;
    for (const [index, { bucket: name, budget, refillPerMs }] of draws.entries()) {
      if (budget?.spent === undefined || found[index] !== undefined) continue;
      const opened = { drawn: budget.spent, since: latest, refillPerMs, endsAt: budget.endsAt };
      if (!dryRun) budgets.add(name, opened, latest);
      for (const [place, draw] of draws.entries()) if (draw.bucket === name) found[place] ??= opened;
    }
    return true;
  }

  /** The draw's bucket, or a new full one. */
  function openBucket({ bucket: name, refillPerMs }: Draw): Bucket {
    return buckets.get(name) ?? buckets.add(name, fullBucket(refillPerMs, latest), latest);
  }

  function takeReservation(reservation: Reservation, found: (Bucket | undefined)[]): void {
    const { draws, slots: wanted } = reservation;
    if (wanted.length === 0 && draws.every(takesNothing)) return;
    held.add(reservation, latest);
    for (let index = 0; index < draws.length; index += 1) {
      const draw = draws[index];
      if (draw === undefined || draw.amount === 0) continue;
      const bucket = found[index] ?? openBucket(draw);
      found[index] = bucket;
      drawFrom(bucket, draw.amount, latest);
    }
    for (const { name } of wanted) slots.set(name, slotsTaken(name) + 1);
  }

  /**
   * @param amounts truly used; `undefined` when nobody knows: then budgets count as used up to the draw, all else as
   * unused.
   */
  function giveBack({ draws, slots: freed }: Reservation, amounts: readonly number[] | undefined): void {
    // Further draws come first: of two draws on one bucket, a refund must not be cut off at the brim.
    correctDraws(draws, amounts, 'further');
    correctDraws(draws, amounts, 'refunds');
    for (const { name } of freed) {
      const left = slotsTaken(name) - 1;
      // The same names come again, and a map that is emptied and filled makes a new table each time: 170 bytes.
      if (left > 0 || slots.size <= MAX_FREE_SLOTS) slots.set(name, Math.max(0, left));
      else slots.delete(name);
    }
  }

  /** Makes those corrections of the draws that take more, or those that give back. */
  function correctDraws(
    draws: readonly Draw[],
    amounts: readonly number[] | undefined,
    which: 'further' | 'refunds',
  ): void {
    for (let index = 0; index < draws.length; index += 1) {
      const draw = draws[index];
      if (draw === undefined) continue;
      const used = amounts === undefined && draw.budget === undefined ? 0 : trueAmount(draw.amount, amounts?.[index]);
      const more = used - draw.amount;
      if (which === 'further' ? !(more > 0) : !(more < 0)) continue;
      // The ledger will tell of a budget that was forgotten; a refund to a bucket that was forgotten changes nothing.
      const isOpened = which === 'further' && draw.budget === undefined;
      const bucket = isOpened ? openBucket(draw) : findBucket(draw);
      if (bucket !== undefined) drawFrom(bucket, more, latest);
    }
  }

  function remainingIn(draws: readonly Draw[], found: readonly (Bucket | undefined)[]): number[] {
    return draws.map((draw, index) => remainingOf(found[index] ?? findBucket(draw), draw.capacity, latest));
  }

  return {
    reserve(reservation, now) {
      const at = advanceTo(now);
      if (held.has(reservation.id)) throw new TypeError('Expected the id of a reservation to be unique');
      const { draws, dryRun = false } = reservation;
      const found = findBuckets(reservation);
      const isKnown = openBudgets(reservation, found);
      if (!isKnown) {
        return { granted: false, retryAfterMs: 0, remaining: remainingIn(draws, found), unknownBudgets: true };
      }
      const waitMs = waitMsOf(reservation, found, slotsTaken, at);
      const granted = waitMs === 0;
      if (granted && !dryRun) takeReservation(reservation, found);
      // From the caller's instant, which may lie before ours.
      const retryAfterMs = granted ? 0 : waitMs + (at - Math.floor(now));
      return { granted, retryAfterMs, remaining: remainingIn(draws, found) };
    },
    settle({ id }, amounts, now) {
      advanceTo(now);
      const reservation = held.takeHeld(id);
      if (reservation !== undefined) giveBack(reservation, amounts);
    },
  };
}

function takesNothing({ amount }: Draw): boolean {
  return amount === 0;
}

function copyOf(bucket: Bucket | undefined): Bucket | undefined {
  return bucket && { ...bucket };
}

interface BucketTable<Kept extends Bucket> {
  get(name: string): Kept | undefined;
  /** @returns the bucket. */
  add(name: string, bucket: Kept, at: number): Kept;
}

/** @param isSpare whether a bucket may go. */
function bucketTable<Kept extends Bucket>(
  max: number,
  isSpare: (bucket: Kept, at: number) => boolean,
): BucketTable<Kept> {
  // Made when it is needed: it takes room for `max` at once, and 10 ms.
  let table: LRUCache<string, Kept> | undefined;

  /** Removes one spare bucket; where there is none, the table drops the bucket unused for longest. */
  function makeRoom(kept: LRUCache<string, Kept>, at: number): void {
    if (kept.size < max) return;
    let examined = 0;
    for (const name of kept.rkeys()) {
      const bucket = kept.peek(name);
      if (bucket !== undefined && isSpare(bucket, at)) return void kept.delete(name);
      examined += 1;
      if (examined === MAX_EXAMINED) return;
    }
  }

  return {
    get: (name) => table?.get(name),
    add(name, bucket, at) {
      table ??= new LRUCache<string, Kept>({ max });
      makeRoom(table, at);
      table.set(name, bucket);
      return bucket;
    },
  };
}
