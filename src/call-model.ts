import { isPending } from './awaitable.js';
import type { Call } from './call.js';
import { createCancellation } from './cancellation.js';
import { modelNotAllowed, modelNotFound, shuttingDown, toGatewayError } from './errors.js';
import { reportCause } from './failure.js';
import { debugHeaders } from './http/debug.js';
import type { GatewayResponse } from './http/exchange.js';
import { limitHeaders } from './http/limit-headers.js';
import { readBody } from './http/read-body.js';
import { respondJson, respondStream } from './http/respond.js';
import type { ApiKey } from './keys/key-store.js';
import {
  type Attempt,
  checkRoom,
  type KeyedExchange,
  newAttempt,
  openMetered,
  respondFailed,
  type Shared,
} from './metered-call.js';
import { type Model, mayCall } from './models/model-table.js';
import type { Config } from './options.js';
import { checkOffered, isPlain, type PreparedCall, prepareCall, readCall } from './prepare-call.js';
import { AS_IT_IS } from './presentation.js';
import { finishedFacts, relay, remainingAfter } from './relay-chat.js';
import { type ModelSend, namesOf } from './upstreams/answer.js';
import type { Upstream } from './upstreams/upstream.js';
import { estimateTokens } from './wire/estimate.js';
import type { ModelEndpoint } from './wire/model-endpoint.js';

/** One call to a model, from its bytes to the end of its answer. */
export async function callModel(
  exchange: KeyedExchange,
  shared: Shared,
  endpoint: ModelEndpoint,
): Promise<GatewayResponse> {
  const { request, phases } = exchange;
  const { config } = shared;
  const attempt = newAttempt(exchange, config);
  try {
    checkRoom(shared);
    const body = readBody(request, config);
    const read = readCall(endpoint, isPending(body) ? await body : body);
    const model = findModel(config, exchange.key, read.asks.model);
    const upstream = model.upstream ?? config.upstream;
    checkOffered(endpoint, upstream);
    const prepared = isPlain(read, upstream)
      ? { ...read, presentation: AS_IT_IS, queued: undefined }
      : await prepareCall(read, exchange, config, { model, upstream });
    // The body may have taken its time: once `close()` has resolved, nothing may begin.
    if (shared.closing()) throw shuttingDown();
    phases.mark('parse');

    const { queued } = prepared;
    // What is made in the background does not end with its client.
    const asked =
      queued === undefined ? exchange : { ...exchange, request: { ...request, signal: createCancellation() } };
    const { asks, inputTokens } = prepared;
    const { maxOutputTokens, n } = asks;
    const order = { model, modelName: asks.model, upstream, inputTokens, maxOutputTokens, n };
    const call = await openMetered(attempt, asked, shared, { ...order, operation: endpoint.operation });
    call.asked();
    const target = { model, upstream, call, attempt };
    if (queued === undefined) return await answer(exchange, shared, prepared, target);
    return await inBackground(asked, shared, prepared, { ...target, queued });
  } catch (error) {
    return respondFailed(attempt, exchange, config, error);
  }
}

/** A call that was admitted. */
interface Target {
  readonly model: Model;
  readonly upstream: Upstream;
  readonly call: Call;
  readonly attempt: Attempt;
}

/** Asks the upstream, and answers as soon as its answer has begun, or is there in full. */
async function answer(
  exchange: KeyedExchange,
  shared: Shared,
  { endpoint, document, asks, inputTokens, presentation }: PreparedCall,
  { model, upstream, call, attempt }: Target,
): Promise<GatewayResponse> {
  const { requestId, key, phases } = exchange;
  const { config } = shared;
  const { facts, limits, tier } = attempt;
  const send: ModelSend = {
    endpoint,
    upstream,
    call: { keyId: key.id, tier, requestId },
    cancellation: call.cancellation,
    document,
    asks,
    upstreamModel: model.upstreamModel,
    outputCeiling: call.admission.outputCeiling,
    estimatedInputTokens: inputTokens,
    maxResponseBytes: config.maxResponseBytes,
  };
  const sent = await shared.sendCall(send);
  facts.attempts = sent.attempts;
  phases.mark('upstream');
  if (sent.kind === 'failed') throw sent.error;
  const { answer: begun } = sent;

  if (begun.kind === 'stream') {
    const headers = limitHeaders({ limits, remaining: call.admission.verdict.remaining });
    headers['x-request-id'] = requestId;
    if (exchange.showsDebug) Object.assign(headers, debugHeaders(facts, phases));
    return respondStream(relay(begun, { names: namesOf(send), presentation, call, exchange, config, facts }), headers);
  }
  call.firstByte();
  const settling = call.settle({
    outcome: 'ok',
    usage: begun.usage,
    deliveredTokens: estimateTokens(begun.outputBytes),
  });
  const record = isPending(settling) ? await settling : settling;
  phases.mark('settle');
  const headers = limitHeaders({ limits, remaining: remainingAfter(call.admission, record) });
  headers['x-request-id'] = requestId;
  if (exchange.showsDebug) {
    Object.assign(headers, debugHeaders(finishedFacts(facts, call.admission, record), phases));
  }
  const shown = presentation.whole(begun.body, record);
  return respondJson(isPending(shown) ? await shown : shown, headers);
}

/** Answers at once with what is queued, and does the work afterwards. */
async function inBackground(
  exchange: KeyedExchange,
  shared: Shared,
  prepared: PreparedCall,
  target: Target & { readonly queued: NonNullable<PreparedCall['queued']> },
): Promise<GatewayResponse> {
  const { config, background } = shared;
  const { call, attempt, queued } = target;
  const id = String(queued.id);
  await prepared.presentation.queued?.(queued);
  background.set(id, call);
  answer(exchange, shared, prepared, target)
    .catch(async (thrown: unknown) => {
      const error = toGatewayError(call.cancellation.aborted ? call.cancellation.reason : thrown);
      await call.settle(call.failed());
      reportCause(error, config.hooks, attempt.facts);
      await prepared.presentation.failed?.(error);
    })
    .catch((error: unknown) => config.hooks.onError(error, { requestId: exchange.requestId, keyId: exchange.key.id }))
    .finally(() => background.delete(id));
  const headers = limitHeaders({ limits: attempt.limits, remaining: call.admission.verdict.remaining });
  headers['x-request-id'] = exchange.requestId;
  return respondJson(JSON.stringify(queued), headers);
}

function findModel(config: Config, key: ApiKey, name: string): Model {
  const model = config.models.find(name);
  if (model === undefined) throw modelNotFound(name);
  if (!mayCall(key, model, name)) throw modelNotAllowed(name);
  return model;
}
