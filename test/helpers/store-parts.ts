import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import type { Draw, LimiterStore } from '../../src/limits/limiter-store.js';
import type { UsageStore } from '../../src/usage/usage-store.js';
import { startOf, usageRecordOf } from '../contracts/usage-store.js';

// What processes that share a store have in common. Each plays the part that its first argument names, and talks with its
// parent in lines.

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const say = (line: string | number) => void process.stdout.write(`${line}\n`);
/** Resolves with the parent's next line. */
export const told = () => input.next();

export async function play(parts: Readonly<Record<string, () => Promise<void>>>): Promise<void> {
  await parts[process.argv[2] ?? '']?.();
  process.exit(0);
}

export interface Hammering {
  readonly draws: readonly Draw[];
  readonly slot: { readonly name: string; readonly capacity: number };
  readonly times: number;
}

/** Reserves so often, 8 at once, when told; says how often it was granted. */
export async function hammer(limiter: LimiterStore, { draws, slot, times }: Hammering): Promise<void> {
  say('ready');
  await told();
  let granted = 0;
  await Promise.all(
    Array.from({ length: 8 }, async (_, worker) => {
      // Not all in the same order.
      const mine = worker % 2 === 0 ? draws : draws.toReversed();
      for (let index = 0; index < times / 8; index += 1) {
        const wish = { id: randomUUID(), draws: mine, slots: [slot], ttlMs: 600_000 };
        if ((await limiter.reserve(wish, Date.now())).granted) granted += 1;
      }
    }),
  );
  say(granted);
}

/** Opens calls with and without checkpoints. */
export async function openSomeCalls(
  usage: Pick<Required<UsageStore>, 'open' | 'checkpoint'>,
  startedAt = Date.now(),
): Promise<void> {
  const calls = ['unseen', 'seen', 'beyond', 'boundless', 'unpriced', 'cheap'].map((requestId) =>
    usageRecordOf({
      requestId,
      keyId: 'k',
      startedAt,
      ...(requestId === 'seen' ? { upstreamPrice: usageRecordOf({ keyId: 'k' }).price } : {}),
      ...(requestId === 'boundless' ? { reservedOutputTokens: undefined, reservedNanoUsd: undefined } : {}),
      ...(requestId === 'unpriced' ? { price: undefined, reservedNanoUsd: undefined } : {}),
      ...(requestId === 'cheap' ? { reservedNanoUsd: 7 } : {}),
    }),
  );
  await Promise.all(calls.map((call) => usage.open(startOf(call))));
  const checkpoints: readonly (readonly [string, number])[] = [
    ['seen', 10],
    ['seen', 30],
    ['seen', 20],
    ['beyond', 5_000],
    ['boundless', 5_000],
  ];
  for (const [requestId, tokens] of checkpoints) await usage.checkpoint(requestId, tokens);
}
