import type { UsageRecord } from '../usage/usage-store.js';

/** An admitted call as the rest of the gateway sees it. */
export interface Running {
  /** Ends the call with an error, even if nobody reads its answer any more. */
  giveUp(reason: Error): void;
  /** Calls `run` when the call is settled, at once if it is: with its record, or without one when it was withdrawn. */
  onSettled(run: (record: UsageRecord | undefined) => void): void;
  /** Place among the running calls, which they keep; below 0: it is not among them. */
  place: number;
}

/** Calls that are not settled yet, in no order. A set that is emptied and filled again makes a new table each time: 200 bytes a call. */
export class RunningCalls implements Iterable<Running> {
  private readonly calls: Running[] = [];

  get size(): number {
    return this.calls.length;
  }

  add(call: Running): void {
    call.place = this.calls.length;
    this.calls.push(call);
  }

  /** Does nothing for a call that is not among them. */
  remove(call: Running): void {
    const { place } = call;
    if (place < 0) return;
    call.place = -1;
    const last = this.calls.pop();
    if (last === undefined || last === call) return;
    this.calls[place] = last;
    last.place = place;
  }

  /** Goes over those that run now: whoever ends them on the way leaves none out. */
  [Symbol.iterator](): Iterator<Running> {
    return [...this.calls].values();
  }
}
