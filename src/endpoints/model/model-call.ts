import { isPending } from '../../base/awaitable.js';
import { shuttingDown } from '../../base/errors.js';
import { Call } from '../../call/call.js';
import { checkRoom } from '../../call/open.js';
import type { Exchange } from '../../call/state.js';
import type { GatewayResponse } from '../../http/exchange.js';
import type { ModelEndpoint } from '../../wire/model-endpoint.js';
import { answerInBackground } from '../responses/background.js';
import { answerModel } from './answer.js';
import { needsPreparing, prepare } from './prepare.js';
import { readCall } from './read-call.js';

/** One call to a model, from its bytes to the end of its answer. */
export async function callModel(exchange: Exchange, endpoint: ModelEndpoint): Promise<GatewayResponse> {
  const call = new Call(exchange, endpoint);
  try {
    checkRoom(exchange.state);
    const body = exchange.body();
    call.take(readCall(endpoint, isPending(body) ? await body : body));
    call.choose();
    if (needsPreparing(call)) await prepare(call);
    // The body may have taken its time: once `close()` has resolved, nothing may begin.
    if (exchange.state.closed !== undefined) throw shuttingDown();
    exchange.phases.mark('parse');
    if (call.isBackground) call.detach();
    const admitting = call.admit();
    if (isPending(admitting)) await admitting;
    return await (call.isBackground ? answerInBackground(call) : answerModel(call));
  } catch (error) {
    return call.fail(error);
  }
}
