/** Runs `work` on every item, so many at a time; stops at the first that fails. */
export async function inParallel<T>(
  items: Iterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items[Symbol.iterator]();
  const workers = Array.from({ length: atOnce }, async () => {
    for (let step = left.next(); step.done !== true; step = left.next()) await work(step.value);
  });
  await Promise.all(workers);
}

/** 0, 1, … `count - 1`. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
