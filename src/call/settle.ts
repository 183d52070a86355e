import { AsyncResource } from 'node:async_hooks';
import { type Awaitable, guarded, isPending } from '../base/awaitable.js';
import type { Clock } from '../base/clock.js';
import type { AllHooks } from '../config/hooks.js';
import { amountOf } from '../limits/levels.js';
import type {
  Admission,
  Amounts,
  LearnedOutput,
  LimiterAccess,
  LimiterStore,
  Reservation,
} from '../limits/limiter-store.js';
import type { UsageRecord, UsageStore } from '../usage/usage-store.js';
import type { Unsettled, Untold } from './unsettled.js';

/** The stores that are told of the ends of calls. */
export interface Books {
  readonly config: {
    readonly limiter: LimiterStore;
    readonly usage: UsageStore;
    readonly clock: Clock;
    readonly hooks: AllHooks;
  };
  readonly access: Pick<LimiterAccess, 'lane'>;
  readonly unsettled: Unsettled;
}

/** Names whose call it is, for hooks. */
export type CallName = Pick<Untold, 'requestId' | 'keyId'>;

/** Quantities truly used. */
export function usedAmounts({ amounts: reserved }: Admission, record: UsageRecord): Amounts {
  const { inputTokens, outputTokens, costNanoUsd: cost } = record;
  const isUnused = inputTokens === undefined && outputTokens === undefined && cost === undefined;
  return {
    requests: reserved.requests,
    inputTokens: inputTokens ?? 0,
    outputTokens: outputTokens ?? 0,
    // Use at an unknown price must not be for nothing.
    nanoUsd: cost ?? (isUnused ? 0 : reserved.nanoUsd),
  };
}

/** Quantities of a call that used nothing. */
const NOTHING: Amounts = { requests: 0, inputTokens: 0, outputTokens: 0, nanoUsd: 0 };

/** Replaces the amounts that a call had reserved by those used, and frees its places. */
export function settleLimits(books: Books, name: CallName, admission: Admission, used: Amounts): Awaitable<void> {
  const { reservation, amounts } = admission;
  if (reservation === undefined)
    return books.access.lane?.settle(admission, amounts, used, books.config.clock.steadyMs());
  return settleReservation(books, name, { reservation, used: drawnBy(admission, used) });
}

/** Gives back all that was reserved, for a call that used nothing. */
export function giveBack(books: Books, name: CallName, admission: Admission): Awaitable<void> {
  return settleLimits(books, name, admission, NOTHING);
}

/** Tells the ledger how a call ended. @param opened settles when the ledger's `open` has, well or not; never rejects. */
export function settleRecord(
  books: Books,
  record: UsageRecord,
  opened: PromiseLike<void> | undefined,
): Awaitable<void> {
  return opened === undefined ? writeRecord(books, record) : opened.then(() => writeRecord(books, record));
}

function writeRecord(books: Books, record: UsageRecord): Awaitable<void> {
  const { usage } = books.config;
  try {
    const told = usage.settle(record);
    return isPending(told) ? orTellLater(told, books, record, writing(usage, record)) : told;
  } catch (error) {
    return tellLater(error, books, untold(record, writing(usage, record)));
  }
}

/** A function of its own: the stores that take an end at once, as nearly all do, are spared what it encloses. */
function writing(usage: UsageStore, record: UsageRecord): () => Awaitable<void> {
  return () => usage.settle(record);
}

/** Waits for both stores. */
export function both(limits: Awaitable<void>, written: Awaitable<void>): Awaitable<void> {
  return isPending(limits) || isPending(written) ? bothOf(limits, written) : undefined;
}

async function bothOf(one: Awaitable<void>, other: Awaitable<void>): Promise<void> {
  await one;
  await other;
}

/** Replaces the drawn amounts by those used. @param used in the order of the draws. */
export function settleReservation(
  books: Books,
  name: CallName,
  { reservation, used }: { readonly reservation: Reservation; readonly used: readonly number[] },
): Awaitable<void> {
  const { limiter, clock } = books.config;
  const run = (): Awaitable<void> => limiter.settle(reservation, used, clock.steadyMs());
  try {
    const told = run();
    return isPending(told) ? orTellLater(told, books, name, run) : told;
  } catch (error) {
    return tellLater(error, books, untold(name, run));
  }
}

function drawnBy({ ceilings }: Pick<Admission, 'ceilings'>, amounts: Amounts): number[] {
  return ceilings.map((ceiling) => amountOf(ceiling, amounts));
}

/** Gives back later what a store may have granted although it failed to answer. */
export function giveBackLater(
  { config, unsettled }: Books,
  { requestId, keyId }: CallName,
  reservation: Reservation,
): void {
  const { limiter, clock } = config;
  const tell = (): Awaitable<void> => limiter.settle(reservation, nothingOf(reservation), clock.steadyMs());
  unsettled.add({ ...untold({ requestId, keyId }, tell), isGiveBack: true });
}

/** Has the limiter settle what calls of dead processes held, as the ledger charges them. @returns a function that ends it. */
export function followInterrupted({ config, unsettled }: Books): () => void {
  const { usage, limiter, hooks } = config;
  if (limiter.settleInterrupted === undefined || usage.onInterrupted === undefined) return () => {};
  return usage.onInterrupted((call) => {
    const { requestId, keyId } = call;
    const tell = (): Awaitable<void> => limiter.settleInterrupted?.(call);
    void guarded(tell, (error) => {
      hooks.onError(error, { requestId, keyId });
      unsettled.add({ requestId, keyId, isGiveBack: true, tell });
    });
  });
}

/** Learns how long answers are where the client names no ceiling. */
export function learnLength(learned: LearnedOutput, admission: Admission, record: UsageRecord): void {
  const { answersToLearnFrom, outputCeiling } = admission;
  const { outcome, counted, outputTokens, owner, model } = record;
  if (outcome !== 'ok' || counted !== 'exact' || outputTokens === undefined) return;
  learned.observe(owner, model, Math.ceil(outputTokens / answersToLearnFrom), outputCeiling);
}

/**
 * Settles the reservation of a shadow, which refuses nothing. A store that fails here costs only the report.
 * @param record absent: nothing was used.
 */
export function settleShadow(
  { config }: Books,
  name: CallName,
  shadow: Admission & { readonly reservation: Reservation },
  record: UsageRecord | undefined,
): void {
  const { limiter, clock, hooks } = config;
  const { reservation } = shadow;
  const used = record === undefined ? nothingOf(reservation) : drawnBy(shadow, usedAmounts(shadow, record));
  void guarded(
    () => limiter.settle(reservation, used, clock.steadyMs()),
    (error) => hooks.onError(error, { requestId: name.requestId, keyId: name.keyId }),
  );
}

function nothingOf({ draws }: Reservation): number[] {
  return Array<number>(draws.length).fill(0);
}

async function orTellLater(
  told: PromiseLike<void>,
  books: Books,
  name: CallName,
  run: () => Awaitable<void>,
): Promise<void> {
  try {
    await told;
  } catch (error) {
    tellLater(error, books, untold(name, run));
  }
}

/** An end to be told in the context of its own request, not of the one that failed first. */
function untold({ requestId, keyId }: CallName, run: () => Awaitable<void>): Untold {
  return { requestId, keyId, tell: AsyncResource.bind(run) };
}

function tellLater(error: unknown, { config, unsettled }: Books, end: Untold): void {
  config.hooks.onError(error, { requestId: end.requestId, keyId: end.keyId });
  unsettled.add(end);
}
