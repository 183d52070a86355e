import { LRUCache } from 'lru-cache';
import { positiveInteger } from '../checks.js';
import type { UsageHour, UsageReader, UsageRecord, UsageStore, UsageSum } from './usage-store.js';

export interface MemoryUsageOptions {
  /** Most keys remembered; above it, those unused for longest are forgotten and begin at 0 again. @default 10_000 */
  readonly maxKeys?: number;
  /** Most hours remembered for each key, back from its latest; about 150 bytes each. @default 744, 31 days */
  readonly maxHours?: number;
  /** Most models told apart for each key; calls of any further model count in the key's totals only. @default 200 */
  readonly maxModels?: number;
  /** Most calls under way; above it, those opened first are forgotten and will not count. @default 100_000 */
  readonly maxOpen?: number;
}

const HOUR_MS = 3_600_000;

/** What adds up. */
type Sum = { -readonly [Field in keyof UsageSum]: number };

interface KeyTotals {
  requests: number;
  inputTokens: number;
  outputTokens: number;
  costNanoUsd: number;
  requestsWithoutCost: number;
  readonly byModel: Map<string, Sum>;
  /** By the hour's beginning, in the order in which they were first used. */
  readonly byHour: Map<number, Sum>;
  newestHour: number;
}

/**
 * Sums of usage in this process's memory, gone with it: what `GET /v1/usage` shows, not a ledger. A record counts once,
 * when its call was opened here and is settled for the first time; its hour is the one it started in.
 * @throws {TypeError} when an option is not a positive integer.
 */
export function memoryUsage(options: MemoryUsageOptions = {}): UsageStore & UsageReader {
  const maxHours = positiveInteger('maxHours', options.maxHours ?? 744);
  const maxModels = positiveInteger('maxModels', options.maxModels ?? 200);
  const keys = new LRUCache<string, KeyTotals>({ max: positiveInteger('maxKeys', options.maxKeys ?? 10_000) });
  // A `Set` keeps the order of opening. An `LRUCache` clears its whole capacity whenever its last entry goes: 0.25 ms.
  const open = new Set<string>();
  const maxOpen = positiveInteger('maxOpen', options.maxOpen ?? 100_000);

  function count(record: UsageRecord): void {
    const totals = keys.get(record.keyId) ?? noUsage();
    keys.set(record.keyId, totals);
    totals.requests += 1;
    totals.inputTokens += record.inputTokens ?? 0;
    totals.outputTokens += record.outputTokens ?? 0;
    totals.costNanoUsd += record.costNanoUsd ?? 0;
    if (record.costNanoUsd === undefined) totals.requestsWithoutCost += 1;
    const { byModel, byHour } = totals;
    if (byModel.has(record.model) || byModel.size < maxModels) add(byModel, record.model, record);
    const hour = Math.floor(record.startedAt / HOUR_MS) * HOUR_MS;
    if (hour > totals.newestHour) {
      totals.newestHour = hour;
      for (const old of byHour.keys()) if (old <= hour - maxHours * HOUR_MS) byHour.delete(old);
    }
    if (hour > totals.newestHour - maxHours * HOUR_MS) add(byHour, hour, record);
  }

  return {
    open({ requestId }) {
      open.add(requestId);
      if (open.size > maxOpen) for (const oldest of open) return void open.delete(oldest);
    },
    settle(record) {
      if (open.delete(record.requestId)) count(record);
    },
    totals(keyId) {
      const { newestHour: _newestHour, byModel, byHour, ...sums } = keys.get(keyId) ?? noUsage();
      return {
        ...sums,
        byModel: new Map([...byModel].map(([model, sum]) => [model, { ...sum }])),
        byHour: [...byHour].map(([startsAt, sum]) => ({ startsAt, ...sum })).sort(byStart),
      };
    },
  };
}

function noUsage(): KeyTotals {
  return {
    requests: 0,
    inputTokens: 0,
    outputTokens: 0,
    costNanoUsd: 0,
    requestsWithoutCost: 0,
    byModel: new Map(),
    byHour: new Map(),
    newestHour: Number.NEGATIVE_INFINITY,
  };
}

function add<Name>(sums: Map<Name, Sum>, name: Name, record: UsageRecord): void {
  const sum = sums.get(name) ?? { requests: 0, tokens: 0, costNanoUsd: 0, requestsWithoutCost: 0 };
  sums.set(name, sum);
  sum.requests += 1;
  sum.tokens += (record.inputTokens ?? 0) + (record.outputTokens ?? 0);
  sum.costNanoUsd += record.costNanoUsd ?? 0;
  if (record.costNanoUsd === undefined) sum.requestsWithoutCost += 1;
}

function byStart(one: UsageHour, other: UsageHour): number {
  return one.startsAt - other.startsAt;
}
