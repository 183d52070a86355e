import type { Config } from '../config/options.js';
import { ownerOf } from '../keys/key-store.js';
import { hasBudget } from '../limits/levels.js';
import type { Demand, LimiterAccess } from '../limits/limiter-store.js';
import { worstPriced } from '../models/pricing.js';
import { mostInputTokens } from '../wire/estimate.js';
import { notPriced } from '../wire/request-errors.js';
import type { Attempt } from './attempt.js';
import type { KeyedExchange, Order } from './open.js';

/** What answers were as long as says nothing about the next one below this. */
const LEAST_LEARNED_TOKENS = 1_024;
/** A little longer than a call may take, so that a reservation is only ever given back when its process is gone. */
const RESERVATION_GRACE_MS = 30_000;

/**
 * What a call of that order wants of the limiter.
 * @throws {GatewayError} 403 when money is limited and nobody knows what the call costs.
 */
export function demandOf(
  { levels, ceilings }: Attempt,
  { requestId, key }: Pick<KeyedExchange, 'requestId' | 'key'>,
  config: Config,
  {
    model,
    modelName,
    inputTokens,
    readsMore = false,
    images = 0,
    worstInputTokens = readsMore ? model.contextLength : mostInputTokens(inputTokens, images),
    maxOutputTokens,
    n,
    usualOutputTokens,
    asksModel = true,
  }: Omit<Order, 'operation' | 'upstream'>,
): Demand {
  if (asksModel && model.price === undefined && hasBudget(ceilings)) {
    throw notPriced(`the price of \`${modelName}\` is unknown`);
  }
  if (worstInputTokens === undefined && hasBudget(ceilings)) {
    throw notPriced(`how much \`${modelName}\` is to read cannot be told`);
  }
  const learned = config.learned.ceilingOf(ownerOf(key), model.id);
  const usual = learned === undefined ? config.defaultMaxOutputTokens : Math.max(LEAST_LEARNED_TOKENS, learned);
  return {
    requestId,
    levels,
    ceilings,
    subject: key.owner ?? key.id,
    inputTokens,
    model: modelName,
    maxOutputTokens,
    defaultOutputTokens: usualOutputTokens ?? Math.min(usual, model.maxOutputTokens ?? Number.POSITIVE_INFINITY),
    learnsLength: usualOutputTokens === undefined,
    n,
    worstNanoUsd: worstPriced(model, worstInputTokens ?? inputTokens),
    ttlMs: config.timeoutMs + RESERVATION_GRACE_MS,
  };
}

/** The limiter of a gateway, and who knows what its budgets have lost. */
export function limitingOf({ limiter, usage, clock }: Config): LimiterAccess {
  return {
    store: limiter,
    steadyMs: () => clock.steadyMs(),
    wallMs: () => clock.wallMs(),
    spent({ level: { kind, id }, period }) {
      if (period === undefined) return 0;
      return usage.spent?.(kind === 'all' ? { kind } : { kind, id }, period) ?? 0;
    },
  };
}
