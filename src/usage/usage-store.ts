import type { Awaitable } from '../awaitable.js';
import type { Operation } from '../upstreams/upstream.js';

/** One call, from the moment it is admitted. */
export interface UsageRecord {
  readonly requestId: string;
  readonly keyId: string;
  readonly operation: Operation;
  /** The public model id. */
  readonly model: string;
  /** Name of the upstream that answered, or was asked last. */
  readonly upstream: string;
  /** `aborted`: the client went away first. `interrupted`: the process died; settled at the next start. */
  readonly outcome: 'ok' | 'error' | 'aborted' | 'interrupted';
  /** Tokens; `undefined` when nobody said. Never a made-up 0. */
  readonly inputTokens: number | undefined;
  readonly cachedInputTokens: number | undefined;
  readonly outputTokens: number | undefined;
  readonly reasoningTokens: number | undefined;
  /** Whether the upstream said the numbers, or we counted. */
  readonly counted: 'exact' | 'estimated';
  /** Billionths of a US dollar; `undefined` when tokens or price are unknown. */
  readonly costNanoUsd: number | undefined;
  /** Unix time in milliseconds. */
  readonly startedAt: number;
  /** From the start to the first byte for the client; `undefined` when there was none. */
  readonly firstByteMs: number | undefined;
  readonly durationMs: number;
}

/** What is known when a call is admitted. */
export type UsageStart = Pick<UsageRecord, 'requestId' | 'keyId' | 'operation' | 'model' | 'startedAt'>;

/** Where usage is kept. A store in this process's memory may answer without promises. */
export interface UsageStore {
  /**
   * Called before the upstream is asked; after it resolves, a crash cannot hide the call.
   * @throws Anything. The call is refused with a 503: what cannot be recorded is not made.
   */
  open(start: UsageStart): Awaitable<void>;
  /** Called once, before the client is given the end of its answer; resolves when the record is durable. */
  settle(record: UsageRecord): Awaitable<void>;
}

/** A usage store that can also answer `GET /v1/usage`. */
export interface UsageReader {
  /** Everything one key has used. A key without usage has totals of 0. */
  totals(keyId: string): Awaitable<UsageTotals>;
}

/** Sums over settled calls. */
export interface UsageTotals {
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Only over calls whose cost is known. */
  readonly costNanoUsd: number;
  /** Calls whose cost is unknown, so that the sum above is not taken for the whole. */
  readonly requestsWithoutCost: number;
  readonly byModel: ReadonlyMap<string, UsageSum>;
  /** Oldest first. */
  readonly byHour: readonly UsageHour[];
}

export interface UsageSum {
  readonly requests: number;
  readonly tokens: number;
  /** Only over calls whose cost is known. */
  readonly costNanoUsd: number;
  readonly requestsWithoutCost: number;
}

export interface UsageHour extends UsageSum {
  /** Unix time in milliseconds of the hour's beginning, UTC. */
  readonly startsAt: number;
}
