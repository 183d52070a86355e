import { type Awaitable, isPending } from '../base/awaitable.js';
import { drawOf, slotsOf } from './levels.js';
import type {
  Admission,
  AdmitResult,
  Amounts,
  Ceiling,
  Demand,
  Draw,
  LimiterAccess,
  Reservation,
  Verdict,
} from './limiter-store.js';
import { refusalError } from './refusal.js';

const NOTHING: Amounts = { requests: 0, inputTokens: 0, outputTokens: 0, nanoUsd: 0 };
/** Least output tokens worth a reservation: a shorter answer is refused instead. */
const LEAST_OUTPUT_TOKENS = 16;

/**
 * Reserves a call's request, tokens, money and places on all levels in one atomic step. Where the client named no
 * output ceiling, the reservation shrinks to the room that is left rather than being refused: a small limit must not
 * make a key useless.
 */
export async function admit(access: LimiterAccess, demand: Demand): Promise<AdmitResult> {
  const { ceilings, maxOutputTokens } = demand;
  const isLimited = ceilings.some(({ measure }) => measure !== 'requests' && measure !== 'inputTokens');
  let outputTokens = maxOutputTokens ?? defaultCeiling(demand);

  for (;;) {
    const amounts = amountsOf(demand, outputTokens);
    const reservation = reservationOf(demand, amounts);
    const reserving = reserve(access, reservation, ceilings);
    const verdict = isPending(reserving) ? await reserving : reserving;
    if (verdict.granted) {
      const outputCeiling = isLimited ? outputTokens : undefined;
      const answersToLearnFrom = maxOutputTokens === undefined && demand.learnsLength ? demand.n : 0;
      const admission = { reservation, ceilings, verdict, amounts, outputCeiling, answersToLearnFrom };
      return { kind: 'admitted', admission };
    }
    // Down to the least: a client that would take any answer at all is told the wait for that.
    const left = ceilings.map((_, index) => verdict.remaining[index] ?? 0);
    const smaller = Math.max(LEAST_OUTPUT_TOKENS, Math.min(...roomsFor(demand, left)));
    if (maxOutputTokens !== undefined || !isLimited || smaller >= outputTokens) {
      const { model, subject } = demand;
      const refused = { reservation, verdict, ceilings, model, subject, wallMs: access.wallMs() };
      return { kind: 'refused', refusal: { error: refusalError(refused), refused } };
    }
    outputTokens = smaller;
  }
}

/** Amounts that the buckets hold, taking nothing: for the headers of answers that were never admitted. */
export async function look(access: LimiterAccess, ceilings: readonly Ceiling[]): Promise<Verdict['remaining']> {
  const draws = ceilings.map((ceiling) => drawOf(ceiling, NOTHING));
  const { remaining } = await reserve(access, { id: '', draws, slots: [], ttlMs: 0 }, ceilings);
  return remaining;
}

/** Amounts that the buckets held before the call was admitted. */
export function remainingBefore({ reservation, verdict }: Admission): number[] {
  return verdict.remaining.map((left, index) => left + (reservation.draws[index]?.amount ?? 0));
}

/** Asks the store, and the ledger first about budgets that the store does not know. */
export function reserve(
  access: LimiterAccess,
  reservation: Reservation,
  ceilings: readonly Ceiling[],
): Awaitable<Verdict> {
  const verdict = access.store.reserve(reservation, access.steadyMs());
  if (!isPending(verdict) && verdict.unknownBudgets !== true) return verdict;
  return reserveAsLedgered(access, { reservation, ceilings }, verdict);
}

/** Reserves again with the ledger's sums, should the store have found a budget that it does not know. */
async function reserveAsLedgered(
  { store, spent, steadyMs }: LimiterAccess,
  { reservation, ceilings }: { readonly reservation: Reservation; readonly ceilings: readonly Ceiling[] },
  reserving: Awaitable<Verdict>,
): Promise<Verdict> {
  const verdict = await reserving;
  if (verdict.unknownBudgets !== true) return verdict;
  const withSpent = reservation.draws.map(async (draw, index): Promise<Draw> => {
    const ceiling = ceilings[index];
    if (draw.budget === undefined || ceiling === undefined) return draw;
    return { ...draw, budget: { endsAt: draw.budget.endsAt, spent: await spent(ceiling) } };
  });
  return store.reserve({ ...reservation, draws: await Promise.all(withSpent) }, steadyMs());
}

function reservationOf({ requestId, levels, ceilings, ttlMs }: Demand, amounts: Amounts): Reservation {
  const draws = ceilings.map((ceiling) => drawOf(ceiling, amounts));
  return { id: requestId, draws, slots: slotsOf(levels), ttlMs };
}

function amountsOf({ inputTokens, n, worstNanoUsd }: Demand, ceiling: number): Amounts {
  const outputTokens = n * ceiling;
  return { requests: 1, inputTokens, outputTokens, nanoUsd: worstNanoUsd?.(outputTokens) ?? 0 };
}

function defaultCeiling(demand: Demand): number {
  const capacities = demand.ceilings.map(({ capacity }) => capacity);
  const room = Math.min(demand.defaultOutputTokens, ...roomsFor(demand, capacities));
  return Math.max(LEAST_OUTPUT_TOKENS, room);
}

/** Output tokens of one answer that fit into each bucket. @param left amount in each, in the order of the ceilings. */
function roomsFor(demand: Demand, left: readonly number[]): number[] {
  const { ceilings, inputTokens, n } = demand;
  return ceilings.flatMap(({ measure }, index) => {
    const held = left[index] ?? 0;
    if (measure === 'tokens') return [Math.floor((held - inputTokens) / n)];
    if (measure === 'outputTokens') return [Math.floor(held / n)];
    return measure === 'usdPerDay' || measure === 'usdPerMonth' ? [tokensFor(demand, held)] : [];
  });
}

/** The most output tokens of one answer that so much money pays for. */
function tokensFor({ n, worstNanoUsd, defaultOutputTokens }: Demand, nanoUsd: number): number {
  const cost = (ceiling: number): number => worstNanoUsd?.(n * ceiling) ?? 0;
  if (cost(defaultOutputTokens) <= nanoUsd) return defaultOutputTokens;
  // Costs rise with tokens: halve the distance until it is one token.
  let [fits, tooMany] = [0, defaultOutputTokens];
  while (tooMany - fits > 1) {
    const middle = Math.floor((fits + tooMany) / 2);
    if (cost(middle) <= nanoUsd) fits = middle;
    else tooMany = middle;
  }
  return fits;
}
