import { isSameBucket } from '../../limits/bucket.js';
import type { Held, KeptBucket, LimiterState } from '../../limits/limiter-store.js';

/** Amounts and slots that a reservation took, with the end of its time. */
export interface KeptHeld extends Held {
  readonly expiresAt: number;
}

/** The part of the limiter's tables that some calls concern. */
export interface LimiterRows {
  /** Time of the database. */
  readonly now: number;
  /** The latest instant ever told. */
  readonly latest: number;
  readonly buckets: ReadonlyMap<string, KeptBucket>;
  /** Slots taken by name; none of them 0. */
  readonly slots: ReadonlyMap<string, number>;
  /** Held reservations by id, in the order in which they expire. */
  readonly held: ReadonlyMap<string, KeptHeld>;
}

/** Changes to be written. */
export interface LimiterChanges {
  readonly latest: number;
  readonly buckets: readonly (readonly [string, KeptBucket])[];
  readonly slots: readonly (readonly [string, number])[];
  readonly freedSlots: readonly string[];
  readonly held: readonly (readonly [string, KeptHeld])[];
  readonly settled: readonly string[];
}

/** The limiter's state in memory, which tells its changes. */
export interface LoadedState extends LimiterState {
  /** Differences from the loaded rows. */
  changes(): LimiterChanges;
}

/** Loads rows into a state in memory. */
export function loadedState(rows: LimiterRows): LoadedState {
  const buckets = new Map([...rows.buckets].map(([name, bucket]) => [name, { ...bucket }]));
  const slots = new Map(rows.slots);
  const held = new Map(rows.held);
  let { latest } = rows;
  const slotsTaken = (name: string): number => slots.get(name) ?? 0;

  function takeHeld(id: string): Held | undefined {
    const one = held.get(id);
    held.delete(id);
    return one;
  }

  return {
    advance(now) {
      latest = Math.max(latest, now);
      return latest;
    },
    bucket: (name) => buckets.get(name),
    addBucket: (name, bucket) => void buckets.set(name, bucket),
    slotsTaken,
    takeSlot(name, more) {
      const taken = slotsTaken(name) + more;
      if (taken > 0) slots.set(name, taken);
      else slots.delete(name);
    },
    isHeld: (id) => held.has(id),
    hold: (id, one, expiresAt) => void held.set(id, { ...one, expiresAt }),
    takeHeld,
    takeExpired(at) {
      for (const [id, { expiresAt }] of held) if (expiresAt <= at) return takeHeld(id);
      return undefined;
    },
    changes: () => ({
      latest,
      buckets: [...buckets].filter(([name, bucket]) => !isSameBucket(bucket, rows.buckets.get(name))),
      slots: [...slots].filter(([name, taken]) => rows.slots.get(name) !== taken),
      freedSlots: [...rows.slots.keys()].filter((name) => !slots.has(name)),
      held: [...held].filter(([id, one]) => rows.held.get(id) !== one),
      settled: [...rows.held.keys()].filter((id) => !held.has(id)),
    }),
  };
}
