import type { JsonObject } from '../base/json.js';
import type { Model } from '../config/models.js';

/** `GET /v1/models`. */
export function modelList(models: readonly Model[]): JsonObject {
  return { object: 'list', data: models.map(modelObject) };
}

/**
 * One model: OpenAI's four fields, then the service's, in the names of both its generations (service.md §8.1). What is
 * not known is left out.
 */
export function modelObject(model: Model): JsonObject {
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
