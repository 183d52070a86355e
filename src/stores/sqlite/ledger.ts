import type { UsageRecord, UsageStart, UsageStore } from '../../usage/usage-store.js';
import type { InterruptedCalls } from '../interrupted.js';
import { TOKEN_COLUMNS } from '../usage-columns.js';
import type { Bindings, Database } from './driver.js';
import type { Instance } from './instance.js';
import { hourSums } from './reports.js';
import type { Writer } from './writer.js';

const START_COLUMNS = [
  'request_id',
  'key_id',
  'owner',
  'tier',
  'operation',
  'model',
  'upstream',
  'started_at',
  'reserved_input_tokens',
  'reserved_output_tokens',
  'reserved_nano_usd',
  'price',
  'upstream_price',
  'price_version',
  'service_tier',
];
const END_COLUMNS = [
  'outcome',
  'counted',
  ...TOKEN_COLUMNS,
  'cost_nano_usd',
  'upstream_cost_nano_usd',
  'over_reserved',
  'status',
  'error_code',
  'first_byte_ms',
  'duration_ms',
];

/** Keeps one row for each call: open, then settled once. */
export function sqliteLedger(
  db: Database,
  { writer, instance, calls }: { writer: Writer; instance: Instance; calls: InterruptedCalls },
): Required<UsageStore> {
  const hours = hourSums(db);
  const insert = db.prepare(`
    INSERT INTO calls (state, instance, ${START_COLUMNS.join(', ')})
    VALUES ('open', $instance, ${START_COLUMNS.map((name) => `$${name}`).join(', ')})
    ON CONFLICT (request_id) DO NOTHING
  `);
  const record = db.prepare(`
    INSERT INTO calls (state, instance, ${[...START_COLUMNS, ...END_COLUMNS].join(', ')})
    VALUES ('settled', $instance, ${[...START_COLUMNS, ...END_COLUMNS].map((name) => `$${name}`).join(', ')})
    ON CONFLICT (request_id) DO NOTHING
  `);
  const update = db.prepare(`
    UPDATE calls SET state = 'settled', ${[...START_COLUMNS, ...END_COLUMNS].map((name) => `${name} = $${name}`).join(', ')}
    WHERE request_id = $request_id AND state = 'open'
  `);
  const advance = db.prepare(`
    UPDATE calls SET checkpoint = max(coalesce(checkpoint, 0), ?) WHERE request_id = ? AND state = 'open'
  `);
  const isRecovered = db.prepare('SELECT 1 FROM calls WHERE request_id = ? AND recovered = 1');
  const reopen = db.prepare(`UPDATE calls SET state = 'open', recovered = 0, instance = ? WHERE request_id = ?`);

  /** Changes an open call, even if another process has already declared ours dead. */
  function changeOpen(requestId: string, change: () => { readonly changes: number | bigint }): boolean {
    if (Number(change().changes) > 0) return true;
    if (isRecovered.get(requestId) === undefined) return false;
    hours.subtract(requestId);
    instance.renew('open calls');
    reopen.run(instance.id, requestId);
    return Number(change().changes) > 0;
  }

  return {
    open: (start) =>
      writer.write(() => {
        // Another process may have struck this one off, and an open row without a live instance would be settled.
        instance.renew('open calls');
        insert.run({ instance: instance.id, ...startValues(start) });
      }),
    settle: (end) =>
      writer.write(() => {
        const values = { ...startValues(end), ...endValues(end) };
        const isSettled = changeOpen(end.requestId, () => update.run(values));
        // The row is missing where the file was put back to an older copy.
        if (isSettled || Number(record.run({ instance: '', ...values }).changes) > 0) hours.add(end.requestId);
      }),
    checkpoint: (requestId, outputTokens) =>
      writer.write(() => {
        changeOpen(requestId, () => advance.run(outputTokens, requestId));
      }),
    onInterrupted: calls.listen,
  };
}

function startValues(start: UsageStart): Bindings {
  return {
    request_id: start.requestId,
    key_id: start.keyId,
    owner: start.owner,
    tier: start.tier,
    operation: start.operation,
    model: start.model,
    upstream: start.upstream,
    started_at: Math.floor(start.startedAt),
    reserved_input_tokens: start.reservedInputTokens,
    reserved_output_tokens: start.reservedOutputTokens ?? null,
    reserved_nano_usd: start.reservedNanoUsd ?? null,
    price: start.price === undefined ? null : JSON.stringify(start.price),
    upstream_price: start.upstreamPrice === undefined ? null : JSON.stringify(start.upstreamPrice),
    price_version: start.priceVersion ?? null,
    service_tier: start.serviceTier ?? null,
  };
}

function endValues(record: UsageRecord): Bindings {
  return {
    outcome: record.outcome,
    counted: record.counted,
    input_tokens: record.inputTokens ?? null,
    cached_input_tokens: record.cachedInputTokens ?? null,
    cache_write_tokens: record.cacheWriteTokens ?? null,
    cache_write_long_tokens: record.cacheWriteLongTokens ?? null,
    input_audio_tokens: record.inputAudioTokens ?? null,
    input_image_tokens: record.inputImageTokens ?? null,
    output_tokens: record.outputTokens ?? null,
    reasoning_tokens: record.reasoningTokens ?? null,
    output_audio_tokens: record.outputAudioTokens ?? null,
    cost_nano_usd: record.costNanoUsd ?? null,
    upstream_cost_nano_usd: record.upstreamCostNanoUsd ?? null,
    over_reserved: record.isOverReserved === undefined ? null : Number(record.isOverReserved),
    status: record.status ?? null,
    error_code: record.errorCode ?? null,
    first_byte_ms: record.firstByteMs === undefined ? null : Math.round(record.firstByteMs),
    duration_ms: Math.round(record.durationMs),
  };
}
