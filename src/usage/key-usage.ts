import type { InAgeOrder } from '../base/age-order.js';
import type { UsageRecord } from './usage-store.js';
import { addCall, type GrowingSums, NO_USAGE } from './usage-sums.js';

export const HOUR_MS = 3_600_000;

/** Calls of one key, model and operation in one hour. */
export interface Cell {
  readonly model: string;
  readonly operation: string;
  readonly sums: GrowingSums;
  /** The cell of another operation with the same model. */
  readonly next: Cell | undefined;
}

/** Cells of one hour. Most have one. */
export interface Hour {
  /** Unix time in milliseconds. */
  readonly startsAt: number;
  first: Cell | undefined;
  /** By the model; `undefined` where there is no further one. */
  further: Map<string, Cell> | undefined;
  rows: number;
}

/** Usage of one key for one owner. */
export interface KeyUsage extends InAgeOrder<KeyUsage> {
  readonly keyId: string;
  readonly owner: string;
  /** The model that came first. */
  readonly model: string;
  furtherModels: Set<string> | undefined;
  newest: Hour;
  /** Hours before the newest, by their beginnings; `undefined` where there was none. */
  earlier: Map<number, Hour> | undefined;
  rows: number;
}

/** The usage of a key for the owner of its first call, without that call. */
export function newUsage({ keyId, owner, model, startedAt }: UsageRecord): KeyUsage {
  return {
    keyId,
    owner,
    model,
    furtherModels: undefined,
    newest: emptyHour(hourOf(startedAt)),
    earlier: undefined,
    rows: 0,
    older: undefined,
    newer: undefined,
  };
}

/** The beginning of an instant's hour. */
function hourOf(wallMs: number): number {
  return wallMs - (wallMs % HOUR_MS);
}

/** Bounds of what one key's usage may grow to. */
export interface KeyBounds {
  /** Milliseconds back from its newest hour. */
  readonly maxAgeMs: number;
  readonly maxModels: number;
  readonly maxRows: number;
}

/** Calls of any model past `maxModels`. */
const FURTHER_MODELS = '*';

/** Counts a call in its hour, unless that is past. */
export function countCall(usage: KeyUsage, record: UsageRecord, bounds: KeyBounds): void {
  const hour = hourAt(usage, record.startedAt, bounds);
  if (hour === undefined) return;
  const model = toldModel(usage, record.model, bounds);
  let cell = hour.first?.model === model ? hour.first : hour.further?.get(model);
  while (cell !== undefined && cell.operation !== record.operation) cell = cell.next;
  cell ??= openCell(usage, hour, { model, operation: record.operation, maxRows: bounds.maxRows });
  addCall(cell.sums, record);
}

/** The hour of a call that began then; `undefined`: it is past. */
function hourAt(usage: KeyUsage, startedAt: number, { maxAgeMs }: KeyBounds): Hour | undefined {
  const { newest } = usage;
  const sinceMs = startedAt - newest.startsAt;
  if (sinceMs >= 0 && sinceMs < HOUR_MS) return newest;
  const startsAt = hourOf(startedAt);
  if (startsAt <= newest.startsAt - maxAgeMs) return undefined;
  usage.earlier ??= new Map();
  const { earlier } = usage;
  const hour = earlier.get(startsAt) ?? emptyHour(startsAt);
  if (startsAt < newest.startsAt) {
    earlier.set(startsAt, hour);
    return hour;
  }
  earlier.set(newest.startsAt, newest);
  usage.newest = hour;
  for (const old of earlier.keys()) if (old <= startsAt - maxAgeMs) forget(usage, earlier, old);
  return hour;
}

function emptyHour(startsAt: number): Hour {
  return { startsAt, first: undefined, further: undefined, rows: 0 };
}

/** The model under which a call counts. */
function toldModel(usage: KeyUsage, model: string, { maxModels }: KeyBounds): string {
  if (usage.model === model) return model;
  usage.furtherModels ??= new Set();
  if (usage.furtherModels.size + 1 < maxModels) usage.furtherModels.add(model);
  return usage.furtherModels.has(model) ? model : FURTHER_MODELS;
}

function openCell(
  usage: KeyUsage,
  hour: Hour,
  { model, operation, maxRows }: { readonly model: string; readonly operation: string; readonly maxRows: number },
): Cell {
  const isFirst = hour.first === undefined || hour.first.model === model;
  const next = isFirst ? hour.first : hour.further?.get(model);
  const cell = { model, operation, sums: { ...NO_USAGE }, next };
  if (isFirst) hour.first = cell;
  else {
    hour.further ??= new Map();
    hour.further.set(model, cell);
  }
  hour.rows += 1;
  usage.rows += 1;
  const { earlier } = usage;
  if (usage.rows > maxRows && earlier !== undefined) {
    for (const old of earlier.keys()) {
      if (usage.rows <= maxRows || old === hour.startsAt) break;
      forget(usage, earlier, old);
    }
  }
  return cell;
}

function forget(usage: KeyUsage, earlier: Map<number, Hour>, hour: number): void {
  usage.rows -= earlier.get(hour)?.rows ?? 0;
  earlier.delete(hour);
}

/** Every hour of a key's usage as it is now: a report takes turns, in which the newest may become an earlier one. */
export function hoursOf({ newest, earlier }: KeyUsage): readonly Hour[] {
  return earlier === undefined ? [newest] : [...earlier.values(), newest];
}

/** Every cell of an hour. */
export function* cellsOf({ first, further }: Hour): Generator<Cell> {
  for (let cell = first; cell !== undefined; cell = cell.next) yield cell;
  for (const one of further?.values() ?? []) {
    for (let cell: Cell | undefined = one; cell !== undefined; cell = cell.next) yield cell;
  }
}
