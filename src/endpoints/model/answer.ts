import { type Awaitable, isPending } from '../../base/awaitable.js';
import type { Work } from '../../base/work.js';
import type { Call } from '../../call/call.js';
import { answerHeaders, jsonHeaders } from '../../call/headers.js';
import type { GatewayResponse } from '../../http/exchange.js';
import { respondSized, respondStream } from '../../http/respond.js';
import type { WholeAnswer } from '../../upstreams/read-whole.js';
import type { BegunAnswer } from '../../upstreams/send.js';
import type { UsageRecord } from '../../usage/usage-store.js';
import { followedResponse } from '../responses/poll.js';
import { relay } from './relay.js';

/** Asks the upstream of an admitted call; resolves as soon as its answer has begun, or is there in full. */
export function askUpstream(call: Call): Work<BegunAnswer> {
  call.ask();
  call.onDrain(waitOn);
  return call.exchange.state.send(call);
}

/** Until an answer has begun, to read it on is to wait for it. */
function waitOn(): void {}

/** Hands the upstream's answer to the client. */
export function answerModel(call: Call, answer: BegunAnswer): Awaitable<GatewayResponse> {
  call.exchange.phases?.mark('upstream');
  if (answer.kind === 'stream') {
    call.begin(answer.stream);
    call.forgetBody();
    return respondStream(relay(call, answer), answerHeaders(call));
  }
  call.begin(answer);
  call.firstByte();
  return call.isBackground ? answerFollowed(call, answer) : answerWhole(call, answer, call.complete());
}

/** Answers once the call is settled. @param ending the call's record; `undefined`: the call goes on. */
function answerWhole(
  call: Call,
  answer: WholeAnswer,
  ending: Awaitable<UsageRecord | undefined>,
): Awaitable<GatewayResponse> {
  if (isPending(ending)) return ending.then((record) => answerWhole(call, answer, record));
  if (ending !== undefined) call.exchange.phases?.mark('settle');
  const headers = jsonHeaders(call, ending);
  const shown = call.view.whole(answer.body, ending);
  return isPending(shown) ? shown.then((body) => respondSized(body, headers)) : respondSized(shown, headers);
}

/** Answers with a response that the upstream may only have begun to make: then its call ends later. */
async function answerFollowed(call: Call, answer: WholeAnswer): Promise<GatewayResponse> {
  const followed = await followedResponse(call, answer);
  const response = await answerWhole(call, answer, followed === undefined ? call.complete() : undefined);
  followed?.begin();
  return response;
}
