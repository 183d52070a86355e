import { randomUUID } from 'node:crypto';
import { checkOptionNames, positiveInteger, unexpected } from '../../base/checks.js';
import { type Clock, systemClock } from '../../base/clock.js';
import type { InterruptedEnd, LimiterStore, Reservation, Verdict } from '../../limits/limiter-store.js';
import { commandsOf, type RedisClient, redisScript } from './client.js';
import { deadMachines } from './dead.js';
import {
  decodeBeat,
  decodeReply,
  encodeBeat,
  encodeCharge,
  encodeReserve,
  encodeSettle,
  type Settlement,
} from './encode.js';
import { fallback, type OnStoreError } from './fallback.js';
import { leftovers } from './leftovers.js';
import { redisLink } from './link.js';
import { type RedisNotice, warnOfEviction } from './notices.js';

export type { RedisClient, SendCommand } from './client.js';
export type { OnStoreError } from './fallback.js';
export type { RedisNotice } from './notices.js';

export interface RedisLimiterOptions {
  /** The application's own client, of ioredis or node-redis. It stays the application's to connect and to close. */
  readonly client: RedisClient;
  /**
   * Beginning of all keys, in braces. Limits of one prefix are one atomic step, also in a cluster, where they lie on
   * one node. Gateways that share limits have the same prefix. @default 'megallm'
   */
  readonly prefix?: string | undefined;
  /** Most milliseconds of an answer; a slower one is a failure. @default 50 */
  readonly timeoutMs?: number | undefined;
  /**
   * Policy while Redis is lost. `local`: each process grants its share of every limit, which is the limit divided by
   * the number of processes last heard of, and at least 1 for each process. `deny`: `reserve` rejects. `allow`: all is
   * granted. Under each policy, `reserve` rejects draws on budgets. @default 'local'
   */
  readonly onStoreError?: OnStoreError | undefined;
  /**
   * Milliseconds after a loss of Redis's memory for which `reserve` rejects draws on budgets: a call that was granted
   * before may not stand in the ledger yet. Longer than the ledger's own timeout, which is 5 seconds in SQLite and
   * Postgres. @default 6_000
   */
  readonly settleMs?: number | undefined;
  /**
   * Milliseconds, by the clock of Redis, for which a process that is not heard of may still be alive. After that, the others
   * give back the places that its calls held. At least 3,000: each process tells every second that it lives. @default 10_000
   */
  readonly leaseMs?: number | undefined;
  /** Most reservations, and most buckets, remembered while Redis is lost. @default 10_000 */
  readonly maxRemembered?: number | undefined;
  /**
   * Clock that decides: that of Redis, or, for tests, the instants given to `reserve` and `settle`. @default 'server'
   */
  readonly time?: 'server' | 'caller' | undefined;
  /** Called when Redis is lost, when it is back, and when it may throw limits away. */
  readonly onNotice?: ((notice: RedisNotice) => void) | undefined;
  /** The gateway's clock, where it has one of its own. @default the machine's own */
  readonly clock?: Clock | undefined;
}

const OPTIONS: Readonly<Record<keyof RedisLimiterOptions, true>> = {
  client: true,
  prefix: true,
  timeoutMs: true,
  onStoreError: true,
  settleMs: true,
  leaseMs: true,
  maxRemembered: true,
  time: true,
  onNotice: true,
  clock: true,
};

/** Limits in Redis. */
export interface RedisLimiter extends LimiterStore {
  reserve(reservation: Reservation, now: number): Promise<Verdict>;
  settle(reservation: Reservation, amounts: readonly number[], now: number): Promise<void>;
  settleInterrupted(call: InterruptedEnd): Promise<void>;
  /** Tells Redis of everything it missed, if it is there, and asks it no more of its own accord. */
  close(): Promise<void>;
}

