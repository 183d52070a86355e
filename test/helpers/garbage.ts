import { createHook } from 'node:async_hooks';

function heldBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/**
 * Bytes of garbage that one of the calls makes which `run` makes, warm. For a process with `--expose-gc` and new space for all of a span.
 * @param spans are measured; the least counts: in the first, garbage of before is let go, and in any, V8 may still be compiling.
 */
export async function garbagePerCall(
  run: (calls: number) => Promise<void>,
  { calls, spans, warmUp }: { readonly calls: number; readonly spans: number; readonly warmUp: number },
): Promise<number> {
  await run(warmUp);
  const readings: number[] = [];
  for (let span = 0; span < spans; span += 1) {
    globalThis.gc?.();
    const before = heldBytes();
    await run(calls);
    readings.push((heldBytes() - before) / calls);
  }
  return Math.round(Math.min(...readings.slice(1)));
}

/**
 * Promises that one call makes.
 * @param one makes a call, and calls `over` at its end.
 * @param own promises of `one` itself, which are taken off.
 */
export async function promisesPerCall(
  one: (over: () => void) => Promise<void>,
  { calls, own }: { readonly calls: number; readonly own: number },
): Promise<number> {
  let made = 0;
  const hook = createHook({
    init(_id, type) {
      if (type === 'PROMISE') made += 1;
    },
  });
  let sum = 0;
  for (let call = 0; call < calls; call += 1) {
    hook.enable();
    made = 0;
    await one(() => hook.disable());
    sum += made - own;
  }
  return sum / calls;
}
