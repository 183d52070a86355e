import type { LimiterLane, LimiterStore } from './limiter-store.js';

/** Makes a limiter of this process with a lane. Its methods are its own, as hosts spread a limiter into objects of theirs. */
export function withLane(
  reserve: LimiterStore['reserve'],
  settle: LimiterStore['settle'],
  lane: LimiterLane,
): LimiterStore {
  return new LanedLimiter(reserve, settle, lane);
}

/**
 * Makes a limiter that asks by methods of its own where the lane does not: that of the other limiter, which leads there as long as
 * the host does not change it.
 */
export function beside(limiter: LimiterStore, methods: LimiterStore): LimiterStore {
  return new SideLimiter(limiter, methods);
}

/** The lane of a limiter as it was made; `undefined` for any other, and where a host has wrapped or changed it: that must be asked. */
export function laneOf(limiter: LimiterStore): LimiterLane | undefined {
  return LanedLimiter.laneOf(SideLimiter.asMade(limiter));
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

class SideLimiter implements LimiterStore {
  readonly reserve: LimiterStore['reserve'];
  readonly settle: LimiterStore['settle'];
  readonly #limiter: LimiterStore;

  constructor(limiter: LimiterStore, { reserve, settle }: LimiterStore) {
    this.reserve = reserve;
    this.settle = settle;
    this.#limiter = limiter;
  }

  static asMade(limiter: LimiterStore): LimiterStore {
    return #limiter in limiter ? limiter.#limiter : limiter;
  }
}
