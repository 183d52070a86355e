import type { JsonObject } from '../../base/json.js';
import type { Exchange } from '../../call/exchange.js';
import type { CalledModel, ChosenTerms } from '../../call/terms.js';
import type { Config } from '../../config/config.js';
import { findModel, mayCall } from '../../config/models.js';
import { pathOf } from '../../http/url.js';
import type { Admission } from '../../limits/limiter-store.js';
import { type Price, type PricedUnits, type WorstUse, worstCostNanoUsd } from '../../models/pricing.js';
import { estimateForward } from '../../wire/estimate.js';
import { checkNoOtherModels, MAX_MODEL_LENGTH } from '../../wire/model-request.js';
import {
  duplicateMember,
  invalidType,
  modelNotAllowed,
  notPriced,
  unsupportedOperation,
} from '../../wire/request-errors.js';
import type { ForwardRule } from '../route.js';
import type { FormModel, ForwardBody } from './body.js';
import { checkPieces, piecesAsked } from './pieces.js';

/** Operations that are answered by a model, and cost what it costs. */
export const OF_MODELS: ReadonlySet<string> = new Set(['images', 'audio']);

/** Where a request is passed on to, and what it may use at most. */
export interface ForwardPlan extends ChosenTerms {
  readonly modelName: string;
  /** The body with the upstream's own id of the model, where that is another. */
  readonly renamedBody: Buffer | undefined;
  readonly formModel: FormModel;
  readonly inputTokens: number;
  readonly maxOutputTokens: number | undefined;
}

/** A request that is to be passed on. */
export interface RequestToPlan {
  readonly rule: ForwardRule;
  readonly body: ForwardBody;
  /** Name of the model whose upstream is meant, where neither path nor body tells. */
  readonly modelName: string | undefined;
}

type Target = Pick<ForwardPlan, 'upstream' | 'model' | 'modelName' | 'renamedBody' | 'formModel'>;

/**
 * Plans where a request goes and what has to be admitted of it. Only a model's answer uses tokens.
 * @throws {GatewayError} 403 or 404 for a model that the key may not call or that is not there; 403 for a batch of a key
 * whose money is limited: nobody knows beforehand what it costs.
 */
export function planForward(exchange: Exchange, request: RequestToPlan): ForwardPlan {
  const { rule, body } = request;
  const { config } = exchange.state;
  const { isBudgeted } = exchange.plan;
  const target = targetOf(exchange, request);
  if (target.upstream.forward === undefined) throw unsupportedOperation(rule.operation);
  // The query must not decide what it is.
  const below = pathOf(exchange.path);
  if (isBudgeted && rule.operation === 'batches' && exchange.request.method === 'POST' && !below.endsWith('/cancel')) {
    throw notPriced('what a batch costs is known only when it has run');
  }
  if (!OF_MODELS.has(rule.operation) || body.kind === 'none') {
    return { ...target, inputTokens: 0, maxOutputTokens: 0, asksModel: false };
  }
  const json = body.kind === 'json' ? body.body : undefined;
  const byteLength = body.kind === 'json' ? body.bytes.byteLength : formLength(body.contentLength, config);
  const estimated = estimateForward({ path: below, body: json, byteLength, assumesMost: isBudgeted });
  const { outputTokens } = estimated;
  const units = piecesAsked({ path: below, json, byteLength, assumesMost: isBudgeted });
  if (isBudgeted && json !== undefined) {
    checkPieces(target.model.price, target.modelName, units);
    // Its sound may lie elsewhere.
    if (units?.audioMs !== undefined) checkAddress(target.model.price, target.modelName);
  }
  const inputTokens = isBudgeted ? Math.max(estimated.inputTokens, soundAtMost(json, config)) : estimated.inputTokens;
  // No upstream takes a ceiling here. A budget must hold all of it beforehand; token limits may go into debt.
  if (!isBudgeted) {
    const reserved = { inputTokens: json === undefined ? 0 : inputTokens, usualOutputTokens: outputTokens };
    return { ...target, ...reserved, maxOutputTokens: undefined, asksModel: true, units };
  }
  // A form's model is read only as the form passes, after admission: `checkPriced` compares its price then.
  const isForm = body.kind === 'form';
  const model = isForm ? dearest({ inputTokens, outputTokens, ...units }, exchange, target.model) : target.model;
  const reserved = { inputTokens, worstInputTokens: inputTokens, maxOutputTokens: outputTokens };
  return { ...target, ...reserved, model, asksModel: !isForm, units };
}

