import type { Settlement } from './encode.js';

/** Settlements of which Redis has still to be told. */
export interface Leftovers {
  has(id: string): boolean;
  /** Adds a settlement; the first one of a reservation stands. */
  add(settlement: Settlement): void;
  /** Tells all, oldest first, and forgets those told. @throws any error of `tell`; the rest is kept. */
  drain(tell: (settlement: Settlement) => Promise<unknown>): Promise<void>;
}

const AT_ONCE = 100;

/**
 * @param max most settlements remembered; above it, the oldest goes, and its reservation is given back when its time is
 * up.
 */
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
