import { type Awaitable, guarded, isPending, whenReady } from '../base/awaitable.js';
import { causeOf, type GatewayError, toGatewayError, unavailable } from '../base/errors.js';
import type { Model } from '../config/models.js';
import type { Config } from '../config/options.js';
import type { BatchMeter } from '../endpoints/forward/batches.js';
import { finishedFacts, remainingAfter, reservedTokens } from '../endpoints/model/relay.js';
import type { GatewayResponse } from '../http/exchange.js';
import { type ApiKey, ownerOf } from '../keys/key-store.js';
import { remainingBefore } from '../limits/admit.js';
import { hasBudget } from '../limits/levels.js';
import type { Admission } from '../limits/limiter-store.js';
import { priced } from '../models/pricing.js';
import type { SendCall } from '../upstreams/send.js';
import { drainBounds, type Upstream } from '../upstreams/upstream.js';
import type { UsageRecord } from '../usage/usage-store.js';
import type { Operation } from '../wire/operations.js';
import { demandOf } from './admit.js';
import { type Attempt, beginPeriods } from './attempt.js';
import type { Background } from './background.js';
import { type Call, type Drains, openCall } from './call.js';
import type { DebugFacts } from './debug.js';
import { type Exchange, respondFailure } from './failure.js';
import { limitHeaders } from './limit-headers.js';
import { lookQuietly, refund, reserveCall } from './reserve.js';
import { reserveShadow } from './shadow-limits.js';
import type { Unsettled } from './unsettled.js';

/** An exchange whose caller is known. */
export interface KeyedExchange extends Exchange {
  readonly key: ApiKey;
  /** Told of the call as soon as there is one. */
  readonly onCall?: (call: Call) => void;
}

/** What all calls of a gateway share. */
export interface Shared {
  readonly config: Config;
  readonly sendCall: SendCall;
  readonly running: Set<Call>;
  readonly drains: Drains;
  readonly unsettled: Unsettled;
  readonly batches: BatchMeter;
  readonly background: Background;
  /** Whether the gateway takes no new calls any more. */
  readonly closing: () => boolean;
}

/** What has to be known of a model to meter it. */
export type OrderedModel = Pick<Model, 'id' | 'price' | 'maxOutputTokens'> & Partial<Pick<Model, 'contextLength'>>;

/** What is to be admitted, and metered from then on. */
export interface Order {
  readonly operation: Operation;
  readonly model: OrderedModel;
  /** What the client calls it. */
  readonly modelName: string;
  readonly upstream: Upstream;
  readonly inputTokens: number;
  /** What they may be at most, for money. @default as many as the bytes that they were estimated from */
  readonly worstInputTokens?: number;
  /** Images among them. @default 0 */
  readonly images?: number;
  /** Whether the model reads more than what they were estimated from. @default false */
  readonly readsMore?: boolean;
  /** Most output tokens of one answer; `undefined`: the client named none. */
  readonly maxOutputTokens: number | undefined;
  readonly n: number;
  /** What to reserve where the client named no ceiling. @default what the gateway has learned */
  readonly usualOutputTokens?: number;
  /** Whether tokens of the model are used at all, and so have to be paid for. @default true */
  readonly asksModel?: boolean;
}

/** @throws {GatewayError} 503 when there are too many calls already. */
export function checkRoom({ config, running }: Shared): void {
  if (running.size >= config.maxConcurrentCalls) throw overloaded();
}

/**
 * Reserves what the call may use and writes down that it begins. No upstream is asked before that.
 * @throws {GatewayError} 403, 429 or 503, or what ended the call meanwhile.
 */
