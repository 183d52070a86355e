/** Ids that are remembered. */
const MAX_IDS = 1_000;
/** A power of two. */
const CHAINS = 1_024;
/** Characters at an id's end by which it is placed: ids differ there. */
const PLACED_BY = 8;
const NONE = -1;

/**
 * The ids that came latest. A table of its own: a `Set` whose oldest member makes room for each new one searches three times
 * and is built anew every few hundred calls, which takes two to four times as long.
 */
export class LatestIds {
  /** The oldest is at `at`, once the ring is full. */
  private readonly ring: string[] = [];
  private readonly hashes = new Int32Array(MAX_IDS);
  /** First place in the ring of each chain, and the place after each. */
  private readonly first = new Int32Array(CHAINS).fill(NONE);
  private readonly after = new Int32Array(MAX_IDS).fill(NONE);
  private at = 0;

  /** @returns whether it is new. */
  add(id: string): boolean {
    const hash = hashOf(id);
    const chain = hash & (CHAINS - 1);
    for (let place = this.placeAt(chain); place !== NONE; place = this.after[place] ?? NONE) {
      if (this.hashes[place] === hash && this.ring[place] === id) return false;
    }
    const { at } = this;
    if (at < this.ring.length) this.forget(at);
    this.ring[at] = id;
    this.hashes[at] = hash;
    this.after[at] = this.placeAt(chain);
    this.first[chain] = at;
    this.at = at + 1 === MAX_IDS ? 0 : at + 1;
    return true;
  }

  private placeAt(chain: number): number {
    return this.first[chain] ?? NONE;
  }

  /** Takes the id at that place out of its chain, where it is the last. */
  private forget(gone: number): void {
    const chain = (this.hashes[gone] ?? 0) & (CHAINS - 1);
    let before = this.placeAt(chain);
    if (before === gone) {
      this.first[chain] = NONE;
      return;
    }
    while (this.after[before] !== gone) before = this.after[before] ?? NONE;
    this.after[before] = NONE;
  }
}

function hashOf(id: string): number {
  let hash = id.length;
  for (let at = Math.max(0, id.length - PLACED_BY); at < id.length; at += 1) {
    hash = (Math.imul(hash, 31) + id.charCodeAt(at)) | 0;
  }
  return hash;
}
