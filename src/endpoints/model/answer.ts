import { isPending } from '../../base/awaitable.js';
import type { Call } from '../../call/call.js';
import type { GatewayResponse } from '../../http/exchange.js';
import { respondJson, respondStream } from '../../http/respond.js';
import { followedResponse } from '../responses/poll.js';
import { relay } from './relay.js';

/** Asks the upstream of an admitted call, and answers as soon as its answer has begun, or is there in full. */
export async function answerModel(call: Call): Promise<GatewayResponse> {
  const { exchange, view } = call;
  call.ask();
  call.onDrain(waitOn);
  const answer = await exchange.state.send(call);
  exchange.phases.mark('upstream');
  if (answer.kind === 'stream') {
    call.begin(answer.stream);
    return respondStream(relay(call, answer), call.headers());
  }
  call.begin(answer);
  call.firstByte();
  const followed = call.isBackground ? followedResponse(call, answer) : undefined;
  const completing = followed === undefined ? call.complete() : call.headers();
  const headers = isPending(completing) ? await completing : completing;
  const shown = view.whole(answer.body);
  const body = isPending(shown) ? await shown : shown;
  followed?.begin();
  return respondJson(body, headers);
}

/** Until an answer has begun, to read it on is to wait for it. */
function waitOn(): void {}
