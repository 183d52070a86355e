import { type Awaitable, isPending } from '../base/awaitable.js';
import { laneOf } from './lane.js';
import { amountOf, drawsOf } from './levels.js';
import type {
  Admission,
  AdmitResult,
  Amounts,
  Ceiling,
  Demand,
  Draw,
  LimiterAccess,
  LimiterLane,
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
export function admit(access: LimiterAccess, demand: Demand): Awaitable<AdmitResult> {
  return reserveWith(access, demand, demand.asks.maxOutputTokens ?? defaultCeiling(demand));
}

/** Reserves with an output ceiling, or a lower one. */
function reserveWith(access: LimiterAccess, demand: Demand, outputTokens: number): Awaitable<AdmitResult> {
  const { inputTokens, asks } = demand;
  const answersTokens = asks.n * outputTokens;
  const nanoUsd = demand.worstNanoUsd(answersTokens) ?? 0;
  const amounts = { requests: 1, inputTokens, outputTokens: answersTokens, nanoUsd };
  const remaining = openLane(access)?.take(demand, amounts, access.clock.steadyMs());
  if (remaining !== undefined) return admitted(demand, { reservation: undefined, amounts, outputTokens }, remaining);
  return reserveInStore(access, demand, amounts, outputTokens);
}

/** The lane, unless the host has changed the limiter since it was given: then that must be asked. */
function openLane({ store, lane }: LimiterAccess): LimiterLane | undefined {
  return lane !== undefined && laneOf(store) === lane ? lane : undefined;
}

/** The same of the store: ordinary calls in this process's memory do not come here. */
function reserveInStore(
  access: LimiterAccess,
  demand: Demand,
  amounts: Amounts,
  outputTokens: number,
): Awaitable<AdmitResult> {
  const { requestId, ceilings, slots } = demand;
  const reservation = { id: requestId, draws: drawsOf(ceilings, amounts), slots, ttlMs: access.ttlMs };
  const verdict = reserve(access, reservation, ceilings, demand);
  const tried = { reservation, amounts, outputTokens };
  return isPending(verdict)
    ? verdict.then((answer) => resultOf(access, demand, tried, answer))
    : resultOf(access, demand, tried, verdict);
}

/** A wish as it was asked for. */
interface Tried {
  /** `undefined`: the limiter's lane was asked. */
  readonly reservation: Reservation | undefined;
  readonly amounts: Amounts;
  readonly outputTokens: number;
}

function admitted(
  { ceilings, slots, asks, learnsLength }: Demand,
  { reservation, amounts, outputTokens }: Tried,
  remaining: Verdict['remaining'],
): Admission {
  return {
    kind: 'admitted',
    reservation,
    ceilings,
    slots,
    remaining,
    amounts,
    outputCeiling: limitsOutput(ceilings) ? outputTokens : undefined,
    answersToLearnFrom: asks.maxOutputTokens === undefined && learnsLength ? asks.n : 0,
  };
}

function resultOf(
  access: LimiterAccess,
  demand: Demand,
  tried: Tried & { readonly reservation: Reservation },
  verdict: Verdict,
): Awaitable<AdmitResult> {
  if (verdict.granted) return admitted(demand, tried, verdict.remaining);
  const { ceilings, asks, subject } = demand;
  if (asks.maxOutputTokens === undefined && limitsOutput(ceilings)) {
    // Down to the least: a client that would take any answer at all is told the wait for that.
    const smaller = Math.max(LEAST_OUTPUT_TOKENS, roomIn(demand, verdict.remaining));
    if (smaller < tried.outputTokens) return reserveWith(access, demand, smaller);
  }
  const { reservation } = tried;
  const refused = { reservation, verdict, ceilings, model: asks.model, subject, wallMs: access.clock.wallMs() };
  return { kind: 'refused', refusal: { error: refusalError(refused), refused } };
}

/** Amounts that the buckets hold, taking nothing: for the headers of answers that were never admitted. */
export async function look(
  access: Omit<LimiterAccess, 'ttlMs'>,
  ceilings: readonly Ceiling[],
): Promise<Verdict['remaining']> {
  const draws = drawsOf(ceilings, NOTHING);
  const { remaining } = await reserve(access, { id: '', draws, slots: [], ttlMs: 0 }, ceilings);
  return remaining;
}

/** Amounts that the buckets held before the call was admitted. */
export function remainingBefore({ ceilings, amounts, remaining }: Admission): number[] {
  return remaining.map((left, index) => left + reservedOf(ceilings[index], amounts));
}

/** The same once its call is settled, less what others did meanwhile. */
export function remainingAfter({ ceilings, amounts, remaining }: Admission, used: Amounts): number[] {
  const after = new Array<number>(remaining.length);
  // Not by `map`, as every answer's headers need it.
  for (let index = 0; index < after.length; index += 1) {
    const ceiling = ceilings[index];
    after[index] = (remaining[index] ?? 0) + reservedOf(ceiling, amounts) - reservedOf(ceiling, used);
  }
  return after;
}

function reservedOf(ceiling: Ceiling | undefined, amounts: Amounts): number {
  return ceiling === undefined ? 0 : amountOf(ceiling, amounts);
}

/**
 * Asks the store, and the ledger first about budgets that the store does not know.
 * @param doubted told of a reservation that the store has failed to answer: it may have granted it.
 */
export function reserve(
  access: Omit<LimiterAccess, 'ttlMs'>,
  reservation: Reservation,
  ceilings: readonly Ceiling[],
  doubted?: Pick<Demand, 'doubt'>,
): Awaitable<Verdict> {
  const verdict = ask(access, reservation, doubted);
  if (!isPending(verdict) && verdict.unknownBudgets !== true) return verdict;
  return reserveAsLedgered(access, { reservation, ceilings, doubted }, verdict);
}

function ask(
  { store, clock }: Pick<LimiterAccess, 'store' | 'clock'>,
  reservation: Reservation,
  doubted?: Pick<Demand, 'doubt'>,
): Awaitable<Verdict> {
  try {
    const verdict = store.reserve(reservation, clock.steadyMs());
    return isPending(verdict) && doubted !== undefined ? orDoubted(verdict, reservation, doubted) : verdict;
  } catch (error) {
    doubted?.doubt(reservation);
    throw error;
  }
}

async function orDoubted(
  asked: PromiseLike<Verdict>,
  reservation: Reservation,
  doubted: Pick<Demand, 'doubt'>,
): Promise<Verdict> {
  try {
    return await asked;
  } catch (error) {
    doubted.doubt(reservation);
    throw error;
  }
}

/** Reserves again with the ledger's sums, should the store have found a budget that it does not know. */
async function reserveAsLedgered(
  access: Omit<LimiterAccess, 'ttlMs'>,
  {
    reservation,
    ceilings,
    doubted,
  }: {
    readonly reservation: Reservation;
    readonly ceilings: readonly Ceiling[];
    readonly doubted: Pick<Demand, 'doubt'> | undefined;
  },
  reserving: Awaitable<Verdict>,
): Promise<Verdict> {
  const verdict = await reserving;
  if (verdict.unknownBudgets !== true) return verdict;
  const withSpent = reservation.draws.map(async (draw, index): Promise<Draw> => {
    const ceiling = ceilings[index];
    if (draw.budget === undefined || ceiling === undefined) return draw;
    return { ...draw, budget: { endsAt: draw.budget.endsAt, spent: await access.spent(ceiling) } };
  });
  return ask(access, { ...reservation, draws: await Promise.all(withSpent) }, doubted);
}

/** Whether the length of an answer counts against any of the ceilings. */
function limitsOutput(ceilings: readonly Ceiling[]): boolean {
  for (const { measure } of ceilings) if (measure !== 'requests' && measure !== 'inputTokens') return true;
  return false;
}

function defaultCeiling(demand: Demand): number {
  const room = roomIn(demand, undefined);
  return Math.max(LEAST_OUTPUT_TOKENS, Math.min(demand.defaultOutputTokens, room));
}

/** Most output tokens of one answer that fit into every bucket. @param left amount in each, in the order of the ceilings; full by default. */
function roomIn(demand: Demand, left: readonly number[] | undefined): number {
  const { ceilings, inputTokens, asks } = demand;
  let least = Number.POSITIVE_INFINITY;
  for (let index = 0; index < ceilings.length; index += 1) {
    const ceiling = ceilings[index];
    if (ceiling === undefined) continue;
    const { measure, capacity } = ceiling;
    const held = left === undefined ? capacity : (left[index] ?? 0);
    let room = Number.POSITIVE_INFINITY;
    if (measure === 'tokens') room = Math.floor((held - inputTokens) / asks.n);
    else if (measure === 'outputTokens') room = Math.floor(held / asks.n);
    else if (measure === 'usdPerDay' || measure === 'usdPerMonth') room = tokensFor(demand, held);
    if (room < least) least = room;
  }
  return least;
}

/** The most output tokens of one answer that so much money pays for. */
function tokensFor(demand: Demand, nanoUsd: number): number {
  const { defaultOutputTokens } = demand;
  const cost = (ceiling: number): number => demand.worstNanoUsd(demand.asks.n * ceiling) ?? 0;
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
