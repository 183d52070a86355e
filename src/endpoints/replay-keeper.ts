import { type Awaitable, guarded, whenReady } from '../base/awaitable.js';
import { iterableOf, type StepSource } from '../base/steps.js';
import type { Call } from '../call/call.js';
import type { ErrorContext } from '../config/hooks.js';
import type { Config } from '../config/options.js';
import type { AnswerStream, GatewayResponse } from '../http/exchange.js';
import type { IdempotentRequest, KeptAnswer } from '../stores/answer-store.js';
import { answerCopy } from './kept-answer.js';

/** Holds a claim until there is an answer to keep, or will be none. */
export interface AnswerKeeper {
  /** Takes note of how the call ends. */
  watch(call: Call): void;
  /** The same answer, kept before the client has the end of it. */
  keep(response: GatewayResponse): Promise<GatewayResponse>;
  giveBack(): Awaitable<void>;
}

/** How long an answer is kept: as long as Stripe promises, from where the header comes. */
const KEEP_MS = 86_400_000;

type Piece = string | Uint8Array;

/** Keeps good answers, and gives the claim back for all others. */
export function answerKeeper(
  { idempotency, clock, hooks }: Pick<Config, 'idempotency' | 'clock' | 'hooks'>,
  asked: IdempotentRequest,
  context: ErrorContext,
): AnswerKeeper {
  let isFinished = false;
  let finished: Awaitable<void>;
  let isSettledWell = false;
  let isLeft = false;

  /** Once. A store that fails here costs the client nothing: its answer goes on. */
  function finish(answer: () => KeptAnswer | undefined): Awaitable<void> {
    if (isFinished) return finished;
    isFinished = true;
    finished = guarded(
      () => idempotency.finish(asked, answer(), clock.wallMs() + KEEP_MS),
      (error) => hooks.onError(error, context),
    );
    return finished;
  }
  const giveBack = (): Awaitable<void> => finish(() => undefined);

  return {
    watch(call) {
      call.onSettled((record) => {
        isSettledWell = record?.outcome === 'ok';
        if (!isSettledWell || isLeft) void giveBack();
      });
    },
    async keep(response) {
      const { status, body } = response;
      const copy = answerCopy(response);
      if (status < 200 || status > 299) {
        await giveBack();
        return response;
      }
      if (typeof body === 'string' || body instanceof Uint8Array) {
        copy.take(body);
        await finish(copy.read);
        return response;
      }
      const stream = watchedStream(body, {
        take: copy.take,
        isSettled: () => isSettledWell,
        end: () => (isSettledWell ? finish(copy.read) : giveBack()),
        leave() {
          isLeft = true;
          if (isSettledWell) void giveBack();
        },
      });
      return { ...response, body: stream };
    },
    giveBack,
  };
}

/** Who looks on as a stream goes out. */
interface Watcher {
  take(piece: Piece): void;
  /** Whether all is said and paid for, though not all of it may have gone out. */
  isSettled(): boolean;
  /** All has gone out but the last piece, which waits for this, or all of it. Once or twice. */
  end(): Awaitable<void>;
  /** The client wants no more. */
  leave(): void;
}

function watchedStream(stream: AnswerStream, watcher: Watcher): AnswerStream {
  let ahead: { readonly piece: Piece | undefined } | undefined;

  function show(piece: Piece | undefined, ...on: Parameters<StepSource<Piece>['read']>): void {
    const [onStep, onFailure] = on;
    if (piece === undefined) {
      whenReady(watcher.end(), () => onStep(undefined));
      return;
    }
    watcher.take(piece);
    if (!watcher.isSettled()) {
      onStep(piece);
      return;
    }
    // The last one must not go out before the answer is kept, and only what comes after it tells which that is.
    stream.read((next) => {
      ahead = { piece: next };
      whenReady(next === undefined ? watcher.end() : undefined, () => onStep(piece));
    }, onFailure);
  }

  const source: StepSource<Piece> = {
    leave() {
      stream.leave();
      watcher.leave();
    },
    read(onStep, onFailure) {
      if (ahead === undefined) {
        stream.read((piece) => show(piece, onStep, onFailure), onFailure);
        return;
      }
      const { piece } = ahead;
      ahead = undefined;
      show(piece, onStep, onFailure);
    },
  };
  return Object.assign(source, iterableOf(source));
}
