import type { Settlement } from './encode.js';

/** What Redis has still to be told. */
export interface Leftovers {
  has(id: string): boolean;
  /** The first word about a reservation stands. */
  add(settlement: Settlement): void;
  /** Tells them all, oldest first, and forgets those that were told. @throws what `tell` throws; the rest is kept. */
  drain(tell: (settlement: Settlement) => Promise<unknown>): Promise<void>;
}

const AT_ONCE = 100;

/** @param max most that are remembered; above it the oldest go, and are given back when their time is up. */
export function leftovers(max: number): Leftovers {
  const byId = new Map<string, Settlement>();
  return {
    has: (id) => byId.has(id),
    add(settlement) {
      const { id } = settlement.reservation;
      if (byId.has(id)) return;
      byId.set(id, settlement);
      if (byId.size <= max) return;
      const [oldest] = byId.keys();
      if (oldest !== undefined) byId.delete(oldest);
    },
    async drain(tell) {
      while (byId.size > 0) {
        const some = [...byId.entries()].slice(0, AT_ONCE);
        await Promise.all(
          some.map(async ([id, settlement]) => {
            await tell(settlement);
            byId.delete(id);
          }),
        );
      }
    },
  };
}
