import type { KeyedExchange, OrderedModel } from '../../call/open.js';
import { findModel } from '../../config/find-model.js';
import type { Config } from '../../config/options.js';
import type { ApiKey } from '../../keys/key-store.js';
import type { Upstream } from '../../upstreams/upstream.js';
import { MAX_MODEL_LENGTH } from '../../wire/model-request.js';
import { duplicateMember, invalidType, modelNotAllowed } from '../../wire/request-errors.js';
import type { ForwardRule } from '../routes.js';
import type { ForwardBody } from './body.js';

/** Where a request is passed on to, and as what it is metered. */
export interface Target {
  readonly upstream: Upstream;
  readonly model: OrderedModel;
  readonly modelName: string;
  /** The body with the upstream's own id of the model, where that is another. */
  readonly renamedBody: Buffer | undefined;
  readonly formModel: FormModel;
}

/** Whether a form that is still on its way may name a model, must do so because its key may not call all, or is not looked at. */
export type FormModel = 'ignored' | 'optional' | 'required';

/** Requests that are answered by a model, and cost what it costs. */
export const OF_MODELS: ReadonlySet<string> = new Set(['images', 'audio']);

/**
 * The upstream of the model that the body names, else the gateway's own. What names no model is metered under the name of
 * its operation.
 * @throws {GatewayError} 403 or 404 for a model that the key may not call or that is not there.
 */
export function targetOf(
  { key }: KeyedExchange,
  config: Config,
  {
    rule,
    body,
    modelName,
  }: { readonly rule: ForwardRule; readonly body: ForwardBody; readonly modelName: string | undefined },
): Target {
  const { operation } = rule;
  if (modelName !== undefined) return ofModel(modelName, { key, config, body });
  const isOfModel = OF_MODELS.has(operation);
  if (key.models !== undefined && isOfModel && body.kind === 'none') throw modelNotAllowed(operation);
  const unnamed: Target = {
    upstream: config.upstream,
    model: { id: operation, price: undefined, maxOutputTokens: undefined },
    modelName: operation,
    renamedBody: undefined,
    formModel: !isOfModel ? 'ignored' : key.models === undefined ? 'optional' : 'required',
  };
  if (!isOfModel || body.kind !== 'json') return unnamed;
  const { model: name } = body.body;
  // Servers in Go take names in any case, and the last one of them.
  const other = Object.keys(body.body).find((member) => member !== 'model' && member.toLowerCase() === 'model');
  if (other !== undefined) throw duplicateMember(other.slice(0, 64));
  if (typeof name !== 'string') {
    if (key.models !== undefined) throw modelNotAllowed(operation);
    return unnamed;
  }
  checkModelName(name);
  return ofModel(name, { key, config, body });
}

/** @throws {GatewayError} 400 for a name that is longer than any. */
export function checkModelName(name: string): void {
  if (name.length > MAX_MODEL_LENGTH) throw invalidType('model', 'a shorter string', name);
}

function ofModel(
  name: string,
  { key, config, body }: { readonly key: ApiKey; readonly config: Config; readonly body: ForwardBody },
): Target {
  const model = findModel(config, key, name);
  const { upstreamModel } = model;
  const isRenamed = body.kind === 'json' && upstreamModel !== name && 'model' in body.body;
  const renamed = isRenamed ? JSON.stringify({ ...body.body, model: upstreamModel }) : undefined;
  return {
    upstream: model.upstream ?? config.upstream,
    model,
    modelName: name,
    renamedBody: renamed === undefined ? undefined : Buffer.from(renamed),
    formModel: 'ignored',
  };
}
