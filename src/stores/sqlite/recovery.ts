import type { InterruptedEnd } from '../../limits/limiter-store.js';
import { chargeOfInterrupted, type InterruptedCalls, type InterruptedCharge } from '../interrupted.js';
import { type Database, maybeNumberOf, numberOf, type Row, textOf } from './driver.js';
import { heldRecovery } from './held-recovery.js';
import { hourSums } from './hour-sums.js';
import { claimRelease } from './idempotency.js';
import { type DeadInstance, type Instance, LEASE_MS } from './instance.js';
import type { StoreClock } from './shared-clock.js';
import { transact } from './writer.js';

/** Work within a transaction; what it returns is called once that is committed. */
export type Recover = () => () => void;

/**
 * Keeps this process's lease, looks after the log, and settles the calls that dead processes left open.
 * @param recover see `recovery`.
 * @returns a function to be called every 5 s.
 */
export function tending(
  db: Database,
  {
    instance,
    clock,
    recover,
    checkLog,
  }: { instance: Instance; clock: StoreClock; recover: Recover; checkLog: () => void },
): () => void {
  let renewedAt = clock.wallMs();
  return () => {
    try {
      checkLog();
      const silentMs = clock.wallMs() - renewedAt;
      transact(db, () => instance.renew());
      renewedAt = clock.wallMs();
      // A process that slept past its own lease, with the whole machine perhaps, lets the others wake first.
      // Mostly nobody is dead, and then no other process need wait for a transaction.
      if (silentMs < LEASE_MS && instance.dead().length > 0) transact(db, recover)();
    } catch {
      // The disk is full or locked, or the log is gone: callers are told when they open a call, and recovery tries again in 5 s.
    }
  };
}

/**
 * Settles all calls that dead instances left open, each once, even if others try at the same time. Gives back the reservations
 * and the claims of instances that do not only sleep. Runs within the caller's transaction.
 */
export function recovery(
  db: Database,
  { instance, tell }: { instance: Instance; tell: InterruptedCalls['tell'] },
): Recover {
  const hours = hourSums(db);
  const settleHeld = heldRecovery(db);
  const releaseClaims = claimRelease(db);
  const left = db.prepare(`
    SELECT request_id, key_id, started_at, reserved_input_tokens, reserved_output_tokens, reserved_nano_usd, price, upstream_price,
      service_tier, checkpoint
    FROM calls WHERE state = 'open' AND instance = ?
  `);
  const settle = db.prepare(`
    UPDATE calls SET state = 'settled', outcome = 'interrupted', counted = 'estimated', recovered = 1,
      input_tokens = $input, output_tokens = $output, cost_nano_usd = $cost, upstream_cost_nano_usd = $upstream_cost,
      duration_ms = $duration
    WHERE request_id = $id AND state = 'open'
  `);

  function settleCalls({ id, renewedAt }: DeadInstance): InterruptedEnd[] {
    const ends: InterruptedEnd[] = [];
    for (const row of left.all(id)) {
      const requestId = textOf(row.request_id);
      const { inputTokens, outputTokens, costNanoUsd, upstreamCostNanoUsd } = chargeOf(row);
      // The instance lived until about then.
      const duration = Math.max(0, renewedAt - numberOf(row.started_at));
      settle.run({
        id: requestId,
        input: inputTokens,
        output: outputTokens,
        cost: costNanoUsd ?? null,
        upstream_cost: upstreamCostNanoUsd ?? null,
        duration,
      });
      ends.push({ requestId, keyId: textOf(row.key_id), costNanoUsd });
    }
    hours.addAll(ends.map(({ requestId }) => requestId));
    return ends;
  }

  return () => {
    const dead = instance.dead();
    const ends = dead.flatMap(settleCalls);
    for (const one of dead) {
      // One that only sleeps may still use its reservations, and finish what it claimed.
      if (one.isAsleep) continue;
      releaseClaims(one.id);
      if (settleHeld(one)) instance.strikeOff(one.id);
    }
    return () => tell(ends);
  };
}

function chargeOf(row: Row): InterruptedCharge {
  return chargeOfInterrupted({
    reservedInputTokens: numberOf(row.reserved_input_tokens),
    reservedOutputTokens: maybeNumberOf(row.reserved_output_tokens),
    reservedNanoUsd: maybeNumberOf(row.reserved_nano_usd),
    price: row.price === null ? undefined : textOf(row.price),
    upstreamPrice: row.upstream_price === null ? undefined : textOf(row.upstream_price),
    serviceTier: row.service_tier === null ? undefined : textOf(row.service_tier),
    checkpoint: maybeNumberOf(row.checkpoint),
  });
}
