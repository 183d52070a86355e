import { isPending } from '../base/awaitable.js';
import { inTime } from '../base/clock.js';
import { upstreamTimeout } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import type { Exchange } from '../call/exchange.js';
import type { Config } from '../config/config.js';
import { type Model, mayCall, modelNamed } from '../config/models.js';
import type { ApiKey } from '../keys/key-store.js';
import { MAX_MODEL_LENGTH } from '../wire/model-request.js';
import { modelIdNotFound } from '../wire/request-errors.js';

/** Longest name that is told back. */
const MAX_SHOWN = 256;

/** `GET /v1/models`. */
export async function listModels({ caller, state }: Exchange): Promise<JsonObject> {
  const models = state.config.models.listed.flatMap((model) => namesFor(caller, model));
  return { object: 'list', data: models.map(modelObject) };
}

/**
 * `GET /v1/models/{id}`, whose id may hold slashes: the model that calls to this name go to. A name that is passed on without
 * being known is a model unless its upstream says that it is none.
 */
export async function retrieveModel({ caller, state, rest }: Exchange): Promise<JsonObject> {
  const model = isName(rest) ? await findThere(rest, state.config) : undefined;
  if (model === undefined || !mayCall(caller, model, rest)) throw modelIdNotFound(rest.slice(0, MAX_SHOWN));
  return modelObject(modelNamed(model, rest));
}

/** Whether a call may bear the name. Paths that lead elsewhere are not names, whichever upstream would take them. */
function isName(rest: string): boolean {
  return (
    rest.length <= MAX_MODEL_LENGTH && rest.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  );
}

async function findThere(name: string, { models, upstream, callDeadlines }: Config): Promise<Model | undefined> {
  const listed = models.findListed(name);
  if (listed !== undefined) return listed;
  const passed = models.find(name);
  if (passed === undefined) return undefined;
  const asked = upstream.hasModel?.(name);
  const isThere = isPending(asked) ? await inTime(asked, callDeadlines, () => upstreamTimeout()) : asked;
  return isThere === false ? undefined : passed;
}

/** The model under its id; for a key that may only call it by other names, under these. */
function namesFor(key: ApiKey, model: Model): Model[] {
  if (mayCall(key, model, model.id)) return [model];
  return model.aliases.filter((alias) => mayCall(key, model, alias)).map((alias) => modelNamed(model, alias));
}

/**
 * One model: OpenAI's four fields, then MegaLLM's, in the names of both generations of its API. Unknown
 * fields are left out.
 */
function modelObject(model: Model): JsonObject {
  const { capabilities, contextLength, maxOutputTokens, pricing } = model;
  return {
    id: model.id,
    object: 'model',
    created: Math.floor(model.createdAt / 1_000),
    owned_by: model.ownedBy,
    type: model.operation === 'embeddings' ? 'embedding' : 'chat',
    created_at: new Date(model.createdAt).toISOString(),
    display_name: model.displayName,
    capabilities: {
      supports_function_calling: capabilities.functionCalling,
      supports_vision: capabilities.vision,
      supports_streaming: capabilities.streaming,
      supports_structured_output: capabilities.structuredOutput,
      function_calling: capabilities.functionCalling,
      vision: capabilities.vision,
      max_context_length: contextLength,
    },
    pricing: pricing && {
      input_tokens_cost_per_million: pricing.inputUsdPerMillion,
      output_tokens_cost_per_million: pricing.outputUsdPerMillion,
      currency: 'USD',
    },
    context_length: contextLength,
    max_output_tokens: maxOutputTokens,
  };
}
