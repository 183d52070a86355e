import type { LearnedOutput } from './limiter-store.js';

/** Latest answers to look back on. */
const WINDOW = 100;
const ENOUGH = 20;
const PERCENTILE = 0.95;

/** Part of all pairs that one owner may have: whoever calls many models must not make others' forgotten. */
const OWNER_SHARE = 4;

interface Series {
  readonly owner: string;
  readonly tokens: number[];
  next: number;
  ceiling: number | undefined;
}

/**
 * Learns answer lengths in this process's memory, gone with it.
 * @param maxSeries most pairs of owner and model; above it, the pair unused for longest is forgotten. One owner has a quarter of
 * them at most.
 */
export function learnedOutput(maxSeries = 10_000): LearnedOutput {
  const all = new Map<string, Series>();
  /** Pairs of each owner. */
  const counts = new Map<string, number>();
  let newest: Series | undefined;
  // One for all: a sorted copy for each tenth answer is 250 bytes an answer.
  const sorted = new Float64Array(WINDOW);

  /** Puts a series at the end of the line. */
  function touch(name: string, series: Series): void {
    if (series === newest) return;
    all.delete(name);
    all.set(name, series);
    newest = series;
    if (all.size > maxSeries) forgetOldest(() => true);
  }

  function open(owner: string): Series {
    const count = (counts.get(owner) ?? 0) + 1;
    counts.set(owner, count);
    if (count > maxSeries / OWNER_SHARE) forgetOldest((series) => series.owner === owner);
    return { owner, tokens: [], next: 0, ceiling: undefined };
  }

  function forgetOldest(isMeant: (series: Series) => boolean): void {
    for (const [name, series] of all) {
      if (!isMeant(series)) continue;
      all.delete(name);
      const left = (counts.get(series.owner) ?? 0) - 1;
      if (left > 0) counts.set(series.owner, left);
      else counts.delete(series.owner);
      return;
    }
  }

  function percentileOf(tokens: readonly number[]): number {
    sorted.set(tokens);
    sorted.subarray(0, tokens.length).sort();
    return sorted[Math.ceil(PERCENTILE * tokens.length) - 1] ?? 0;
  }

  return {
    ceilingOf: (owner, model) => all.get(nameOf(owner, model))?.ceiling,
    observe(owner, model, outputTokens, ceiling) {
      const name = nameOf(owner, model);
      const series = all.get(name) ?? open(owner);
      touch(name, series);
      const isCut = ceiling !== undefined && outputTokens >= ceiling;
      series.tokens[series.next] = isCut ? 2 * outputTokens : outputTokens;
      series.next = (series.next + 1) % WINDOW;
      // Every tenth time: sorting costs nothing for one call, but something for each.
      if (series.tokens.length >= ENOUGH && series.next % 10 === 0) series.ceiling = percentileOf(series.tokens);
    },
  };
}

function nameOf(owner: string, model: string): string {
  return `${owner}\n${model}`;
}
