import type { LearnedOutput } from './limiter-store.js';

/** Latest answers to look back on. */
const WINDOW = 100;
const ENOUGH = 20;
const PERCENTILE = 0.95;

interface Series {
  readonly tokens: number[];
  next: number;
  ceiling: number | undefined;
}

/**
 * Learns answer lengths in this process's memory, gone with it.
 * @param maxSeries most pairs of owner and model; above it, the pair unused for longest is forgotten.
 */
export function learnedOutput(maxSeries = 10_000): LearnedOutput {
  const all = new Map<string, Series>();
  let newest: Series | undefined;
  // One for all: a sorted copy for each tenth answer is 250 bytes an answer.
  const sorted = new Float64Array(WINDOW);

  /** Puts a series at the end of the line. */
  function touch(name: string, series: Series): void {
    if (series === newest) return;
    all.delete(name);
    all.set(name, series);
    newest = series;
    if (all.size > maxSeries) for (const oldest of all.keys()) if (all.delete(oldest)) break;
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
      const series = all.get(name) ?? { tokens: [], next: 0, ceiling: undefined };
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
