import { type Awaitable, guarded, isPending, whenReady } from './awaitable.js';
import type { Background } from './background.js';
import type { BatchMeter } from './batch-usage.js';
import { type Call, openCall, priced } from './call.js';
import { causeOf, type GatewayError, shuttingDown, toGatewayError, unavailable } from './errors.js';
import { type Exchange, respondFailure } from './failure.js';
import type { DebugFacts } from './http/debug.js';
import type { GatewayResponse } from './http/exchange.js';
import { limitHeaders } from './http/limit-headers.js';
import type { ApiKey } from './keys/key-store.js';
import { type Admission, type AdmitResult, admit, limitsOf, look, remainingBefore } from './limiter/admit.js';
import type { Verdict } from './limiter/limiter-store.js';
import { DEFAULT_TIER, type Limits } from './limiter/limits.js';
import type { Model } from './models/model-table.js';
import type { Config } from './options.js';
import { finishedFacts, remainingAfter, reservedTokens } from './relay-chat.js';
import type { SendCall } from './upstreams/send.js';
import type { Operation, Upstream } from './upstreams/upstream.js';
import type { UsageRecord } from './usage/usage-store.js';

/** An exchange whose caller is known. */
export interface KeyedExchange extends Exchange {
  readonly key: ApiKey;
}

/** What all calls of a gateway share. */
export interface Shared {
  readonly config: Config;
  readonly sendCall: SendCall;
  readonly running: Set<Call>;
  readonly batches: BatchMeter;
  readonly background: Background;
  /** Whether the gateway takes no new calls any more. */
  readonly closing: () => boolean;
}

/** What comes to be known as a call goes on. */
type Growing<Facts> = { -readonly [Name in keyof Facts]: Facts[Name] };

/** One request's way to a call: how far it came, for whoever has to tell of its failure. */
export interface Attempt {
  readonly limits: Limits;
  readonly tier: string;
  readonly facts: Growing<DebugFacts>;
  remaining: Verdict['remaining'] | undefined;
  call: Call | undefined;
  isRecorded: boolean;
}

/** What has to be known of a model to meter it. */
export type OrderedModel = Pick<Model, 'id' | 'price' | 'maxOutputTokens'>;

/** What is to be admitted, and metered from then on. */
export interface Order {
  readonly operation: Operation;
  readonly model: OrderedModel;
  /** What the client calls it. */
  readonly modelName: string;
  readonly upstream: Upstream;
  readonly inputTokens: number;
  /** Most output tokens of one answer; `undefined`: the client named none. */
  readonly maxOutputTokens: number | undefined;
  readonly n: number;
}

/** A little longer than a call may take, so that a reservation is only ever given back when its process is gone. */
const RESERVATION_GRACE_MS = 30_000;

export function newAttempt({ requestId, key }: KeyedExchange, config: Config): Attempt {
  const limits = limitsOf(key, config.tiers);
  const tier = key.tier ?? DEFAULT_TIER;
  return {
    limits,
    tier,
    facts: { requestId, keyId: key.id, tier },
    remaining: undefined,
    call: undefined,
    isRecorded: false,
  };
}

/** @throws {GatewayError} 503 when there are too many calls already. */
export function checkRoom({ config, running }: Shared): void {
  if (running.size >= config.maxConcurrentCalls) throw overloaded();
}

/**
 * Reserves what the call may use and writes down that it begins. No upstream is asked before that.
 * @throws {GatewayError} 429 or 503, or what ended the call meanwhile.
 */
export function openMetered(attempt: Attempt, exchange: KeyedExchange, shared: Shared, order: Order): Awaitable<Call> {
  const { config } = shared;
  const { facts, limits } = attempt;
  return whenReady(reserve(config, exchange, limits, order), (admitted) => {
    attempt.remaining =
      admitted.kind === 'admitted' ? admitted.admission.verdict.remaining : admitted.refusal.remaining;
    facts.model = order.modelName;
    facts.estimatedInputTokens = order.inputTokens;
    facts.limitsAfter = attempt.remaining;
    if (admitted.kind === 'refused') {
      facts.limitsBefore = attempt.remaining;
      throw admitted.refusal.error;
    }
    const { admission } = admitted;
    // A limiter may have taken its time.
    if (shared.closing() || exchange.request.signal.aborted) return refund(config, admission);
    if (exchange.showsDebug) {
      facts.limitsBefore = remainingBefore(admission);
      facts.reservedTokens = reservedTokens(admission);
    }
    exchange.phases.mark('admit');
    facts.upstream = order.upstream.name;
    return recorded(attempt, callOf(exchange, shared, order, admission), config);
  });
}

function callOf(
  { request, requestId, key }: KeyedExchange,
  { config, running }: Shared,
  { operation, model, upstream, inputTokens }: Order,
  admission: Admission,
): Call {
  const startedAt = config.clock.wallMs();
  return openCall({
    config,
    admission,
    metered: {
      start: { requestId, keyId: key.id, operation, model: model.id, startedAt },
      upstream: upstream.name,
      costNanoUsd: priced(model),
      estimatedInputTokens: inputTokens,
    },
    clientSignal: request.signal,
    running,
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
  const { call, limits } = attempt;
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
  remaining ??= await lookQuietly(config, { key: exchange.key, limits });
  const headers = remaining === undefined ? {} : limitHeaders({ limits, remaining });
  return respondFailure(error, exchange, { hooks: config.hooks, facts, headers });
}

function reserve(
  config: Config,
  { requestId, key }: KeyedExchange,
  limits: Limits,
  { model, modelName, inputTokens, maxOutputTokens, n }: Order,
): Awaitable<AdmitResult> {
  const demand = {
    requestId,
    key,
    limits,
    inputTokens,
    model: modelName,
    maxOutputTokens,
    defaultOutputTokens: Math.min(config.defaultMaxOutputTokens, model.maxOutputTokens ?? Number.POSITIVE_INFINITY),
    n,
    ttlMs: config.timeoutMs + RESERVATION_GRACE_MS,
  };
  return guarded(
    () => admit(config.limiter, demand, config.clock.steadyMs()),
    (error) => {
      throw unavailable('limiter_unavailable', 'Limits cannot be checked right now. Please retry.', causeOf(error));
    },
  );
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

/** Gives back what was reserved for a call that will not begin. */
async function refund({ limiter, clock }: Config, { reservation }: Admission): Promise<never> {
  await limiter.settle(reservation, Array(reservation.draws.length).fill(0), clock.steadyMs());
  throw shuttingDown();
}

/** What the buckets hold, for the headers of an error; a store that fails here costs only the headers. */
async function lookQuietly(config: Config, of: Parameters<typeof look>[1]): Promise<Verdict['remaining'] | undefined> {
  try {
    return await look(config.limiter, of, config.clock.steadyMs());
  } catch {
    return undefined;
  }
}

function overloaded(): GatewayError {
  return unavailable('overloaded', 'The server is handling too many calls. Please retry.');
}
