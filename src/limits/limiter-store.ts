import type { InAgeOrder } from '../base/age-order.js';
import type { Awaitable } from '../base/awaitable.js';
import type { Clock } from '../base/clock.js';
import type { GatewayError } from '../base/errors.js';
import type { Limits } from '../keys/key-store.js';

/** One call's wish to the limiter, granted in full or not at all. */
export interface Reservation {
  /** Unique; `settle` of an id that is gone does nothing. */
  readonly id: string;
  readonly draws: readonly Draw[];
  readonly slots: readonly Slot[];
  /**
   * Milliseconds after which a reservation that nobody settled is given back, as its process may be gone. Draws on
   * budgets stay, as the money may be spent; the ledger tells when a budget is asked for anew.
   */
  readonly ttlMs: number;
  /** Whether the store decides as it would now, but takes nothing. @default false */
  readonly dryRun?: boolean | undefined;
}

/** A token bucket and the amount to take. The rule travels with the call, so one store serves all rules. */
export interface Draw {
  readonly bucket: string;
  /** The most it holds; a bucket never seen before is full. */
  readonly capacity: number;
  /** Amount that flows back each millisecond. 0: nothing does, as for a budget named by its month. */
  readonly refillPerMs: number;
  /** 0 takes nothing and is always granted: a look at the bucket. */
  readonly amount: number;
  /** Present: the bucket is a budget, which must not be taken for untouched because a store has lost it. */
  readonly budget?: Budget | undefined;
}

/** Facts that set a budget apart from other buckets. Its amounts and capacity are whole numbers. */
export interface Budget {
  /** Unix time in milliseconds of the end of its period, after which the store may forget it. */
  readonly endsAt: number;
  /**
   * The ledger's sum for this budget, used only to open a bucket that the store lacks. Absent: nobody has asked the ledger
   * yet, and a reservation with an unknown budget is refused with `unknownBudgets`, taking nothing.
   */
  readonly spent?: number | undefined;
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
  /** Amount that each bucket holds now, in the order of the draws. Below 0 after a costly `settle`. */
  readonly remaining: readonly number[];
  /**
   * Whether a budget is not known here and its draw names no `spent`: ask the ledger, and reserve again with it. A
   * store that takes every unknown bucket for full may leave this out.
   */
  readonly unknownBudgets?: boolean | undefined;
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
  /**
   * Settles what a call of a dead process held, once the ledger has charged it: budgets at its cost, all else as reserved.
   * Should the process live after all, its own `settle` counts. Absent: the reservation is held until its time is up.
   * @throws Anything. It is told again.
   */
  settleInterrupted?(call: InterruptedEnd): Awaitable<void>;
}

/** A call of a dead process, as the ledger has settled it. */
export interface InterruptedEnd {
  readonly requestId: string;
  readonly keyId: string;
  /** Billionths of a US dollar; `undefined`: nobody knows, and budgets count as used up to the draw. */
  readonly costNanoUsd: number | undefined;
}

/** A set of ceilings shared by the calls of one owner, one key or one tier, or by all calls. */
export interface LimitLevel {
  readonly kind: 'owner' | 'key' | 'tier' | 'all';
  /** Id of the owner (as `ownerOf` names it), the key or the tier; empty for all. */
  readonly id: string;
  readonly limits: Limits;
  /** Whether its ceilings are counted apart and refuse nothing. @default false */
  readonly isShadow?: boolean | undefined;
}

/** A quantity of a call that a ceiling bounds. */
export type Measure = 'requests' | 'tokens' | 'inputTokens' | 'outputTokens' | 'usdPerDay' | 'usdPerMonth';

/** One ceiling of one level. */
export interface Ceiling {
  readonly measure: Measure;
  readonly level: LimitLevel;
  /** In nano-dollars where it is a budget. */
  readonly capacity: number;
  /** Amount that flows back each millisecond; 0 for a budget. */
  readonly refillPerMs: number;
  /** Present: it is a budget of this period. */
  readonly period: { readonly from: number; readonly to: number } | undefined;
  /** The names of `place` and `part`, with a colon between. */
  readonly bucket: string;
  readonly place: BucketPlace;
  readonly part: string;
}