/** Most buckets told at once, as this process and Redis stand still meanwhile. */
const CHARGED_AT_ONCE = 100;
/** Beats come each second, and one that is late means nothing. */
const LEAST_LEASE_MS = 3_000;

/**
 * Keeps limit counters in Redis 6.2 or newer, for any number of machines: `memoryLimiter`'s rules and arithmetic by the
 * clock of Redis, in one round trip for each `reserve` and each `settle`.
 *
 * Where Redis fails, or is slower than `timeoutMs`, `onStoreError` decides. Five failures in a row count as a loss; of calls that
 * overlap only one counts. Redis is then asked once a second, and trusted again after three answers
 * in a row. Under `local`, all processes together grant at most twice the limit in the first minute after a loss (or
 * the limit and one for each process, where that is more), and one limit (or one for each process) from then on: their
 * grants are drawn from Redis when it is back. For concurrency the same bound holds until the calls that Redis granted have ended.
 *
 * Budgets are never overrun while one Redis is the master: the script notices a restarted, replaced or emptied Redis,
 * and the ledger is asked anew. Redis must be allowed to answer `INFO server` for that; else only a loss seen by this
 * process is noticed. Two masters at once, cut off from one another, each grant a budget: `min-replicas-to-write 1`
 * makes the one without replicas refuse.
 * @throws {TypeError} for a bad option; from `reserve` when a reservation of that id is held.
 */
export function redisLimiter(options: RedisLimiterOptions): RedisLimiter {
  checkOptionNames(options, OPTIONS);
  const { naming, clock, mode, settleMs, leaseMs, max, timeoutMs } = checked(options);
  const send = commandsOf(options.client);
  const script = redisScript(send, { clock, timeoutMs });
  const instance = randomUUID();
  const unsettled = leftovers(max);
  let machines = 1;
  let attempts = 0;
  const local = fallback({ mode, machines: () => machines, max });
  const notify = (notice: RedisNotice): void => {
    try {
      options.onNotice?.(notice);
    } catch {
      // A watcher must not break limits.
    }
  };
  const warn = warnOfEviction(send, notify);

  async function tell(settlement: Settlement): Promise<void> {
    const { keys, args } = encodeSettle(settlement, clock.steadyMs(), { naming, instance });
    await script.run(keys, args);
  }

  async function charge(): Promise<void> {
    const drawn = local.drawn();
    for (let from = 0; from < drawn.length; from += CHARGED_AT_ONCE) {
      const some = drawn.slice(from, from + CHARGED_AT_ONCE);
      const draws = local.outstanding(some, clock.steadyMs());
      if (draws.length > 0) {
        const { keys, args } = encodeCharge(draws, clock.steadyMs(), naming);
        await script.run(keys, args);
      }
      local.forget(some);
    }
  }

  let catchingUp: Promise<void> | undefined;

  /** Tells Redis of everything it missed, one run at a time: two would draw everything twice. */
  function catchUp(): Promise<void> {
    catchingUp ??= unsettled
      .drain(tell)
      .then(charge)
      .finally(() => {
        catchingUp = undefined;
      });
    return catchingUp;
  }

  async function catchUpAtLast(): Promise<void> {
    // A run that is under way does not tell of anything added since.
    await catchingUp;
    await catchUp();
  }

  const dead = deadMachines({ script, naming, clock, leaseMs });
  const link = redisLink({
    clock,
    async beat() {
      const { keys, args } = encodeBeat(instance, leaseMs, naming);
      const { live, silent } = decodeBeat(await script.run(keys, args));
      // A Redis that came back empty has not heard of the other processes yet.
      if (!link.isDown() || live > machines) machines = live;
      await catchUp();
      await dead.sweep(silent);
      void warn();
    },
    onLost: (cause) => notify({ kind: 'lost', cause }),
    onBack: () => notify({ kind: 'back' }),
  });

  // With the caller's clock, even an empty reservation tells the time.
  const isTimeKnown = naming.time === 'server';

  async function reserve(reservation: Reservation, now: number): Promise<Verdict> {
    if (isTimeKnown && reservation.draws.length === 0 && reservation.slots.length === 0) {
      return { granted: true, retryAfterMs: 0, remaining: [] };
    }
    // Redis is not asked again about a reservation that it may have granted unheard.
    if (link.isDown() || unsettled.has(reservation.id)) return local.reserve(reservation, now);
    const begun = link.begin();
    const isSuspect = link.isSuspect();
    attempts += 1;
    const attempt = `${instance}:${attempts}`;
    let reply: ReturnType<typeof decodeReply>;
    try {
      const { keys, args } = encodeReserve(reservation, now, { naming, instance, attempt, isSuspect, settleMs });
      reply = decodeReply(await script.run(keys, args));
    } catch (error) {
      link.fail(error, begun);
      if (isHolding(reservation)) {
        unsettled.add({ reservation, amounts: reservation.draws.map(() => 0), isGhost: true });
      }
      return local.reserve(reservation, now);
    }
    link.succeed();
    if (reply === 'held') throw new TypeError('Expected the id of a reservation to be unique');
    if (isSuspect && reservation.draws.some(({ budget }) => budget !== undefined)) link.trust();
    if (reply === 'young') throw new Error('Redis lost its memory a moment ago: budgets wait for the ledger');
    return reply;
  }

  async function settle(reservation: Reservation, amounts: readonly number[], now: number): Promise<void> {
    if (local.settle(reservation, amounts, now) || unsettled.has(reservation.id)) return;
    if (isTimeKnown && !isHolding(reservation)) return;
    const settlement = { reservation, amounts, isGhost: false };
    if (link.isDown()) return unsettled.add(settlement);
    const begun = link.begin();
    try {
      const { keys, args } = encodeSettle(settlement, now, { naming, instance });
      await script.run(keys, args);
      link.succeed();
    } catch (error) {
      link.fail(error, begun);
      unsettled.add(settlement);
    }
  }

  return {
    reserve,
    settle,
    settleInterrupted: dead.settle,
    async close() {
      link.close();
      // Reservations of which Redis cannot be told are given back when their time is up.
      if (!link.isDown()) await catchUpAtLast().catch(() => {});
    },
  };
}

