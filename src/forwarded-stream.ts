import { whenReady } from './awaitable.js';
import type { Call } from './call.js';
import { errorBody, type GatewayError, toGatewayError, upstreamInterrupted } from './errors.js';
import { reportCause } from './failure.js';
import type { DebugFacts } from './http/debug.js';
import type { AnswerStream } from './http/exchange.js';
import type { KeyedExchange } from './metered-call.js';
import type { Config } from './options.js';
import { iterableOf, type StepSource, stepsOf } from './step-source.js';
import { abortable } from './upstreams/abortable.js';
import type { ForwardReply } from './upstreams/upstream.js';
import { sseEvent } from './wire/sse.js';
import { usageInTail } from './wire/usage-tail.js';

/** What a passing answer needs besides itself. */
export interface Passing {
  readonly call: Call;
  readonly exchange: KeyedExchange;
  readonly config: Config;
  readonly facts: DebugFacts;
}

/**
 * An answer's bytes on their way to the client, unread but for the usage at their end. One that breaks off does not look
 * complete: events end with an error, anything else breaks off too.
 */
export function forwardedStream(
  { headers, body }: ForwardReply,
  { call, exchange, config, facts }: Passing,
): AnswerStream {
  const isEvents = /^text\/event-stream/i.test(headers['content-type'] ?? '');
  const usage = usageInTail(headers['content-type'] ?? '');
  const steps = stepsOf(abortable(body, call.cancellation));
  let isOver = false;

  function leave(): void {
    isOver = true;
    steps.leave();
  }

  function breakOff(reason: unknown): GatewayError {
    leave();
    const error = toGatewayError(reason);
    const shown = error.status < 500 || error.code !== 'upstream_error' ? error : upstreamInterrupted(error.cause);
    reportCause(shown, config.hooks, facts);
    return shown;
  }

  const source: StepSource<string | Uint8Array> = {
    leave() {
      if (isOver) return;
      leave();
      void call.settle({ outcome: 'aborted', usage: usage.read(), deliveredTokens: undefined });
    },
    read(onStep, onFailure) {
      if (isOver) return onStep(undefined);
      steps.read(
        (piece) => {
          call.firstByte();
          if (piece !== undefined) {
            usage.take(piece);
            onStep(piece);
            return;
          }
          isOver = true;
          exchange.phases.mark('stream');
          whenReady(call.settle({ outcome: 'ok', usage: usage.read(), deliveredTokens: undefined }), () =>
            onStep(undefined),
          );
        },
        (reason) => {
          const error = breakOff(reason);
          const ending = { outcome: 'error', usage: usage.read(), deliveredTokens: undefined } as const;
          whenReady(call.settle(ending), () => (isEvents ? onStep(sseEvent(errorBody(error))) : onFailure(error)));
        },
      );
    },
  };
  return Object.assign(source, iterableOf(source));
}
