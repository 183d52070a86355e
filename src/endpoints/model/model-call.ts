import { isPending } from '../../base/awaitable.js';
import { shuttingDown } from '../../base/errors.js';
import { checkRoom } from '../../call/admit.js';
import { Call } from '../../call/call.js';
import { failCall } from '../../call/failure.js';
import type { Exchange } from '../../call/state.js';
import type { GatewayResponse } from '../../http/exchange.js';
import type { ModelEndpoint } from '../../wire/model-endpoint.js';
import { checkNoOtherModels } from '../../wire/model-request.js';
import { answerInBackground } from '../responses/background.js';
import { answerModel, askUpstream } from './answer.js';
import { prepare } from './prepare.js';
import { memberNames, needsPreparing, readCall } from './read-call.js';

/** One call to a model, from its bytes to the end of its answer. */
export async function callModel(exchange: Exchange, endpoint: ModelEndpoint): Promise<GatewayResponse> {
  const call = new Call(exchange, endpoint);
  try {
    checkRoom(exchange.state);
    const body = exchange.body();
    call.take(readCall(endpoint, isPending(body) ? await body : body));
    if (exchange.caller.models !== undefined) checkNoOtherModels(memberNames(call.document));
    call.choose();
    if (needsPreparing(call)) await prepare(call);
    // The body may have taken its time: once `close()` has resolved, nothing may begin.
    if (exchange.state.closed !== undefined) throw shuttingDown();
    exchange.phases?.mark('parse');
    if (call.isBackground) call.detach();
    const admitting = call.admit();
    if (isPending(admitting)) await admitting;
    if (call.isBackground) return await answerInBackground(call);
    const response = answerModel(call, await askUpstream(call));
    return isPending(response) ? await response : response;
  } catch (error) {
    return failCall(call, error);
  }
}
