import { checkOptionNames, positiveInteger } from '../base/checks.js';
import { Counts } from '../base/counts.js';
import { BUDGET_KEPT_MS, drawFrom, fitsNow, remainingOf, trueAmount, usedOf, waitMsOf } from './bucket.js';
import { BucketTable } from './bucket-table.js';
import { heldTable } from './held.js';
import { withLane } from './lane.js';
import { amountOf } from './levels.js';
import type {
  Amounts,
  Bounds,
  Bucket,
  Ceiling,
  Draw,
  LimiterLane,
  LimiterStore,
  PlacedBucket,
  Reservation,
  Verdict,
} from './limiter-store.js';

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

/**
 * Limit counters in this process's memory: for one process, and gone with it. Each call is one synchronous turn, and so
 * atomic. A bucket's refusal tells to the millisecond when it would grant. A reservation that draws nothing and holds
 * no slot is not remembered. Budgets are exact in whole numbers up to 9e15. Decides as its twin `rules.ts` does.
 * @throws {TypeError} when a bound is not a positive integer; from `reserve` when a reservation of that id is held.
 */
export function memoryLimiter(options: MemoryLimiterOptions = {}): LimiterStore {
  checkOptionNames(options, LIMITER_OPTIONS);
  const maxBuckets = positiveInteger('maxBuckets', options.maxBuckets ?? 100_000);
  const maxBudgets = positiveInteger('maxBudgets', options.maxBudgets ?? 100_000);
  const counters = new Counters(maxBuckets, maxBudgets);
  return withLane(
    (reservation, now) => counters.reserve(reservation, now),
    ({ id }, amounts, now) => counters.settleHeld(id, amounts, now),
    counters,
  );
}

/** All buckets, slots and held reservations of one limiter. */
class Counters implements LimiterLane {
  // A full bucket is as good as none; an unknown budget is not.
  private readonly buckets: BucketTable;
  private readonly budgets: BucketTable;
  /** Number of reservations that hold a slot of that name. */
  private readonly slots = new Counts();
  private readonly held = heldTable();
  private latest = 0;

  constructor(maxBuckets: number, maxBudgets: number) {
    this.buckets = new BucketTable(maxBuckets, (bucket, at) => usedOf(bucket, at) === 0);
    this.budgets = new BucketTable(maxBudgets, ({ endsAt = 0 }, at) => endsAt + BUDGET_KEPT_MS <= at);
  }

  reserve(reservation: Reservation, now: number): Verdict {
    const at = this.advanceTo(now);
    if (this.held.has(reservation.id)) throw new TypeError('Expected the id of a reservation to be unique');
    const { draws, dryRun = false } = reservation;
    const found = this.findBuckets(reservation);
    const isKnown = this.openBudgets(reservation, found);
    if (!isKnown) {
      return { granted: false, retryAfterMs: 0, remaining: this.remainingIn(draws, found), unknownBudgets: true };
    }
    const waitMs = waitMsOf(reservation, found, (name) => this.slots.of(name), at);
    const granted = waitMs === 0;
    if (granted && !dryRun) this.takeReservation(reservation, found);
    // From the caller's instant, which may lie before ours.
    const retryAfterMs = granted ? 0 : waitMs + (at - Math.floor(now));
    return { granted, retryAfterMs, remaining: this.remainingIn(draws, found) };
  }

  settleHeld(id: string, amounts: readonly number[], now: number): void {
    this.advanceTo(now);
    const reservation = this.held.takeHeld(id);
    if (reservation !== undefined) this.giveBack(reservation, amounts);
  }

  take({ ceilings, slots }: Bounds, amounts: Amounts, now: number): number[] | undefined {
    const at = this.advanceTo(now);
    for (let index = 0; index < ceilings.length; index += 1) {
      const ceiling = ceilings[index];
      if (ceiling !== undefined && !this.hasRoom(ceiling, amountOf(ceiling, amounts), at)) return undefined;
    }
    for (let index = 0; index < slots.length; index += 1) {
      const slot = slots[index];
      if (slot !== undefined && !(this.slots.of(slot.name) + 1 <= slot.capacity)) return undefined;
    }
    const remaining = new Array<number>(ceilings.length);
    for (let index = 0; index < ceilings.length; index += 1) {
      const ceiling = ceilings[index];
      if (ceiling !== undefined) remaining[index] = this.drawOn(ceiling, amountOf(ceiling, amounts), at);
    }
    for (let index = 0; index < slots.length; index += 1) this.countSlot(slots[index]?.name, 1);
    return remaining;
  }

  settle({ ceilings, slots }: Bounds, amounts: Amounts, used: Amounts, now: number): void {
    const at = this.advanceTo(now);
    for (let index = 0; index < ceilings.length; index += 1) {
      const ceiling = ceilings[index];
      if (ceiling === undefined) continue;
      const drawn = amountOf(ceiling, amounts);
      this.correct(ceiling, trueAmount(drawn, amountOf(ceiling, used)) - drawn, at);
    }
    for (let index = 0; index < slots.length; index += 1) this.countSlot(slots[index]?.name, -1);
  }

