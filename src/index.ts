export { type Cancellation, type CancellationSource, createCancellation } from './base/cancellation.js';
export type { Clock } from './base/clock.js';
export { systemClock } from './base/clock.js';
export { type ErrorBody, GatewayError, type GatewayErrorFields } from './base/errors.js';
export type { Json, JsonObject } from './base/json.js';
export { iterableOf, type Pieces, type StepSource } from './base/steps.js';
export type { AdminOptions } from './config/admin-secret.js';
export type { GatewayOptions } from './config/config.js';
export { type Environment, readEnvironment } from './config/environment.js';
export type { ErrorContext, Hooks, ShadowRefusal } from './config/hooks.js';
export { type Capabilities, defaultModels, type ModelOptions } from './config/models.js';
export type { ExplainedRequest, Explanation } from './endpoints/explain.js';
export { createGateway, type Gateway, gatewayOf, respondNotFound } from './gateway.js';
export type { AnswerStream, GatewayRequest, GatewayResponse } from './http/exchange.js';
export { cachedKeys } from './keys/cached.js';
export type {
  ApiKey,
  Identify,
  KeyAudit,
  KeyQuery,
  KeyRecord,
  KeyRecords,
  KeySecret,
  KeySnapshot,
  KeyStore,
  Limits,
  TierLimits,
} from './keys/key-store.js';
export { memoryKeys } from './keys/memory.js';
export { memoryKeyRecords } from './keys/memory-records.js';
export {
  type ChangedBy,
  type IssuedKey,
  type KeyRegistry,
  type KeyRegistryOptions,
  keyRegistry,
  type Rotation,
} from './keys/registry.js';
export { createKey, hashSecret } from './keys/secret.js';
export type {
  Amounts,
  Budget,
  Draw,
  LimiterStore,
  LimitLevel,
  Measure,
  Reservation,
  Slot,
  Verdict,
} from './limits/limiter-store.js';
export { memoryLimiter } from './limits/memory.js';
export type { Price, Pricing } from './models/pricing.js';
export type {
  IdempotencyClaim,
  IdempotencyStore,
  IdempotentRequest,
  KeptAnswer,
} from './stores/answer-store.js';
export {
  type MemoryIdempotencyOptions,
  type MemoryObjectsOptions,
  memoryIdempotency,
  memoryObjects,
} from './stores/memory.js';
export type { ObjectStore, StoredObject } from './stores/object-store.js';
export { type DemoOptions, demo } from './upstreams/demo/demo.js';
export { type FunctionAnswer, type FunctionContext, fromFunction } from './upstreams/function.js';
export { type HttpOptions, http } from './upstreams/http.js';
export { type OpenAIClient, openaiClient } from './upstreams/openai-client.js';
export { type QueuedOptions, queued } from './upstreams/queued.js';
export type {
  AbortPolicy,
  CallContext,
  DrainBounds,
  ForwardCall,
  ForwardReply,
  Upstream,
  UpstreamCall,
  UpstreamReply,
} from './upstreams/upstream.js';
export { withBody } from './upstreams/upstream-call.js';
export { memoryUsage } from './usage/memory.js';
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
export type { ForwardOperation, ModelOperation, ObjectKind, Operation } from './wire/operations.js';
