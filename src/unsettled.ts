import type { Clock } from './clock.js';
import type { Hooks } from './hooks.js';
import type { UsageRecord, UsageStore } from './usage/usage-store.js';

/** Records that the usage store did not take, to be given to it again until it does. */
export interface Unsettled {
  add(record: UsageRecord): void;
  /** Resolves when there are none left, or when nothing more can be done in that time. */
  drained(graceMs: number): Promise<void>;
}

/** So many are remembered; above it, the oldest are lost to the store, though not to `hooks.onFinish`. */
const MAX_RECORDS = 10_000;
const RETRY_MS = 500;

export function unsettledRecords(
  usage: UsageStore,
  { clock, hooks }: { readonly clock: Clock; readonly hooks: Required<Hooks> },
): Unsettled {
  const records = new Set<UsageRecord>();
  const waiting: (() => void)[] = [];
  let isTrying = false;

  /** One after the other, in order: a store that fails for one fails for the next. */
  async function retry(): Promise<void> {
    try {
      for (const record of records) {
        await usage.settle(record);
        records.delete(record);
      }
    } catch {
      // It was reported when the record came.
      tryLater();
      return;
    }
    isTrying = false;
    for (const run of waiting.splice(0)) run();
  }

  function tryLater(): void {
    clock.setTimer(() => void retry(), RETRY_MS);
  }

  return {
    add(record) {
      records.add(record);
      if (records.size > MAX_RECORDS) {
        const [oldest] = records;
        if (oldest !== undefined) records.delete(oldest);
        hooks.onError(new Error('The usage store takes no records: the oldest of them is lost'), {
          requestId: oldest?.requestId,
          keyId: oldest?.keyId,
        });
      }
      if (isTrying) return;
      isTrying = true;
      tryLater();
    },
    drained(graceMs) {
      if (records.size === 0) return Promise.resolve();
      return new Promise((resolve) => {
        const cancel = clock.setTimer(resolve, graceMs);
        waiting.push(() => {
          cancel();
          resolve();
        });
      });
    },
  };
}
