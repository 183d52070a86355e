import assert from 'node:assert/strict';
import {
  type LimiterStore,
  memoryLimiter,
  memoryUsage,
  type Reservation,
  type UsageReader,
  type UsageRecord,
  type UsageStart,
  type UsageStore,
  type Verdict,
} from 'megallm-middleware';
import { isPending } from '../../src/base/awaitable.js';
import { eventually } from './deadline.js';

/** A limiter that keeps its own book of what is reserved, to compare with what the gateway gives back. */
export interface WatchedLimiter extends LimiterStore {
  /** Reservations granted and not yet settled. */
  open(): number;
  /** Most reservations that were open at one time. */
  mostOpen(): number;
  granted(): number;
  /** What `settle` was called with: the reservation and its true amounts, in order. */
  readonly settled: readonly { readonly reservation: Reservation; readonly amounts: readonly number[] }[];
  /** Resolves when nothing is reserved; rejects when something was settled twice or stays reserved. */
  allBack(): Promise<void>;
}

export function watchedLimiter(store: LimiterStore = memoryLimiter()): WatchedLimiter {
  const open = new Set<string>();
  const settled: { reservation: Reservation; amounts: readonly number[] }[] = [];
  let most = 0;
  let granted = 0;
  function note(reservation: Reservation, verdict: Verdict): Verdict {
    // A look takes nothing and is settled by nobody.
    const isLook =
      reservation.dryRun === true ||
      (reservation.slots.length === 0 && reservation.draws.every((draw) => draw.amount === 0));
    if (!verdict.granted || isLook) return verdict;
    granted += 1;
    open.add(reservation.id);
    most = Math.max(most, open.size);
    return verdict;
  }

  return {
    // Without promises where the store has none: so is the gateway used most.
    reserve(reservation, now) {
      const verdict = store.reserve(reservation, now);
      return isPending(verdict) ? verdict.then((given) => note(reservation, given)) : note(reservation, verdict);
    },
    settle: (reservation, amounts, now) => {
      settled.push({ reservation, amounts });
      open.delete(reservation.id);
      return store.settle(reservation, amounts, now);
    },
    open: () => open.size,
    mostOpen: () => most,
    granted: () => granted,
    settled,
    allBack: async () => {
      await eventually(
        () => open.size === 0,
        () => `${open.size} reservations to be given back`,
      );
      const ids = settled.map(({ reservation }) => reservation.id);
      assert.equal(new Set(ids).size, ids.length, 'a reservation was settled twice');
    },
  };
}

/** A usage store that keeps its own book of what was opened and settled. */
export interface WatchedUsage extends UsageStore, UsageReader {
  readonly opened: readonly UsageStart[];
  readonly settled: readonly UsageRecord[];
  /** Resolves when each opened call was settled, once. */
  allSettled(): Promise<void>;
}

export function watchedUsage(): WatchedUsage {
  const store = memoryUsage();
  const opened: UsageStart[] = [];
  const settled: UsageRecord[] = [];
  return {
    open: (start) => {
      opened.push(start);
      return store.open(start);
    },
    settle: (record) => {
      settled.push(record);
      return store.settle(record);
    },
    report: (query) => store.report(query),
    opened,
    settled,
    allSettled: async () => {
      await eventually(
        () => settled.length >= opened.length,
        () => `${opened.length - settled.length} calls to be settled`,
      );
      assert.deepEqual(idsOf(settled), idsOf(opened), 'each opened call is settled once');
    },
  };
}

function idsOf(calls: readonly { readonly requestId: string }[]): string[] {
  return calls.map((call) => call.requestId).sort();
}
