import { LRUCache } from 'lru-cache';
import { positiveInteger, refuseOthers, withMethod } from '../base/checks.js';
import { type Clock, systemClock } from '../base/clock.js';
import type { ApiKey, KeyStore } from './key-store.js';

export interface CachedKeysOptions {
  /** Milliseconds a key is remembered. A revoked key may go on working for so long. @default 5_000 */
  readonly ttlMs?: number | undefined;
  /** Milliseconds it is remembered that there is no such key. A new key may be refused for so long. @default 10_000 */
  readonly unknownTtlMs?: number | undefined;
  /** Most keys remembered. @default 10_000 */
  readonly maxKeys?: number | undefined;
  /**
   * Most unknown hashes remembered, apart from the keys: a flood of guesses must not crowd them out. @default 10_000
   */
  readonly maxUnknown?: number | undefined;
  /** @default the machine's */
  readonly clock?: Pick<Clock, 'steadyMs'> | undefined;
}

const OPTIONS: Readonly<Record<keyof CachedKeysOptions, true>> = {
  ttlMs: true,
  unknownTtlMs: true,
  maxKeys: true,
  maxUnknown: true,
  clock: true,
};

/** A key store with a memory. */
export interface CachedKeys extends KeyStore {
  /**
   * Asks the store anew at the next call: after adding, changing or revoking a key. An answer of the store that is on
   * its way at this moment is not remembered either.
   */
  forget(hash: string): void;
  /** Forgets all secrets of one key, whatever their hashes. */
  forgetKey(id: string): void;
}

/**
 * Remembers the answers of a slow key store for a few seconds. Calls for one hash at one time share one question to the
 * store; an error is thrown to all of them and not remembered.
 * @throws {TypeError} when an option is not known or not a positive integer, and for what is no store.
 */
export function cachedKeys(store: KeyStore, options: CachedKeysOptions = {}): CachedKeys {
  withMethod('store', store, 'find');
  refuseOthers('options', options, OPTIONS);
  const { clock = systemClock } = options;
  // lru-cache takes 0 for "time unknown" and would keep such an entry for ever.
  const time = { perf: { now: () => clock.steadyMs() + 1 }, ttlResolution: 0 };
  const known = new LRUCache<string, ApiKey>({
    ...time,
    max: positiveInteger('maxKeys', options.maxKeys ?? 10_000),
    ttl: positiveInteger('ttlMs', options.ttlMs ?? 5_000),
  });
  const unknown = new LRUCache<string, true>({
    ...time,
    max: positiveInteger('maxUnknown', options.maxUnknown ?? 10_000),
    ttl: positiveInteger('unknownTtlMs', options.unknownTtlMs ?? 10_000),
  });
  const asking = new Map<string, Promise<ApiKey | undefined>>();

  function ask(hash: string): Promise<ApiKey | undefined> {
    const answer = askStore(store, hash);
    asking.set(hash, answer);
    answer.then(
      (key) => {
        // Not when `forget` came between: the store's answer may be from before the change.
        if (asking.get(hash) !== answer) return;
        asking.delete(hash);
        if (key === undefined) unknown.set(hash, true);
        else known.set(hash, key);
      },
      () => {
        if (asking.get(hash) === answer) asking.delete(hash);
      },
    );
    return answer;
  }

  return {
    useTiers: (names) => store.useTiers?.(names),
    find(hash) {
      const key = known.get(hash);
      if (key !== undefined) return key;
      if (unknown.get(hash) === true) return undefined;
      return asking.get(hash) ?? ask(hash);
    },
    forget(hash) {
      known.delete(hash);
      unknown.delete(hash);
      asking.delete(hash);
    },
    forgetKey(id) {
      const hashes = [...known.entries()].flatMap(([hash, key]) => (key.id === id ? [hash] : []));
      for (const hash of hashes) known.delete(hash);
      // Answers on their way may be this key's.
      asking.clear();
    },
  };
}

async function askStore(store: KeyStore, hash: string): Promise<ApiKey | undefined> {
  // A store written in JavaScript may say null.
  return (await store.find(hash)) ?? undefined;
}
