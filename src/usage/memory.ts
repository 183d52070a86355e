import { checkOptionNames, positiveInteger } from '../base/checks.js';
import { turn } from '../base/turns.js';
import { KeyTable } from './key-table.js';
import { type Cell, cellsOf, countCall, HOUR_MS, type Hour, hoursOf, type KeyUsage } from './key-usage.js';
import { LatestIds } from './latest-ids.js';
import type { UsageDimension, UsageGroup, UsageQuery, UsageReader, UsageStore } from './usage-store.js';
import { addedSums, CELLS_PER_TURN, NO_USAGE, sortedInTurns } from './usage-sums.js';

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

const DAY_MS = 24 * HOUR_MS;

/**
 * Sums of usage by the hour in this process's memory, gone with it: for reports, not a ledger. A record counts once,
 * when its call is settled for the first time, in the hour in which the call started. Reports are
 * exact for periods of whole UTC hours; any other period counts as all the hours that it touches, and minutes are
 * answered by the hour.
 * @throws {TypeError} when an option is not a positive integer.
 */
export function memoryUsage(options: MemoryUsageOptions = {}): UsageStore & UsageReader {
  checkOptionNames(options, OPTIONS);
  const bounds = {
    maxAgeMs: positiveInteger('maxHours', options.maxHours ?? 744) * HOUR_MS,
    maxModels: positiveInteger('maxModels', options.maxModels ?? 200),
    maxRows: positiveInteger('maxRowsPerKey', options.maxRowsPerKey ?? 50_000),
  };
  const keys = new KeyTable(positiveInteger('maxKeys', options.maxKeys ?? 10_000));
  /** Calls that were settled latest: one that is settled again must not count again. */
  const settled = new LatestIds();

  async function report(query: UsageQuery): Promise<UsageGroup[]> {
    const { from, to, only = {}, by, every } = query;
    const groups = new Map<string, UsageGroup>();
    const wanted = [...keys.all()].filter(
      ({ keyId, owner }) => only.keyId?.includes(keyId) !== false && only.owner?.includes(owner) !== false,
    );
    let read = 0;
    for (const usage of wanted) {
      for (const hour of hoursOf(usage)) {
        read += 1 + hour.rows;
        if (read > CELLS_PER_TURN) {
          read = 0;
          await turn();
        }
        if (hour.startsAt + HOUR_MS <= from || hour.startsAt >= to) continue;
        const startsAt = every === undefined ? from : beginOf(hour, every);
        for (const cell of cellsOf(hour)) {
          if (!isAmong(cell, only)) continue;
          const traits = traitsOf(usage, cell);
          const { sums } = cell;
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
      if (settled.add(record.requestId)) countCall(keys.use(record), record, bounds);
    },
    report,
  };
}

function isAmong({ model, operation }: Cell, only: NonNullable<UsageQuery['only']>): boolean {
  return only.model?.includes(model) !== false && only.operation?.includes(operation) !== false;
}

function beginOf({ startsAt }: Hour, every: NonNullable<UsageQuery['every']>): number {
  return every === 'day' ? startsAt - (startsAt % DAY_MS) : startsAt;
}

function traitsOf({ keyId, owner }: KeyUsage, { model, operation }: Cell): { readonly [D in UsageDimension]: string } {
  return { keyId, owner, model, operation };
}
