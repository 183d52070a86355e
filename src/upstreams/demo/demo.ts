import { refuseOthers } from '../../base/checks.js';
import type { ModelOperation } from '../../wire/operations.js';
import type { Upstream } from '../upstream.js';
import type { DemoOptions } from './context.js';

const OPERATIONS: readonly ModelOperation[] = ['chat.completions', 'completions', 'embeddings', 'moderations'];

/**
 * An upstream that needs no network and no key. It answers in place of any well-known model, streams, keeps to JSON
 * schemas, and calls tools where it is told to; it embeds, moderates, paints, speaks and listens, and keeps files in
 * memory. The same request always gets the same answer, which says that it is a demo. For a first try, for tests and for
 * development without cost.
 */
export function demo(options: DemoOptions = {}): Upstream {
  refuseOthers('options', options, { chunkDelayMs: true, clock: true });
  let offline: Promise<Required<Pick<Upstream, 'send' | 'forward' | 'hasModel'>>> | undefined;
  /** All but this file is loaded when first asked, so that production never loads it. */
  const load = () => {
    offline ??= import('./offline.js').then(({ offlineOpenAI }) => offlineOpenAI(options));
    return offline;
  };
  return {
    name: 'demo',
    operations: OPERATIONS,
    hasModel: async (name) => (await load()).hasModel(name),
    send: async (call) => (await load()).send(call),
    forward: async (call) => (await load()).forward(call),
  };
}
