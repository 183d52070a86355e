import { drawFrom, fullBucket, remainingOf, trueAmount, waitMsOf } from './bucket.js';
import type { Draw, Held, HeldDraw, KeptBucket, LimiterState, Reservation, Verdict } from './limiter-store.js';

/** The buckets that one reservation names, each once, however many of its draws name it. */
type Found = Map<string, KeptBucket>;

/**
 * Decides a reservation for a limiter whose state others keep, and takes the amounts that it grants. The twin of `memory.ts`, which
 * keeps its state in this process: both must decide alike, and one contract suite holds them to it.
 * @throws {TypeError} when a reservation of that id is held; nothing is taken then.
 */
export function reserveIn(state: LimiterState, reservation: Reservation, now: number): Verdict {
  const at = advance(state, now);
  if (state.isHeld(reservation.id)) throw new TypeError('Expected the id of a reservation to be unique');
  const { draws, dryRun = false } = reservation;
  const found = findBuckets(state, reservation);
  const remaining = () => draws.map(({ bucket, capacity }) => remainingOf(found.get(bucket), capacity, at));
  const isUnknown = ({ bucket, budget }: Draw) =>
    budget !== undefined && budget.spent === undefined && !found.has(bucket);
  if (draws.some(isUnknown)) return { granted: false, retryAfterMs: 0, remaining: remaining(), unknownBudgets: true };
  for (const { bucket, budget, refillPerMs } of draws) {
    if (budget?.spent === undefined || found.has(bucket)) continue;
    const opened = { drawn: budget.spent, since: at, refillPerMs, endsAt: budget.endsAt };
    found.set(bucket, opened);
    if (!dryRun) state.addBucket(bucket, opened);
  }
  const buckets = draws.map(({ bucket }) => found.get(bucket));
  const waitMs = waitMsOf(reservation, buckets, state.slotsTaken, at);
  const granted = waitMs === 0;
  if (granted && !dryRun) takeReservation(state, { reservation, found }, at);
  // From the caller's instant, which may lie before ours.
  return { granted, retryAfterMs: granted ? 0 : waitMs + (at - Math.floor(now)), remaining: remaining() };
}

/** Replaces the amounts taken by the amounts used; does nothing when the reservation is gone. */
export function settleIn(
  state: LimiterState,
  { id, amounts }: { readonly id: string; readonly amounts: readonly number[] },
  now: number,
): void {
  const at = advance(state, now);
  const held = state.takeHeld(id);
  if (held !== undefined) giveBack(state, { held, amounts }, at);
}

/**
 * Gives back the amounts taken beyond those used.
 * @param amounts truly used; `undefined` when nobody knows: then budgets count as used up to the draw, all else as
 * unused.
 */
export function giveBack(
  state: LimiterState,
  { held, amounts }: { readonly held: Held; readonly amounts: readonly number[] | undefined },
  at: number,
): void {
  const refunds: (() => void)[] = [];
  for (const [index, draw] of held.draws.entries()) {
    const used = amounts === undefined && !draw.isBudget ? 0 : trueAmount(draw.amount, amounts?.[index]);
    const more = used - draw.amount;
    const drawMore = (bucket: KeptBucket | undefined) => bucket !== undefined && drawFrom(bucket, more, at);
    // Further draws come first: of two draws on one bucket, a refund must not be cut off at the brim.
    if (more < 0) refunds.push(() => drawMore(state.bucket(draw.bucket)));
    // A budget that is gone has ended, or the ledger will tell of it.
    if (more > 0) drawMore(state.bucket(draw.bucket) ?? (draw.isBudget ? undefined : openIn(state, draw, at)));
  }
  for (const refund of refunds) refund();
  for (const name of held.slots) state.takeSlot(name, -1);
}

/** Moves the state's clock on, and gives back the reservations that nobody settled in time. */
function advance(state: LimiterState, now: number): number {
  const at = state.advance(Math.floor(now));
  for (let held = state.takeExpired(at); held !== undefined; held = state.takeExpired(at)) {
    giveBack(state, { held, amounts: undefined }, at);
  }
  return at;
}

/** The buckets that a reservation names. A dry run gets copies, as it must not even change the refill. */
function findBuckets(state: LimiterState, { draws, dryRun = false }: Reservation): Found {
  const found: Found = new Map();
  for (const { bucket: name } of draws) {
    const bucket = found.has(name) ? undefined : state.bucket(name);
    if (bucket !== undefined) found.set(name, dryRun ? { ...bucket } : bucket);
  }
  return found;
}

function takeReservation(
  state: LimiterState,
  { reservation, found }: { readonly reservation: Reservation; readonly found: Found },
  at: number,
): void {
  const { id, draws, slots, ttlMs } = reservation;
  if (slots.length === 0 && draws.every(({ amount }) => amount === 0)) return;
  const held = { draws: draws.map(heldDraw), slots: slots.map(({ name }) => name) };
  state.hold(id, held, Math.min(Math.ceil(at + ttlMs), Number.MAX_SAFE_INTEGER));
  for (const draw of draws) {
    if (draw.amount === 0) continue;
    const bucket = found.get(draw.bucket) ?? openIn(state, draw, at);
    found.set(draw.bucket, bucket);
    drawFrom(bucket, draw.amount, at);
  }
  for (const name of held.slots) state.takeSlot(name, 1);
}

function openIn(
  state: LimiterState,
  { bucket: name, refillPerMs }: { readonly bucket: string; readonly refillPerMs: number },
  at: number,
): KeptBucket {
  const bucket = { ...fullBucket(refillPerMs, at), endsAt: undefined };
  state.addBucket(name, bucket);
  return bucket;
}

function heldDraw({ bucket, amount, refillPerMs, budget }: Draw): HeldDraw {
  return { bucket, amount, refillPerMs, isBudget: budget !== undefined };
}
