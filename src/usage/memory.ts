import { checkOptionNames, positiveInteger } from '../base/checks.js';
import { turn } from '../base/turns.js';
import { type InUseOrder, UseOrder } from '../base/use-order.js';
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
  /** The cell of another operation with the same model. */
  readonly next: Cell | undefined;
}

/** Cells of one hour. Most have one. */
interface Hour {
  first: Cell | undefined;
  /** By the model; `undefined` where there is no further one. */
  further: Map<string, Cell> | undefined;
  rows: number;
}

interface KeyUsage extends InUseOrder<KeyUsage> {
  readonly keyId: string;
  readonly owner: string;
  /** The model that came first. */
  readonly model: string;
  furtherModels: Set<string> | undefined;
  /** By the hour's beginning. */
  readonly hours: Map<number, Hour>;
  newestHour: number;
  rows: number;
}

/** Ids of the calls that were settled latest: a call that is settled again must not count again. */
class LatestIds {
  private readonly ids = new Set<string>();
  private readonly ring: string[] = [];
  private at = 0;

  /** @returns whether it is new. */
  add(id: string): boolean {
    if (this.ids.has(id)) return false;
    const oldest = this.ring[this.at];
    if (oldest !== undefined) this.ids.delete(oldest);
    this.ring[this.at] = id;
    this.at = (this.at + 1) % MAX_SETTLED;
    this.ids.add(id);
    return true;
  }
}

/** Usage of keys, those that were used latest. What is seldom more than one has no table: of a million keys in turn, each makes its row anew. */
class KeyTable {
  private readonly max: number;
  /** By the id of the key. */
  private readonly first = new Map<string, KeyUsage>();
  /** Usage of keys for further owners, by both names in one, which is a new text for each call. */
  private readonly further = new Map<string, KeyUsage>();
  private readonly order = new UseOrder<KeyUsage>();

  constructor(max: number) {
    this.max = max;
  }

  /** The usage of the record's key and owner, now the latest used. */
  use({ keyId, owner, model }: UsageRecord): KeyUsage {
    const first = this.first.get(keyId);
    const usage = first?.owner === owner ? first : this.findFurther(keyId, owner);
    if (usage !== undefined) this.order.use(usage);
    return usage ?? this.open(keyId, owner, model);
  }

  private findFurther(keyId: string, owner: string): KeyUsage | undefined {
    return this.further.size === 0 ? undefined : this.further.get(bothNames(keyId, owner));
  }

  *all(): Generator<KeyUsage> {
    for (let usage = this.order.oldest; usage !== undefined; usage = usage.newer) yield usage;
  }

  private open(keyId: string, owner: string, model: string): KeyUsage {
    if (this.first.size + this.further.size >= this.max) this.forgetOldest();
    const usage: KeyUsage = {
      keyId,
      owner,
      model,
      furtherModels: undefined,
      hours: new Map(),
      newestHour: Number.NEGATIVE_INFINITY,
      rows: 0,
      older: undefined,
      newer: undefined,
    };
    if (this.first.has(keyId)) this.further.set(bothNames(keyId, owner), usage);
    else this.first.set(keyId, usage);
    this.order.add(usage);
    return usage;
  }

  private forgetOldest(): void {
    const { oldest } = this.order;
    if (oldest === undefined) return;
    this.order.remove(oldest);
    const { keyId, owner } = oldest;
    if (this.first.get(keyId) === oldest) this.first.delete(keyId);
    else this.further.delete(bothNames(keyId, owner));
  }
}

function bothNames(keyId: string, owner: string): string {
  return `${keyId.length} ${keyId} ${owner}`;
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
  const keys = new KeyTable(positiveInteger('maxKeys', options.maxKeys ?? 10_000));
  const settled = new LatestIds();

  function count(record: UsageRecord): void {
    const usage = keys.use(record);
    const { hours } = usage;
    const startsAt = record.startedAt - (record.startedAt % HOUR_MS);
    if (startsAt > usage.newestHour) {
      usage.newestHour = startsAt;
      for (const old of hours.keys()) if (old <= startsAt - maxAgeMs) forget(usage, old);
    } else if (startsAt <= usage.newestHour - maxAgeMs) return;
    let hour = hours.get(startsAt);
    if (hour === undefined) {
      hour = { first: undefined, further: undefined, rows: 0 };
      hours.set(startsAt, hour);
    }
    const model = toldModel(usage, record.model);
    let cell = hour.first?.traits.model === model ? hour.first : hour.further?.get(model);
    while (cell !== undefined && cell.traits.operation !== record.operation) cell = cell.next;
    addCall((cell ?? openCell(usage, hour, { startsAt, model, record })).sums, record);
  }

  /** The model under which a call counts. */
  function toldModel(usage: KeyUsage, model: string): string {
    if (usage.model === model) return model;
    usage.furtherModels ??= new Set();
    if (usage.furtherModels.size + 1 < maxModels) usage.furtherModels.add(model);
    return usage.furtherModels.has(model) ? model : FURTHER_MODELS;
  }

  function openCell(
    usage: KeyUsage,
    hour: Hour,
    { startsAt, model, record }: { readonly startsAt: number; readonly model: string; readonly record: UsageRecord },
  ): Cell {
    const { keyId, owner, operation } = record;
    const isFirst = hour.first === undefined || hour.first.traits.model === model;
    const next = isFirst ? hour.first : hour.further?.get(model);
    const cell = { traits: { keyId, owner, model, operation }, sums: { ...NO_USAGE }, next };
    if (isFirst) hour.first = cell;
    else {
      hour.further ??= new Map();
      hour.further.set(model, cell);
    }
    hour.rows += 1;
    usage.rows += 1;
    for (const old of usage.hours.keys()) {
      if (usage.rows <= maxRows || old === startsAt) break;
      forget(usage, old);
    }
    return cell;
  }

  function forget(usage: KeyUsage, hour: number): void {
    usage.rows -= usage.hours.get(hour)?.rows ?? 0;
    usage.hours.delete(hour);
  }

  async function report(query: UsageQuery): Promise<UsageGroup[]> {
    const { from, to, only = {}, by, every } = query;
    const groups = new Map<string, UsageGroup>();
    const wanted = [...keys.all()].filter(
      ({ keyId, owner }) => only.keyId?.includes(keyId) !== false && only.owner?.includes(owner) !== false,
    );
    let read = 0;
    for (const { hours } of wanted) {
      for (const [hour, cells] of hours) {
        read += 1 + cells.rows;
        if (read > CELLS_PER_TURN) {
          read = 0;
          await turn();
        }
        if (hour + HOUR_MS <= from || hour >= to) continue;
        const startsAt = every === undefined ? from : every === 'day' ? hour - (hour % DAY_MS) : hour;
        for (const { traits, sums } of cellsOf(cells)) {
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
      if (settled.add(record.requestId)) count(record);
    },
    report,
  };
}

function isAmong({ model, operation }: Traits, only: NonNullable<UsageQuery['only']>): boolean {
  return only.model?.includes(model) !== false && only.operation?.includes(operation) !== false;
}

function* cellsOf({ first, further }: Hour): Generator<Cell> {
  for (let cell = first; cell !== undefined; cell = cell.next) yield cell;
  for (const one of further?.values() ?? []) {
    for (let cell: Cell | undefined = one; cell !== undefined; cell = cell.next) yield cell;
  }
}
