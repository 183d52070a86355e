import type { Clock } from '../../base/clock.js';
import type { ModelOperation } from '../../wire/operations.js';
import type { Upstream } from '../upstream.js';

export interface DemoOptions {
  /** Milliseconds before each chunk of a stream. @default 0 */
  readonly chunkDelayMs?: number;
  /** Tells the time of answers and of stored objects, and waits for delays. @default the machine's own */
  readonly clock?: Clock;
}

const OPERATIONS: readonly ModelOperation[] = ['chat.completions', 'completions', 'embeddings', 'moderations'];

/**
 * An upstream that needs no network and no key. It answers in place of any well-known model, streams, keeps to JSON
 * schemas, and calls tools where it is told to; it embeds, moderates, paints, speaks and listens, and keeps files in
 * memory. The same request always gets the same answer, which says that it is a demo. For a first try, for tests and for
 * development without cost.
 */
export function demo(options: DemoOptions = {}): Upstream {
  let offline: Promise<Required<Pick<Upstream, 'send' | 'forward'>>> | undefined;
  /** All but this file is loaded when first asked, so that production never loads it. */
  const load = () => {
    offline ??= import('./offline.js').then(({ offlineOpenAI }) => offlineOpenAI(options));
    return offline;
  };
  return {
    name: 'demo',
    operations: OPERATIONS,
    send: async (call) => (await load()).send(call),
    forward: async (call) => (await load()).forward(call),
  };
}
