import type { Clock } from '../../base/clock.js';
import { chargeOfInterrupted, type InterruptedCharge } from '../interrupted.js';
import { type Database, maybeNumberOf, numberOf, type Row, textOf } from './driver.js';
import { hourSums } from './hours.js';
import { type DeadInstance, type Instance, LEASE_MS } from './instance.js';
import { heldRecovery } from './limiter.js';
import { transact } from './transact.js';

const RENEW_MS = 5_000;

/**
 * Settles what dead processes left open, now and every 5 s, and keeps this one's lease.
 * @returns ends it.
 */
export function keepRecovering(db: Database, { instance, clock }: { instance: Instance; clock: Clock }): () => void {
  const recover = recovery(db, instance);
  let cancel = (): void => {};
  let renewedAt = clock.wallMs();

  function tick(): void {
    try {
      const silentMs = clock.wallMs() - renewedAt;
      transact(db, () => instance.renew());
      renewedAt = clock.wallMs();
      // Who has slept past its own lease, with the whole machine perhaps, lets the others wake first.
      // Mostly there is nobody, and then nobody else need wait.
      if (silentMs < LEASE_MS && instance.dead().length > 0) transact(db, recover);
    } catch {
      // The disk is full or locked: whoever opens a call is told so, and here is another try in 5 s.
    }
    cancel = clock.setTimer(tick, RENEW_MS);
  }

  transact(db, () => {
    instance.renew();
    recover();
  });
  cancel = clock.setTimer(tick, RENEW_MS);
  return () => cancel();
}

/**
 * Settles all calls that dead instances left open, each once, whoever else is at it at the same time; and what those hold of
 * limits whose process has ended. For a transaction of the caller's own.
 */
function recovery(db: Database, instance: Instance): () => void {
  const hours = hourSums(db);
  const settleHeld = heldRecovery(db, instance);
  const left = db.prepare(`
    SELECT request_id, started_at, reserved_input_tokens, reserved_output_tokens, reserved_nano_usd, price, checkpoint
    FROM calls WHERE state = 'open' AND instance = ?
  `);
  const settle = db.prepare(`
    UPDATE calls SET state = 'settled', outcome = 'interrupted', counted = 'estimated', recovered = 1,
      input_tokens = $input, output_tokens = $output, cost_nano_usd = $cost, duration_ms = $duration
    WHERE request_id = $id AND state = 'open'
  `);

  function settleCalls({ id, renewedAt }: DeadInstance): void {
    for (const row of left.all(id)) {
      const requestId = textOf(row.request_id);
      const { inputTokens, outputTokens, costNanoUsd } = chargeOf(row);
      // It lived until about then.
      const duration = Math.max(0, renewedAt - numberOf(row.started_at));
      settle.run({ id: requestId, input: inputTokens, output: outputTokens, cost: costNanoUsd ?? null, duration });
      hours.add(requestId);
    }
  }

  return () => {
    const dead = instance.dead();
    for (const one of dead) settleCalls(one);
    for (const one of dead) {
      // Who is only thought dead may still be using what it holds, for as long as it may be held.
      if (!one.isGone || settleHeld(one)) instance.strikeOff(one.id);
    }
  };
}

function chargeOf(row: Row): InterruptedCharge {
  return chargeOfInterrupted({
    reservedInputTokens: numberOf(row.reserved_input_tokens),
    reservedOutputTokens: maybeNumberOf(row.reserved_output_tokens),
    reservedNanoUsd: maybeNumberOf(row.reserved_nano_usd),
    price: row.price === null ? undefined : textOf(row.price),
    checkpoint: maybeNumberOf(row.checkpoint),
  });
}
