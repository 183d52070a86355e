import { isTextAt } from '../base/bytes.js';

/** A name or word that is told from others by its bytes, without being made a string. */
export interface KnownText {
  readonly text: string;
  /** Sum of `hashed` over its characters. */
  readonly hash: number;
  /** Its bits, as whoever made the table uses them. */
  readonly flags: number;
}

/** Adds a character to a hash. */
export function hashed(hash: number, code: number): number {
  return (Math.imul(hash, 31) + code) | 0;
}

/** Texts of ASCII by their hash. Whoever sends other texts of the same hash finds only that they are none of these. */
export class KnownTexts {
  private readonly slots: (KnownText | undefined)[];
  private readonly mask: number;

  /** @param flags of each text */
  constructor(flags: ReadonlyMap<string, number>) {
    this.mask = 2 ** Math.ceil(Math.log2(4 * flags.size)) - 1;
    this.slots = Array(this.mask + 1).fill(undefined);
    for (const [text, bits] of flags) {
      let hash = 0;
      for (let at = 0; at < text.length; at += 1) hash = hashed(hash, text.charCodeAt(at));
      let slot = this.slotOf(hash);
      while (this.slots[slot] !== undefined) slot = (slot + 1) & this.mask;
      this.slots[slot] = { text, hash, flags: bits };
    }
  }

  /** The text that stands at that place of the bytes, if it is one of these. @param hash of its bytes. */
  find(hash: number, bytes: Uint8Array, start: number, end: number): KnownText | undefined {
    let slot = this.slotOf(hash);
    for (;;) {
      const known = this.slots[slot];
      if (known === undefined) return undefined;
      if (known.hash === hash && isTextAt(bytes, start, end, known.text)) return known;
      slot = (slot + 1) & this.mask;
    }
  }

  private slotOf(hash: number): number {
    return (hash ^ (hash >>> 15)) & this.mask;
  }
}
