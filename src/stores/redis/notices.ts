import type { SendCommand } from './client.js';

/** News of Redis for the people who run it. */
export type RedisNotice =
  | { readonly kind: 'lost'; readonly cause: unknown }
  | { readonly kind: 'back' }
  /** Redis throws keys away when its memory is full, and limits with them. The right policy is `noeviction`. */
  | { readonly kind: 'evicts'; readonly policy: string };

/**
 * Makes a check of the eviction policy, which is made once. A Redis that does not tell its policy is not asked again.
 */
export function warnOfEviction(send: SendCommand, notify: (notice: RedisNotice) => void): () => Promise<void> {
  let isAsked = false;
  return async () => {
    if (isAsked) return;
    isAsked = true;
    try {
      const info = `${await send(['INFO', 'memory'], '')}`;
      const policy = /^maxmemory_policy:([\w-]+)/m.exec(info)?.[1];
      const isBounded = !/^maxmemory:0\r?$/m.test(info);
      if (policy !== undefined && policy !== 'noeviction' && isBounded) notify({ kind: 'evicts', policy });
    } catch {
      // Redis may not be allowed to tell.
    }
  };
}