  /** Whether a ceiling lets so much through now. A rate that has changed, and a budget that is not known, are not for the lane. */
  private hasRoom(ceiling: Ceiling, amount: number, at: number): boolean {
    const bucket = this.find(ceiling);
    if (bucket !== undefined)
      return bucket.refillPerMs === ceiling.refillPerMs && fitsNow(bucket, amount, ceiling.capacity, at);
    return ceiling.period === undefined && fitsNow(undefined, amount, ceiling.capacity, at);
  }

  /** @returns the amount that is left. */
  private drawOn(ceiling: Ceiling, amount: number, at: number): number {
    let bucket = this.find(ceiling);
    if (amount !== 0) {
      bucket ??= this.open(ceiling, at);
      drawFrom(bucket, amount, at);
    }
    return remainingOf(bucket, ceiling.capacity, at);
  }

  private correct(ceiling: Ceiling, more: number, at: number): void {
    if (more === 0) return;
    let bucket = this.find(ceiling);
    // The ledger will tell of a budget that was forgotten; a refund to a bucket that was forgotten changes nothing.
    if (more > 0 && ceiling.period === undefined) bucket ??= this.open(ceiling, at);
    if (bucket !== undefined) drawFrom(bucket, more, at);
  }

  private find({ place, part, period }: Ceiling): PlacedBucket | undefined {
    return period === undefined ? this.buckets.getAt(place, part) : this.budgets.getAt(place, part);
  }

  private open({ place, part, refillPerMs }: Ceiling, at: number): PlacedBucket {
    return this.buckets.addAt(place, part, { drawn: 0, refillPerMs, endsAt: undefined }, at);
  }

  /** The latest instant ever told: a clock that steps back stands still here. Whole, so that waits are exact. */
  private advanceTo(now: number): number {
    const whole = Math.floor(now);
    if (whole > this.latest) this.latest = whole;
    const { held, latest } = this;
    for (let late = held.takeExpired(latest); late !== undefined; late = held.takeExpired(latest)) {
      this.giveBack(late, undefined);
    }
    return latest;
  }

  private findBucket({ bucket, budget }: Draw): PlacedBucket | undefined {
    return budget === undefined ? this.buckets.get(bucket) : this.budgets.get(bucket);
  }

  /** The bucket of every draw; a `dryRun` gets copies, which are not kept. */
  private findBuckets({ draws, dryRun = false }: Reservation): (Bucket | undefined)[] {
    return draws.map((draw) => {
      const bucket = this.findBucket(draw);
      return dryRun ? copyOf(bucket) : bucket;
    });
  }

  /** Opens unknown budgets at the ledger's sums. @returns `false` when the ledger was not asked about one of them. */
  private openBudgets({ draws, dryRun = false }: Reservation, found: (Bucket | undefined)[]): boolean {
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
      const { spent: drawn, endsAt } = budget;
      const opened = dryRun
        ? { drawn, since: this.latest, refillPerMs }
        : this.budgets.add(name, { drawn, refillPerMs, endsAt }, this.latest);
      for (const [place, draw] of draws.entries()) if (draw.bucket === name) found[place] ??= opened;
    }
    return true;
  }

  /** The draw's bucket, or a new full one. */
  private openBucket({ bucket: name, refillPerMs }: Draw): Bucket {
    const { buckets, latest } = this;
    return buckets.get(name) ?? buckets.add(name, { drawn: 0, refillPerMs, endsAt: undefined }, latest);
  }

  private takeReservation(reservation: Reservation, found: (Bucket | undefined)[]): void {
    const { draws, slots: wanted } = reservation;
    if (wanted.length === 0 && draws.every(takesNothing)) return;
    this.held.add(reservation, this.latest);
    for (let index = 0; index < draws.length; index += 1) {
      const draw = draws[index];
      if (draw === undefined || draw.amount === 0) continue;
      const bucket = found[index] ?? this.openBucket(draw);
      found[index] = bucket;
      drawFrom(bucket, draw.amount, this.latest);
    }
    for (const { name } of wanted) this.countSlot(name, 1);
  }

  /**
   * @param amounts truly used; `undefined` when nobody knows: then budgets count as used up to the draw, all else as
   * unused.
   */
  private giveBack({ draws, slots: freed }: Reservation, amounts: readonly number[] | undefined): void {
    // Further draws come first: of two draws on one bucket, a refund must not be cut off at the brim.
    this.correctDraws(draws, amounts, 'further');
    this.correctDraws(draws, amounts, 'refunds');
    for (const { name } of freed) this.countSlot(name, -1);
  }

  /** Makes those corrections of the draws that take more, or those that give back. */
  private correctDraws(
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
      // As in `correct`.
      const isOpened = which === 'further' && draw.budget === undefined;
      const bucket = isOpened ? this.openBucket(draw) : this.findBucket(draw);
      if (bucket !== undefined) drawFrom(bucket, more, this.latest);
    }
  }

  private remainingIn(draws: readonly Draw[], found: readonly (Bucket | undefined)[]): number[] {
    return draws.map((draw, index) => remainingOf(found[index] ?? this.findBucket(draw), draw.capacity, this.latest));
  }

  private countSlot(name: string | undefined, more: number): void {
    if (name !== undefined) this.slots.add(name, more);
  }
}

function takesNothing({ amount }: Draw): boolean {
  return amount === 0;
}

function copyOf(bucket: Bucket | undefined): Bucket | undefined {
  return bucket && { drawn: bucket.drawn, since: bucket.since, refillPerMs: bucket.refillPerMs };
}
