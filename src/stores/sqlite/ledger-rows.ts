import type { Price } from '../../models/pricing.js';
import type { UsageRecord, UsageStart } from '../../usage/usage-store.js';
import { TOKEN_COLUMNS } from '../usage-columns.js';
import type { SqlValue } from './driver.js';

/** Columns of a call's beginning, in the order of `startRow`. */
export const START_COLUMNS: readonly string[] = [
  'request_id',
  'key_id',
  'owner',
  'tier',
  'operation',
  'upstream',
  'started_at',
  'reserved_input_tokens',
  'reserved_output_tokens',
  'reserved_nano_usd',
  'model',
  'price',
  'upstream_price',
  'price_version',
  'service_tier',
];
/** Place of the first of those that may be known better when the call ends: the model, its prices, the service tier. */
export const FIRST_CHANGING: number = START_COLUMNS.indexOf('model');
/** Columns of a call's end, in the order in which `recordRow` has them after the beginning. */
export const END_COLUMNS: readonly string[] = [
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

/** Writes calls in the form of rows. Prices are those of a few models, and nobody changes them: each is made JSON once. */
export interface RowWriter {
  startRow(start: UsageStart): SqlValue[];
  recordRow(record: UsageRecord): SqlValue[];
}

export function rowWriter(): RowWriter {
  const texts = new WeakMap<Price, string>();

  function textOfPrice(price: Price | undefined): string | null {
    if (price === undefined) return null;
    const known = texts.get(price);
    if (known !== undefined) return known;
    const text = JSON.stringify(price);
    texts.set(price, text);
    return text;
  }

  function startRow(start: UsageStart): SqlValue[] {
    return [
      start.requestId,
      start.keyId,
      start.owner,
      start.tier,
      start.operation,
      start.upstream,
      Math.floor(start.startedAt),
      start.reservedInputTokens,
      start.reservedOutputTokens ?? null,
      start.reservedNanoUsd ?? null,
      start.model,
      textOfPrice(start.price),
      textOfPrice(start.upstreamPrice),
      start.priceVersion ?? null,
      start.serviceTier ?? null,
    ];
  }

  return {
    startRow,
    recordRow(record) {
      const row = startRow(record);
      row.push(
        record.outcome,
        record.counted,
        record.inputTokens ?? null,
        record.cachedInputTokens ?? null,
        record.cacheWriteTokens ?? null,
        record.cacheWriteLongTokens ?? null,
        record.inputAudioTokens ?? null,
        record.inputImageTokens ?? null,
        record.outputTokens ?? null,
        record.reasoningTokens ?? null,
        record.outputAudioTokens ?? null,
        record.costNanoUsd ?? null,
        record.upstreamCostNanoUsd ?? null,
        record.isOverReserved === undefined ? null : Number(record.isOverReserved),
        record.status ?? null,
        record.errorCode ?? null,
        record.firstByteMs === undefined ? null : Math.round(record.firstByteMs),
        Math.round(record.durationMs),
      );
      return row;
    },
  };
}
