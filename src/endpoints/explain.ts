import { createCancellation } from '../base/cancellation.js';
import { isRecord, unexpected } from '../base/checks.js';
import { GatewayError, shuttingDown } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import { checkRoom } from '../call/admit.js';
import { Call } from '../call/call.js';
import { Exchange } from '../call/exchange.js';
import type { GatewayState } from '../call/state.js';
import type { GatewayRequest } from '../http/exchange.js';
import { checkExpiry } from '../keys/authenticate.js';
import type { ApiKey } from '../keys/key-store.js';
import { admit } from '../limits/admit.js';
import type { Amounts, LimiterStore, LimitLevel, Measure } from '../limits/limiter-store.js';
import { refusalReasonOf } from '../limits/refusal.js';
import { MODEL_ENDPOINTS } from '../wire/model-endpoint.js';
import type { ModelOperation } from '../wire/operations.js';
import { prepare } from './model/prepare.js';
import { needsPreparing, readCall } from './model/read-call.js';

/** A call that nobody has made yet. */
export interface ExplainedRequest {
  /** @default 'chat.completions' */
  readonly operation?: ModelOperation | undefined;
  /** As it would be sent. */
  readonly body: JsonObject;
}

/** The answer to whether a call would be admitted. */
export type Explanation =
  | {
      readonly isAdmitted: true;
      /** Amounts that would be reserved. */
      readonly reserved: Amounts;
      /** Ceiling that the upstream would be told; `undefined`: nothing limits the answer's tokens. */
      readonly maxOutputTokens: number | undefined;
    }
  | {
      readonly isAdmitted: false;
      /** The client's error. */
      readonly error: GatewayError;
      /** The measure that is short; `undefined`: it is no limit that refuses the call. */
      readonly limit: Measure | 'concurrency' | undefined;
      /** The level of the ceiling; `undefined` for concurrency and where no limit refuses. */
      readonly level: LimitLevel['kind'] | undefined;
      /** Milliseconds until the same call could be admitted; `Infinity`: never, as things are. */
      readonly retryAfterMs: number;
    };

/** Whether a call would be admitted now: it takes the steps of one, and reserves nothing. @throws {TypeError} for what is no key or no body, and anything that the stores throw. */
export async function explain(
  key: ApiKey,
  { operation = 'chat.completions', body }: ExplainedRequest,
  state: GatewayState,
): Promise<Explanation> {
  const caller = state.config.checkKey('explain', key);
  if (caller === undefined) throw unexpected('key', 'to be a key', key);
  if (!isRecord(body)) throw unexpected('body', 'to be the body of a request', body);
  const exchange = new Exchange(requestOf(body), '', state);
  exchange.key = caller;
  try {
    const call = await weighed(exchange, operation);
    const result = await admit({ ...state.access, store: dry(state.access.store), lane: undefined }, call);
    if (result.kind === 'admitted') {
      const { amounts, outputCeiling } = result;
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
  } finally {
    exchange.answered();
  }
}

/** A call that is ready to be admitted. @throws {GatewayError} for one that would be refused before. */
async function weighed(exchange: Exchange, operation: ModelOperation): Promise<Call> {
  const { state, caller } = exchange;
  if (state.closed !== undefined) throw shuttingDown();
  checkExpiry(caller, state.config.clock);
  const call = new Call(exchange, MODEL_ENDPOINTS[operation]);
  checkRoom(state);
  call.take(await readCall(call.endpoint, await exchange.body(), exchange.state.config.json.request));
  call.choose();
  if (needsPreparing(call)) await prepare(call);
  call.weigh();
  return call;
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
