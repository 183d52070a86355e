import type { Awaitable } from '../base/awaitable.js';
import type { GatewayRequest } from '../http/exchange.js';

/** Ceilings. An absent field means no ceiling. */
export interface Limits {
  readonly requestsPerMinute?: number | undefined;
  /** Input plus output tokens: reserved on admission, settled when the call ends. */
  readonly tokensPerMinute?: number | undefined;
  readonly inputTokensPerMinute?: number | undefined;
  readonly outputTokensPerMinute?: number | undefined;
  /** Calls running at once. */
  readonly concurrency?: number | undefined;
  /**
   * US dollars on one day of the `budgetTimeZone`. The highest possible cost of a call is reserved, its true cost
   * settled. A key with such a budget can call priced models only. At most 9,000,000.
   */
  readonly usdPerDay?: number | undefined;
  /** US dollars in one month, counted like `usdPerDay`. */
  readonly usdPerMonth?: number | undefined;
  /** Ceilings that are counted and reported to `hooks.onShadowLimit`, but refuse nothing. */
  readonly shadow?: Omit<Limits, 'shadow'> | undefined;
}

/** The limits of one tier. */
export interface TierLimits extends Limits {
  /** Ceilings over all owners of the tier together. The other fields are each owner's own. */
  readonly shared?: Limits | undefined;
  /** Service tiers that keys of the tier may ask for, such as `['default', 'flex']`. Absent: all. */
  readonly serviceTiers?: readonly string[] | undefined;
}

/** Facts about one API key. The secret itself is never here. */
export interface ApiKey {
  /** Stable name for logs, usage and limits; not secret. */
  readonly id: string;
  /**
   * The user or organisation that owns the key; keys of one owner share the owner's limits. Absent: the key stands
   * alone.
   */
  readonly owner?: string | undefined;
  /** Name of a tier in `tiers`. @default 'basic' */
  readonly tier?: string | undefined;
  /** Overrides of the tier's limits, field by field. An absent field stays the tier's; `Infinity` is no ceiling. */
  readonly limits?: Limits | undefined;
  /**
   * Ceilings of this key alone, beside those that it shares with its owner's other keys: each call is held against
   * both. A key's own budget is `ownLimits.usdPerDay` or `.usdPerMonth`. Absent: none.
   */
  readonly ownLimits?: Limits | undefined;
  /** Unix time in milliseconds from which the key is refused. Absent: never. */
  readonly expiresAt?: number | undefined;
  /** Public model ids this key may call. Absent: all. */
  readonly models?: readonly string[] | undefined;
  /** Service tiers this key may ask for, in place of those of its tier. Absent: the tier's. */
  readonly serviceTiers?: readonly string[] | undefined;
  /** Whether `X-Debug: true` shows this key its debug headers. @default false in production, true elsewhere */
  readonly debug?: boolean | undefined;
}

/** Where API keys live. */
export interface KeyStore {
  /**
   * Finds a key. Called once for each request; wrap slow stores in `cachedKeys`.
   * @param hash Lower-case hex SHA-256 of the secret the client presented.
   * @returns The key, or `undefined` when there is none or it was revoked.
   * A store that knows at once may say so without a promise.
   * @throws Anything. The client gets a 503, and `hooks.onError` gets the thrown value.
   */
  find(hash: string): Awaitable<ApiKey | undefined>;
  /** Called with the names of all tiers for each gateway that uses the store, so that it can refuse keys of others. */
  useTiers?(names: readonly string[]): void;
}

/**
 * Maps the host's own user to a key; `undefined`, `null` and `false` send the request on to the key store. Anything else
 * that is no key is a fault of the host: the call is refused with a 500, and `hooks.onError` hears which field is wrong.
 */
export type Identify<Native = unknown> = {
  // A method, so that a host's narrower type is taken where the core sees `unknown`.
  of(request: GatewayRequest<Native>): Awaitable<ApiKey | undefined | null | false>;
}['of'];

/** One secret of a key, known by its hash alone. */
export interface KeySecret {
  /** Lower-case hex SHA-256. */
  readonly hash: string;
  /** The last four characters of the secret, by which people can tell it from others. */
  readonly hint: string;
  /** Unix time in milliseconds. */
  readonly createdAt: number;
  /**
   * Unix time in milliseconds from which it is refused: the end of a rotation's overlap. Absent: as long as the key
   * lives.
   */
  readonly expiresAt?: number | undefined;
}

/** A key in the form in which a store keeps it. */
export interface KeyRecord {
  readonly key: ApiKey;
  /** The secrets by which it is found, newest first. */
  readonly secrets: readonly KeySecret[];
  /** Unix time in milliseconds. */
  readonly createdAt: number;
  /** Unix time in milliseconds; absent: it was not revoked. */
  readonly revokedAt?: number | undefined;
  /** 1 when it was made, and one more with every change. */
  readonly version: number;
}

/** One change of a key and its author, kept for ever. */
export interface KeyAudit {
  readonly keyId: string;
  /** Unix time in milliseconds. */
  readonly at: number;
  /** The author of the change, in the host's words. */
  readonly by: string;
  readonly action: 'create' | 'update' | 'rotate' | 'revoke';
  /** The record before the change, without hashes. Absent where there was none. */
  readonly before?: KeySnapshot | undefined;
  /** The record after the change, without hashes. */
  readonly after: KeySnapshot;
}

/** A record as an audit row shows it: without the hashes of its secrets. */
export type KeySnapshot = Omit<KeyRecord, 'secrets'> & { readonly secrets: readonly Omit<KeySecret, 'hash'>[] };

/** A choice of records to read. */
export interface KeyQuery {
  readonly id?: string | undefined;
  /** The key's `owner`, without prefix. Not `undefined`: an owner that got lost on the way must not show everybody's keys. */
  readonly owner?: string;
  /** Only records after the record of this key id, in order of `createdAt` and then of id. */
  readonly after?: string | undefined;
  /** @default 100 */
  readonly limit?: number | undefined;
}

/** A key store whose keys can be made and changed while the gateway runs. */
export interface KeyRecords extends KeyStore {
  /** Oldest first, by `createdAt` and then by id. */
  list(query: KeyQuery): Awaitable<readonly KeyRecord[]>;
  /**
   * Writes a record and its audit row, both or neither, if the stored record is the version before this one (none, for
   * version 1).
   * @returns whether it was written: `false` when somebody else was faster.
   */
  write(record: KeyRecord, audit: KeyAudit): Awaitable<boolean>;
  /** Every change of one key, oldest first. */
  audits(keyId: string): Awaitable<readonly KeyAudit[]>;
}

/**
 * Name under which a key's limits, usage and objects are kept: keys of one owner share it, any other key stands alone.
 * The prefix keeps an owner apart from a key of the same name.
 */
export function ownerOf({ id, owner }: Pick<ApiKey, 'id' | 'owner'>): string {
  // Stores without types say `null` for an absent field: it must not become an owner that strangers share.
  return owner === undefined || owner === null ? `key:${id}` : `owner:${owner}`;
}
