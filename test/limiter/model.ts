import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Draw, LimiterStore, Reservation, Verdict } from '../../src/limits/limiter-store.js';
import { DEPTH } from '../helpers/depth.js';
import { type ExactLimiter, exactLimiter, MODEL_BUCKETS, MODEL_SLOTS } from './exact-limiter.js';
import { type Command, modelCommands, PURSES, type ReserveCommand, type Rule } from './model-commands.js';

/** Longer than any reservation of the model lives. */
const PAUSE_MS = 1_000_000;
const DAY_MS = 86_400_000;

/** What a run met with, so that a test that met with nothing fails. */
interface Seen {
  commands: number;
  granted: number;
  waits: number;
  waited: number;
  nevers: number;
  debts: number;
  unknown: number;
  dry: number;
  settled: number;
}

/**
 * Gives a limiter store and the exact model the same random commands and compares every answer.
 * @param make is asked for a store for every run of about 80 commands, and may give the same one again: names are new in
 * each run and time goes on. Instants run ahead of the real time and step back by seconds.
 * @param commands at depth 1, and `further` ones for each further depth: as many, unless each of them waits for a disk.
 */
export function limiterModelTest(
  name: string,
  make: () => LimiterStore | PromiseLike<LimiterStore>,
  { commands: atDepthOne, further = atDepthOne }: { readonly commands: number; readonly further?: number },
): void {
  const commands = atDepthOne + (DEPTH - 1) * further;
  describe(`${name} against the exact model`, () => {
    it(`gives the model's answers to ${commands} commands`, async (context) => {
      const seen = unseen();
      let now = Date.now();
      const property = fc.asyncProperty(fc.array(modelCommands, { minLength: 60, maxLength: 110 }), async (list) => {
        const run = modelRun(await make(), now + PAUSE_MS, seen);
        try {
          for (const command of list) await run.step(command);
        } finally {
          // Also for those that make a failure smaller: a store's time does not step back.
          now = run.now();
        }
      });
      await fc.assert(property, { numRuns: Math.ceil(commands / 60) }).catch((error: Error) => {
        // The runner shows no causes.
        throw new Error(`${error.message}\n${error.cause}`);
      });
      context.diagnostic(`${name}: 0 differences, ${JSON.stringify(seen)}`);
      // The rarest is met with about once in two hundred commands.
      if (commands >= 5_000) for (const count of Object.values(seen)) assert.ok(count > 0, JSON.stringify(seen));
    });
  });
}

function unseen(): Seen {
  return { commands: 0, granted: 0, waits: 0, waited: 0, nevers: 0, debts: 0, unknown: 0, dry: 0, settled: 0 };
}

