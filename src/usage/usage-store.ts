import type { Awaitable } from '../base/awaitable.js';
import type { Price } from '../models/pricing.js';
import type { Operation } from '../upstreams/upstream.js';
import type { TokenUsage } from '../wire/usage.js';

/** What is known when a call is admitted. */
export interface UsageStart {
  /** Made by the gateway, never by the client. */
  readonly requestId: string;
  readonly keyId: string;
  /** Whose key it is: `owner:` and the owner, or `key:` and the id of a key that stands alone. */
  readonly owner: string;
  readonly tier: string;
  readonly operation: Operation;
  /** The public model id; empty where no model is asked. */
  readonly model: string;
  /** Name of the upstream that is asked. */
  readonly upstream: string;
  /** Unix time in milliseconds. */
  readonly startedAt: number;
  /** What the input was taken for: an upper bound. */
  readonly reservedInputTokens: number;
  /** All answers together; `undefined`: there is no ceiling. */
  readonly reservedOutputTokens: number | undefined;
  /** Billionths of a US dollar; `undefined` when there is no ceiling or no price. */
  readonly reservedNanoUsd: number | undefined;
  /** The price in force when the call began: what it is settled at, whatever changes meanwhile. */
  readonly price: Price | undefined;
}

/** One call, from the moment it is admitted. */
export interface UsageRecord extends UsageStart, UsageTokens {
  /** `aborted`: the client went away first. `interrupted`: the process died; settled at the next start. */
  readonly outcome: 'ok' | 'error' | 'aborted' | 'interrupted';
  /** Whether the upstream said the numbers, or we counted. */
  readonly counted: 'exact' | 'estimated';
  /** Billionths of a US dollar; `undefined` when tokens or price are unknown. */
  readonly costNanoUsd: number | undefined;
  /** From the start to the first byte for the client; `undefined` when there was none. */
  readonly firstByteMs: number | undefined;
  readonly durationMs: number;
}

/** Tokens of a call; `undefined` when nobody said. Never a made-up 0. */
export type UsageTokens = { readonly [Kind in keyof TokenUsage]: number | undefined };

/** Where usage is kept. A store in this process's memory may answer without promises. */
export interface UsageStore {
  /**
   * Called before the upstream is asked; after it resolves, a crash cannot hide the call.
   * @throws Anything. The call is refused with a 503: what cannot be recorded is not made.
   */
  open(start: UsageStart): Awaitable<void>;
  /**
   * Called once, before the client is given the end of its answer; resolves when the record is durable. A second call for
   * one request changes nothing, unless the first was made in the name of a process that was thought dead.
   */
  settle(record: UsageRecord): Awaitable<void>;
  /**
   * Called before more output than ever is delivered: until the next call of it the client gets no more than this.
   * Resolves when it is durable. Absent: interrupted calls are settled at what was reserved.
   * @param outputTokens of the answer so far, and of what may follow.
   */
  checkpoint?(requestId: string, outputTokens: number): Awaitable<void>;
}

/** A usage store that can also answer for what it keeps. */
export interface UsageReader {
  /** Sums over settled calls, by time first and then in the order of the groups. Groups without calls are left out. */
  report(query: UsageQuery): Awaitable<readonly UsageGroup[]>;
  /**
   * What one budget has lost: the costs of settled calls that began in the period, and what is reserved for open ones. In
   * billionths of a US dollar. Absent: nobody can tell, and a budget that a limiter has lost begins anew.
   */
  spent?(scope: BudgetScope, period: Period): Awaitable<number>;
}

/** Half open: calls that began from `from` on and before `to`, Unix time in milliseconds. */
export interface Period {
  readonly from: number;
  readonly to: number;
}

/** Whose calls share a budget. */
export type BudgetScope = { readonly kind: 'key' | 'owner' | 'tier'; readonly id: string } | { readonly kind: 'all' };

/** What calls can be told apart by. */
export type UsageDimension = 'keyId' | 'owner' | 'model' | 'operation';

/** Which calls to add up, and how. */
export interface UsageQuery extends Period {
  /** Only calls of which the dimension is one of these. Absent: all. */
  readonly only?: { readonly [Dimension in UsageDimension]?: readonly string[] };
  /** What to tell apart. */
  readonly by: readonly UsageDimension[];
  /** What to cut time into, in UTC; the first and the last may be cut short. Absent: it is not cut. */
  readonly every?: 'minute' | 'hour' | 'day';
}

/** The sums of one group of calls. */
export interface UsageGroup {
  /** Unix time in milliseconds of its beginning; the query's `from` where time is not cut. */
  readonly startsAt: number;
  /** What its calls have in common. */
  readonly of: { readonly [Dimension in UsageDimension]?: string };
  readonly sums: UsageSums;
}

/** Sums over settled calls; what nobody said counts as 0. */
export interface UsageSums extends TokenSums {
  readonly requests: number;
  /** Only over calls whose cost is known. */
  readonly costNanoUsd: number;
  /** Calls whose cost is unknown, so that the sum above is not taken for the whole. */
  readonly requestsWithoutCost: number;
}

/** @see TokenUsage */
export type TokenSums = { readonly [Kind in keyof TokenUsage]: number };
