// Public names for the author of an adapter; an application needs none of them.

export {
  type AbortListener,
  type Cancellation,
  type CancellationSource,
  createCancellation,
} from './base/cancellation.js';
export { iterableOf, type StepSource, type StepStream } from './base/steps.js';
export type { GatewayOptions } from './config/config.js';
export { createGateway, type Gateway, gatewayOf, respondNotFound } from './gateway.js';
export type { AnswerStream, GatewayRequest, GatewayResponse } from './http/exchange.js';
export {
  type ClosingLingering,
  countLingering,
  type Lingering,
  type LingeringBounds,
  type LingeringOptions,
} from './http/lingering.js';
