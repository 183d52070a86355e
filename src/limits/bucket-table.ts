import { UseOrder } from '../base/use-order.js';
import type { PlacedBucket } from './limiter-store.js';

/** Most buckets examined in search of one that may go. Examining all would stop the process for 40 ms. */
const MAX_EXAMINED = 8;

/** The rule of a new bucket, and the amount missing in it. */
export interface NewBucket {
  readonly name: string;
  readonly drawn: number;
  readonly refillPerMs: number;
  /** Unix time in milliseconds of the end of a budget's period; `undefined`: it is no budget. */
  readonly endsAt: number | undefined;
}

/**
 * Buckets by name, up to a number of them. Whoever has kept a bucket uses it without its name.
 */
export class BucketTable {
  private readonly max: number;
  private readonly isSpare: (bucket: PlacedBucket, at: number) => boolean;
  private readonly byName = new Map<string, PlacedBucket>();
  private readonly order = new UseOrder<PlacedBucket>();

  /** @param isSpare whether a bucket may go. */
  constructor(max: number, isSpare: (bucket: PlacedBucket, at: number) => boolean) {
    this.max = max;
    this.isSpare = isSpare;
  }

  /** The bucket of that name, now the latest used. */
  get(name: string): PlacedBucket | undefined {
    const bucket = this.byName.get(name);
    if (bucket !== undefined) this.use(bucket);
    return bucket;
  }

  /** Makes a kept bucket the latest used. */
  use(bucket: PlacedBucket): void {
    this.order.use(bucket);
  }

  /** @returns the bucket. */
  add({ name, drawn, refillPerMs, endsAt }: NewBucket, at: number): PlacedBucket {
    if (this.byName.size >= this.max) this.makeRoom(at);
    const bucket: PlacedBucket = {
      name,
      drawn,
      since: at,
      refillPerMs,
      endsAt,
      isKept: true,
      older: undefined,
      newer: undefined,
    };
    this.byName.set(name, bucket);
    this.order.add(bucket);
    return bucket;
  }

  /** Removes one spare bucket, or the one unused for longest where none is found. */
  private makeRoom(at: number): void {
    let spare = this.order.oldest;
    for (let examined = 1; spare !== undefined && !this.isSpare(spare, at); examined += 1) {
      spare = examined < MAX_EXAMINED ? spare.newer : undefined;
    }
    const gone = spare ?? this.order.oldest;
    if (gone === undefined) return;
    this.byName.delete(gone.name);
    this.order.remove(gone);
    gone.isKept = false;
  }
}
