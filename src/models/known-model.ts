import type { ModelOperation } from '../wire/operations.js';
import type { Pricing } from './pricing.js';

/** Purpose of a model. */
export type ListedOperation = ModelOperation | 'images' | 'audio';

/** A price of a model, and the day from which it holds. */
export interface KnownPrice {
  /** The day, such as `2026-07-30`, at whose beginning in UTC it comes into force. `undefined`: since the model is known. */
  readonly effectiveFrom?: string | undefined;
  readonly pricing: Pricing;
}

/** Publicly known facts about one model. */
export interface KnownModel {
  readonly id: string;
  /** Further names of the same model at the vendor's, dated ones among them. */
  readonly aliases?: readonly string[] | undefined;
  readonly ownedBy: string;
  readonly operation: ListedOperation;
  /** Tokens of input and output together; of one input, where there is no output. `undefined`: not published. */
  readonly contextLength?: number | undefined;
  /** 0: its output is not counted in tokens. `undefined`: not published. */
  readonly maxOutputTokens?: number | undefined;
  readonly vision?: boolean | undefined;
  readonly structuredOutput?: boolean | undefined;
  /** Unix time in seconds. `undefined`: not published. */
  readonly created?: number | undefined;
  /** Whether it is on offer where a host names no models. */
  readonly listed?: boolean | undefined;
  /** Oldest first, at least one. */
  readonly prices: readonly KnownPrice[];
}
