import { AgeOrder } from '../base/age-order.js';
import { type KeyUsage, newUsage } from './key-usage.js';
import type { UsageRecord } from './usage-store.js';

/** Usage of the keys that were used latest. Where there is seldom more than one of a thing, there is no table: of a million keys in turn, each makes its row anew. */
export class KeyTable {
  private readonly max: number;
  /** By the id of the key. */
  private readonly first = new Map<string, KeyUsage>();
  /** Usage of keys for further owners, by both names in one, which is a new text for each call. */
  private readonly further = new Map<string, KeyUsage>();
  private readonly order = new AgeOrder<KeyUsage>();

  constructor(max: number) {
    this.max = max;
  }

  /** The usage of the record's key and owner, now the latest used. */
  use(record: UsageRecord): KeyUsage {
    const { keyId, owner } = record;
    const first = this.first.get(keyId);
    const usage = first?.owner === owner ? first : this.findFurther(keyId, owner);
    if (usage !== undefined) this.order.use(usage);
    return usage ?? this.open(record);
  }

  private findFurther(keyId: string, owner: string): KeyUsage | undefined {
    return this.further.size === 0 ? undefined : this.further.get(bothNames(keyId, owner));
  }

  *all(): Generator<KeyUsage> {
    for (let usage = this.order.oldest; usage !== undefined; usage = usage.newer) yield usage;
  }

  private open(record: UsageRecord): KeyUsage {
    if (this.first.size + this.further.size >= this.max) this.forgetOldest();
    const { keyId, owner } = record;
    const usage = newUsage(record);
    if (this.first.has(keyId)) this.further.set(bothNames(keyId, owner), usage);
    else this.first.set(keyId, usage);
    this.order.add(usage);
    return usage;
  }

  private forgetOldest(): void {
    const { oldest } = this.order;
    if (oldest === undefined) return;
    this.order.remove(oldest);
    const { keyId, owner } = oldest;
    if (this.first.get(keyId) === oldest) this.first.delete(keyId);
    else this.further.delete(bothNames(keyId, owner));
  }
}

function bothNames(keyId: string, owner: string): string {
  return `${keyId.length} ${keyId} ${owner}`;
}
