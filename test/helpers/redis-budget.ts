import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Draw, LimiterStore, Reservation, Verdict } from '../../src/limits/limiter-store.js';

/** Calls on one budget, with a ledger of their own. */
export interface BudgetedCalls {
  start(parallel: number): void;
  stop(): Promise<void>;
  /** What all calls that have ended cost. */
  spent(): number;
  /** The most that was ever promised: what ended calls cost and what running ones may cost. */
  worst(): number;
  granted(): number;
  /** Calls that the limiter could not decide about. */
  unavailable(): number;
  /** The least call was refused for good. */
  isUsedUp(): boolean;
}

/** So late may a call stand in the ledger after it was granted, in milliseconds; the store is told to wait for a second. */
const LATE_MS = 300;

/** Reserves up to 60, costs at least 1: as the gateway does it. */
export function budgetedCalls(limiter: LimiterStore, { capacity }: { readonly capacity: number }): BudgetedCalls {
  const endsAt = Date.now() + 600_000;
  const ledger = new Map<string, number>();
  const running: Promise<void>[] = [];
  const seen = { spent: 0, running: 0, worst: 0, granted: 0, unavailable: 0, isUsedUp: false, isOver: false };

  async function reserve(id: string, amount: number): Promise<[Verdict, Reservation]> {
    const draw: Draw = { bucket: 'budget', capacity, refillPerMs: 0, amount, budget: { endsAt } };
    const reservation = { id, draws: [draw], slots: [], ttlMs: 60_000 };
    const verdict = await limiter.reserve(reservation, Date.now());
    if (verdict.unknownBudgets !== true) return [verdict, reservation];
    const spent = [...ledger.values()].reduce((sum, cost) => sum + cost, 0);
    await pause(Math.random() * 20);
    const told = { ...reservation, draws: [{ ...draw, budget: { endsAt, spent } }] };
    return [await limiter.reserve(told, Date.now()), told];
  }

  async function call(): Promise<void> {
    const id = randomUUID();
    const amount = 1 + Math.floor(Math.random() * 60);
    const answer = await reserve(id, amount).catch(() => undefined);
    if (answer === undefined) {
      seen.unavailable += 1;
      return pause(10);
    }
    const [{ granted, remaining }, reservation] = answer;
    if (!granted) {
      if ((remaining[0] ?? 0) < 1) seen.isUsedUp = true;
      return pause(5);
    }
    seen.granted += 1;
    seen.running += amount;
    seen.worst = Math.max(seen.worst, seen.spent + seen.running);
    await pause(Math.random() < 0.02 ? LATE_MS : Math.random() * 3);
    ledger.set(id, amount);
    await pause(Math.random() * 10);
    const cost = 1 + Math.floor(Math.random() * amount);
    ledger.set(id, cost);
    seen.running -= amount;
    seen.spent += cost;
    await limiter.settle(reservation, [cost], Date.now());
  }

  return {
    start(parallel) {
      for (let one = 0; one < parallel; one += 1) {
        running.push(
          (async () => {
            while (!seen.isOver) await call();
          })(),
        );
      }
    },
    async stop() {
      seen.isOver = true;
      await Promise.all(running);
    },
    spent: () => seen.spent,
    worst: () => seen.worst,
    granted: () => seen.granted,
    unavailable: () => seen.unavailable,
    isUsedUp: () => seen.isUsedUp,
  };
}
