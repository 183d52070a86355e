import type { JsonObject } from '../base/json.js';
import type { KeyedExchange } from '../call/open.js';
import { type Model, mayCall, modelNamed } from '../config/models.js';
import type { Config } from '../config/options.js';
import type { ApiKey } from '../keys/key-store.js';
import { modelIdNotFound } from '../wire/request-errors.js';
import {
  deleteCompletion,
  listCompletionMessages,
  listCompletions,
  retrieveCompletion,
  updateCompletion,
} from './model/stored-completions.js';
import { modelList, modelObject } from './models.js';
import { reportUsage } from './reports/usage.js';
import type { LocalAction } from './routes.js';

/** What a route that asks no upstream is called with. */
export interface LocalCall {
  readonly exchange: KeyedExchange;
  readonly config: Config;
  /** What stood in the path for `{id}` and `*`. */
  readonly id: string;
  readonly rest: string;
  readonly query: URLSearchParams;
}

/** Answers of the gateway itself, by route. */
export const LOCAL_ROUTES: Readonly<Record<LocalAction, (call: LocalCall) => Promise<JsonObject>>> = {
  listModels: async ({ exchange: { key }, config }) =>
    modelList(config.models.listed.flatMap((model) => namesFor(key, model))),
  async retrieveModel({ exchange: { key }, config, rest }) {
    const model = config.models.findListed(rest);
    if (model === undefined || !mayCall(key, model, rest)) throw modelIdNotFound(rest.slice(0, 256));
    return modelObject(modelNamed(model, rest));
  },
  reportUsage,
  listCompletions,
  retrieveCompletion,
  updateCompletion,
  deleteCompletion,
  listCompletionMessages,
};

/** The model under its id; for a key that may only call it by other names, under these. */
function namesFor(key: ApiKey, model: Model): Model[] {
  if (mayCall(key, model, model.id)) return [model];
  return model.aliases.filter((alias) => mayCall(key, model, alias)).map((alias) => modelNamed(model, alias));
}
