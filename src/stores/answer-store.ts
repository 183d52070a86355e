import type { Awaitable } from '../base/awaitable.js';

/** One request that a client may send again. */
export interface IdempotentRequest {
  /** The calling key's id and the client's `Idempotency-Key`, as SHA-256 in hex: no two callers share one. */
  readonly id: string;
  /** SHA-256 in hex of the method, the path and the body. */
  readonly fingerprint: string;
  /** Owner of the calling key, as `ownerOf` names it, for a store that bounds what one owner may have it keep. */
  readonly owner?: string | undefined;
}

/** A finished answer. */
export interface KeptAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The whole body, text as it went out; base64 where it was bytes. */
  readonly body: string;
  readonly isBase64: boolean;
}

/** The store's answer to a claim. */
export type IdempotencyClaim =
  /** Nobody has sent the request: it is the caller's now, to be finished or abandoned. */
  | { readonly kind: 'claimed' }
  /** The request is being answered. */
  | { readonly kind: 'in-flight' }
  /** The same id stands for another request. */
  | { readonly kind: 'other-request' }
  | { readonly kind: 'answered'; readonly answer: KeptAnswer };

/** Where answers are kept for clients that send a request again. */
export interface IdempotencyStore {
  /**
   * Claims the request if nobody has, in one atomic step.
   * @param now Unix time in milliseconds, by a clock that nobody sets while the process runs.
   * @param claimMs Milliseconds for which a claim holds that nobody finishes: longer than any call lasts.
   */
  claim(request: IdempotentRequest, now: number, claimMs: number): Awaitable<IdempotencyClaim>;
  /** Keeps the answer until `expiresAt`, by the clock of `claim`; without an answer, gives the claim back. */
  finish(request: IdempotentRequest, answer: KeptAnswer | undefined, expiresAt: number): Awaitable<void>;
}
