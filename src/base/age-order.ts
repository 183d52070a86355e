/** A member of an order of age, with its neighbours there. Both are kept by `AgeOrder`. */
export interface InAgeOrder<One> {
  older: One | undefined;
  newer: One | undefined;
}

/** An order of age that runs through its members themselves: a step in it neither looks up a name nor makes anything. */
export class AgeOrder<One extends InAgeOrder<One>> {
  /** The member that was added or used before all others. */
  oldest: One | undefined = undefined;
  private newest: One | undefined = undefined;

  /** Adds a member, as the newest. */
  add(one: One): void {
    one.older = this.newest;
    if (this.newest === undefined) this.oldest = one;
    else this.newest.newer = one;
    this.newest = one;
  }

  /** Makes a member the newest, as it is used. */
  use(one: One): void {
    if (this.newest === one) return;
    this.remove(one);
    this.add(one);
  }

  /** Removes a member; does nothing for one that is in no order. */
  remove(one: One): void {
    const { older, newer } = one;
    if (older === undefined && this.oldest !== one) return;
    if (older === undefined) this.oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.newest = older;
    else newer.older = older;
    // The links of a member that is gone would keep its neighbours alive for the garbage collector.
    one.older = undefined;
    one.newer = undefined;
  }
}
