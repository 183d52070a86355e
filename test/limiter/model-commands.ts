import fc from 'fast-check';
import { MODEL_BUCKETS, MODEL_SLOTS } from './exact-limiter.js';

export interface Rule {
  readonly bucket: string;
  readonly capacity: number;
  readonly perMinute: number;
}

/** Budgets; amounts are multiplied by the scale. All sums stay within 2 ** 53. */
export const PURSES = [
  { bucket: 'day', capacity: 900, scale: 1 },
  { bucket: 'month', capacity: 8_700_000_000_000_001, scale: 9_999_999_999_999 },
] as const;

export interface ReserveCommand {
  readonly kind: 'reserve';
  /** Places in `MODEL_BUCKETS` and, beyond, in `PURSES`. */
  readonly draws: readonly { readonly place: number; readonly amount: number }[];
  /** Of the budgets; `undefined`: the ledger was not asked. */
  readonly spent: number | undefined;
  readonly slots: readonly number[];
  readonly ttlMs: number;
  readonly dryRun: boolean;
  /** After a refusal, waits as told. */
  readonly waits: boolean;
}

export type Command =
  | ReserveCommand
  | { readonly kind: 'settle'; readonly which: number; readonly amounts: readonly number[] }
  | { readonly kind: 'advance'; readonly ms: number }
  | {
      readonly kind: 'rule';
      readonly place: number;
      readonly rule: { readonly capacity: number; readonly perMinute: number };
    };

const amount = fc.oneof(fc.nat(12), fc.nat(130), fc.constant(0));
const garbage = fc.constantFrom(Number.NaN, -3, Number.NEGATIVE_INFINITY);

const reserve: fc.Arbitrary<Command> = fc.record({
  kind: fc.constant('reserve' as const),
  draws: fc.array(fc.record({ place: fc.nat(MODEL_BUCKETS.length + PURSES.length - 1), amount }), { maxLength: 3 }),
  spent: fc.option(fc.oneof(fc.nat(700), fc.constant(880)), { nil: undefined }),
  slots: fc.array(fc.nat(MODEL_SLOTS.length - 1), { maxLength: 2 }),
  ttlMs: fc.constantFrom(1, 500, 20_000, 600_000),
  dryRun: fc.nat(7).map((one) => one === 0),
  waits: fc.nat(2).map((one) => one === 0),
});

const settle: fc.Arbitrary<Command> = fc.record({
  kind: fc.constant('settle' as const),
  // Counted from the latest; beyond the first ones: those settled, refused or expired long ago.
  which: fc.nat(12),
  amounts: fc.array(fc.oneof({ weight: 8, arbitrary: amount }, { weight: 1, arbitrary: garbage }), {
    minLength: 2,
    maxLength: 3,
  }),
});

const advance: fc.Arbitrary<Command> = fc.record({
  kind: fc.constant('advance' as const),
  ms: fc.oneof(fc.nat(3), fc.nat(3_000), fc.nat(90_000), fc.integer({ min: -30_000, max: -1 })),
});

const rule: fc.Arbitrary<Command> = fc.record({
  kind: fc.constant('rule' as const),
  place: fc.nat(MODEL_BUCKETS.length - 1),
  rule: fc.record({ capacity: fc.nat(150), perMinute: fc.oneof(fc.nat(200), fc.nat(100_000)) }),
});

/** What may happen to a limiter. */
export const modelCommands: fc.Arbitrary<Command> = fc.oneof(
  { weight: 10, arbitrary: reserve },
  { weight: 8, arbitrary: settle },
  { weight: 8, arbitrary: advance },
  { weight: 1, arbitrary: rule },
);
