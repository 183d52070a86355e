/** Names up to which none is forgotten. */
const MAX_NAMES = 1_024;

/**
 * Numbers by name, of which most are 0 most of the time. Those are forgotten together, when there are many: a map from which
 * each is deleted as soon as it is 0 makes its table anew all the time, a kilobyte for each call of a million keys.
 */
export class Counts {
  private counts = new Map<string, number>();
  /** Names at which those of 0 are forgotten. */
  private most = MAX_NAMES;

  of(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  /** @param more below 0: as many fewer, down to 0. */
  add(name: string, more: number): void {
    if (this.counts.size >= this.most) this.forgetUnused();
    this.counts.set(name, Math.max(0, this.of(name) + more));
  }

  private forgetUnused(): void {
    const used = new Map<string, number>();
    for (const [name, count] of this.counts) if (count > 0) used.set(name, count);
    this.counts = used;
    this.most = Math.max(MAX_NAMES, 2 * used.size);
  }
}
