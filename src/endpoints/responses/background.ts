import { toGatewayError } from '../../base/errors.js';
import { readToEnd } from '../../base/steps.js';
import { done } from '../../base/work.js';
import type { Call } from '../../call/call.js';
import { reportCause } from '../../call/failure.js';
import { answerHeaders } from '../../call/headers.js';
import type { GatewayResponse } from '../../http/exchange.js';
import { respondJson } from '../../http/respond.js';
import { answerModel, askUpstream } from '../model/answer.js';

/** Answers a call that does not end with its client. */
export async function answerInBackground(call: Call): Promise<GatewayResponse> {
  const { queued, isWatched } = call.view;
  if (isWatched ?? call.asks.stream) return streamed(call);
  // An upstream's own background work is answered at once.
  if (queued === undefined) return answerModel(call, await done(askUpstream(call)));
  await call.view.keepQueued?.();
  note(call, work(call));
  return respondJson(JSON.stringify(queued), answerHeaders(call));
}

/** Answers a client that watches the work as it is done, and may leave. */
async function streamed(call: Call): Promise<GatewayResponse> {
  const { view } = call;
  const response = await answerModel(call, await done(askUpstream(call)));
  if (typeof response.body === 'string' || response.body instanceof Uint8Array) return response;
  await view.keepQueued?.();
  const { stream, over } = readToEnd(response.body);
  if (view.queued !== undefined) note(call, over);
  return { ...response, body: stream };
}

/** From now on the response can be cancelled, and the gateway waits for it when it closes. */
function note(call: Call, over: Promise<void>): void {
  const { exchange, plan, view } = call;
  exchange.state.background.add(plan.owner, String(view.queued?.id), {
    over: over.finally(() => view.over?.()),
    saw() {},
    eventsAfter: (sequenceNumber) => view.eventsAfter?.(sequenceNumber),
    async drop(reason) {
      const kept = view.drop?.();
      call.giveUp(reason);
      await kept;
    },
  });
}

/** Does the work of a call whose client waits for nothing. */
async function work(call: Call): Promise<void> {
  const { exchange, requestId, keyId } = call;
  const { hooks } = exchange.state.config;
  try {
    const { body } = await answerModel(call, await done(askUpstream(call)));
    if (typeof body !== 'string' && !(body instanceof Uint8Array)) for await (const _ of body);
  } catch (thrown) {
    // There is no answer, and nobody to tell of it but a client that asks later.
    const error = toGatewayError(thrown);
    await call.endFailed(error);
    reportCause(error, hooks, { requestId, keyId });
    try {
      await call.view.failed?.(error);
    } catch (failure) {
      hooks.onError(failure, { requestId, keyId });
    }
  }
}