export function openMetered(attempt: Attempt, exchange: KeyedExchange, shared: Shared, order: Order): Awaitable<Call> {
  const { config } = shared;
  const { facts } = attempt;
  beginPeriods(attempt, config);
  return whenReady(reserveCall(shared, exchange.key.id, demandOf(attempt, exchange, config, order)), (admitted) => {
    const isAdmitted = admitted.kind === 'admitted';
    attempt.remaining = isAdmitted ? admitted.admission.verdict.remaining : admitted.refusal.refused.verdict.remaining;
    facts.model = order.modelName;
    facts.estimatedInputTokens = order.inputTokens;
    facts.limitsAfter = attempt.remaining;
    if (!isAdmitted) {
      facts.limitsBefore = attempt.remaining;
      throw admitted.refusal.error;
    }
    const { admission } = admitted;
    // A limiter may have taken its time.
    if (shared.closing() || exchange.request.signal.aborted) return refund(shared, exchange, admission);
    if (exchange.showsDebug) {
      facts.limitsBefore = remainingBefore(admission);
      facts.reservedTokens = reservedTokens(admission);
    }
    exchange.phases.mark('admit');
    facts.upstream = order.upstream.name;
    const call = callOf(attempt, exchange, shared, { order, admission });
    exchange.onCall?.(call);
    reserveShadow(attempt.levels, call, config);
    return recorded(attempt, call, config);
  });
}

function callOf(
  { ceilings, tier }: Attempt,
  { request, requestId, key }: KeyedExchange,
  { config, running, drains, unsettled }: Shared,
  { order, admission }: { readonly order: Order; readonly admission: Admission },
): Call {
  const { operation, model, upstream, inputTokens, n } = order;
  const { outputCeiling, amounts } = admission;
  return openCall({
    config,
    admission,
    metered: {
      start: {
        requestId,
        keyId: key.id,
        owner: ownerOf(key),
        tier,
        operation,
        model: model.id,
        upstream: upstream.name,
        startedAt: config.clock.wallMs(),
        reservedInputTokens: inputTokens,
        reservedOutputTokens: outputCeiling === undefined ? undefined : n * outputCeiling,
        reservedNanoUsd: outputCeiling === undefined || model.price === undefined ? undefined : amounts.nanoUsd,
        price: model.price,
      },
      costNanoUsd: priced(model),
      chargesUnknown: hasBudget(ceilings),
    },
    clientSignal: request.signal,
    running,
    drains,
    unsettled,
    drain: drainBounds(upstream.onAbort),
  });
}

/** The call once it is written down: what cannot be recorded is not made. */
function recorded(attempt: Attempt, call: Call, config: Config): Awaitable<Call> {
  attempt.call = call;
  return whenReady(recordStart(config, call), () => {
    attempt.isRecorded = true;
    if (call.cancellation.aborted) throw call.cancellation.reason;
    return call;
  });
}

/** The client's answer when the attempt failed, with the call settled and the limits as they are then. */
export async function respondFailed(
  attempt: Attempt,
  exchange: KeyedExchange,
  config: Config,
  error: unknown,
): Promise<GatewayResponse> {
  const { call, ceilings } = attempt;
  let facts: DebugFacts = attempt.facts;
  let { remaining } = attempt;
  if (call !== undefined && !attempt.isRecorded) {
    await call.withdraw();
    remaining = undefined;
  } else if (call !== undefined) {
    const record = await settleFailed(call, error);
    facts = finishedFacts(facts, call.admission, record);
    remaining = remainingAfter(call.admission, record);
  }
  remaining ??= await lookQuietly(config, ceilings);
  const headers = remaining === undefined ? [] : limitHeaders({ ceilings, remaining });
  return respondFailure(error, exchange, { hooks: config.hooks, facts, headers });
}

function recordStart({ usage }: Config, call: Call): Awaitable<void> {
  const written = guarded(
    () => usage.open(call.start),
    (error) => {
      throw unavailable('ledger_unavailable', 'Usage cannot be recorded right now. Please retry.', causeOf(error));
    },
  );
  if (isPending(written)) call.opening(written);
  return written;
}

/** A call whose answer did not begin. */
export async function settleFailed(call: Call, error: unknown): Promise<UsageRecord> {
  const refused = { outcome: 'error', usage: undefined, deliveredTokens: undefined } as const;
  const ending = call.cancellation.aborted ? call.failed() : refused;
  // An answer that was refused half read would hold its connection, and the upstream its work.
  call.abort(toGatewayError(error));
  return call.settle(ending);
}

function overloaded(): GatewayError {
  return unavailable('overloaded', 'The server is handling too many calls. Please retry.');
}
