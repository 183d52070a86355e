import { type Awaitable, guarded, isPending } from './awaitable.js';
import { type Call, openCall } from './call.js';
import {
  causeOf,
  type GatewayError,
  modelNotAllowed,
  modelNotFound,
  shuttingDown,
  toGatewayError,
  unavailable,
} from './errors.js';
import { type Exchange, respondFailure } from './failure.js';
import { type DebugFacts, debugHeaders } from './http/debug.js';
import type { GatewayResponse } from './http/exchange.js';
import { limitHeaders } from './http/limit-headers.js';
import { parseBody, readBody } from './http/read-body.js';
import { respondJson, respondStream } from './http/respond.js';
import type { ApiKey } from './keys/key-store.js';
import { type Admission, type AdmitResult, admit, limitsOf, look, remainingBefore } from './limiter/admit.js';
import type { Verdict } from './limiter/limiter-store.js';
import { DEFAULT_TIER } from './limiter/limits.js';
import { type Model, mayCall } from './models/model-table.js';
import { costNanoUsd, type PricedTokens } from './models/pricing.js';
import type { Config } from './options.js';
import { finishedFacts, relay, remainingAfter, reservedTokens } from './relay-chat.js';
import { type ChatSend, namesOf } from './upstreams/answer.js';
import type { SendChat } from './upstreams/send.js';
import type { UsageRecord } from './usage/usage-store.js';
import { type ChatRequest, readChatRequest } from './wire/chat-request.js';
import { estimateChatInput, estimateTokens } from './wire/estimate.js';

/** An exchange whose caller is known. */
export interface KeyedExchange extends Exchange {
  readonly key: ApiKey;
}

const OPERATION = 'chat.completions';

/** What comes to be known as a call goes on. */
type Growing<Facts> = { -readonly [Name in keyof Facts]: Facts[Name] };

/** What all calls of a gateway share. */
export interface Shared {
  readonly config: Config;
  readonly sendChat: SendChat;
  readonly running: Set<Call>;
  /** Whether the gateway takes no new calls any more. */
  readonly closing: () => boolean;
}

/** A little longer than a call may take, so that a reservation is only ever given back when its process is gone. */
const RESERVATION_GRACE_MS = 30_000;

/** One chat completion, from its bytes to the end of its answer. */
export async function completeChat(exchange: KeyedExchange, shared: Shared): Promise<GatewayResponse> {
  const { request, requestId, key, phases } = exchange;
  const { config, running } = shared;
  const limits = limitsOf(key, config.tiers);
  const tier = key.tier ?? DEFAULT_TIER;
  const facts: Growing<DebugFacts> = { requestId, keyId: key.id, tier };
  let remaining: Verdict['remaining'] | undefined;
  let call: Call | undefined;
  let isRecorded = false;
  try {
    if (running.size >= config.maxConcurrentCalls) throw overloaded();
    const body = readBody(request, config);
    const { document, chat, inputTokens } = readCall(isPending(body) ? await body : body);
    // The body may have taken its time: once `close()` has resolved, nothing may begin.
    if (shared.closing()) throw shuttingDown();
    const model = findModel(config, key, chat.model);
    phases.mark('parse');

    const reserving = reserve(config, { requestId, key, limits, model, chat, inputTokens });
    const admitted = isPending(reserving) ? await reserving : reserving;
    remaining = admitted.kind === 'admitted' ? admitted.admission.verdict.remaining : admitted.refusal.remaining;
    facts.model = chat.model;
    facts.estimatedInputTokens = inputTokens;
    facts.limitsAfter = remaining;
    if (admitted.kind === 'refused') {
      facts.limitsBefore = remaining;
      throw admitted.refusal.error;
    }
    const { admission } = admitted;
    // A limiter may have taken its time too.
    if (shared.closing() || request.signal.aborted) throw await refunded(config, admission);
    if (exchange.showsDebug) {
      facts.limitsBefore = remainingBefore(admission);
      facts.reservedTokens = reservedTokens(admission);
    }
    phases.mark('admit');

    const upstream = model.upstream ?? config.upstream;
    facts.upstream = upstream.name;
    call = openCall({
      config,
      admission,
      metered: {
        start: { requestId, keyId: key.id, operation: OPERATION, model: model.id, startedAt: config.clock.wallMs() },
        upstream: upstream.name,
        costNanoUsd: priced(model),
        estimatedInputTokens: inputTokens,
      },
      clientSignal: request.signal,
      running,
    });
    const send: ChatSend = {
      upstream,
      call: { operation: OPERATION, keyId: key.id, tier, requestId },
      cancellation: call.cancellation,
      document,
      chat,
      upstreamModel: model.upstreamModel,
      outputCeiling: admission.outputCeiling,
      estimatedInputTokens: inputTokens,
      maxResponseBytes: config.maxResponseBytes,
    };
    // What cannot be recorded is not made.
    const recording = recordStart(config, call);
    if (isPending(recording)) await recording;
    isRecorded = true;
    if (call.cancellation.aborted) throw call.cancellation.reason;
    call.asked();
    const sent = await shared.sendChat(send);
    facts.attempts = sent.attempts;
    phases.mark('upstream');
    if (sent.kind === 'failed') throw sent.error;
    const { answer } = sent;

    if (answer.kind === 'stream') {
      const headers = limitHeaders({ limits, remaining });
      headers['x-request-id'] = requestId;
      if (exchange.showsDebug) Object.assign(headers, debugHeaders(facts, phases));
      return respondStream(relay(answer, { names: namesOf(send), call, exchange, config, facts }), headers);
    }
    call.firstByte();
    const settling = call.settle({
      outcome: 'ok',
      usage: answer.usage,
      deliveredTokens: estimateTokens(answer.outputBytes),
    });
    const record = isPending(settling) ? await settling : settling;
    phases.mark('settle');
    const headers = limitHeaders({ limits, remaining: remainingAfter(admission, record) });
    headers['x-request-id'] = requestId;
    if (exchange.showsDebug) Object.assign(headers, debugHeaders(finishedFacts(facts, admission, record), phases));
    return respondJson(answer.body, headers);
  } catch (error) {
    let known: DebugFacts = facts;
    if (call !== undefined && !isRecorded) {
      await call.withdraw();
      remaining = undefined;
    } else if (call !== undefined) {
      const record = await settleFailed(call, error);
      known = finishedFacts(facts, call.admission, record);
      remaining = remainingAfter(call.admission, record);
    }
    remaining ??= await lookQuietly(config, { key, limits });
    const headers = remaining === undefined ? {} : limitHeaders({ limits, remaining });
    return respondFailure(error, exchange, { hooks: config.hooks, facts: known, headers });
  }
}

