import { systemClock } from '../../src/base/clock.js';
import type { LimiterStore, Reservation } from '../../src/limits/limiter-store.js';
import type { IdempotencyStore } from '../../src/stores/answer-store.js';
import type { UsageStore } from '../../src/usage/usage-store.js';
import { recordUsage, startOf, usageRecordOf } from '../contracts/usage-store.js';

/** Amounts and a place of one call. */
export function wishOf(id: string): Reservation {
  return {
    id,
    draws: [
      { bucket: 'budget', capacity: 1e6, refillPerMs: 0, amount: 6e4, budget: { endsAt: Date.now() + 1e9, spent: 0 } },
      { bucket: 'tokens', capacity: 1e6, refillPerMs: 0, amount: 10 },
    ],
    slots: [{ name: 'place', capacity: 3 }],
    ttlMs: 600_000,
  };
}

/** Reserves for a call that is recorded, one that never is, and one whose end the ledger has; claims a request. */
export async function holdSome(store: {
  readonly usage: UsageStore;
  readonly limiter: LimiterStore;
  readonly idempotency: IdempotencyStore;
}): Promise<void> {
  const now = systemClock.steadyMs();
  for (const id of ['called', 'uncalled', 'ended']) await store.limiter.reserve(wishOf(id), now);
  const startedAt = Date.now();
  await store.usage.open(startOf(usageRecordOf({ requestId: 'called', keyId: 'k', startedAt })));
  await recordUsage(store.usage, usageRecordOf({ requestId: 'ended', keyId: 'k', startedAt, costNanoUsd: 2_000 }));
  await store.idempotency.claim({ id: 'claimed', fingerprint: 'f' }, now, 600_000);
}
