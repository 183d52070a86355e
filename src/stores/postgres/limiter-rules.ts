import { type Bucket, drawFrom, fullBucket, remainingOf, setRefill, waitMsFor } from '../../limiter/bucket.js';
import type { Draw, Reservation, Slot, Verdict } from '../../limiter/limiter-store.js';

/** A bucket as it is kept. */
export interface KeptBucket extends Bucket {
  /** Unix time in milliseconds of the end of a budget's period; `undefined`: it is none. */
  readonly endsAt: number | undefined;
}

/** What a granted reservation took. */
export interface Held {
  readonly draws: readonly HeldDraw[];
  readonly slots: readonly string[];
  readonly expiresAt: number;
}

export interface HeldDraw {
  readonly bucket: string;
  readonly amount: number;
  readonly refillPerMs: number;
  readonly isBudget: boolean;
}

/** The part of the limiter's state that some calls are about, which nobody else sees or changes meanwhile. */
export interface LimiterState {
  /** The latest instant ever heard of. */
  latest: number;
  readonly buckets: Map<string, KeptBucket>;
  /** Names and how many hold them; none at 0. */
  readonly slots: Map<string, number>;
  readonly held: Map<string, Held>;
}

/** A slot tells nobody when it comes free. */
const SLOT_RETRY_MS = 1_000;

/**
 * Decides by the rules and with the arithmetic of `memoryLimiter`, and takes what it grants.
 * @throws {TypeError} when a reservation of that id is held; nothing is changed then.
 */
export function reserveIn(state: LimiterState, reservation: Reservation, now: number): Verdict {
  const at = advance(state, now);
  if (state.held.has(reservation.id)) throw new TypeError('Expected the id of a reservation to be unique');
  const { draws, dryRun = false } = reservation;
  // A look changes nothing, not even the refill.
  const buckets = dryRun ? copyOf(state.buckets, draws) : state.buckets;
  const remaining = () => draws.map(({ bucket, capacity }) => remainingOf(buckets.get(bucket), capacity, at));
  const isUnknown = ({ bucket, budget }: Draw) =>
    budget !== undefined && budget.spent === undefined && !buckets.has(bucket);
  if (draws.some(isUnknown)) return { granted: false, retryAfterMs: 0, remaining: remaining(), unknownBudgets: true };
  for (const { bucket, budget, refillPerMs } of draws) {
    if (budget?.spent === undefined || buckets.has(bucket)) continue;
    buckets.set(bucket, { drawn: budget.spent, since: at, refillPerMs, endsAt: budget.endsAt });
  }
  const waitMs = waitMsOf(reservation, { ...state, buckets }, at);
  const granted = waitMs === 0;
  if (granted && !dryRun) take(state, reservation, at);
  // From the caller's instant, which may lie before ours.
  return { granted, retryAfterMs: granted ? 0 : waitMs + (at - Math.floor(now)), remaining: remaining() };
}

/** Replaces what was taken by what was used; nothing, when the reservation is gone. */
export function settleIn(
  state: LimiterState,
  { id, amounts }: { readonly id: string; readonly amounts: readonly number[] },
  now: number,
): void {
  const at = advance(state, now);
  const held = state.held.get(id);
  if (held === undefined) return;
  state.held.delete(id);
  giveBack(state, held, amounts, at);
}

/** A clock that steps back stands still. What nobody settled in time is given back. */
function advance(state: LimiterState, now: number): number {
  state.latest = Math.max(state.latest, Math.floor(now));
  for (const [id, held] of state.held) {
    if (held.expiresAt > state.latest) continue;
    state.held.delete(id);
    giveBack(state, held, undefined, state.latest);
  }
  return state.latest;
}

function waitMsOf({ draws, slots }: Reservation, state: LimiterState, at: number): number {
  let drawsMs = 0;
  let slotsMs = 0;
  for (const draw of draws) drawsMs = Math.max(drawsMs, drawWaitMs(draw, draws, state.buckets.get(draw.bucket), at));
  for (const slot of slots) slotsMs = Math.max(slotsMs, slotWaitMs(slot, slots, state.slots.get(slot.name) ?? 0));
  return drawsMs === 0 || slotsMs === Number.POSITIVE_INFINITY ? slotsMs : drawsMs;
}

