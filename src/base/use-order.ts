/** A member of an order of use, with its neighbours there. Both are kept by `UseOrder`. */
export interface InUseOrder<One> {
  older: One | undefined;
  newer: One | undefined;
}

/** An order of use that runs through its members themselves: to use one neither looks it up by a name nor makes anything. */
export class UseOrder<One extends InUseOrder<One>> {
  /** The member that was unused for longest. */
  oldest: One | undefined = undefined;
  private newest: One | undefined = undefined;

  /** Adds a member, as the latest used. */
  add(one: One): void {
    one.older = this.newest;
    if (this.newest === undefined) this.oldest = one;
    else this.newest.newer = one;
    this.newest = one;
  }

  /** Makes a member the latest used. */
  use(one: One): void {
    if (this.newest === one) return;
    this.remove(one);
    this.add(one);
  }

  /** Removes a member. */
  remove(one: One): void {
    const { older, newer } = one;
    if (older === undefined) this.oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.newest = older;
    else newer.older = older;
    // The links of a member that is gone would keep its neighbours alive for the garbage collector.
    one.older = undefined;
    one.newer = undefined;
  }
}
