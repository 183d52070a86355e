import { isPending } from '../../base/awaitable.js';
import type { Draw, LimiterStore, Reservation, Verdict } from '../../limits/limiter-store.js';
import { memoryLimiter } from '../../limits/memory.js';

/** What is done while Redis is lost. */
export type OnStoreError = 'local' | 'deny' | 'allow';

/** Limits without Redis. */
export interface Fallback {
  /** @throws {Error} when it decides about a budget, or nothing is granted while Redis is lost. */
  reserve(reservation: Reservation, now: number): Verdict;
  /** @returns `false` when it did not grant the reservation. */
  settle(reservation: Reservation, amounts: readonly number[], now: number): boolean;
  /** What it granted and Redis does not know. */
  drawn(): readonly Draw[];
  /** What of those did not flow back yet, to be drawn from the buckets in Redis. */
  outstanding(drawn: readonly Draw[], now: number): readonly Draw[];
  /** Redis knows of those now. What was drawn after `drawn` gave them stays. */
  forget(drawn: readonly Draw[]): void;
}

/** Redis is asked again every second. */
const RETRY_MS = 1_000;

interface FallbackOptions {
  readonly mode: OnStoreError;
  /** How many processes shared the limits when last heard of. */
  readonly machines: () => number;
  /** Most reservations, and most buckets, remembered. */
  readonly max: number;
}

/** This process's share of every limit, from its own memory. */
export function fallback({ mode, machines, max }: FallbackOptions): Fallback {
  const limiter = memoryLimiter({ maxBuckets: max });
  const granted = new Set<string>();
  const drawn = new Map<string, Draw>();

  function shareOf(capacity: number): number {
    return Math.min(capacity, Math.max(1, Math.floor(capacity / machines())));
  }

  function withShares(reservation: Reservation): Reservation {
    return {
      ...reservation,
      draws: reservation.draws.map((draw) => {
        const capacity = shareOf(draw.capacity);
        return {
          ...draw,
          capacity,
          refillPerMs: draw.capacity > 0 ? draw.refillPerMs * (capacity / draw.capacity) : 0,
        };
      }),
      slots: reservation.slots.map((slot) => ({ ...slot, capacity: shareOf(slot.capacity) })),
    };
  }

  function decide(reservation: Reservation, now: number): Verdict {
    const { draws } = reservation;
    if (mode === 'allow') {
      return { granted: true, retryAfterMs: 0, remaining: draws.map(({ capacity, amount }) => capacity - amount) };
    }
    const verdict = decided(limiter, withShares(reservation), now);
    // What is more than this process's share is not more than the limit.
    const isNever = verdict.retryAfterMs === Number.POSITIVE_INFINITY && canEverBe(reservation);
    return isNever ? { ...verdict, retryAfterMs: RETRY_MS } : verdict;
  }

  function remember({ id, draws, dryRun = false }: Reservation): void {
    if (dryRun) return;
    remembered(granted, id, max);
    if (mode === 'local') for (const draw of draws) add(draw, draw.amount);
  }

  function add(draw: Draw, more: number): void {
    const amount = (drawn.get(draw.bucket)?.amount ?? 0) + more;
    if (amount <= 0) drawn.delete(draw.bucket);
    else if (drawn.size < max || drawn.has(draw.bucket)) drawn.set(draw.bucket, { ...draw, amount });
  }

  return {
    reserve(reservation, now) {
      if (reservation.draws.some(({ budget }) => budget !== undefined)) {
        throw new Error('Redis is lost, and without it no budget is drawn from');
      }
      if (mode === 'deny') throw new Error('Redis is lost, and `onStoreError` is deny');
      const verdict = decide(reservation, now);
      if (verdict.granted) remember(reservation);
      return verdict;
    },
    settle(reservation, amounts, now) {
      if (!granted.delete(reservation.id)) return false;
      for (const [index, draw] of reservation.draws.entries()) {
        const used = amounts[index];
        if (mode === 'local' && used !== undefined && used >= 0) add(draw, used - draw.amount);
      }
      void limiter.settle(reservation, amounts, now);
      return true;
    },
    drawn: () => [...drawn.values()],
    outstanding(draws, now) {
      return draws.flatMap((draw) => {
        const look = withShares({ id: '', draws: [{ ...draw, amount: 0 }], slots: [], ttlMs: 0 });
        const capacity = look.draws[0]?.capacity ?? 0;
        const used = capacity - (decided(limiter, look, now).remaining[0] ?? capacity);
        return used > 0 ? [{ ...draw, amount: Math.min(draw.amount, used) }] : [];
      });
    },
    forget(draws) {
      for (const draw of draws) add(draw, -draw.amount);
    },
  };
}

/** Above the bound the oldest goes. */
function remembered(ids: Set<string>, id: string, max: number): void {
  ids.add(id);
  if (ids.size <= max) return;
  const [oldest] = ids;
  if (oldest !== undefined) ids.delete(oldest);
}

/** The memory limiter answers at once. */
function decided(limiter: LimiterStore, reservation: Reservation, now: number): Verdict {
  const verdict = limiter.reserve(reservation, now);
  if (isPending(verdict)) throw new TypeError('Expected a limiter in memory');
  return verdict;
}

function canEverBe({ draws, slots }: Reservation): boolean {
  const fits = draws.every(({ bucket, capacity, amount }) => {
    const total = draws.reduce((sum, draw) => (draw.bucket === bucket ? sum + draw.amount : sum), 0);
    return amount === 0 || (amount > 0 && total <= capacity);
  });
  return fits && slots.every(({ name, capacity }) => slots.filter((slot) => slot.name === name).length <= capacity);
}
