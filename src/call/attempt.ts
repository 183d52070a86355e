import type { Config } from '../config/options.js';
import { ceilingsOf, levelsOf, tierOf } from '../limits/levels.js';
import type { Ceiling, LimitLevel, Verdict } from '../limits/limiter-store.js';
import type { Call } from './call.js';
import type { DebugFacts } from './debug.js';
import type { KeyedExchange } from './open.js';

/** What comes to be known as a call goes on. */
type Growing<Facts> = { -readonly [Name in keyof Facts]: Facts[Name] };

/** One request's way to a call: how far it came, for whoever has to tell of its failure. */
export interface Attempt {
  readonly levels: readonly LimitLevel[];
  /** Of the levels, as they are now. */
  ceilings: readonly Ceiling[];
  readonly tier: string;
  readonly facts: Growing<DebugFacts>;
  remaining: Verdict['remaining'] | undefined;
  call: Call | undefined;
  isRecorded: boolean;
}

/** Nothing is known yet but whose call it is. */
export function newAttempt({ requestId, key }: Pick<KeyedExchange, 'requestId' | 'key'>, config: Config): Attempt {
  const levels = levelsOf(key, config);
  const tier = tierOf(key, config.tiers);
  return {
    levels,
    ceilings: ceilingsOf(levels, config.findPeriod, config.clock.wallMs()),
    tier,
    facts: { requestId, keyId: key.id, tier },
    remaining: undefined,
    call: undefined,
    isRecorded: false,
  };
}

/** The body may have been on its way while a budget's day ended. */
export function beginPeriods(attempt: Attempt, { findPeriod, clock }: Config): void {
  const wallMs = clock.wallMs();
  if (attempt.ceilings.every(({ period }) => period === undefined || wallMs < period.to)) return;
  attempt.ceilings = ceilingsOf(attempt.levels, findPeriod, wallMs);
}
