import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import {
  type ApiKey,
  type ErrorContext,
  type GatewayOptions,
  memoryKeys,
  type ShadowRefusal,
  type UsageRecord,
} from 'megallm-middleware';
import { type WatchedLimiter, type WatchedUsage, watchedLimiter, watchedUsage } from './watched-stores.js';

/** The secret of `key_test`, whose tier has no limits. */
export const SECRET = 'test-secret-0123456789';
/** The secret of `key_small`, whose tier is what the test says. */
export const SMALL_SECRET = 'small-secret-0123456789';
/** Well-formed and nobody's. */
export const UNKNOWN_SECRET = 'unknown-secret-0123456789';

export interface CaughtError {
  readonly error: unknown;
  readonly context: ErrorContext;
}

/** Options for a gateway under test, and what it did with them. */
export interface Setup {
  readonly options: GatewayOptions;
  readonly errors: CaughtError[];
  readonly records: UsageRecord[];
  readonly notices: string[];
  /** What `onShadowLimit` was told. */
  readonly shadows: ShadowRefusal[];
  readonly limiter: WatchedLimiter;
  readonly usage: WatchedUsage;
  /** From here on errors that reach `onError` are expected: the test breaks something on purpose. */
  expectErrors(): void;
  /** Everything is given back and recorded once, `onFinish` saw each record, and no unexpected error reached `onError`. */
  finish(): Promise<void>;
}

export interface SetupOptions extends Partial<GatewayOptions> {
  /** What `key_test` has besides its id and tier. */
  readonly key?: Partial<ApiKey>;
  /** Limits of the tier `small`. */
  readonly small?: ApiKey['limits'];
  /** Expect errors at `onError` from the start. */
  readonly broken?: boolean;
}

/** Two keys, watched stores, no environment, and hooks that remember. Anything may be overridden. */
export function testSetup({ key, small, broken, ...overrides }: SetupOptions = {}): Setup {
  const errors: CaughtError[] = [];
  const records: UsageRecord[] = [];
  const notices: string[] = [];
  const shadows: ShadowRefusal[] = [];
  const limiter = watchedLimiter();
  const usage = watchedUsage();
  let expectsErrors = broken === true;
  const options: GatewayOptions = {
    keys: memoryKeys([
      { secret: SECRET, id: 'key_test', tier: 'open', ...key },
      { secret: SMALL_SECRET, id: 'key_small', tier: 'small' },
    ]),
    tiers: { open: {}, small: small ?? { requestsPerMinute: 3, tokensPerMinute: 10_000, concurrency: 2 } },
    limiter,
    usage,
    environment: { NODE_ENV: 'test' },
    hooks: {
      onFinish: (record) => void records.push(record),
      onError: (error, context) => void errors.push({ error, context }),
      onNotice: (text) => void notices.push(text),
      onShadowLimit: (refusal) => void shadows.push(refusal),
    },
    ...overrides,
  };
  return {
    options,
    errors,
    records,
    notices,
    shadows,
    limiter,
    usage,
    expectErrors: () => {
      expectsErrors = true;
    },
    finish: async () => {
      await limiter.allBack();
      await usage.allSettled();
      assert.equal(records.length, usage.settled.length, 'onFinish saw each settled record');
      for (const record of records) checkRecord(record);
      if (!expectsErrors) assert.deepEqual(errors, [], `unexpected at onError: ${inspect(errors, { depth: 4 })}`);
    },
  };
}

/** What is true of every record, whatever happened to its call. */
function checkRecord(record: UsageRecord): void {
  const amounts = [record.inputTokens, record.cachedInputTokens, record.outputTokens, record.reasoningTokens];
  for (const amount of [...amounts, record.costNanoUsd]) {
    if (amount !== undefined) assert.ok(Number.isSafeInteger(amount) && amount >= 0, `${inspect(record)}`);
  }
  assert.ok(record.durationMs >= 0 && record.durationMs >= (record.firstByteMs ?? 0), inspect(record));
  assert.match(record.requestId, /^req_[0-9a-f]{32}$/);
}
