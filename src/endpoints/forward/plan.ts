import type { JsonObject } from '../../base/json.js';
import type { Attempt } from '../../call/attempt.js';
import type { KeyedExchange, Order, OrderedModel } from '../../call/open.js';
import { mayCall } from '../../config/models.js';
import type { Config } from '../../config/options.js';
import { pathOf } from '../../http/url.js';
import { hasBudget } from '../../limits/levels.js';
import type { Admission } from '../../limits/limiter-store.js';
import { worstCostNanoUsd } from '../../models/pricing.js';
import { estimateForward } from '../../wire/estimate.js';
import { notPriced } from '../../wire/request-errors.js';
import type { ForwardRule } from '../routes.js';
import type { ForwardBody } from './body.js';
import { OF_MODELS, type Target } from './target.js';

/** A request that is to be passed on. */
export interface Passing {
  readonly rule: ForwardRule;
  /** Below `/v1`, with its query. */
  readonly path: string;
  readonly body: ForwardBody;
  readonly target: Target;
  readonly exchange: KeyedExchange;
  readonly config: Config;
}

/**
 * What has to be admitted of it. Only what a model answers uses tokens.
 * @throws {GatewayError} 403 for a batch of a key whose money is limited: nobody knows beforehand what it costs.
 */
export function orderOf({ ceilings }: Attempt, { rule, path, body, target, exchange, config }: Passing): Order {
  const { operation } = rule;
  const { upstream, modelName } = target;
  const isBudgeted = hasBudget(ceilings);
  // What it is must not hang on its query.
  const below = pathOf(path);
  if (isBudgeted && operation === 'batches' && exchange.request.method === 'POST' && !below.endsWith('/cancel')) {
    throw notPriced('what a batch costs is known only when it has run');
  }
  const common = { operation, upstream, modelName, n: 1 };
  if (!OF_MODELS.has(operation) || body.kind === 'none') {
    return { ...common, model: target.model, inputTokens: 0, maxOutputTokens: 0, asksModel: false };
  }
  const json = body.kind === 'json' ? body.body : undefined;
  const byteLength = body.kind === 'json' ? body.bytes.byteLength : formLength(body.contentLength, config);
  const estimated = estimateForward({ path: below, body: json, byteLength, assumesMost: isBudgeted });
  const { outputTokens } = estimated;
  const inputTokens = isBudgeted ? Math.max(estimated.inputTokens, soundAtMost(json, config)) : estimated.inputTokens;
  // No upstream can be told to use less than that. Money must not run out all the same; of tokens there may be a debt.
  if (!isBudgeted) {
    const reserved = { inputTokens: json === undefined ? 0 : inputTokens, usualOutputTokens: outputTokens };
    return { ...common, ...reserved, model: target.model, maxOutputTokens: undefined };
  }
  // A form names its model when it has been admitted: its price is held against the key then.
  const isForm = body.kind === 'form';
  const model = isForm ? dearest({ inputTokens, outputTokens }, exchange, config, target.model) : target.model;
  return {
    ...common,
    model,
    inputTokens,
    worstInputTokens: inputTokens,
    maxOutputTokens: outputTokens,
    asksModel: !isForm,
  };
}

/**
 * Holds the model that a form names against what was reserved before anybody knew which it is.
 * @throws {GatewayError} 403 when money is limited and the model has no price, or a dearer one.
 */
export function checkPriced(
  { ceilings }: Attempt,
  { amounts }: Admission,
  { price, name }: { readonly price: OrderedModel['price']; readonly name: string },
): void {
  if (!hasBudget(ceilings)) return;
  if (price === undefined) throw notPriced(`the price of \`${name}\` is unknown`);
  if (worstCostNanoUsd(price, amounts) > amounts.nanoUsd)
    throw notPriced(`\`${name}\` may cost more than was reserved`);
}

function formLength(contentLength: string | undefined, { maxUploadBytes }: Config): number {
  return contentLength !== undefined && /^\d{1,15}$/.test(contentLength) ? Number(contentLength) : maxUploadBytes;
}

/** Silence packs so well that the bytes of a form say nothing of how long its sound is: the longest that a model hears. */
function soundAtMost(json: JsonObject | undefined, { models }: Config): number {
  if (json !== undefined) return 0;
  const lengths = models.listed.map(({ operation, contextLength }) =>
    operation === 'audio' ? (contextLength ?? 0) : 0,
  );
  return Math.max(0, ...lengths);
}

/** At the price of the dearest model that the key may call, whichever the form will name. */
function dearest(
  tokens: { readonly inputTokens: number; readonly outputTokens: number },
  { key }: KeyedExchange,
  { models }: Config,
  unnamed: OrderedModel,
): OrderedModel {
  let price: OrderedModel['price'];
  for (const model of models.listed) {
    const isOpen = [model.id, ...model.aliases].some((name) => mayCall(key, model, name));
    if (model.price === undefined || !isOpen) continue;
    if (price === undefined || worstCostNanoUsd(model.price, tokens) > worstCostNanoUsd(price, tokens))
      price = model.price;
  }
  return { ...unnamed, price };
}