function drawWaitMs(draw: Draw, draws: readonly Draw[], bucket: KeptBucket | undefined, at: number): number {
  if (draw.amount === 0) return 0;
  // A credit is what `settle` is for.
  if (draw.amount < 0) return Number.POSITIVE_INFINITY;
  let amount = 0;
  for (const other of draws) if (other.bucket === draw.bucket) amount += other.amount;
  const wanted = { amount, capacity: draw.capacity };
  if (bucket === undefined) return waitMsFor(fullBucket(draw.refillPerMs, at), wanted, at);
  setRefill(bucket, draw.refillPerMs, at);
  return waitMsFor(bucket, wanted, at);
}

function slotWaitMs({ name, capacity }: Slot, wanted: readonly Slot[], taken: number): number {
  const count = wanted.filter((other) => other.name === name).length;
  if (!(count <= capacity)) return Number.POSITIVE_INFINITY;
  return taken + count <= capacity ? 0 : SLOT_RETRY_MS;
}

function take(state: LimiterState, { id, draws, slots, ttlMs }: Reservation, at: number): void {
  if (slots.length === 0 && draws.every(({ amount }) => amount === 0)) return;
  state.held.set(id, {
    draws: draws.map(({ bucket, amount, refillPerMs, budget }) => ({
      bucket,
      amount,
      refillPerMs,
      isBudget: budget !== undefined,
    })),
    slots: slots.map(({ name }) => name),
    expiresAt: Math.min(Math.ceil(at + ttlMs), Number.MAX_SAFE_INTEGER),
  });
  for (const draw of draws) if (draw.amount !== 0) drawFrom(openIn(state, draw, at), draw.amount, at);
  for (const { name } of slots) state.slots.set(name, (state.slots.get(name) ?? 0) + 1);
}

/** @param amounts what was truly used; absent, nothing was. */
function giveBack(state: LimiterState, { draws, slots }: Held, amounts: readonly number[] | undefined, at: number) {
  const refunds: (() => void)[] = [];
  for (const [index, draw] of draws.entries()) {
    // Of budgets all was used, as far as anybody knows.
    const used = amounts === undefined && !draw.isBudget ? 0 : trueAmount(draw.amount, amounts?.[index]);
    const more = used - draw.amount;
    const bucket = state.buckets.get(draw.bucket);
    // What is still to be drawn comes first: of two draws on one bucket, a refund must not be cut off at the brim.
    if (more < 0 && bucket !== undefined) refunds.push(() => drawFrom(bucket, more, at));
    // A budget that is gone had its end, or is the ledger's to tell.
    if (more > 0 && (bucket !== undefined || !draw.isBudget)) drawFrom(openIn(state, draw, at), more, at);
  }
  for (const refund of refunds) refund();
  for (const name of slots) {
    const left = (state.slots.get(name) ?? 0) - 1;
    if (left > 0) state.slots.set(name, left);
    else state.slots.delete(name);
  }
}

function openIn(
  { buckets }: LimiterState,
  { bucket: name, refillPerMs }: { readonly bucket: string; readonly refillPerMs: number },
  at: number,
): KeptBucket {
  const known = buckets.get(name);
  if (known !== undefined) return known;
  const bucket = { ...fullBucket(refillPerMs, at), endsAt: undefined };
  buckets.set(name, bucket);
  return bucket;
}

function copyOf(buckets: ReadonlyMap<string, KeptBucket>, draws: readonly Draw[]): Map<string, KeptBucket> {
  const copy = new Map<string, KeptBucket>();
  for (const { bucket: name } of draws) {
    const bucket = buckets.get(name);
    if (bucket !== undefined) copy.set(name, { ...bucket });
  }
  return copy;
}

/** What makes no sense must not make the call free. */
function trueAmount(drawn: number, amount: number | undefined): number {
  return amount !== undefined && amount >= 0 ? amount : drawn;
}
