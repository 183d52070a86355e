import { isPending } from './awaitable.js';
import { modelNotAllowed, modelNotFound, shuttingDown } from './errors.js';
import { debugHeaders } from './http/debug.js';
import type { GatewayResponse } from './http/exchange.js';
import { limitHeaders } from './http/limit-headers.js';
import { parseBody, readBody } from './http/read-body.js';
import { respondJson, respondStream } from './http/respond.js';
import type { ApiKey } from './keys/key-store.js';
import { checkRoom, type KeyedExchange, newAttempt, openMetered, respondFailed, type Shared } from './metered-call.js';
import { type Model, mayCall } from './models/model-table.js';
import type { Config } from './options.js';
import { finishedFacts, relay, remainingAfter } from './relay-chat.js';
import { type ModelSend, namesOf } from './upstreams/answer.js';
import { estimateTokens } from './wire/estimate.js';
import type { ModelEndpoint } from './wire/model-endpoint.js';

/** One call to a model, from its bytes to the end of its answer. */
export async function callModel(
  exchange: KeyedExchange,
  shared: Shared,
  endpoint: ModelEndpoint,
): Promise<GatewayResponse> {
  const { request, requestId, key, phases } = exchange;
  const { config } = shared;
  const attempt = newAttempt(exchange, config);
  const { facts, limits, tier } = attempt;
  try {
    checkRoom(shared);
    const body = readBody(request, config);
    const { document, asks, inputTokens } = readCall(endpoint, isPending(body) ? await body : body);
    // The body may have taken its time: once `close()` has resolved, nothing may begin.
    if (shared.closing()) throw shuttingDown();
    const model = findModel(config, key, asks.model);
    phases.mark('parse');

    const { operation } = endpoint;
    const upstream = model.upstream ?? config.upstream;
    const { maxOutputTokens, n } = asks;
    const order = { operation, model, modelName: asks.model, upstream, inputTokens, maxOutputTokens, n };
    const call = await openMetered(attempt, exchange, shared, order);
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
    const { answer } = sent;

    if (answer.kind === 'stream') {
      const headers = limitHeaders({ limits, remaining: call.admission.verdict.remaining });
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
    const headers = limitHeaders({ limits, remaining: remainingAfter(call.admission, record) });
    headers['x-request-id'] = requestId;
    if (exchange.showsDebug) {
      Object.assign(headers, debugHeaders(finishedFacts(facts, call.admission, record), phases));
    }
    return respondJson(answer.body, headers);
  } catch (error) {
    return respondFailed(attempt, exchange, config, error);
  }
}

/** What the bytes ask for. What was parsed of them is let go here: only the bytes live as long as the call. */
function readCall(
  { read, estimateInput }: ModelEndpoint,
  bytes: Uint8Array,
): Pick<ModelSend, 'document' | 'asks'> & { readonly inputTokens: number } {
  const { document, outline } = parseBody(bytes);
  return { document, asks: read(outline), inputTokens: estimateInput(outline, document) };
}

function findModel(config: Config, key: ApiKey, name: string): Model {
  const model = config.models.find(name);
  if (model === undefined) throw modelNotFound(name);
  if (!mayCall(key, model, name)) throw modelNotAllowed(name);
  return model;
}
