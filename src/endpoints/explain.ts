import { createCancellation } from '../base/cancellation.js';
import { GatewayError, shuttingDown } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import { demandOf, limitingOf } from '../call/admit.js';
import { newAttempt } from '../call/attempt.js';
import { NO_PHASES } from '../call/debug.js';
import { checkRoom, type KeyedExchange, type Shared } from '../call/open.js';
import { findModel } from '../config/find-model.js';
import type { GatewayRequest } from '../http/exchange.js';
import { readBody } from '../http/read-body.js';
import { wrongKey } from '../keys/authenticate.js';
import type { ApiKey } from '../keys/key-store.js';
import { admit } from '../limits/admit.js';
import type { Amounts, Ceiling, Demand, LimiterStore, Measure } from '../limits/limiter-store.js';
import { refusalReasonOf } from '../limits/refusal.js';
import { MODEL_ENDPOINTS, type ModelEndpoint } from '../wire/model-endpoint.js';
import type { ModelOperation } from '../wire/operations.js';
import { checkOffered, isPlain, prepareCall, readCall } from './model/read-call.js';

/** A call that nobody has made yet. */
export interface ExplainedRequest {
  /** @default 'chat.completions' */
  readonly operation?: ModelOperation;
  /** As it would be sent. */
  readonly body: JsonObject;
}

/** What would become of it. */
export type Explanation =
  | {
      readonly isAdmitted: true;
      /** What would be reserved. */
      readonly reserved: Amounts;
      /** What the upstream would be told not to exceed; `undefined`: nothing limits the answer's tokens. */
      readonly maxOutputTokens: number | undefined;
    }
  | {
      readonly isAdmitted: false;
      /** What the client would get. */
      readonly error: GatewayError;
      /** What is short; `undefined`: it is no limit that refuses the call. */
      readonly limit: Measure | 'concurrency' | undefined;
      /** Whose ceiling it is; `undefined` for concurrency and where no limit refuses. */
      readonly level: Ceiling['level']['kind'] | undefined;
      /** Milliseconds until the same call could be admitted; `Infinity`: never, as things are. */
      readonly retryAfterMs: number;
    };

/** Whether a call would be admitted now. @throws Anything that the stores throw. */
export async function explain(
  key: ApiKey,
  { operation = 'chat.completions', body }: ExplainedRequest,
  shared: Shared,
): Promise<Explanation> {
  const { config } = shared;
  const exchange = { request: requestOf(body), requestId: 'explain', key, phases: NO_PHASES, showsDebug: false };
  try {
    const demand = await demandFor(exchange, MODEL_ENDPOINTS[operation], shared);
    const limiting = limitingOf(config);
    const result = await admit({ ...limiting, store: dry(limiting.store) }, demand);
    if (result.kind === 'admitted') {
      const { amounts, outputCeiling } = result.admission;
      return { isAdmitted: true, reserved: amounts, maxOutputTokens: outputCeiling };
    }
    const { error, refused } = result.refusal;
    const { ceiling, retryAfterMs } = refusalReasonOf(refused);
    const limit = ceiling?.measure ?? 'concurrency';
    return { isAdmitted: false, error, limit, level: ceiling?.level.kind, retryAfterMs };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const { retryAfterMs = Number.POSITIVE_INFINITY } = error;
    return { isAdmitted: false, error, limit: undefined, level: undefined, retryAfterMs };
  }
}

/** What the call would want of the limiter, found as `callModel` finds it. @throws {GatewayError} where that does. */
async function demandFor(exchange: KeyedExchange, endpoint: ModelEndpoint, shared: Shared): Promise<Demand> {
  const { config } = shared;
  const { request, key } = exchange;
  if (shared.closing()) throw shuttingDown();
  if (key.expiresAt !== undefined && key.expiresAt <= config.clock.wallMs()) throw wrongKey('');
  checkRoom(shared);
  const read = readCall(endpoint, await readBody(request, config));
  const model = findModel(config, key, read.asks.model);
  const upstream = model.upstream ?? config.upstream;
  checkOffered(endpoint, model, upstream);
  const prepared = isPlain(read, upstream)
    ? { ...read, readsMore: false }
    : await prepareCall(read, exchange, config, { model, upstream });
  const { asks, inputTokens, images, readsMore } = prepared;
  const { maxOutputTokens, n } = asks;
  const order = { model, modelName: asks.model, inputTokens, images, readsMore, maxOutputTokens, n };
  return demandOf(newAttempt(exchange, config), exchange, config, order);
}

function requestOf(body: JsonObject): GatewayRequest {
  return {
    method: 'POST',
    url: '',
    headers: {},
    signal: createCancellation(),
    body: { parsed: body },
    native: undefined,
  };
}

function dry(store: LimiterStore): LimiterStore {
  return { settle: () => {}, reserve: (reservation, now) => store.reserve({ ...reservation, dryRun: true }, now) };
}
