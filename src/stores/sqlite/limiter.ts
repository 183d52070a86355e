import { drawFrom, fullBucket, remainingOf, setRefill, waitMsFor } from '../../limiter/bucket.js';
import type { Draw, LimiterStore, Reservation, Slot, Verdict } from '../../limiter/limiter-store.js';
import { type Database, maybeNumberOf, type Row, textOf } from './driver.js';
import type { DeadInstance, Instance } from './instance.js';
import {
  type HeldDraw,
  type HeldWish,
  type KeptBucket,
  type LimiterTables,
  limiterTables,
  newBucket,
} from './limiter-tables.js';
import type { Writer } from './writer.js';

/** A slot tells nobody when it comes free. */
const SLOT_RETRY_MS = 1_000;
/** Of so many reservations, one looks for buckets that may go. */
const TIDY_EVERY = 64;

/** The buckets that one reservation names, each once, however many of its draws name it. */
type Found = Map<string, KeptBucket>;

/**
 * Limit counters in the file, for all processes that share it: `memoryLimiter`'s rules and arithmetic, each call within one
 * transaction. Instants are the latest that any of them told.
 */
export function sqliteLimiter(
  db: Database,
  { writer, instance }: { writer: Writer; instance: Instance },
): LimiterStore {
  const tables = limiterTables(db, instance.id);
  const giveBack = giverBack(tables);
  let reserved = 0;

  function advanceTo(now: number): number {
    const at = tables.advance(Math.floor(now));
    for (let late = tables.takeExpired(at); late !== undefined; late = tables.takeExpired(at)) {
      giveBack(late, undefined, at);
    }
    return at;
  }

  function slotWaitMs({ name, capacity }: Slot, wanted: readonly Slot[]): number {
    const count = wanted.filter((other) => other.name === name).length;
    if (!(count <= capacity)) return Number.POSITIVE_INFINITY;
    return tables.slotsTaken(name) + count <= capacity ? 0 : SLOT_RETRY_MS;
  }

  function waitMsOf({ draws, slots }: Reservation, found: Found, at: number): number {
    let drawsMs = 0;
    let slotsMs = 0;
    for (const draw of draws) drawsMs = Math.max(drawsMs, drawWaitMs(draw, { draws, found, at }));
    for (const slot of slots) slotsMs = Math.max(slotsMs, slotWaitMs(slot, slots));
    return drawsMs === 0 || slotsMs === Number.POSITIVE_INFINITY ? slotsMs : drawsMs;
  }

  function take({ draws, slots, ...reservation }: Reservation, found: Found, at: number): void {
    if (slots.length === 0 && draws.every(({ amount }) => amount === 0)) return;
    tables.hold({ draws, slots, ...reservation }, at + reservation.ttlMs);
    for (const draw of draws) if (draw.amount !== 0) drawFrom(openIn(found, draw, at), draw.amount, at);
    for (const { name } of slots) tables.takeSlot(name, 1);
  }

  function reserve(reservation: Reservation, now: number): Verdict {
    const at = advanceTo(now);
    if (tables.isHeld(reservation.id)) throw new TypeError('Expected the id of a reservation to be unique');
    const { draws, dryRun = false } = reservation;
    const found = findAll(tables, draws);
    const remaining = () => draws.map(({ bucket, capacity }) => remainingOf(found.get(bucket), capacity, at));
    if (!openBudgets(draws, found, at)) {
      return { granted: false, retryAfterMs: 0, remaining: remaining(), unknownBudgets: true };
    }
    const waitMs = waitMsOf(reservation, found, at);
    const granted = waitMs === 0;
    if (granted && !dryRun) take(reservation, found, at);
    if (!dryRun) tables.saveBuckets(found);
    reserved += 1;
    if (reserved % TIDY_EVERY === 0) tables.tidy(at);
    // From the caller's instant, which may lie before ours.
    const retryAfterMs = granted ? 0 : waitMs + (at - Math.floor(now));
    return { granted, retryAfterMs, remaining: remaining() };
  }

  function settle(id: string, amounts: readonly number[], now: number): void {
    const at = advanceTo(now);
    const wish = tables.takeHeld(id);
    if (wish !== undefined) giveBack(wish, amounts, at);
  }

  return {
    reserve: (reservation, now) => writer.write(() => reserve(reservation, now)),
    settle: ({ id }, amounts, now) => writer.write(() => settle(id, amounts, now)),
  };
}

/**
 * Settles what an instance holds that is gone, once its calls are settled: budgets at what those cost, everything else as it
 * was reserved. What has no row never came to be a call, and comes back whole: the row is there before the upstream is asked.
 * For a transaction of the caller's own.
 * @returns tells whether that was all; the rest may be settled later, and else comes back when its time is up.
 */
