import { type Awaitable, isPending, whenReady } from '../../base/awaitable.js';
import { type Answered, headersOfBegun, headersOfSettled } from '../../call/headers.js';
import type { KeyedExchange, Shared } from '../../call/open.js';
import type { Model } from '../../config/models.js';
import type { GatewayResponse } from '../../http/exchange.js';
import { respondJson, respondStream } from '../../http/respond.js';
import { hasBudget } from '../../limits/levels.js';
import { type ModelSend, namesOf, type WholeAnswer } from '../../upstreams/answer.js';
import type { Upstream } from '../../upstreams/upstream.js';
import { estimateTokens } from '../../wire/estimate.js';
import { followedResponse } from '../responses/poll.js';
import type { PreparedCall } from './read-call.js';
import { relay } from './relay.js';

/** A call that was admitted. */
export interface Target extends Answered {
  readonly model: Model;
  readonly upstream: Upstream;
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
  // Until the answer has begun, to read it on is to wait for it.
  call.onDrain(() => {});
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
    requiresCeiling: hasBudget(call.admission.ceilings),
    estimatedInputTokens: inputTokens,
    maxResponseBytes: config.maxResponseBytes,
  };
}

function respondWhole(
  { usage, outputBytes, body }: WholeAnswer,
  exchange: KeyedExchange,
  { presentation }: PreparedCall,
  target: Target,
): Awaitable<GatewayResponse> {
  const ending = { outcome: 'ok', usage, deliveredTokens: estimateTokens(outputBytes) } as const;
  return whenReady(target.call.settle(ending), (record) => {
    exchange.phases.mark('settle');
    const headers = headersOfSettled(exchange, target, record);
    return whenReady(presentation.whole(body), (shown) => respondJson(shown, headers));
  });
}
