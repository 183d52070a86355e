import { type Awaitable, isPending } from '../base/awaitable.js';
import { type Clock, type Deadlines, deadlines, inTime } from '../base/clock.js';
import { beside, laneOf } from '../limits/lane.js';
import type { LimiterStore, Reservation } from '../limits/limiter-store.js';
import type { IdempotencyStore } from '../stores/answer-store.js';
import type { ObjectStore } from '../stores/object-store.js';
import type { Config, WholeStore } from './config.js';

/** Longest time for what ends a call: its answer is there, and waits only to be written down. */
const ENDING_MS = 10_000;

/** The host's stores other than its keys, none of which can hold a call for ever. */
type Stores = Pick<WholeStore, 'limiter' | 'usage' | 'objects' | 'idempotency'>;

/**
 * Gives every promise of a store a deadline: `timeoutMs` before the upstream is asked, ten seconds at most for what ends a call. A
 * value that is there at once costs nothing.
 */
export function storesInTime(
  { limiter, usage, objects, idempotency }: Stores,
  { clock, timeoutMs, callDeadlines }: Pick<Config, 'clock' | 'timeoutMs' | 'callDeadlines'>,
): Stores {
  const times = { clock, asking: callDeadlines, ending: deadlines(clock, Math.min(timeoutMs, ENDING_MS)) };
  return {
    limiter: limiter && limiterInTime(limiter, times),
    usage: usage && usageInTime(usage, times),
    objects: objects && objectsInTime(objects, times),
    idempotency: idempotency && idempotencyInTime(idempotency, times),
  };
}

interface Times {
  readonly clock: Clock;
  /** For what a call needs before it is made. */
  readonly asking: Deadlines;
  /** For what ends a call. */
  readonly ending: Deadlines;
}

function limiterInTime(store: LimiterStore, { clock, asking, ending }: Times): LimiterStore {
  const { settleInterrupted } = store;
  /** Gives back what was granted when nobody waited for it any more. */
  function giveBack(reservation: Reservation): void {
    const nothing = reservation.draws.map(() => 0);
    unheard(() => store.settle(reservation, nothing, clock.steadyMs()));
  }
  const bounds: LimiterStore = {
    reserve(reservation, nowMs) {
      const verdict = store.reserve(reservation, nowMs);
      if (!isPending(verdict)) return verdict;
      // A look is for the headers of an answer that is there.
      const times = reservation.id === '' ? ending : asking;
      return within(verdict, times, 'limiter.reserve', ({ granted }) => {
        // What only asked has taken nothing.
        if (granted && reservation.dryRun !== true) giveBack(reservation);
      });
    },
    settle: (reservation, used, nowMs) => bounded(store.settle(reservation, used, nowMs), ending, 'limiter.settle'),
    ...(settleInterrupted && {
      settleInterrupted: (call) => bounded(settleInterrupted.call(store, call), ending, 'limiter.settleInterrupted'),
    }),
  };
  // By its lane it answers at once, always; but a host may change it later.
  return laneOf(store) === undefined ? bounds : beside(store, bounds);
}

function usageInTime(store: NonNullable<Stores['usage']>, { asking, ending }: Times): NonNullable<Stores['usage']> {
  const { checkpoint, onInterrupted, report, spent } = store;
  return {
    open: (start) => bounded(store.open(start), asking, 'usage.open'),
    settle: (record) => bounded(store.settle(record), ending, 'usage.settle'),
    ...(checkpoint && {
      checkpoint: (id, tokens) => bounded(checkpoint.call(store, id, tokens), ending, 'usage.checkpoint'),
    }),
    ...(onInterrupted && { onInterrupted: (listener) => onInterrupted.call(store, listener) }),
    ...(report && { report: (query) => bounded(report.call(store, query), asking, 'usage.report') }),
    ...(spent && { spent: (scope, period) => bounded(spent.call(store, scope, period), asking, 'usage.spent') }),
  };
}

function objectsInTime(store: ObjectStore, { asking, ending }: Times): ObjectStore {
  const { listIds } = store;
  return {
    find: (owner, kind, id) => bounded(store.find(owner, kind, id), asking, 'objects.find'),
    list: (owner, kind) => bounded(store.list(owner, kind), asking, 'objects.list'),
    ...(listIds && { listIds: (owner, kind) => bounded(listIds.call(store, owner, kind), asking, 'objects.listIds') }),
    put: (object) => bounded(store.put(object), ending, 'objects.put'),
    remove: (owner, kind, id) => bounded(store.remove(owner, kind, id), ending, 'objects.remove'),
  };
}

function idempotencyInTime(store: IdempotencyStore, { asking, ending }: Times): IdempotencyStore {
  return {
    claim(request, now, claimMs) {
      const claim = store.claim(request, now, claimMs);
      if (!isPending(claim)) return claim;
      // One that was made too late is nobody's to finish.
      return within(claim, asking, 'idempotency.claim', ({ kind }) => {
        if (kind === 'claimed') unheard(() => store.finish(request, undefined, now));
      });
    },
    finish: (request, answer, expiresAt) =>
      bounded(store.finish(request, answer, expiresAt), ending, 'idempotency.finish'),
  };
}

/** The same value, or a promise that rejects when the time is up. */
function bounded<T>(value: Awaitable<T>, times: Deadlines, name: string): Awaitable<T> {
  return isPending(value) ? within(value, times, name) : value;
}

/** @param tooLate told of a value that came after the time. */
function within<T>(
  pending: PromiseLike<T>,
  times: Deadlines,
  name: string,
  tooLate?: (value: T) => unknown,
): Promise<T> {
  return inTime(
    pending,
    times,
    () => new Error(`The store's \`${name}\` did not answer in its time (see \`timeoutMs\`)`),
    tooLate,
  );
}

/** Calls a store for what nobody waits for; what it does not take ends by itself. */
function unheard(call: () => Awaitable<void>): void {
  void (async () => call())().catch(() => {});
}