/** What the bytes ask for. What was parsed of them is let go here: only the bytes live as long as the call. */
function readCall(bytes: Uint8Array): Pick<ChatSend, 'document' | 'chat'> & { readonly inputTokens: number } {
  const { document, outline } = parseBody(bytes);
  return { document, chat: readChatRequest(outline), inputTokens: estimateChatInput(outline, document) };
}

function findModel(config: Config, key: ApiKey, name: string): Model {
  const model = config.models.find(name);
  if (model === undefined) throw modelNotFound(name);
  if (!mayCall(key, model, name)) throw modelNotAllowed(name);
  return model;
}

/** What tokens cost at the prices of now: a change in the middle of a call is for the next. */
function priced({ price }: Model): ((tokens: PricedTokens) => number) | undefined {
  return price && ((tokens) => costNanoUsd(price, tokens));
}

interface Wanted {
  readonly requestId: string;
  readonly key: ApiKey;
  readonly limits: ReturnType<typeof limitsOf>;
  readonly model: Model;
  readonly chat: ChatRequest;
  readonly inputTokens: number;
}

function reserve(config: Config, wanted: Wanted): Awaitable<AdmitResult> {
  const { model, chat } = wanted;
  const demand = {
    requestId: wanted.requestId,
    key: wanted.key,
    limits: wanted.limits,
    inputTokens: wanted.inputTokens,
    model: chat.model,
    maxOutputTokens: chat.maxOutputTokens,
    defaultOutputTokens: Math.min(config.defaultMaxOutputTokens, model.maxOutputTokens ?? Number.POSITIVE_INFINITY),
    n: chat.n,
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
async function settleFailed(call: Call, error: unknown): Promise<UsageRecord> {
  const refused = { outcome: 'error', usage: undefined, deliveredTokens: undefined } as const;
  const ending = call.cancellation.aborted ? call.failed() : refused;
  // An answer that was refused half read would hold its connection, and the upstream its work.
  call.abort(toGatewayError(error));
  return call.settle(ending);
}

/** Gives back what was reserved for a call that will not begin. */
async function refunded({ limiter, clock }: Config, { reservation }: Admission): Promise<GatewayError> {
  await limiter.settle(reservation, Array(reservation.draws.length).fill(0), clock.steadyMs());
  return shuttingDown();
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
