import { type Awaitable, isPending, whenReady } from './awaitable.js';
import type { Call } from './call.js';
import { followedResponse } from './followed-response.js';
import { debugHeaders } from './http/debug.js';
import type { GatewayResponse } from './http/exchange.js';
import { limitHeaders } from './http/limit-headers.js';
import { respondJson, respondStream } from './http/respond.js';
import type { Attempt, KeyedExchange, Shared } from './metered-call.js';
import type { Model } from './models/model-table.js';
import type { PreparedCall } from './prepare-call.js';
import { finishedFacts, relay, remainingAfter } from './relay-chat.js';
import { type ModelSend, namesOf, type WholeAnswer } from './upstreams/answer.js';
import type { Upstream } from './upstreams/upstream.js';
import { estimateTokens } from './wire/estimate.js';

/** A call that was admitted. */
export interface Target {
  readonly model: Model;
  readonly upstream: Upstream;
  readonly call: Call;
  readonly attempt: Attempt;
}

/** Asks the upstream, and answers as soon as its answer has begun, or is there in full. */
export async function answerCall(
  exchange: KeyedExchange,
  shared: Shared,
  prepared: PreparedCall,
  target: Target,
): Promise<GatewayResponse> {
  const { config } = shared;
  const { call, attempt } = target;
  const send = sendOf(exchange, shared, prepared, target);
  const sent = await shared.sendCall(send);
  attempt.facts.attempts = sent.attempts;
  exchange.phases.mark('upstream');
  if (sent.kind === 'failed') throw sent.error;
  const { answer: begun } = sent;

  if (begun.kind === 'stream') {
    const { presentation } = prepared;
    const facts = attempt.facts;
    const shown = relay(begun, { names: namesOf(send), presentation, call, exchange, config, facts });
    return respondStream(shown, headersOfBegun(exchange, target));
  }
  call.firstByte();
  const followed = prepared.isBackground ? followedResponse(begun, send, { exchange, shared, call }) : undefined;
  if (followed === undefined) return respondWhole(begun, exchange, prepared, target);
  const shown = prepared.presentation.whole(begun.body);
  const body = isPending(shown) ? await shown : shown;
  followed.begin();
  return respondJson(body, headersOfBegun(exchange, target));
}

function sendOf(
  { requestId, key }: KeyedExchange,
  { config }: Shared,
  { endpoint, document, asks, inputTokens }: PreparedCall,
  { model, upstream, call, attempt }: Target,
): ModelSend {
  return {
    endpoint,
    upstream,
    call: { keyId: key.id, tier: attempt.tier, requestId },
    cancellation: call.cancellation,
    document,
    asks,
    upstreamModel: model.upstreamModel,
    outputCeiling: call.admission.outputCeiling,
    estimatedInputTokens: inputTokens,
    maxResponseBytes: config.maxResponseBytes,
  };
}

function respondWhole(
  { usage, outputBytes, body }: WholeAnswer,
  exchange: KeyedExchange,
  { presentation }: PreparedCall,
  { call, attempt: { facts, limits } }: Target,
): Awaitable<GatewayResponse> {
  const settling = call.settle({ outcome: 'ok', usage, deliveredTokens: estimateTokens(outputBytes) });
  return whenReady(settling, (record) => {
    exchange.phases.mark('settle');
    const headers = limitHeaders({ limits, remaining: remainingAfter(call.admission, record) });
    headers['x-request-id'] = exchange.requestId;
    if (exchange.showsDebug) {
      Object.assign(headers, debugHeaders(finishedFacts(facts, call.admission, record), exchange.phases));
    }
    return whenReady(presentation.whole(body), (shown) => respondJson(shown, headers));
  });
}

/** The headers of an answer that goes out before its call is settled. */
export function headersOfBegun(exchange: KeyedExchange, { call, attempt }: Target): Record<string, string> {
  const { limits, facts } = attempt;
  const headers = limitHeaders({ limits, remaining: call.admission.verdict.remaining });
  headers['x-request-id'] = exchange.requestId;
  if (exchange.showsDebug) Object.assign(headers, debugHeaders(facts, exchange.phases));
  return headers;
}
