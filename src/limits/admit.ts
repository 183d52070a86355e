import { type Awaitable, isPending, whenReady } from '../base/awaitable.js';
import type { GatewayError } from '../base/errors.js';
import { type Amounts, type Ceiling, drawOf, type LimitLevel, slotsOf } from './levels.js';
import type { Draw, LimiterStore, Reservation, Verdict } from './limiter-store.js';
import { type Refused, refusalError } from './refusal.js';

/** What one call wants. */
export interface Demand {
  readonly requestId: string;
  readonly levels: readonly LimitLevel[];
  /** Of the levels. */
  readonly ceilings: readonly Ceiling[];
  /** The public id, for messages. */
  readonly model: string;
  /** Whose call it is, for messages. */
  readonly subject: string;
  readonly inputTokens: number;
  /** Most output tokens of one answer; `undefined`: the client named none, take what there is room for. */
  readonly maxOutputTokens: number | undefined;
  /** What to reserve where the client named none. */
  readonly defaultOutputTokens: number;
  /** Whether what such answers are as long as is to be learned from this one, too. */
  readonly isLesson: boolean;
  /** Answers asked for at once. */
  readonly n: number;
  /** The most that it may cost with so many output tokens, in nano-dollars; `undefined` when the price is unknown. */
  readonly worstNanoUsd: ((outputTokens: number) => number) | undefined;
  readonly ttlMs: number;
}

/** What the limiter has to be asked with. */
export interface Limiting {
  readonly store: LimiterStore;
  /** What the ledger knows of a budget, for a store that does not know it. In nano-dollars. */
  readonly spent: (ceiling: Ceiling) => Awaitable<number>;
  readonly steadyMs: () => number;
  readonly wallMs: () => number;
}

/** A granted reservation. */
export interface Admission {
  readonly reservation: Reservation;
  /** In the order of the draws. */
  readonly ceilings: readonly Ceiling[];
  readonly verdict: Verdict;
  /** What was reserved. */
  readonly amounts: Amounts;
  /** Output tokens of one answer that were reserved; `undefined` when nothing limits them. */
  readonly outputCeiling: number | undefined;
  /** Answers to learn from how long they are where the client names no ceiling; 0: it named one. */
  readonly lessons: number;
}

/** A refusal with what the buckets hold. */
export interface Refusal {
  readonly error: GatewayError;
  readonly refused: Refused;
}

export type AdmitResult =
  | { readonly kind: 'admitted'; readonly admission: Admission }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** Less than this is no answer: rather refuse than reserve it. */
const LEAST_OUTPUT_TOKENS = 16;

/**
 * Reserves a call's request, tokens, money and places on all levels in one atomic step. Where the client named no output
 * ceiling, the reservation shrinks to what is left rather than being refused: a small limit must not make a key useless.
 */
export function admit(limiting: Limiting, demand: Demand): Awaitable<AdmitResult> {
  const { ceilings, maxOutputTokens } = demand;
  const isLimited = ceilings.some(({ measure }) => measure !== 'requests' && measure !== 'inputTokens');

  function attempt(ceiling: number): Awaitable<AdmitResult> {
    const amounts = amountsOf(demand, ceiling);
    const reservation: Reservation = {
      id: demand.requestId,
      draws: ceilings.map((one) => drawOf(one, amounts)),
      slots: slotsOf(demand.levels),
      ttlMs: demand.ttlMs,
    };
    return whenReady(reserve(limiting, reservation, ceilings), (verdict) => {
      if (verdict.granted) {
        const outputCeiling = isLimited ? ceiling : undefined;
        const lessons = maxOutputTokens === undefined && demand.isLesson ? demand.n : 0;
        return { kind: 'admitted', admission: { reservation, ceilings, verdict, amounts, outputCeiling, lessons } };
      }
      // Down to the least, whose wait is what to tell a client that waits for any answer at all.
      const left = ceilings.map((_, index) => verdict.remaining[index] ?? 0);
      const smaller = Math.max(LEAST_OUTPUT_TOKENS, Math.min(...roomsFor(demand, left)));
      if (maxOutputTokens === undefined && isLimited && smaller < ceiling) return attempt(smaller);
      const { model, subject } = demand;
      const refused = { reservation, verdict, ceilings, model, subject, wallMs: limiting.wallMs() };
      return { kind: 'refused', refusal: { error: refusalError(refused), refused } };
    });
  }
  return attempt(maxOutputTokens ?? defaultCeiling(demand));
}

/** What the buckets hold, taking nothing: for the headers of answers that were never admitted. */
export function look(limiting: Limiting, ceilings: readonly Ceiling[]): Awaitable<Verdict['remaining']> {
  const draws = ceilings.map((ceiling) => drawOf(ceiling, NOTHING));
  const reservation = { id: '', draws, slots: [], ttlMs: 0 };
  return whenReady(reserve(limiting, reservation, ceilings), ({ remaining }) => remaining);
}

/** Of a call that used nothing. */
export const NOTHING: Amounts = { requests: 0, inputTokens: 0, outputTokens: 0, nanoUsd: 0 };

/** What the buckets held before the call was admitted. */
export function remainingBefore({ reservation, verdict }: Admission): number[] {
  return verdict.remaining.map((left, index) => left + (reservation.draws[index]?.amount ?? 0));
}

/** Asks the store, and the ledger first about budgets that the store does not know. */
export function reserve(
  { store, spent, steadyMs }: Limiting,
  reservation: Reservation,
  ceilings: readonly Ceiling[],
): Awaitable<Verdict> {
  return whenReady(store.reserve(reservation, steadyMs()), (verdict) => {
    if (verdict.unknownBudgets !== true) return verdict;
    return whenReady(withSpent(reservation, ceilings, spent), (draws) =>
      store.reserve({ ...reservation, draws }, steadyMs()),
    );
  });
}

function withSpent(
  { draws }: Reservation,
  ceilings: readonly Ceiling[],
  spent: Limiting['spent'],
): Awaitable<readonly Draw[]> {
  const asked = draws.map((draw, index) => {
    const ceiling = ceilings[index];
    if (draw.budget === undefined || ceiling === undefined) return draw;
    const { endsAt } = draw.budget;
    return whenReady(spent(ceiling), (amount): Draw => ({ ...draw, budget: { endsAt, spent: amount } }));
  });
  // A store that answers without promises is asked without promises: its step stays one turn.
  return asked.some((one) => isPending(one)) ? Promise.all(asked) : asked.filter((one): one is Draw => !isPending(one));
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

/** Output tokens of one answer that fit into each bucket. @param left what each holds, in the order of the ceilings. */
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
