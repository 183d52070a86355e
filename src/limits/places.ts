import type { Slot } from './limiter-store.js';

/** Names that are remembered although nobody has a place there: a map that is emptied and filled makes a new table each time. */
const MAX_FREE = 1_000;

/**
 * Places that the requests of one gateway have taken, from before their bodies are read until they are answered. The limiter,
 * which knows of other processes, takes its own once a call is known.
 */
export class Places {
  private readonly taken = new Map<string, number>();

  /** Takes a place of each kind, or none. @returns the kind of which there is none left. */
  enter(slots: readonly Slot[]): Slot | undefined {
    for (let at = 0; at < slots.length; at += 1) {
      const slot = slots[at];
      if (slot !== undefined && !((this.taken.get(slot.name) ?? 0) + 1 <= slot.capacity)) return slot;
    }
    for (let at = 0; at < slots.length; at += 1) this.count(slots[at], 1);
    return undefined;
  }

  leave(slots: readonly Slot[]): void {
    for (let at = 0; at < slots.length; at += 1) this.count(slots[at], -1);
  }

  private count(slot: Slot | undefined, more: number): void {
    if (slot === undefined) return;
    const count = (this.taken.get(slot.name) ?? 0) + more;
    if (count <= 0 && this.taken.size > MAX_FREE) this.taken.delete(slot.name);
    else this.taken.set(slot.name, Math.max(0, count));
  }
}
