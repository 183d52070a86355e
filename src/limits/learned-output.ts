import { AgeOrder, type InAgeOrder } from '../base/age-order.js';
import type { LearnedOutput } from './limiter-store.js';

/** Latest answers to look back on. */
const WINDOW = 100;
const ENOUGH = 20;
const PERCENTILE = 0.95;

/** Part of all pairs that one owner may have: whoever calls many models must not make others' forgotten. */
const OWNER_SHARE = 4;

/** Latest answers of one model to one owner. */
interface Series extends InAgeOrder<Series> {
  readonly owner: string;
  readonly model: string;
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
  return new MemoryOutput(maxSeries);
}

class MemoryOutput implements LearnedOutput {
  private readonly maxSeries: number;
  /** By owner and model: one name made of both would be a new text for each call. */
  private readonly byOwner = new Map<string, Map<string, Series>>();
  private size = 0;
  private readonly order = new AgeOrder<Series>();
  // One for all: a sorted copy for each tenth answer is 250 bytes an answer.
  private readonly sorted = new Float64Array(WINDOW);

  constructor(maxSeries: number) {
    this.maxSeries = maxSeries;
  }

  ceilingOf(owner: string, model: string): number | undefined {
    return this.byOwner.get(owner)?.get(model)?.ceiling;
  }

  observe(owner: string, model: string, outputTokens: number, ceiling: number | undefined): void {
    const series = this.byOwner.get(owner)?.get(model) ?? this.open(owner, model);
    this.order.use(series);
    const isCut = ceiling !== undefined && outputTokens >= ceiling;
    series.tokens[series.next] = isCut ? 2 * outputTokens : outputTokens;
    series.next = (series.next + 1) % WINDOW;
    // Every tenth time: sorting costs nothing for one call, but something for each.
    if (series.tokens.length >= ENOUGH && series.next % 10 === 0) series.ceiling = this.percentileOf(series.tokens);
  }

  private open(owner: string, model: string): Series {
    const known = this.byOwner.get(owner)?.size ?? 0;
    if (known + 1 > this.maxSeries / OWNER_SHARE) this.forget(this.oldestOf(owner));
    if (this.size >= this.maxSeries) this.forget(this.order.oldest);
    const series = { owner, model, tokens: [], next: 0, ceiling: undefined, older: undefined, newer: undefined };
    const models = this.byOwner.get(owner) ?? new Map<string, Series>();
    this.byOwner.set(owner, models);
    models.set(model, series);
    this.order.add(series);
    this.size += 1;
    return series;
  }

  private oldestOf(owner: string): Series | undefined {
    let series = this.order.oldest;
    while (series !== undefined && series.owner !== owner) series = series.newer;
    return series;
  }

  private forget(series: Series | undefined): void {
    if (series === undefined) return;
    const { owner, model } = series;
    const models = this.byOwner.get(owner);
    models?.delete(model);
    if (models?.size === 0) this.byOwner.delete(owner);
    this.order.remove(series);
    this.size -= 1;
  }

  private percentileOf(tokens: readonly number[]): number {
    this.sorted.set(tokens);
    this.sorted.subarray(0, tokens.length).sort();
    return this.sorted[Math.ceil(PERCENTILE * tokens.length) - 1] ?? 0;
  }
}
