import assert from 'node:assert/strict';
import { placedBy } from '../../src/limits/bucket-table.js';
import { laneOf } from '../../src/limits/lane.js';
import type {
  Amounts,
  Bounds,
  Ceiling,
  Draw,
  LimiterStore,
  Measure,
  Reservation,
} from '../../src/limits/limiter-store.js';
import { type MemoryLimiterOptions, memoryLimiter } from '../../src/limits/memory.js';

/** What the lane took for one reservation. */
interface Taken {
  readonly bounds: Bounds;
  readonly amounts: Amounts;
  readonly expiresAt: number;
}

/** A limiter in memory that is asked by its lane wherever that may be, and a count of how often the lane granted. */
export function onLane(options: MemoryLimiterOptions = {}): LimiterStore & { granted(): number } {
  const store = memoryLimiter(options);
  const lane = laneOf(store);
  assert.ok(lane !== undefined, 'a limiter in memory has a lane');
  const level = { kind: 'all', id: '', limits: {} } as const;
  const ceilings = new Map<string, Ceiling>();
  const taken = new Map<string, Taken>();
  let granted = 0;

  function ceilingOf({ bucket, capacity, refillPerMs, budget }: Draw, measure: Measure): Ceiling {
    const name = JSON.stringify([bucket, capacity, refillPerMs, measure]);
    const period = budget && { from: 0, to: budget.endsAt };
    const known = ceilings.get(name) ?? { measure, level, capacity, refillPerMs, period, bucket, ...placedBy(bucket) };
    ceilings.set(name, known);
    return known;
  }

  function boundsOf({ draws, slots, dryRun }: Reservation): Bounds | undefined {
    const names = [...draws.map(({ bucket }) => bucket), ...slots.map(({ name }) => name)];
    const isTwice = new Set(names).size < names.length || draws.filter(({ budget }) => budget !== undefined).length > 1;
    const isNothing = slots.length === 0 && draws.every(({ amount }) => amount === 0);
    if (dryRun === true || isTwice || isNothing || draws.length > MEASURES.length) return undefined;
    const measureOf = (draw: Draw, index: number): Measure =>
      draw.budget ? 'usdPerDay' : (MEASURES[index] ?? 'requests');
    return { ceilings: draws.map((draw, index) => ceilingOf(draw, measureOf(draw, index))), slots };
  }

  /** The lane's grants have no end of their own: the model's have. */
  function expire(now: number): void {
    for (const [id, { bounds, amounts, expiresAt }] of taken) {
      if (expiresAt > now) continue;
      taken.delete(id);
      lane?.settle(bounds, amounts, { ...NOTHING, nanoUsd: amounts.nanoUsd }, now);
    }
  }

  let latest = 0;
  return {
    granted: () => granted,
    async reserve(reservation, now) {
      latest = Math.max(latest, Math.floor(now));
      expire(latest);
      const bounds = boundsOf(reservation);
      const amounts = amountsBy(
        bounds?.ceilings ?? [],
        reservation.draws.map(({ amount }) => amount),
      );
      const remaining = bounds && lane.take(bounds, amounts, now);
      if (bounds === undefined || remaining === undefined) return store.reserve(reservation, now);
      granted += 1;
      taken.set(reservation.id, { bounds, amounts, expiresAt: latest + reservation.ttlMs });
      return { granted: true, retryAfterMs: 0, remaining };
    },
    async settle(reservation, used, now) {
      latest = Math.max(latest, Math.floor(now));
      expire(latest);
      const one = taken.get(reservation.id);
      if (one === undefined) return store.settle(reservation, used, now);
      taken.delete(reservation.id);
      lane.settle(one.bounds, one.amounts, amountsBy(one.bounds.ceilings, used), now);
    },
  };
}

const MEASURES = ['requests', 'inputTokens', 'outputTokens'] as const;
const NOTHING: Amounts = { requests: 0, inputTokens: 0, outputTokens: 0, nanoUsd: 0 };

/** Numbers in the order of the ceilings, by what these measure. Where one is missing it makes no sense. */
function amountsBy(ceilings: readonly Ceiling[], numbers: readonly number[]): Amounts {
  const amountOf = (measure: Measure): number => {
    const index = ceilings.findIndex((ceiling) => ceiling.measure === measure);
    return index === -1 ? 0 : (numbers[index] ?? Number.NaN);
  };
  return {
    requests: amountOf('requests'),
    inputTokens: amountOf('inputTokens'),
    outputTokens: amountOf('outputTokens'),
    nanoUsd: amountOf('usdPerDay'),
  };
}
