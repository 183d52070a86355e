import { isPending } from '../../base/awaitable.js';
import type { Draw, LimiterStore, Reservation, Verdict } from '../../limits/limiter-store.js';
import { memoryLimiter } from '../../limits/memory.js';

/** Policy while Redis is lost. */
export type OnStoreError = 'local' | 'deny' | 'allow';

/** Limits of this process while Redis is lost. */
export interface Fallback {
  /** @throws {Error} for a draw on a budget, and under the policy `deny`. */
  reserve(reservation: Reservation, now: number): Verdict;
  /** @returns `false` when this fallback did not grant the reservation. */
  settle(reservation: Reservation, amounts: readonly number[], now: number): boolean;
  /** Draws granted here of which Redis does not know. */
  drawn(): readonly Draw[];
  /** The part of those draws that did not flow back yet, to be drawn from the buckets in Redis. */
  outstanding(drawn: readonly Draw[], now: number): readonly Draw[];
  /** Forgets draws of which Redis knows now. Draws made since `drawn` stay. */
  forget(drawn: readonly Draw[]): void;
}

/** Wait of refused calls, as Redis is asked again every second. */
const RETRY_MS = 1_000;

interface FallbackOptions {
  readonly mode: OnStoreError;
  /** Number of processes that shared the limits when Redis last told. */
  readonly machines: () => number;
  /** Most reservations, and most buckets, remembered. */
  readonly max: number;
}

/** Grants this process's share of every limit, from its own memory. */
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
    const verdict = reserveAtOnce(limiter, withShares(reservation), now);
    // Exceeding this process's share does not mean exceeding the limit.
    const isNever = verdict.retryAfterMs === Number.POSITIVE_INFINITY && canEverBe(reservation);
    return isNever ? { ...verdict, retryAfterMs: RETRY_MS } : verdict;
  }

  function remember({ id, draws, dryRun = false }: Reservation): void {
    if (dryRun) return;
    addBounded(granted, id, max);
    if (mode === 'local') for (const draw of draws) addDrawn(draw, draw.amount);
  }

  function addDrawn(draw: Draw, more: number): void {
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
        if (mode === 'local' && used !== undefined && used >= 0) addDrawn(draw, used - draw.amount);
      }
      void limiter.settle(reservation, amounts, now);
      return true;
    },
    drawn: () => [...drawn.values()],
    outstanding(draws, now) {
      return draws.flatMap((draw) => {
        const look = withShares({ id: '', draws: [{ ...draw, amount: 0 }], slots: [], ttlMs: 0 });
        const capacity = look.draws[0]?.capacity ?? 0;
        const used = capacity - (reserveAtOnce(limiter, look, now).remaining[0] ?? capacity);
        return used > 0 ? [{ ...draw, amount: Math.min(draw.amount, used) }] : [];
      });
    },
    forget(draws) {
      for (const draw of draws) addDrawn(draw, -draw.amount);
    },
  };
}

/** Adds an id; above the bound, the oldest goes. */
function addBounded(ids: Set<string>, id: string, max: number): void {
  ids.add(id);
  if (ids.size <= max) return;
  const [oldest] = ids;
  if (oldest !== undefined) ids.delete(oldest);
}

/** Reserves in the memory limiter, which answers at once. */
function reserveAtOnce(limiter: LimiterStore, reservation: Reservation, now: number): Verdict {
  const verdict = limiter.reserve(reservation, now);
  if (isPending(verdict)) throw new TypeError('Expected a limiter in memory');
  return verdict;
}

/** Whether a reservation fits into the full limits. */
function canEverBe({ draws, slots }: Reservation): boolean {
  const fits = draws.every(({ bucket, capacity, amount }) => {
    const total = draws.reduce((sum, draw) => (draw.bucket === bucket ? sum + draw.amount : sum), 0);
    return amount === 0 || (amount > 0 && total <= capacity);
  });
  return fits && slots.every(({ name, capacity }) => slots.filter((slot) => slot.name === name).length <= capacity);
}
