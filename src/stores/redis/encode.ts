import { roundIfNear, trueAmount } from '../../limits/bucket.js';
import type { Budget, Draw, Reservation, Slot, Verdict } from '../../limits/limiter-store.js';

/** A call of the script, with the arguments in the order in which the script reads them. */
export interface ScriptCall {
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

/** Settings shared by all calls of one limiter. */
export interface Naming {
  readonly prefix: string;
  readonly time: 'server' | 'caller';
}

/** Answer to a reservation; `held`: there is one of that id; `young`: budgets wait for the ledger. */
export type Reply = Verdict | 'held' | 'young';

interface Places {
  readonly keys: readonly string[];
  /** Place of each bucket, from 1. */
  readonly buckets: ReadonlyMap<string, number>;
  /** For each bucket whether it is a budget, its end, and the amount spent. */
  readonly budgets: readonly string[];
  readonly slots: readonly Slot[];
}

interface ReserveContext {
  readonly naming: Naming;
  readonly instance: string;
  /** Unique: a request that arrives twice is answered twice and granted once. */
  readonly attempt: string;
  readonly isSuspect: boolean;
  readonly settleMs: number;
}

/** Encodes a reservation. */
export function encodeReserve(
  reservation: Reservation,
  now: number,
  { naming, instance, attempt, isSuspect, settleMs }: ReserveContext,
): ScriptCall {
  const { id, draws, slots, ttlMs, dryRun = false } = reservation;
  const { keys, buckets, budgets, slots: places } = placesOf(reservation, naming);
  const hasBudgets = draws.some(({ budget }) => budget !== undefined);
  const args = [
    ...['reserve', timeOf(now, naming), id, `${ttlMs}`, bit(dryRun)],
    ...[attempt, dryRun ? '' : holdingOf(reservation), bit(isSuspect), `${settleMs}`, bit(hasBudgets)],
    ...[`${buckets.size}`, `${places.length}`, `${draws.length}`],
    ...budgets,
  ];
  for (const { bucket, capacity, refillPerMs, amount } of draws) {
    // NaN is refused for ever, as is any amount below 0.
    args.push(`${buckets.get(bucket)}`, `${capacity}`, `${refillPerMs}`, `${amount >= 0 ? amount : -1}`);
  }
  for (const { name, capacity } of places) args.push(`${capacity}`, countOf(name, slots));
  return { keys: [...keys, heldBy(instance, naming)], args };
}

/** Encodes a settlement. @param instance the one that holds the reservation. */
export function encodeSettle(
  { reservation, amounts, isGhost, isOthers = false }: Settlement,
  now: number,
  { naming, instance }: { readonly naming: Naming; readonly instance: string },
): ScriptCall {
  const { id, draws, slots, ttlMs } = reservation;
  const { keys, buckets, budgets, slots: places } = placesOf(reservation, naming);
  const args = [
    ...['settle', timeOf(now, naming), id, `${ttlMs}`, bit(false), bit(isGhost), bit(isOthers)],
    ...[`${buckets.size}`, `${places.length}`, `${draws.length}`],
    ...budgets,
  ];
  for (const [index, { bucket, refillPerMs, amount }] of draws.entries()) {
    args.push(`${buckets.get(bucket)}`, `${refillPerMs}`, `${amount}`, `${trueAmount(amount, amounts[index])}`);
  }
  for (const { name } of places) args.push(countOf(name, slots));
  return { keys: [...keys, heldBy(instance, naming)], args };
}

/** True amounts of a reservation, to be told to Redis. */
export interface Settlement {
  readonly reservation: Reservation;
  readonly amounts: readonly number[];
  /** Whether nobody knows if Redis granted the reservation: from now on it must not. */
  readonly isGhost: boolean;
  /** Whether it is made in the name of a process that is thought dead, and whose own word counts if it lives. */
  readonly isOthers?: boolean;
}

/** Encodes draws that are made whether the buckets hold them or not. */
export function encodeCharge(draws: readonly Draw[], now: number, naming: Naming): ScriptCall {
  const reservation = { id: '', draws, slots: [], ttlMs: 0 };
  const { keys } = placesOf(reservation, naming);
  const args = ['charge', timeOf(now, naming), '', '0', bit(false), `${draws.length}`];
  for (const { refillPerMs, amount } of draws) args.push(bit(false), '0', '', `${refillPerMs}`, `${amount}`);
  return { keys, args };
}

/** Encodes a sign of life. @param leaseMs milliseconds after which a silent machine does not count. */
export function encodeBeat(instance: string, leaseMs: number, { prefix }: Naming): ScriptCall {
  return { keys: [`{${prefix}}:machines`], args: ['beat', instance, `${leaseMs}`] };
}

/** Decodes the answer to a sign of life. */
export function decodeBeat(reply: string): { readonly live: number; readonly silent: readonly string[] } {
  const [live, ...silent] = reply.split(' ');
  return { live: Number(live), silent: silent.filter((one) => one !== '') };
}

/** Encodes the question which reservations an instance holds: some of them, their ids between blanks. */
export function encodeHeldBy(instance: string, most: number, naming: Naming): ScriptCall {
  return { keys: [heldBy(instance, naming)], args: ['held by', `${most}`] };
}

/** Encodes the question what reservations hold, each on a line. */
export function encodeLook(ids: readonly string[], { prefix }: Naming): ScriptCall {
  return { keys: ids.map((id) => `{${prefix}}:held:${id}`), args: ['look'] };
}

/** A reservation as Redis keeps it. */
export interface HeldReservation {
  readonly instance: string;
  readonly reservation: Reservation;
}

/** Decodes a line of the answer; `undefined`: there is no such reservation, or others have settled it. */
export function decodeHeld(id: string, line: string): HeldReservation | undefined {
  const [, attempt = '', json] = /^\S+ (\S+) (\{.*)$/.exec(line) ?? [];
  if (json === undefined) return undefined;
  const { d, s, t }: Holding = JSON.parse(json);
  const draws = d.map(([bucket, refillPerMs, amount, endsAt]) => ({
    ...{ bucket, capacity: 0, refillPerMs, amount },
    ...(endsAt === undefined ? {} : { budget: { endsAt } }),
  }));
  const slots = s.map((name) => ({ name, capacity: 0 }));
  return { instance: attempt.slice(0, attempt.lastIndexOf(':')), reservation: { id, draws, slots, ttlMs: t } };
}

/** Encodes the end of a dead instance's hold on places. */
export function encodeFree(
  instance: string,
  { id, slots }: Pick<Reservation, 'id' | 'slots'>,
  naming: Naming,
): ScriptCall {
  const names = [...new Set(slots.map(({ name }) => name))];
  const keys = names.map((name) => `{${naming.prefix}}:slots:${name}`);
  return {
    keys: [...keys, heldBy(instance, naming)],
    args: ['free', id, ...names.map((name) => countOf(name, slots))],
  };
}

/** Encodes that a dead instance holds no places any more. */
export function encodeBury(instance: string, { prefix }: Naming): ScriptCall {
  return { keys: [`{${prefix}}:machines`], args: ['bury', instance] };
}

/** Draws, slots and `ttlMs` of a reservation, kept so that others can settle it. */
interface Holding {
  readonly d: readonly (readonly [bucket: string, refillPerMs: number, amount: number, endsAt?: number])[];
  readonly s: readonly string[];
  readonly t: number;
}

function holdingOf({ draws, slots, ttlMs }: Reservation): string {
  const holding: Holding = {
    d: draws.map(({ bucket, refillPerMs, amount, budget }) =>
      budget === undefined ? [bucket, refillPerMs, amount] : [bucket, refillPerMs, amount, budget.endsAt],
    ),
    s: slots.map(({ name }) => name),
    t: ttlMs,
  };
  return JSON.stringify(holding);
}

function heldBy(instance: string, { prefix }: Naming): string {
  return `{${prefix}}:held-by:${instance}`;
}

/** Decodes the script's answer to a reservation. */
export function decodeReply(reply: string): Reply {
  if (reply === 'held' || reply === 'young') return reply;
  const [granted, unknown, retryAfterMs = '', ...remaining] = reply.split(' ');
  return {
    granted: granted === '1',
    retryAfterMs: retryAfterMs === 'inf' ? Number.POSITIVE_INFINITY : Number(retryAfterMs),
    remaining: remaining.map((one) => roundIfNear(Number(one))),
    ...(unknown === '1' ? { unknownBudgets: true } : {}),
  };
}

/** Names the keys of a reservation. All carry one hash tag, so that a cluster keeps them together. */
function placesOf({ id, draws, slots }: Reservation, { prefix }: Naming): Places {
  const tag = `{${prefix}}:`;
  const budgetOf = new Map<string, Budget | undefined>();
  for (const { bucket, budget } of draws) budgetOf.set(bucket, budgetOf.get(bucket) ?? budget);
  const names = [...budgetOf.keys()];
  const places = slots.filter(({ name }, index) => slots.findIndex((slot) => slot.name === name) === index);
  return {
    keys: [
      ...[`${tag}clock`, `${tag}epoch`, `${tag}held:${id}`],
      ...names.flatMap((name) => [`${tag}bucket:${name}`, `${tag}takings:${name}`]),
      ...places.map(({ name }) => `${tag}slots:${name}`),
    ],
    buckets: new Map(names.map((name, index) => [name, index + 1])),
    budgets: [...budgetOf.values()].flatMap((budget) => [
      bit(budget !== undefined),
      `${budget?.endsAt ?? 0}`,
      `${budget?.spent ?? ''}`,
    ]),
    slots: places,
  };
}

function countOf(name: string, slots: readonly Slot[]): string {
  return `${slots.filter((slot) => slot.name === name).length}`;
}

function timeOf(now: number, { time }: Naming): string {
  return time === 'caller' ? `${now}` : '';
}

function bit(is: boolean): string {
  return is ? '1' : '0';
}