/**
 * The upstream of the model that the body names, else the gateway's own. A body without a model is metered under the name of
 * its operation.
 */
function targetOf(exchange: Exchange, { rule, body, modelName }: RequestToPlan): Target {
  const { operation } = rule;
  const { caller, state } = exchange;
  if (modelName !== undefined) return targetNamed(modelName, body, exchange);
  const isOfModel = OF_MODELS.has(operation);
  if (caller.models !== undefined && isOfModel && body.kind === 'none') throw modelNotAllowed(operation);
  const unnamed: Target = {
    upstream: state.config.upstream,
    model: { ...UNNAMED, id: operation, upstreamModel: operation },
    modelName: operation,
    renamedBody: undefined,
    formModel: !isOfModel ? 'ignored' : caller.models === undefined ? 'optional' : 'required',
  };
  if (!isOfModel || body.kind !== 'json') return unnamed;
  const { model: name } = body.body;
  // Servers in Go take names in any case, and the last one of them.
  const other = Object.keys(body.body).find((member) => !ACTED_ON.has(member) && ACTED_ON.has(member.toLowerCase()));
  if (other !== undefined) throw duplicateMember(other.slice(0, 64));
  if (typeof name !== 'string') {
    if (caller.models !== undefined) throw modelNotAllowed(operation);
    return unnamed;
  }
  checkModelName(name);
  if (caller.models !== undefined) checkNoOtherModels(Object.keys(body.body));
  return targetNamed(name, body, exchange);
}

/** Members whose values something depends on here. */
const ACTED_ON: ReadonlySet<string> = new Set(['model', 'n', 'input']);

const UNNAMED = { price: undefined, maxOutputTokens: undefined, contextLength: undefined, responses: undefined };

function targetNamed(name: string, body: ForwardBody, { caller, state }: Exchange): Target {
  const model = findModel(state.config.models, caller, name);
  const { upstreamModel } = model;
  const isRenamed = body.kind === 'json' && upstreamModel !== name && 'model' in body.body;
  const renamed = isRenamed ? JSON.stringify({ ...body.body, model: upstreamModel }) : undefined;
  return {
    upstream: model.upstream ?? state.config.upstream,
    model,
    modelName: name,
    renamedBody: renamed === undefined ? undefined : Buffer.from(renamed),
    formModel: 'ignored',
  };
}

/** @throws {GatewayError} 400 for a name that is longer than any. */
export function checkModelName(name: string): void {
  if (name.length > MAX_MODEL_LENGTH) throw invalidType('model', 'a shorter string', name);
}

/**
 * Holds the model that a form names against the reservation, which was made before anybody knew which it is.
 * @throws {GatewayError} 403 when the model has no price, or a dearer one.
 */
export function checkPriced(price: Price | undefined, name: string, { admission, units }: ReservedCall): void {
  if (price === undefined) throw notPriced(`the price of \`${name}\` is unknown`);
  checkPieces(price, name, units);
  if (
    admission !== undefined &&
    worstCostNanoUsd(price, { ...admission.amounts, ...units }) > admission.amounts.nanoUsd
  )
    throw notPriced(`\`${name}\` may cost more than was reserved`);
}

/** A call that was admitted, and the pieces that were reserved for it. */
export interface ReservedCall {
  readonly admission: Pick<Admission, 'amounts'> | undefined;
  readonly units: PricedUnits | undefined;
}

/** @throws {GatewayError} 403 for sound that is named by an address, and paid for by the minute. */
export function checkAddress(price: Price | undefined, name: string): void {
  if ((price?.audioNanoUsdPerMillionMs ?? 0) > 0)
    throw notPriced(`how long the sound for \`${name}\` is cannot be told`);
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

/** The model at the price of the dearest one that the key may call, whichever the form will name. */
function dearest(tokens: WorstUse, { caller, state }: Exchange, unnamed: CalledModel): CalledModel {
  let price: Price | undefined;
  for (const model of state.config.models.listed) {
    const isOpen = [model.id, ...model.aliases].some((name) => mayCall(caller, model, name));
    if (model.price === undefined || !isOpen) continue;
    if (price === undefined || worstCostNanoUsd(model.price, tokens) > worstCostNanoUsd(price, tokens))
      price = model.price;
  }
  return { ...unnamed, price };
}
