import { isPending } from '../../base/awaitable.js';
import { shuttingDown } from '../../base/errors.js';
import { there, type Work } from '../../base/work.js';
import { checkRoom } from '../../call/admit.js';
import { Call } from '../../call/call.js';
import type { Exchange } from '../../call/exchange.js';
import { failCall } from '../../call/failure.js';
import type { GatewayResponse } from '../../http/exchange.js';
import type { ModelEndpoint } from '../../wire/model-endpoint.js';
import { checkNoOtherModels } from '../../wire/model-request.js';
import { answerInBackground } from '../responses/background.js';
import { answerModel, askUpstream } from './answer.js';
import { prepare } from './prepare.js';
import { memberNames, needsPreparing, readCall } from './read-call.js';

/**
 * How often a large request is in memory: as it came and as it goes out, and for a response in the objects that it is made with.
 */
const copiesOf = ({ operation }: ModelEndpoint): number => (operation === 'responses' ? 4 : 2);

/** One call to a model, from its bytes to the end of its answer. */
export function* callModel(exchange: Exchange, endpoint: ModelEndpoint): Work<GatewayResponse> {
  const call = new Call(exchange, endpoint);
  try {
    checkRoom(exchange.state);
    let bytes: Uint8Array | undefined = yield* exchange.takeBody();
    const held = exchange.holdCopies(bytes, copiesOf(endpoint));
    if (isPending(held)) yield* there(held);
    const read = readCall(endpoint, bytes, exchange.state.config.json.request);
    call.take(isPending(read) ? yield* there(read) : read);
    // What is sent may be another body: this one must not live as long as the call.
    bytes = undefined;
    exchange.forgetBody();
    if (exchange.caller.models !== undefined) checkNoOtherModels(memberNames(call.document));
    call.choose();
    if (needsPreparing(call)) {
      yield* there(prepare(call));
      const heldToo = exchange.holdCopies(call.document.bytes, copiesOf(endpoint));
      if (isPending(heldToo)) yield* there(heldToo);
    }
    // The body may have taken its time: once `close()` has resolved, nothing may begin.
    if (exchange.state.closed !== undefined) throw shuttingDown();
    exchange.phases?.mark('parse');
    if (call.isBackground) call.detach();
    const admitting = call.admit();
    if (isPending(admitting)) yield* there(admitting);
    if (call.isBackground) return yield* there(answerInBackground(call));
    const response = answerModel(call, yield* askUpstream(call));
    return isPending(response) ? yield* there(response) : response;
  } catch (error) {
    return yield* there(failCall(call, error));
  }
}
