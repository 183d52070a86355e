export type { AdminOptions } from './admin.js';
export { type Cancellation, type CancellationSource, createCancellation } from './cancellation.js';
export type { Clock } from './clock.js';
export { systemClock } from './clock.js';
export { type Environment, readEnvironment } from './environment.js';
export { type ErrorBody, GatewayError, type GatewayErrorFields } from './errors.js';
export type { ExplainedRequest, Explanation } from './explain.js';
export { createGateway, type Gateway, gatewayOf, respondNotFound } from './gateway.js';
export type { ErrorContext, Hooks, ShadowRefusal } from './hooks.js';
export type { AnswerStream, GatewayRequest, GatewayResponse } from './http/exchange.js';
export type {
  IdempotencyClaim,
  IdempotencyStore,
  IdempotentRequest,
  KeptAnswer,
} from './idempotency/idempotency-store.js';
export { type MemoryIdempotencyOptions, memoryIdempotency } from './idempotency/memory.js';
export type { Json, JsonObject } from './json.js';
export type { Identify } from './keys/authenticate.js';
export { cachedKeys } from './keys/cached.js';
export { createKey } from './keys/create-key.js';
export type { KeyAudit, KeyQuery, KeyRecord, KeyRecords, KeySecret, KeySnapshot } from './keys/key-records.js';
export type { ApiKey, KeyStore } from './keys/key-store.js';
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
export type { Amounts, LimitLevel, Measure } from './limiter/levels.js';
export type { Budget, Draw, LimiterStore, Reservation, Slot, Verdict } from './limiter/limiter-store.js';
export type { Limits, TierLimits } from './limiter/limits.js';
export { memoryLimiter } from './limiter/memory.js';
export { type Capabilities, defaultModels, type ModelOptions } from './models/model-table.js';
export type { Price, Pricing } from './models/pricing.js';
export { type MemoryObjectsOptions, memoryObjects } from './objects/memory.js';
export type { ObjectKind, ObjectStore, StoredObject } from './objects/object-store.js';
export type { GatewayOptions } from './options.js';
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
