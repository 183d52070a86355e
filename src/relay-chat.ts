import type { Call } from './call.js';
import { errorBody, type GatewayError, toGatewayError, upstreamInterrupted, upstreamStalled } from './errors.js';
import { type Exchange, reportCause } from './failure.js';
import { type DebugFacts, debugComment } from './http/debug.js';
import type { Admission } from './limiter/admit.js';
import type { Config } from './options.js';
import { type ChatSend, type StreamAnswer, streamError } from './upstreams/answer.js';
import type { UsageRecord } from './usage/usage-store.js';
import { DONE_EVENT, sseEvent } from './wire/sse.js';

/** What a stream needs besides itself. */
export interface Relay {
  readonly send: ChatSend;
  readonly call: Call;
  readonly exchange: Exchange;
  readonly config: Config;
  readonly facts: DebugFacts;
}

/** A stream on its way to the client. It ends with `[DONE]` only if it is complete, else with an error event. */
export async function* relay(
  { first, rest, stream }: StreamAnswer,
  relayed: Relay,
): AsyncGenerator<string | Uint8Array, void> {
  const { call, send, exchange } = relayed;
  call.watch(stream);
  let last: string | Uint8Array | undefined = first;
  let error: GatewayError | undefined;
  try {
    while (last !== undefined && !stream.done && stream.failure === undefined) {
      call.firstByte();
      yield last;
      last = undefined;
      const step: IteratorResult<string | Uint8Array> = await rest.next();
      last = step.done === true ? undefined : step.value;
    }
    error = streamError(send, stream);
  } catch (thrown) {
    error = stream.finished ? undefined : brokenStream(thrown);
  }
  // A source that still has something to say is left; nobody waits for it.
  rest.return?.()?.catch(() => {});
  if (exchange.request.signal.aborted) return;
  yield* ending(last, error, { ...relayed, stream });
}

/** The last events: usage is settled before the client has the end of its answer. */
async function* ending(
  last: string | Uint8Array | undefined,
  error: GatewayError | undefined,
  { call, config, exchange, facts, stream }: Relay & { readonly stream: StreamAnswer['stream'] },
): AsyncGenerator<string | Uint8Array, void> {
  call.firstByte();
  if (error !== undefined) {
    await call.settle(call.failed());
    // The upstream may not know that it failed: what it still does for this call is for nobody.
    call.abort(error);
    reportCause(error, config.hooks, facts);
    yield joined(last, sseEvent(errorBody(error)));
    return;
  }
  const record = await call.settle({ outcome: 'ok', usage: stream.usage, deliveredTokens: stream.deliveredTokens });
  exchange.phases.mark('stream');
  const debug = exchange.showsDebug ? debugComment(finishedFacts(facts, call.admission, record), exchange.phases) : '';
  yield joined(last, debug + DONE_EVENT);
}

function joined(last: string | Uint8Array | undefined, end: string): string | Uint8Array {
  if (last === undefined) return end;
  return typeof last === 'string' ? last + end : Buffer.concat([last, Buffer.from(end)]);
}

/** What broke a stream off, in the words for streams: the client already has a status of 200. */
function brokenStream(thrown: unknown): GatewayError {
  const error = toGatewayError(thrown);
  if (error.code === 'upstream_timeout') return upstreamStalled(error.cause);
  return error.code === 'upstream_error' || error.code === 'internal_error' ? upstreamInterrupted(error.cause) : error;
}

/** The facts once the call is settled: what was reserved too much is back. */
export function finishedFacts(facts: DebugFacts, admission: Admission, record: UsageRecord): DebugFacts {
  const reserved = reservedTokens(admission);
  const { remaining } = admission.verdict;
  if (reserved === undefined) return { ...facts, record };
  const tokens = (record.inputTokens ?? 0) + (record.outputTokens ?? 0);
  return { ...facts, record, limitsAfter: [...remaining.slice(0, -1), (remaining.at(-1) ?? 0) + reserved - tokens] };
}

/** Tokens set aside for a call; `undefined` when tokens are not limited. */
export function reservedTokens({ limits, reservation }: Admission): number | undefined {
  return limits.tokensPerMinute === undefined ? undefined : reservation.draws.at(-1)?.amount;
}
