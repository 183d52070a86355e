import { isPending } from '../../base/awaitable.js';
import { createCancellation } from '../../base/cancellation.js';
import { shuttingDown } from '../../base/errors.js';
import { newAttempt } from '../../call/attempt.js';
import { checkRoom, type KeyedExchange, openMetered, respondFailed, type Shared } from '../../call/open.js';
import { findModel } from '../../config/find-model.js';
import type { GatewayResponse } from '../../http/exchange.js';
import { readBody } from '../../http/read-body.js';
import type { ModelEndpoint } from '../../wire/model-endpoint.js';
import { answerInBackground } from '../responses/background.js';
import { answerCall } from './answer.js';
import { AS_IT_IS } from './answer-view.js';
import { checkOffered, isPlain, prepareCall, readCall } from './read-call.js';

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
    checkOffered(endpoint, model, upstream);
    const prepared = isPlain(read, upstream)
      ? { ...read, presentation: AS_IT_IS, isBackground: false, readsMore: false, queued: undefined }
      : await prepareCall(read, exchange, config, { model, upstream });
    // The body may have taken its time: once `close()` has resolved, nothing may begin.
    if (shared.closing()) throw shuttingDown();
    phases.mark('parse');

    const { asks, inputTokens, images, isBackground, readsMore } = prepared;
    // What is made in the background does not end with its client.
    const asked = isBackground ? { ...exchange, request: { ...request, signal: createCancellation() } } : exchange;
    const { maxOutputTokens, n } = asks;
    const { operation } = endpoint;
    const order = {
      operation,
      model,
      modelName: asks.model,
      upstream,
      inputTokens,
      images,
      readsMore,
      maxOutputTokens,
      n,
    };
    const opening = openMetered(attempt, asked, shared, order);
    const call = isPending(opening) ? await opening : opening;
    call.asked();
    const target = { model, upstream, call, attempt };
    const answer = isBackground ? answerInBackground : answerCall;
    return await answer(asked, shared, prepared, target);
  } catch (error) {
    return respondFailed(attempt, exchange, config, error);
  }
}
