import { setImmediate as immediate } from 'node:timers/promises';
import type { Clock } from '../../base/clock.js';
import type { JsonObject } from '../../base/json.js';
import type { CallContext } from '../upstream.js';
import type { Encoding, TokenCounter } from './tokenizer.js';

export interface DemoOptions {
  /** Milliseconds before each chunk of a stream. @default 0 */
  readonly chunkDelayMs?: number | undefined;
  /** Tells the time of answers and of stored objects, and waits for delays. @default the machine's own */
  readonly clock?: Clock | undefined;
}

/** Needs of an answer beside the body of its call. */
export interface DemoContext extends Pick<CallContext, 'requestId' | 'signal'> {
  readonly clock: Clock;
  readonly counterOf: (encoding: Encoding) => Promise<TokenCounter>;
}

/** An answer, whole or in chunks that are yet to be paced. */
export type DemoReply =
  | { readonly kind: 'whole'; readonly body: JsonObject }
  | { readonly kind: 'chunks'; readonly chunks: Iterable<JsonObject> };

/** Characters that are looked at, in some ten milliseconds, before other work gets its turn. */
const WORK_PER_TURN = 64_000;

/** Lets other work have its turn, a sign of abort among it. @throws the signal's reason once it is aborted */
export async function nextTurn(signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await immediate();
  signal.throwIfAborted();
}

/**
 * Splits long work: awaited after each part with the part's size, in characters, it gives `nextTurn` now and then.
 * @throws the signal's reason once it is aborted
 */
export function fairTurns(signal: AbortSignal): (work: number) => Promise<void> {
  let since = 0;
  return async (work) => {
    since += work;
    if (since < WORK_PER_TURN) return;
    since = 0;
    await nextTurn(signal);
  };
}

/** Waits without keeping the process alive. @throws the signal's reason once it is aborted */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.setTimer(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, delayMs);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
