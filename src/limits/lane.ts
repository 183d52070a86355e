import type { LimiterLane, LimiterStore } from './limiter-store.js';

/** Makes a limiter of this process with a lane. Its methods are its own, as hosts spread a limiter into objects of theirs. */
export function withLane(
  reserve: LimiterStore['reserve'],
  settle: LimiterStore['settle'],
  lane: LimiterLane,
): LimiterStore {
  return new LanedLimiter(reserve, settle, lane);
}

/** The lane of a limiter as it was made; `undefined` for any other, and where a host has wrapped or changed it: that must be asked. */
export function laneOf(limiter: LimiterStore): LimiterLane | undefined {
  return LanedLimiter.laneOf(limiter);
}

class LanedLimiter implements LimiterStore {
  reserve: LimiterStore['reserve'];
  settle: LimiterStore['settle'];
  // Neither a spread, nor a `Proxy`, nor an heir has what is private to the object itself.
  readonly #made: Pick<LimiterStore, 'reserve' | 'settle'>;
  readonly #lane: LimiterLane;

  constructor(reserve: LimiterStore['reserve'], settle: LimiterStore['settle'], lane: LimiterLane) {
    this.reserve = reserve;
    this.settle = settle;
    this.#made = { reserve, settle };
    this.#lane = lane;
  }

  static laneOf(limiter: LimiterStore): LimiterLane | undefined {
    if (!(#lane in limiter)) return undefined;
    const { reserve, settle } = limiter.#made;
    return limiter.reserve === reserve && limiter.settle === settle ? limiter.#lane : undefined;
  }
}
