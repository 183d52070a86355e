import { AgeOrder } from '../base/age-order.js';
import type { BucketPlace, BucketRow, PlacedBucket } from './limiter-store.js';

/** Most rows examined in search of one that may go. Examining all would stop the process for 40 ms. */
const MAX_EXAMINED = 8;

/** The part of a bucket whose name has none: no other part has a colon. */
const WHOLE_NAME = ':';

/** A new bucket, and the amount missing in it. */
export interface NewBucket {
  readonly drawn: number;
  readonly refillPerMs: number;
  /** Unix time in milliseconds of the end of a budget's period; `undefined`: it is no budget. */
  readonly endsAt: number | undefined;
}

/**
 * Buckets by name, up to a number of them. Those whose names differ after their last colon alone, as the buckets of one owner
 * do, are in one row: it is searched for, used and forgotten as one. Whoever has kept its place finds it without its name.
 */
export class BucketTable {
  private readonly max: number;
  private readonly isSpare: (bucket: PlacedBucket, at: number) => boolean;
  private size = 0;
  private readonly byName = new Map<string, BucketRow>();
  private readonly order = new AgeOrder<BucketRow>();

  /** @param isSpare whether a bucket may go. */
  constructor(max: number, isSpare: (bucket: PlacedBucket, at: number) => boolean) {
    this.max = max;
    this.isSpare = isSpare;
  }

  /** The bucket of that place, whose row is now the latest used. */
  getAt(place: BucketPlace, part: string): PlacedBucket | undefined {
    let bucket = this.rowAt(place)?.first;
    while (bucket !== undefined && bucket.part !== part) bucket = bucket.next;
    return bucket;
  }

  /** The bucket of that name, whose row is now the latest used. */
  get(name: string): PlacedBucket | undefined {
    const { place, part } = placedBy(name);
    return this.getAt(place, part);
  }

  /** @returns the bucket. */
  addAt(place: BucketPlace, part: string, { drawn, refillPerMs, endsAt }: NewBucket, at: number): PlacedBucket {
    // First its row, which is the last to go then.
    this.rowAt(place);
    if (this.size >= this.max) this.makeRoom(at);
    const row = this.rowAt(place) ?? this.openRow(place);
    const bucket: PlacedBucket = { part, drawn, since: at, refillPerMs, endsAt, next: row.first };
    row.first = bucket;
    this.size += 1;
    return bucket;
  }

  add(name: string, bucket: NewBucket, at: number): PlacedBucket {
    const { place, part } = placedBy(name);
    return this.addAt(place, part, bucket, at);
  }

  /** Finds a row by name only when nobody has found it before, or it was forgotten since. */
  private rowAt(place: BucketPlace): BucketRow | undefined {
    if (place.found?.isKept !== true) place.found = this.byName.get(place.name);
    if (place.found !== undefined) this.order.use(place.found);
    return place.found;
  }

  private openRow(place: BucketPlace): BucketRow {
    const row: BucketRow = { name: place.name, first: undefined, isKept: true, older: undefined, newer: undefined };
    this.byName.set(row.name, row);
    this.order.add(row);
    place.found = row;
    return row;
  }

  /** Removes buckets of one row that are spare, or the row unused for longest where none is found. */
  private makeRoom(at: number): void {
    const { oldest } = this.order;
    let row = oldest;
    for (let examined = 0; row !== undefined && examined < MAX_EXAMINED; examined += 1) {
      if (this.isAllSpare(row, at)) {
        this.forget(row);
        return;
      }
      if (this.dropEnded(row, at)) return;
      row = row.newer;
    }
    if (oldest !== undefined) this.forget(oldest);
  }

  private forget(row: BucketRow): void {
    this.byName.delete(row.name);
    this.order.remove(row);
    row.isKept = false;
    for (let bucket = row.first; bucket !== undefined; bucket = bucket.next) this.size -= 1;
  }

  private isAllSpare({ first }: BucketRow, at: number): boolean {
    for (let bucket = first; bucket !== undefined; bucket = bucket.next) if (!this.isSpare(bucket, at)) return false;
    return true;
  }

  /** Removes the spare budgets of a row: an owner who calls each day has a new one in it for each. @returns whether there were any. */
  private dropEnded(row: BucketRow, at: number): boolean {
    const before = this.size;
    let kept: PlacedBucket | undefined;
    let bucket = row.first;
    while (bucket !== undefined) {
      const { next } = bucket;
      if (bucket.endsAt !== undefined && this.isSpare(bucket, at)) {
        if (kept === undefined) row.first = next;
        else kept.next = next;
        this.size -= 1;
      } else kept = bucket;
      bucket = next;
    }
    return this.size < before;
  }
}

/** Ends of the names that a gateway's own buckets have: their parts are few. A host's `user:1`, `user:2` … are a row each. */
const PARTED = /:(?:requests|tokens|inputTokens|outputTokens|usdPer(?:Day|Month):[^:]*)$/;

/** The place and part of a bucket by its name. */
export function placedBy(name: string): { readonly place: BucketPlace; readonly part: string } {
  if (!PARTED.test(name)) return { place: { name, found: undefined }, part: WHOLE_NAME };
  const colon = name.lastIndexOf(':');
  return { place: { name: name.slice(0, colon), found: undefined }, part: name.slice(colon + 1) };
}
