import type { Awaitable } from '../base/awaitable.js';

/** What one call wants of the limiter, all or nothing. */
export interface Reservation {
  /** Unique; `settle` of an id that is gone does nothing. */
  readonly id: string;
  readonly draws: readonly Draw[];
  readonly slots: readonly Slot[];
  /**
   * A reservation nobody settles is given back after this long, but for what it drew from budgets: the process that held it
   * may be gone, and the money spent. It is the ledger's to tell when a budget is asked for anew.
   */
  readonly ttlMs: number;
  /** Decides, but takes nothing: what would be answered now. @default false */
  readonly dryRun?: boolean;
}

/** A token bucket and how much to take. The rule travels with the call, so one store serves all rules. */
export interface Draw {
  readonly bucket: string;
  /** The most it holds; a bucket never seen before is full. */
  readonly capacity: number;
  /** How much flows back each millisecond. 0: nothing does, as for a budget named by its month. */
  readonly refillPerMs: number;
  /** 0 takes nothing and is always granted: a look at the bucket. */
  readonly amount: number;
  /** Present: the bucket is a budget, which must not be taken for untouched because a store has lost it. */
  readonly budget?: Budget;
}

/** What sets a budget apart from other buckets. Its amounts and capacity are whole numbers. */
export interface Budget {
  /** Unix time in milliseconds of the end of its period, after which the store may forget it. */
  readonly endsAt: number;
  /**
   * What the ledger says was drawn already: what a bucket that the store does not know begins with. Absent: nobody has
   * asked the ledger yet, and a reservation with an unknown budget is refused with `unknownBudgets`, taking nothing.
   */
  readonly spent?: number;
}

/** One of `capacity` places that are held until the call is settled. */
export interface Slot {
  readonly name: string;
  readonly capacity: number;
}

/** The store's answer to a reservation. */
export interface Verdict {
  readonly granted: boolean;
  /**
   * Milliseconds until the same reservation could be granted. 0 when granted, `Infinity` when never. A slot tells
   * nobody when it comes free: where only slots are short, this is a second.
   */
  readonly retryAfterMs: number;
  /** What each bucket holds now, in the order of the draws. Below 0 after a costly `settle`. */
  readonly remaining: readonly number[];
  /**
   * A budget is not known here and its draw names no `spent`: ask the ledger, and reserve again with it. A store that
   * takes every unknown bucket for full may leave this out.
   */
  readonly unknownBudgets?: boolean;
}

/** Where limit counters live. A store in this process's memory may answer without promises. */
export interface LimiterStore {
  /**
   * Takes from every bucket and slot or from none, in one atomic step: however many calls run at once, on however many
   * machines share the store, a bucket never grants more than it holds. A refusal is a value, not an exception.
   * @param now Unix time in milliseconds. A clock that steps back refills nothing and takes nothing away.
   */
  reserve(reservation: Reservation, now: number): Awaitable<Verdict>;
  /**
   * Replaces each draw by its true amount and frees the slots. A second call for the same reservation does nothing.
   * @param amounts in the order of the draws.
   */
  settle(reservation: Reservation, amounts: readonly number[], now: number): Awaitable<void>;
}
