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

/**
 * A stream on its way to the client. It ends with `[DONE]` only if it is complete, else with an error event. Not a
 * generator, which costs three promises more for each piece.
 */
export function relay(
  { first, rest, stream }: StreamAnswer,
  { call, send, exchange, config, facts }: Relay,
): AsyncIterableIterator<string | Uint8Array, undefined> {
  let isFirst = true;
  let isOver = false;
  call.watch(stream);

  async function next(): Promise<IteratorResult<string | Uint8Array, undefined>> {
    if (isOver) return END;
    let piece: string | Uint8Array | undefined = isFirst ? first : undefined;
    let error: GatewayError | undefined;
    try {
      if (!isFirst) piece = (await rest.next()).value;
      isFirst = false;
      if (piece !== undefined && !stream.done && stream.failure === undefined) {
        call.firstByte();
        return { done: false, value: piece };
      }
      error = streamError(send, stream);
    } catch (thrown) {
      error = stream.finished ? undefined : brokenStream(thrown);
    }
    leave();
    if (exchange.request.signal.aborted) return END;
    return { done: false, value: await ending(piece, error) };
  }

  /** A source that still has something to say is left; nobody waits for it. */
  function leave(): void {
    isOver = true;
    rest.return?.()?.catch(() => {});
  }

  /** The last events: usage is settled before the client has the end of its answer. */
  async function ending(
    last: string | Uint8Array | undefined,
    error: GatewayError | undefined,
  ): Promise<string | Uint8Array> {
    call.firstByte();
    if (error !== undefined) {
      await call.settle(call.failed());
      // The upstream may not know that it failed: what it still does for this call is for nobody.
      call.abort(error);
      reportCause(error, config.hooks, facts);
      return joined(last, sseEvent(errorBody(error)));
    }
    const record = await call.settle({ outcome: 'ok', usage: stream.usage, deliveredTokens: stream.deliveredTokens });
    exchange.phases.mark('stream');
    if (!exchange.showsDebug) return joined(last, DONE_EVENT);
    return joined(last, debugComment(finishedFacts(facts, call.admission, record), exchange.phases) + DONE_EVENT);
  }

  return {
    next,
    async return() {
      if (!isOver) leave();
      return END;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

const END = { done: true, value: undefined } as const;

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
