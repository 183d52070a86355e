import { Counts } from '../base/counts.js';
import type { Slot } from './limiter-store.js';

/**
 * Places that the requests of one gateway have taken, from before their bodies are read until they are answered. The limiter,
 * which knows of other processes, takes its own once a call is known.
 */
export class Places {
  private readonly taken = new Counts();

  /** Takes a place of each kind, or none. @returns the kind of which there is none left. */
  enter(slots: readonly Slot[]): Slot | undefined {
    for (let at = 0; at < slots.length; at += 1) {
      const slot = slots[at];
      if (slot !== undefined && !(this.taken.of(slot.name) + 1 <= slot.capacity)) return slot;
    }
    for (let at = 0; at < slots.length; at += 1) this.count(slots[at], 1);
    return undefined;
  }

  leave(slots: readonly Slot[]): void {
    for (let at = 0; at < slots.length; at += 1) this.count(slots[at], -1);
  }

  private count(slot: Slot | undefined, more: number): void {
    if (slot !== undefined) this.taken.add(slot.name, more);
  }
}
