import type { Awaitable } from '../base/awaitable.js';
import type { InterruptedEnd } from '../limits/limiter-store.js';
import type { Price } from '../models/pricing.js';
import type { Operation } from '../wire/operations.js';
import type { TokenUsage } from '../wire/usage.js';

/** Facts known when a call is admitted. */
export interface UsageStart {
  /** Made by the gateway, never by the client. */
  readonly requestId: string;
  readonly keyId: string;
  /** Owner of the key: `owner:` and the owner, or `key:` and the id of a key that stands alone. */
  readonly owner: string;
  readonly tier: string;
  readonly operation: Operation;
  /** The public model id; empty where no model is asked. */
  readonly model: string;
  /** Name of the upstream to be asked. */
  readonly upstream: string;
  /** Unix time in milliseconds. */
  readonly startedAt: number;
  /** Estimate of the input: an upper bound. */
  readonly reservedInputTokens: number;
  /** Ceiling of all answers together; `undefined`: there is none. */
  readonly reservedOutputTokens: number | undefined;
  /** Billionths of a US dollar; `undefined` when there is no ceiling or no price. */
  readonly reservedNanoUsd: number | undefined;
  /** The price in force when the call began, at which it is settled whatever changes meanwhile. */
  readonly price: Price | undefined;
  /** The price that the host pays itself, by the model's `cost`; `undefined`: unknown. */
  readonly upstreamPrice?: Price | undefined;
  /** Name of the price list, where the price has one. */
  readonly priceVersion: string | undefined;
  /** The service tier: as it was asked for, or the model's default; once settled, as the answer named it. */
  readonly serviceTier: string | undefined;
}

/** One call, from the moment it is admitted. */
export interface UsageRecord extends UsageStart, UsageTokens {
  /** `aborted`: the client went away first. `interrupted`: the process died; settled at the next start. */
  readonly outcome: 'ok' | 'error' | 'aborted' | 'interrupted';
  /** Whether the upstream told the numbers, or we counted. */
  readonly counted: 'exact' | 'estimated';
  /** Billionths of a US dollar; `undefined` when tokens or price are unknown. */
  readonly costNanoUsd: number | undefined;
  /** The host's own cost of the call, by the model's `cost`, in billionths of a US dollar; `undefined` when that is unknown. */
  readonly upstreamCostNanoUsd: number | undefined;
  /** Whether the call cost more than was reserved for it; `undefined` where no money was reserved or the cost is unknown. */
  readonly isOverReserved: boolean | undefined;
  /** HTTP status of the answer; `undefined`: nothing was answered, or nobody can tell. */
  readonly status: number | undefined;
  /** Code of the error that was answered; `undefined`: none. */
  readonly errorCode: string | undefined;
  /** From the start to the first byte for the client; `undefined` when there was none. */
  readonly firstByteMs: number | undefined;
  readonly durationMs: number;
}

/** Tokens of a call; `undefined` when nobody told. Never a made-up 0. */
export type UsageTokens = { readonly [Kind in keyof TokenUsage]-?: number | undefined };

/** Where usage is kept. A store in this process's memory may answer without promises. */
export interface UsageStore {
  /**
   * Called before the upstream is asked; after it resolves, a crash cannot hide the call.
   * @throws Anything. The call is refused with a 503: no call is made that cannot be recorded.
   */
  open(start: UsageStart): Awaitable<void>;
  /**
   * Called once, before the client is given the end of its answer; resolves when the record is durable. A second call
   * for one request changes nothing, unless the first was made in the name of a process that was thought dead. A call that
   * is not known here, as the store was put back to an older copy, is recorded all the same.
   */
  settle(record: UsageRecord): Awaitable<void>;
  /**
   * Called before the client gets more than the last call's `outputTokens`. Resolves when it is durable. Absent: interrupted
   * calls are settled at the reserved amount.
   * @param outputTokens the most that the client will have until the next call.
   */
  checkpoint?(requestId: string, outputTokens: number): Awaitable<void>;
  /**
   * Tells of each call that this process settles in the name of a dead one, also of those settled before anybody listened.
   * Absent: a limiter elsewhere holds what such calls reserved until their time is up.
   * @returns a function that ends it.
   */
  onInterrupted?(listener: (call: InterruptedEnd) => void): () => void;
}

/** Reports over the usage that a store keeps. */
export interface UsageReader {
  /** Sums over settled calls, by time first and then in the order of the groups. Groups without calls are left out. */
  report(query: UsageQuery): Awaitable<readonly UsageGroup[]>;
  /**
   * Amount that one budget has lost: the costs of settled calls that began in the period, and the reservations of open
   * ones. In billionths of a US dollar. Absent: nobody can tell, and a budget that a limiter has lost begins anew.
   */
  spent?(scope: BudgetScope, period: Period): Awaitable<number>;
}

/** Half open: calls that began from `from` on and before `to`, Unix time in milliseconds. */
export interface Period {
  readonly from: number;
  readonly to: number;
}

/** A set of calls that share a budget: those of a key, an owner, a tier, or all. */
export type BudgetScope = { readonly kind: 'key' | 'owner' | 'tier'; readonly id: string } | { readonly kind: 'all' };

/** A property by which calls can be told apart. */
export type UsageDimension = 'keyId' | 'owner' | 'model' | 'operation';

/** A choice of calls to add up, and the way to group them. */
export interface UsageQuery extends Period {
  /** Only calls with one of these values in that dimension. Absent: all. */
  readonly only?: { readonly [Dimension in UsageDimension]?: readonly string[] | undefined } | undefined;
  /** Dimensions to tell apart. */
  readonly by: readonly UsageDimension[];
  /** Length of the spans into which time is cut, in UTC; the first and last may be shorter. Absent: time is not cut. */
  readonly every?: 'minute' | 'hour' | 'day' | undefined;
}

/** The sums of one group of calls. */
export interface UsageGroup {
  /** Unix time in milliseconds of the group's beginning; the query's `from` where time is not cut. */
  readonly startsAt: number;
  /** Values that the calls have in common. */
  readonly of: { readonly [Dimension in UsageDimension]?: string | undefined };
  readonly sums: UsageSums;
}

/** Sums over settled calls; an unknown number counts as 0. */
export interface UsageSums extends TokenSums {
  readonly requests: number;
  /** Sum over the calls with a known cost. */
  readonly costNanoUsd: number;
  /** Calls of unknown cost, which are missing in the sum above. */
  readonly requestsWithoutCost: number;
  /** The host's own cost of the calls for which it is known. */
  readonly upstreamCostNanoUsd: number;
}

/** @see TokenUsage */
export type TokenSums = { readonly [Kind in keyof TokenUsage]-?: number };
