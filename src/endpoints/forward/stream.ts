import { whenReady } from '../../base/awaitable.js';
import { errorBody } from '../../base/errors.js';
import { iterableOf, type StepSource, stepsOf } from '../../base/steps.js';
import type { Call } from '../../call/call.js';
import type { DebugFacts } from '../../call/debug.js';
import { reportCause } from '../../call/failure.js';
import type { KeyedExchange } from '../../call/open.js';
import type { Config } from '../../config/options.js';
import type { AnswerStream } from '../../http/exchange.js';
import type { ForwardReply } from '../../upstreams/upstream.js';
import { WholeEvents } from '../../wire/event-buffer.js';
import { sseEvent } from '../../wire/sse.js';
import { UsageTail } from '../../wire/usage.js';
import { brokenStream } from '../model/relay.js';
import { OF_MODELS } from './target.js';

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
 * @param body which ends when the call is cancelled.
 */
export function forwardedStream(
  { headers, body }: ForwardReply,
  { call, exchange, config, facts }: Passing,
): AnswerStream {
  const contentType = headers['content-type'] ?? '';
  const isEvents = /^text\/event-stream/i.test(contentType);
  const usage = new UsageTail(OF_MODELS.has(call.start.operation) ? contentType : '');
  const steps = stepsOf(body);
  const events = isEvents ? new WholeEvents() : undefined;
  let isOver = false;
  let isBegun = false;

  /** Pictures on the way to the last one are pictures: who has seen one may have had enough. */
  function deliveredTokens(): number | undefined {
    return isEvents && isBegun && call.start.operation === 'images' ? call.start.reservedOutputTokens : undefined;
  }

  // A client that leaves once the usage has passed pays for it.
  call.watch({
    get usage() {
      return usage.findUsage();
    },
    deliveredTokens,
  });

  function leave(): void {
    isOver = true;
    steps.leave();
  }

  function finish(onStep: (step: Uint8Array | undefined) => void): void {
    isOver = true;
    exchange.phases.mark('stream');
    const rest = events?.passRest();
    const end = (): void => onStep(rest === undefined || rest.byteLength === 0 ? undefined : rest);
    whenReady(call.settle({ outcome: 'ok', usage: usage.findUsage(), deliveredTokens: undefined }), end);
  }

  const source: StepSource<string | Uint8Array> = {
    leave() {
      if (isOver) return;
      leave();
      void call.settle({ outcome: 'aborted', usage: usage.findUsage(), deliveredTokens: deliveredTokens() });
    },
    read(onStep, onFailure) {
      if (isOver) return onStep(undefined);
      steps.read(
        (piece) => {
          call.firstByte();
          isBegun = true;
          if (piece === undefined) return finish(onStep);
          usage.addPiece(piece);
          const shown = events?.passBytes(piece) ?? piece;
          if (shown.byteLength > 0) onStep(shown);
          else source.read(onStep, onFailure);
        },
        (reason) => {
          leave();
          // It was settled when it left, and nobody is there to be told.
          if (exchange.request.signal.aborted) return onStep(undefined);
          const error = brokenStream(reason);
          reportCause(error, config.hooks, facts);
          const end = (): void =>
            events === undefined ? onFailure(error) : onStep(events.separator() + sseEvent(errorBody(error)));
          whenReady(call.settle(call.failed()), end);
        },
      );
    },
  };
  return Object.assign(source, iterableOf(source));
}