/** Whether the reservation is remembered when it is granted. */
function isHolding({ draws, slots, dryRun = false }: Reservation): boolean {
  return !dryRun && (slots.length > 0 || draws.some(({ amount }) => amount !== 0));
}

function checked(options: RedisLimiterOptions) {
  const {
    prefix = 'megallm',
    onStoreError = 'local',
    time = 'server',
    settleMs = 6_000,
    clock = systemClock,
  } = options;
  if (typeof prefix !== 'string' || prefix === '' || /[{}]/.test(prefix)) {
    throw unexpected('prefix', 'to be a text without braces', prefix);
  }
  if (onStoreError !== 'local' && onStoreError !== 'deny' && onStoreError !== 'allow') {
    throw unexpected('onStoreError', "to be 'local', 'deny' or 'allow'", onStoreError);
  }
  if (time !== 'server' && time !== 'caller') throw unexpected('time', "to be 'server' or 'caller'", time);
  return {
    naming: { prefix, time },
    clock,
    mode: onStoreError,
    leaseMs: checkedLease(options.leaseMs ?? 10_000),
    settleMs: settleMs === 0 ? 0 : positiveInteger('settleMs', settleMs),
    max: positiveInteger('maxRemembered', options.maxRemembered ?? 10_000),
    timeoutMs: positiveInteger('timeoutMs', options.timeoutMs ?? 50),
  };
}

function checkedLease(leaseMs: number): number {
  if (positiveInteger('leaseMs', leaseMs) >= LEAST_LEASE_MS) return leaseMs;
  throw unexpected('leaseMs', `to be at least ${LEAST_LEASE_MS}`, leaseMs);
}
