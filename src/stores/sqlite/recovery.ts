import type { Clock } from '../../clock.js';
import { costNanoUsd, type Price } from '../../models/pricing.js';
import { type Database, maybeNumberOf, numberOf, type Row, textOf } from './driver.js';
import { hourSums } from './hours.js';
import { type Instance, LEASE_MS } from './instance.js';
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
      if (silentMs < LEASE_MS) recover();
    } catch {
      // The disk is full or locked: whoever opens a call is told so, and here is another try in 5 s.
    }
    cancel = clock.setTimer(tick, RENEW_MS);
  }

  transact(db, () => instance.renew());
  recover();
  cancel = clock.setTimer(tick, RENEW_MS);
  return () => cancel();
}

/** Settles all calls that dead instances left open, each once, whoever else is at it at the same time. */
function recovery(db: Database, instance: Instance): () => void {
  const hours = hourSums(db);
  const settleHeld = heldRecovery(db);
  const left = db.prepare(`
    SELECT request_id, started_at, reserved_input_tokens, reserved_output_tokens, reserved_nano_usd, price, checkpoint
    FROM calls WHERE state = 'open' AND instance = ?
  `);
  const settle = db.prepare(`
    UPDATE calls SET state = 'settled', outcome = 'interrupted', counted = 'estimated', recovered = 1,
      input_tokens = $input, output_tokens = $output, cost_nano_usd = $cost, duration_ms = $duration
    WHERE request_id = $id AND state = 'open'
  `);

  return () => {
    // Mostly there is nobody, and then nobody else need wait.
    if (instance.dead().length === 0) return;
    transact(db, () => {
      for (const { id, renewedAt } of instance.dead()) {
        for (const row of left.all(id)) {
          const requestId = textOf(row.request_id);
          const { inputTokens, outputTokens, cost } = chargeOf(row);
          // It lived until about then.
          const duration = Math.max(0, renewedAt - numberOf(row.started_at));
          settle.run({ id: requestId, input: inputTokens, output: outputTokens, cost: cost ?? null, duration });
          hours.add(requestId);
        }
        settleHeld(id);
        instance.strikeOff(id);
      }
    });
  };
}

/** Between what was delivered and what was reserved: the input as reserved, the output as far as it may have got. */
function chargeOf(row: Row) {
  const inputTokens = numberOf(row.reserved_input_tokens);
  const ceiling = maybeNumberOf(row.reserved_output_tokens) ?? Number.POSITIVE_INFINITY;
  const outputTokens = Math.min(ceiling, maybeNumberOf(row.checkpoint) ?? 0);
  const reserved = maybeNumberOf(row.reserved_nano_usd);
  const cost = row.price === null ? undefined : costOf(textOf(row.price), { inputTokens, outputTokens }, reserved);
  return { inputTokens, outputTokens, cost };
}

/** At most what was reserved; that also where the price is one that this version cannot read: the file must still open. */
function costOf(
  price: string,
  tokens: { readonly inputTokens: number; readonly outputTokens: number },
  reserved: number | undefined,
): number | undefined {
  const parts = {
    cachedInputTokens: undefined,
    inputAudioTokens: undefined,
    inputImageTokens: undefined,
    reasoningTokens: undefined,
    outputAudioTokens: undefined,
  };
  try {
    const cost = costNanoUsd(priceOf(price), { ...tokens, ...parts });
    return Number.isSafeInteger(cost) ? Math.min(cost, reserved ?? cost) : reserved;
  } catch {
    return reserved;
  }
}

/** As `open` wrote it. */
function priceOf(json: string): Price {
  return JSON.parse(json);
}
