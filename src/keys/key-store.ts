import type { Awaitable } from '../base/awaitable.js';
import type { Limits } from './limits.js';

/** What is known about one API key. The secret itself is never here. */
export interface ApiKey {
  /** Stable name for logs, usage and limits; not secret. */
  readonly id: string;
  /** Whose key it is; keys of one owner share the owner's limits. Absent: the key stands alone. */
  readonly owner?: string;
  /** Name of a tier in `tiers`. @default 'basic' */
  readonly tier?: string;
  /** Overrides of the tier's limits, field by field. What is absent stays the tier's; `Infinity` is no ceiling. */
  readonly limits?: Limits;
  /**
   * Ceilings of this key alone, beside those that it shares with its owner's other keys: each call is held against both. A
   * key's own budget is `ownLimits.usdPerDay` or `.usdPerMonth`. Absent: none.
   */
  readonly ownLimits?: Limits;
  /** Unix time in milliseconds from which the key is refused. Absent: never. */
  readonly expiresAt?: number;
  /** Public model ids this key may call. Absent: all. */
  readonly models?: readonly string[];
  /** May see what `X-Debug: true` shows. @default false in production, true elsewhere */
  readonly debug?: boolean;
}

/** Where API keys live. */
export interface KeyStore {
  /**
   * Finds a key. Called once for each request; wrap slow stores in `cachedKeys`.
   * @param hash Lower-case hex SHA-256 of the secret the client presented.
   * @returns The key, or `undefined` when there is none or it was revoked.
   * A store that knows at once may say so without a promise.
   * @throws Anything. The client gets a 503 and `hooks.onError` gets what was thrown.
   */
  find(hash: string): Awaitable<ApiKey | undefined>;
}
