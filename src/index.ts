export { type Cancellation, type CancellationSource, createCancellation } from './base/cancellation.js';
export type { Clock } from './base/clock.js';
export { systemClock } from './base/clock.js';
export { type ErrorBody, GatewayError, type GatewayErrorFields } from './base/errors.js';
export type { Json, JsonObject } from './base/json.js';
export { type Environment, readEnvironment } from './config/environment.js';
export type { ErrorContext, Hooks, ShadowRefusal } from './config/hooks.js';
export { type Capabilities, defaultModels, type ModelOptions } from './config/models.js';
export type { GatewayOptions } from './config/options.js';
export type { ExplainedRequest, Explanation } from './endpoints/explain.js';
export type { AdminOptions } from './endpoints/reports/admin.js';
export { createGateway, type Gateway, gatewayOf, respondNotFound } from './gateway.js';
export type { AnswerStream, GatewayRequest, GatewayResponse } from './http/exchange.js';
export type { Identify } from './keys/authenticate.js';
export { cachedKeys } from './keys/cached.js';
export { createKey } from './keys/create-key.js';
export type { KeyAudit, KeyQuery, KeyRecord, KeyRecords, KeySecret, KeySnapshot } from './keys/key-records.js';
export type { ApiKey, KeyStore } from './keys/key-store.js';
export type { Limits, TierLimits } from './keys/limits.js';
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
export { hashSecret } from './keys/secret.js';
export type { Amounts, LimitLevel, Measure } from './limits/levels.js';
export type { Budget, Draw, LimiterStore, Reservation, Slot, Verdict } from './limits/limiter-store.js';
export { memoryLimiter } from './limits/memory.js';
export type { Price, Pricing } from './models/pricing.js';
export type {
  IdempotencyClaim,
  IdempotencyStore,
  IdempotentRequest,
  KeptAnswer,
} from './stores/answer-store.js';
export { type MemoryObjectsOptions, memoryObjects } from './stores/memory.js';
export { type MemoryIdempotencyOptions, memoryIdempotency } from './stores/memory-answers.js';
export type { ObjectKind, ObjectStore, StoredObject } from './stores/object-store.js';
export { demo } from './upstreams/demo/demo.js';
export { fromFunction } from './upstreams/function.js';
export { type HttpOptions, http } from './upstreams/http.js';
export { openaiClient } from './upstreams/openai-client.js';
export { queued } from './upstreams/queued.js';
export type {
  AbortPolicy,
  CallContext,
  DrainBounds,
  ForwardCall,
  ForwardOperation,
  ForwardReply,
  ModelOperation,
  Operation,
  Upstream,
  UpstreamCall,
  UpstreamReply,
} from './upstreams/upstream.js';
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