function modelRun(store: LimiterStore, start: number, seen: Seen) {
  const model = exactLimiter();
  const tag = randomUUID();
  const reservations: Reservation[] = [];
  const rules: Rule[] = [...MODEL_BUCKETS];
  let now = start;

  async function ask(reservation: Reservation): Promise<Verdict> {
    const expected = model.reserve(reservation, now);
    const verdict = await store.reserve(reservation, now);
    compare(verdict, expected);
    return verdict;
  }

  async function reserve(command: ReserveCommand): Promise<void> {
    const reservation = reservationOf(command, `${tag}:${reservations.length}`);
    reservations.push(reservation);
    const verdict = await ask(reservation);
    note(verdict, reservation, seen);
    // Who only looks has told nobody the rule that he looked by.
    if (command.waits && !command.dryRun && isTimed(verdict)) await waitAsTold(reservation, verdict.retryAfterMs);
  }

  /** A millisecond before the instant it is refused, at the instant it is granted, unless something else happens till then. */
  async function waitAsTold(reservation: Reservation, waitMs: number): Promise<void> {
    const told = now + waitMs;
    const isQuiet = model.isQuietUntil(told);
    const again = { ...reservation, id: `${reservation.id}:again`, dryRun: true };
    now = told - 1;
    const early = await ask(again);
    now = told;
    const punctual = await ask(again);
    if (!isQuiet) return;
    seen.waited += 1;
    assert.equal(early.granted, false);
    assert.ok(punctual.granted || punctual.retryAfterMs === 1_000, 'granted at last, unless the places are taken');
  }

  async function settle({ which, amounts }: Extract<Command, { kind: 'settle' }>): Promise<void> {
    const reservation = reservations.at(-1 - which) ?? reservationOf(NOTHING, `${tag}:nobody`);
    const used = amounts.slice(0, reservation.draws.length);
    const settled = reservation.draws.map((draw, index) => capped(model, draw, used[index]));
    // A list that is too short is garbage, too.
    const given = settled.slice(0, used.length);
    model.settle(reservation, given, now);
    await store.settle(reservation, given, now);
    seen.settled += 1;
  }

  function reservationOf({ draws, spent, slots, ttlMs, dryRun }: ReserveCommand, id: string): Reservation {
    return {
      id,
      draws: draws.map(({ place, amount }): Draw => {
        const rule = rules[place];
        if (rule !== undefined) {
          const { bucket, capacity, perMinute } = rule;
          return {
            bucket: `${tag}:${bucket}`,
            capacity,
            refillPerMs: perMinute / 60_000,
            amount: Math.min(amount, 130),
          };
        }
        const { bucket, capacity, scale } = PURSES[place - rules.length] ?? PURSES[0];
        const budget = { endsAt: start + 400 * DAY_MS, ...(spent === undefined ? {} : { spent: spent * scale }) };
        return { bucket: `${tag}:${bucket}`, capacity, refillPerMs: 0, amount: amount * scale, budget };
      }),
      slots: slots.map((place) => ({
        ...(MODEL_SLOTS[place] ?? MODEL_SLOTS[0]),
        name: `${tag}:${MODEL_SLOTS[place]?.name}`,
      })),
      ttlMs,
      ...(dryRun ? { dryRun } : {}),
    };
  }

  return {
    now: () => now,
    async step(command: Command): Promise<void> {
      seen.commands += 1;
      if (command.kind === 'reserve') await reserve(command);
      else if (command.kind === 'settle') await settle(command);
      else if (command.kind === 'advance') now += command.ms;
      else rules[command.place] = { ...(rules[command.place] ?? MODEL_BUCKETS[0]), ...command.rule };
    },
  };
}

const NOTHING: ReserveCommand = {
  kind: 'reserve',
  draws: [],
  spent: undefined,
  slots: [],
  ttlMs: 1,
  dryRun: false,
  waits: false,
};

/**
 * A store may forget a full bucket, and with it the rate that was told last: what an older rule's call draws later than that
 * is not given to either side.
 */
function capped(model: ExactLimiter, { bucket, amount, refillPerMs }: Draw, used: number | undefined): number {
  const flow = model.flowOf(bucket);
  const isStale = flow !== undefined && flow !== BigInt(Math.round(refillPerMs * 60_000));
  return isStale ? Math.min(used ?? amount, amount) : (used ?? Number.NaN);
}

function isTimed({ granted, retryAfterMs, unknownBudgets }: Verdict): boolean {
  return !granted && unknownBudgets !== true && retryAfterMs !== Number.POSITIVE_INFINITY;
}

function compare(verdict: Verdict, expected: Verdict): void {
  assert.equal(verdict.granted, expected.granted);
  assert.equal(verdict.retryAfterMs, expected.retryAfterMs);
  assert.equal(verdict.unknownBudgets ?? false, expected.unknownBudgets ?? false);
  assert.equal(verdict.remaining.length, expected.remaining.length);
  for (const [index, remaining] of expected.remaining.entries()) {
    const actual = verdict.remaining[index] ?? Number.NaN;
    if (Number.isInteger(remaining)) assert.equal(actual, remaining);
    else assert.ok(Math.abs(actual - remaining) < 1e-6, `${actual} instead of ${remaining}`);
  }
}

function note(verdict: Verdict, { dryRun = false }: Reservation, seen: Seen): void {
  if (dryRun) seen.dry += 1;
  if (verdict.remaining.some((remaining) => remaining < 0)) seen.debts += 1;
  if (verdict.granted) seen.granted += 1;
  else if (verdict.unknownBudgets === true) seen.unknown += 1;
  else if (verdict.retryAfterMs === Number.POSITIVE_INFINITY) seen.nevers += 1;
  else seen.waits += 1;
}
