// For the host: a gateway, its options and what they are made of.

export type { Awaitable } from './base/awaitable.js';
export { type Clock, systemClock } from './base/clock.js';
export { type ErrorBody, GatewayError, type GatewayErrorFields } from './base/errors.js';
export type { Json, JsonObject } from './base/json.js';
export type { AdminOptions } from './config/admin-secret.js';
export type { GatewayOptions, WholeStore } from './config/config.js';
export { type Environment, readEnvironment } from './config/environment.js';
export type { AllHooks, ErrorContext, Hooks, Refusal, ShadowRefusal } from './config/hooks.js';
export { type Capabilities, defaultModels, type ModelOptions } from './config/models.js';
export type { ExplainedRequest, Explanation } from './endpoints/explain.js';
export { createGateway, type Gateway } from './gateway.js';
export type { CorsOptions } from './http/cors.js';
export type { GatewayRequest, GatewayResponse } from './http/exchange.js';
export type { LingeringOptions } from './http/lingering.js';
export { type CachedKeys, type CachedKeysOptions, cachedKeys } from './keys/cached.js';
export type { KeyChanges } from './keys/key-fields.js';
export type { ApiKey, Identify, Limits, TierLimits } from './keys/key-store.js';
export { type MemoryKey, type MemoryKeys, memoryKeys } from './keys/memory.js';
export { type MemoryKeyRecordsOptions, memoryKeyRecords } from './keys/memory-records.js';
export {
  type ChangedBy,
  type IssuedKey,
  type KeyRegistry,
  type KeyRegistryOptions,
  keyRegistry,
  type Rotation,
} from './keys/registry.js';
export { type CreatedKey, createKey, hashSecret, type NewKeyFields } from './keys/secret.js';
export { type MemoryLimiterOptions, memoryLimiter } from './limits/memory.js';
export type { ListedOperation } from './models/known-model.js';
export type { Price, Pricing } from './models/pricing.js';
export {
  type MemoryIdempotencyOptions,
  type MemoryObjectsOptions,
  memoryIdempotency,
  memoryObjects,
} from './stores/memory.js';
export type { DemoOptions } from './upstreams/demo/context.js';
export { demo } from './upstreams/demo/demo.js';
export type { DispatchController, DispatchedHeaders, HttpDispatcher } from './upstreams/dispatcher.js';
export { type FunctionAnswer, type FunctionContext, fromFunction } from './upstreams/function.js';
export { type HttpOptions, http } from './upstreams/http.js';
export { type OpenAIClient, type OpenAIResource, openaiClient } from './upstreams/openai-client.js';
export { type QueuedOptions, queued } from './upstreams/queued.js';
export { type MemoryUsageOptions, memoryUsage } from './usage/memory.js';

// For the author of an upstream.

export { iterableOf, type Pieces, type StepSource, type StepStream } from './base/steps.js';
export type {
  AbortPolicy,
  CallContext,
  CeilingName,
  DrainBounds,
  ForwardCall,
  ForwardReply,
  StreamPatience,
  Upstream,
  UpstreamCall,
  UpstreamReply,
} from './upstreams/upstream.js';
export { withBody } from './upstreams/upstream-call.js';
export type { ForwardOperation, ModelOperation, Operation } from './wire/operations.js';

// For the author of a store.

export type { KeyAudit, KeyQuery, KeyRecord, KeyRecords, KeySecret, KeySnapshot, KeyStore } from './keys/key-store.js';
export type {
  Amounts,
  Budget,
  Draw,
  InterruptedEnd,
  LimiterStore,
  LimitLevel,
  Measure,
  Reservation,
  Slot,
  Verdict,
} from './limits/limiter-store.js';
export type { IdempotencyClaim, IdempotencyStore, IdempotentRequest, KeptAnswer } from './stores/answer-store.js';
export type { ObjectStore, StoredObject } from './stores/object-store.js';
export type {
  BudgetScope,
  Period,
  TokenSums,
  UsageDimension,
  UsageGroup,
  UsageQuery,
  UsageReader,
  UsageRecord,
  UsageStart,
  UsageStore,
  UsageSums,
  UsageTokens,
} from './usage/usage-store.js';
export type { ObjectKind } from './wire/operations.js';
export type { TokenUsage } from './wire/usage.js';
