import { LRUCache } from 'lru-cache';
import { checkOptionNames, positiveInteger } from '../base/checks.js';
import { turn } from '../base/turns.js';
import type { UsageDimension, UsageGroup, UsageQuery, UsageReader, UsageRecord, UsageStore } from './usage-store.js';
import { addCall, addedSums, CELLS_PER_TURN, type GrowingSums, NO_USAGE, sortedInTurns } from './usage-sums.js';

export interface MemoryUsageOptions {
  /**
   * Most keys remembered; above it, the key unused for longest is forgotten. A key counts once for each of its owners.
   * @default 10_000
   */
  readonly maxKeys?: number | undefined;
  /**
   * Most hours remembered for each key, back from its latest; each takes about 200 bytes for a model and operation.
   * @default 744, 31 days
   */
  readonly maxHours?: number | undefined;
  /** Most rows remembered for each key, a row for each hour, model and operation; above it, its oldest hours go. @default 50_000 */
  readonly maxRowsPerKey?: number | undefined;
  /** Most models told apart for each key; calls of any further model count as those of a model `*`. @default 200 */
  readonly maxModels?: number | undefined;
}

const OPTIONS: Readonly<Record<keyof MemoryUsageOptions, true>> = {
  maxKeys: true,
  maxHours: true,
  maxRowsPerKey: true,
  maxModels: true,
};

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const FURTHER_MODELS = '*';
const MAX_SETTLED = 1_000;

type Traits = { readonly [Dimension in UsageDimension]: string };

/** Calls of one key, model and operation in one hour. */
interface Cell {
  readonly traits: Traits;
  readonly sums: GrowingSums;
}

interface KeyUsage {
  readonly keyId: string;
  readonly owner: string;
  readonly models: Set<string>;
  /** By the hour's beginning. */
  readonly hours: Map<number, Map<string, Cell>>;
  newestHour: number;
  rows: number;
}

/**
 * Sums of usage by the hour in this process's memory, gone with it: for reports, not a ledger. A record counts once,
 * when its call is settled for the first time, in the hour in which the call started. Reports are
 * exact for periods of whole UTC hours; any other period counts as all the hours that it touches, and minutes are
 * answered by the hour.
 * @throws {TypeError} when an option is not a positive integer.
 */
export function memoryUsage(options: MemoryUsageOptions = {}): UsageStore & UsageReader {
  checkOptionNames(options, OPTIONS);
  const maxAgeMs = positiveInteger('maxHours', options.maxHours ?? 744) * HOUR_MS;
  const maxModels = positiveInteger('maxModels', options.maxModels ?? 200);
  const maxRows = positiveInteger('maxRowsPerKey', options.maxRowsPerKey ?? 50_000);
  const keys = new LRUCache<string, KeyUsage>({ max: positiveInteger('maxKeys', options.maxKeys ?? 10_000) });
  // A call that is settled again must not count again.
  const settled = new LRUCache<string, true>({ max: MAX_SETTLED });

  function usageOf({ keyId, owner }: UsageRecord): KeyUsage {
    const name = `${keyId.length} ${keyId} ${owner}`;
    const known = keys.get(name);
    if (known !== undefined) return known;
    const made = {
      keyId,
      owner,
      models: new Set<string>(),
      hours: new Map(),
      newestHour: Number.NEGATIVE_INFINITY,
      rows: 0,
    };
    keys.set(name, made);
    return made;
  }

  function count(record: UsageRecord): void {
    const usage = usageOf(record);
    const { models, hours } = usage;
    const startsAt = record.startedAt - (record.startedAt % HOUR_MS);
    if (startsAt > usage.newestHour) {
      usage.newestHour = startsAt;
      for (const old of hours.keys()) if (old <= startsAt - maxAgeMs) forget(usage, old);
    } else if (startsAt <= usage.newestHour - maxAgeMs) return;
    if (models.size < maxModels) models.add(record.model);
    const cells = hours.get(startsAt) ?? new Map<string, Cell>();
    hours.set(startsAt, cells);
    const { keyId, owner, operation } = record;
    const model = models.has(record.model) ? record.model : FURTHER_MODELS;
    const name = `${operation} ${model}`;
    const cell = cells.get(name);
    if (cell !== undefined) addCall(cell.sums, record);
    else {
      const sums = { ...NO_USAGE };
      addCall(sums, record);
      cells.set(name, { traits: { keyId, owner, model, operation }, sums });
      usage.rows += 1;
      for (const old of hours.keys()) {
        if (usage.rows <= maxRows || old === startsAt) break;
        forget(usage, old);
      }
    }
  }

  function forget(usage: KeyUsage, hour: number): void {
    usage.rows -= usage.hours.get(hour)?.size ?? 0;
    usage.hours.delete(hour);
  }

  async function report(query: UsageQuery): Promise<UsageGroup[]> {
    const { from, to, only = {}, by, every } = query;
    const groups = new Map<string, UsageGroup>();
    const wanted = [...keys.values()].filter(
      ({ keyId, owner }) => only.keyId?.includes(keyId) !== false && only.owner?.includes(owner) !== false,
    );
    let read = 0;
    for (const { hours } of wanted) {
      for (const [hour, cells] of hours) {
        read += 1 + cells.size;
        if (read > CELLS_PER_TURN) {
          read = 0;
          await turn();
        }
        if (hour + HOUR_MS <= from || hour >= to) continue;
        const startsAt = every === undefined ? from : every === 'day' ? hour - (hour % DAY_MS) : hour;
        for (const { traits, sums } of cells.values()) {
          if (!isAmong(traits, only)) continue;
          const name = JSON.stringify([startsAt, ...by.map((dimension) => traits[dimension])]);
          const of = groups.get(name)?.of ?? Object.fromEntries(by.map((dimension) => [dimension, traits[dimension]]));
          groups.set(name, { startsAt, of, sums: addedSums(groups.get(name)?.sums ?? NO_USAGE, sums) });
        }
      }
    }
    return sortedInTurns([...groups.values()], by);
  }

  return {
    // What is open dies with the process, as all of this does.
    open() {},
    settle(record) {
      if (settled.has(record.requestId)) return;
      settled.set(record.requestId, true);
      count(record);
    },
    report,
  };
}

function isAmong({ model, operation }: Traits, only: NonNullable<UsageQuery['only']>): boolean {
  return only.model?.includes(model) !== false && only.operation?.includes(operation) !== false;
}