/** The place of buckets that a limiter of this process keeps together. */
export interface BucketPlace {
  readonly name: string;
  /** The row as such a limiter last found it. It is that limiter's to write, and spares it the name. */
  found: BucketRow | undefined;
}

/** Quantities that a call takes, or took. */
export interface Amounts {
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Billionths of a US dollar. */
  readonly nanoUsd: number;
}

/** The day or the month of a budget. Half open: Unix time in milliseconds. */
export interface BudgetPeriod {
  /** Such as `2026-11-25` or `2026-11`, in the time zone. */
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** Length of a budget's period. */
export type BudgetSpan = 'day' | 'month';

/** Finds the period that contains an instant. @param wallMs Unix time in milliseconds. */
export type FindPeriod = (span: BudgetSpan, wallMs: number) => BudgetPeriod;

/** One call's wish, before the size of its reservation is settled. */
export interface Demand {
  readonly requestId: string;
  readonly ceilings: readonly Ceiling[];
  readonly slots: readonly Slot[];
  readonly asks: {
    /** The public model id, for messages. */
    readonly model: string;
    /** Most output tokens of one answer; `undefined`: the client named none, and there may be as many as there is room for. */
    readonly maxOutputTokens: number | undefined;
    /** Answers asked for at once. */
    readonly n: number;
  };
  /** The owner's or the key's name, for messages. */
  readonly subject: string;
  readonly inputTokens: number;
  /** Output tokens to reserve for one answer where the client named no ceiling. */
  readonly defaultOutputTokens: number;
  /** Whether this answer's length should be learned from. */
  readonly learnsLength: boolean;
  /** Highest possible cost with so many output tokens, in nano-dollars; `undefined` when the price is unknown. */
  worstNanoUsd(outputTokens: number): number | undefined;
  /** Told of a reservation that the store has failed to answer, and may have granted. */
  doubt(reservation: Reservation): void;
}

/** A limiter store with the clocks and the ledger that it is asked with. */
export interface LimiterAccess {
  readonly store: LimiterStore;
  /** The same limiter's lane, where it has one: what it granted is settled by it. `undefined`: everything is asked of the store. */
  readonly lane?: LimiterLane | undefined;
  /** Nano-dollars lost by a budget according to the ledger, for a store that does not know the budget. */
  readonly spent: (ceiling: Ceiling) => Awaitable<number>;
  readonly clock: Pick<Clock, 'steadyMs' | 'wallMs'>;
  /** How long a reservation may be held. */
  readonly ttlMs: number;
}

/** Ceilings and places of one call. */
export type Bounds = Pick<Demand, 'ceilings' | 'slots'>;

/**
 * The shorter way to a limiter of this process, which grants ordinary calls without names and without an object for each of
 * its buckets. It decides as `reserve` does and shares all its state; what it grants has no time after which it is given back,
 * as its process lives as long as the limiter. No two ceilings of a call may name the same bucket, and no two slots the same.
 */
export interface LimiterLane {
  /**
   * Takes everything, where all of it is to be had now.
   * @returns the amount that each bucket holds then; `undefined` when nothing was taken: `reserve` tells why, or grants it after all.
   */
  take(bounds: Bounds, amounts: Amounts, now: number): number[] | undefined;
  /** Replaces amounts that `take` took by those used, and frees the places: once for each `take`. */
  settle(bounds: Bounds, amounts: Amounts, used: Amounts, now: number): void;
}

/** A granted reservation. */
export interface Admission {
  readonly kind: 'admitted';
  /** The reservation that the store holds; `undefined`: its lane has granted the call. */
  readonly reservation: Reservation | undefined;
  /** In the order of the draws. */
  readonly ceilings: readonly Ceiling[];
  readonly slots: readonly Slot[];
  /** Amount that each bucket held when all was taken. */
  readonly remaining: Verdict['remaining'];
  /** Quantities reserved. */
  readonly amounts: Amounts;
  /** Output tokens reserved for one answer; `undefined` when nothing limits them. */
  readonly outputCeiling: number | undefined;
  /** Answers whose length should be learned; 0 where the client named a ceiling. */
  readonly answersToLearnFrom: number;
}

/** A reservation that was refused. */
export interface Refused {
  readonly reservation: Reservation;
  readonly verdict: Verdict;
  /** In the order of the draws. */
  readonly ceilings: readonly Ceiling[];
  /** The public model id. */
  readonly model: string;
  /** The owner's or the key's name, for messages. */
  readonly subject: string;
  /** Unix time in milliseconds. */
  readonly wallMs: number;
}

/** Grants a reservation, or refuses it with the error for the client. */
export type AdmitResult =
  | Admission
  | { readonly kind: 'refused'; readonly refusal: { readonly error: GatewayError; readonly refused: Refused } };

/** Observed answer lengths by owner and model. */
export interface LearnedOutput {
  /** Output tokens that 95 of 100 of the latest answers did not exceed; `undefined` until there were enough of them. */
  ceilingOf(owner: string, model: string): number | undefined;
  /** @param ceiling reserved for the answer: an answer that reached it might have been longer, and counts double. */
  observe(owner: string, model: string, outputTokens: number, ceiling: number | undefined): void;
}

/**
 * The state of one token bucket. `drawn` is the amount that was missing at `since`; at `t` it is
 * `max(0, drawn - refillPerMs * (t - since))`. Nothing is written while it refills, so that no rounding adds up.
 */
export interface Bucket {
  drawn: number;
  /** Whole milliseconds. */
  since: number;
  refillPerMs: number;
}

/** A bucket in this process's memory. */
export interface PlacedBucket extends Bucket {
  readonly part: string;
  /** Unix time in milliseconds of the end of a budget's period; `undefined`: it is no budget. */
  readonly endsAt: number | undefined;
  /** The next bucket of its row. */
  next: PlacedBucket | undefined;
}

/** Buckets that are kept together. */
export interface BucketRow extends InAgeOrder<BucketRow> {
  readonly name: string;
  first: PlacedBucket | undefined;
  /** Whether its table still has it: a bucket of one that was forgotten must not be drawn from. */
  isKept: boolean;
}

/** A bucket as stores keep it. */
export interface KeptBucket extends Bucket {
  /** Unix time in milliseconds of the end of a budget's period; `undefined`: it is no budget. */
  readonly endsAt: number | undefined;
}

/** Amounts and slots that a granted reservation took. */
export interface Held {
  readonly draws: readonly HeldDraw[];
  readonly slots: readonly string[];
}

export interface HeldDraw {
  readonly bucket: string;
  readonly amount: number;
  readonly refillPerMs: number;
  readonly isBudget: boolean;
}

/** State that a store keeps for `limits/rules`, within one transaction: nobody else sees or changes it meanwhile. */
export interface LimiterState {
  /** The latest instant ever told: `now`, or an earlier call's, as a clock that steps back stands still. */
  advance(now: number): number;
  /**
   * A bucket to be changed in its place; `undefined` when there is none, which counts as full unless it is a budget.
   */
  bucket(name: string): KeptBucket | undefined;
  addBucket(name: string, bucket: KeptBucket): void;
  slotsTaken(name: string): number;
  /** @param more 1, or -1 to free one. */
  takeSlot(name: string, more: number): void;
  isHeld(id: string): boolean;
  /** @param expiresAt whole. */
  hold(id: string, held: Held, expiresAt: number): void;
  /** Removes a held reservation; `undefined` when it is gone already. */
  takeHeld(id: string): Held | undefined;
  /** Removes one held reservation whose time is up, if there is one. */
  takeExpired(at: number): Held | undefined;
}