export function heldRecovery(db: Database, instance: Instance): (dead: DeadInstance) => boolean {
  const tables = limiterTables(db, instance.id);
  const giveBack = giverBack(tables);
  const left = db.prepare(`
    SELECT held.id, held.id LIKE '%:shadow' AS is_shadow, calls.state, calls.cost_nano_usd,
      coalesce(calls.input_tokens, calls.output_tokens) IS NULL AS is_unused
    FROM held LEFT JOIN calls ON calls.request_id = held.id WHERE held.instance = ?
  `);

  /** What budgets are to be settled at; `undefined`: at what was reserved. */
  function costOf(row: Row): number | undefined {
    // What was used at an unknown price must not be for nothing.
    return maybeNumberOf(row.cost_nano_usd) ?? (row.is_unused ? 0 : undefined);
  }

  return ({ id, hasLedger }) => {
    const at = tables.advance(0);
    let isAll = true;
    for (const row of left.all(id)) {
      const isCall = row.state !== null;
      // Of a ledger that is not in this file nobody here knows, nor of a call that another instance has open.
      if (isCall ? row.state === 'open' : !hasLedger && row.is_shadow !== 1) {
        isAll = false;
        continue;
      }
      const wish = tables.takeHeld(textOf(row.id));
      if (wish === undefined) continue;
      const cost = costOf(row);
      const used = ({ amount, isBudget }: HeldDraw) => (isBudget ? (cost ?? amount) : amount);
      giveBack(
        wish,
        wish.draws.map((draw) => (isCall ? used(draw) : 0)),
        at,
      );
    }
    return isAll;
  };
}

/** @returns gives back what was reserved beyond the amounts that were truly used; where there are none, nothing was. */
function giverBack(tables: LimiterTables) {
  return ({ draws, slots }: HeldWish, amounts: readonly number[] | undefined, at: number): void => {
    const found = findAll(tables, draws);
    const refunds: (() => void)[] = [];
    for (const [index, draw] of draws.entries()) {
      // Of budgets all was used, as far as anybody knows.
      const used = amounts === undefined && !draw.isBudget ? 0 : trueAmount(draw.amount, amounts?.[index]);
      const more = used - draw.amount;
      const bucket = found.get(draw.bucket);
      // What is still to be drawn comes first: of two draws on one bucket, a refund must not be cut off at the brim.
      if (more < 0 && bucket !== undefined) refunds.push(() => drawFrom(bucket, more, at));
      // A budget that is gone had its end, or is the ledger's to tell.
      if (more > 0 && (bucket !== undefined || !draw.isBudget)) drawFrom(openIn(found, draw, at), more, at);
    }
    for (const refund of refunds) refund();
    tables.saveBuckets(found);
    for (const name of slots) tables.takeSlot(name, -1);
  };
}

function findAll(tables: LimiterTables, draws: readonly { readonly bucket: string }[]): Found {
  const found: Found = new Map();
  for (const { bucket: name } of draws) {
    const bucket = found.has(name) ? undefined : tables.bucket(name);
    if (bucket !== undefined) found.set(name, bucket);
  }
  return found;
}

/** @returns `false` when there are budgets of which nobody knows how much was spent. */
function openBudgets(draws: readonly Draw[], found: Found, at: number): boolean {
  for (const { bucket, budget, refillPerMs } of draws) {
    if (budget === undefined || found.has(bucket)) continue;
    if (budget.spent === undefined) return false;
    found.set(bucket, newBucket({ drawn: budget.spent, since: at, refillPerMs, endsAt: budget.endsAt }));
  }
  return true;
}

function drawWaitMs(
  draw: Draw,
  { draws, found, at }: { readonly draws: readonly Draw[]; readonly found: Found; readonly at: number },
): number {
  if (draw.amount === 0) return 0;
  // A credit is what `settle` is for.
  if (draw.amount < 0) return Number.POSITIVE_INFINITY;
  let amount = 0;
  for (const other of draws) if (other.bucket === draw.bucket) amount += other.amount;
  const wanted = { amount, capacity: draw.capacity };
  const bucket = found.get(draw.bucket);
  if (bucket === undefined) return waitMsFor(fullBucket(draw.refillPerMs, at), wanted, at);
  setRefill(bucket, draw.refillPerMs, at);
  return waitMsFor(bucket, wanted, at);
}

function openIn(
  found: Found,
  { bucket: name, refillPerMs }: { readonly bucket: string; readonly refillPerMs: number },
  at: number,
): KeptBucket {
  const known = found.get(name);
  if (known !== undefined) return known;
  const bucket = newBucket({ ...fullBucket(refillPerMs, at), endsAt: undefined });
  found.set(name, bucket);
  return bucket;
}

/** What makes no sense must not make the call free. */
function trueAmount(drawn: number, amount: number | undefined): number {
  return amount !== undefined && amount >= 0 ? amount : drawn;
}
