import type { Dispatcher } from 'undici';
import { systemClock } from '../base/clock.js';
import type { StepSource } from '../base/steps.js';

/** An HTTP answer's body between the parser that pushes and the reader that pulls. */
export interface ResponseBody extends StepSource<Uint8Array> {
  push(chunk: Buffer): void;
  end(): void;
  /** Ends the body with this, after what was pushed before. */
  fail(error: unknown): void;
}

/** Past this many waiting bytes the socket is paused: a slow client holds no more than this of an answer. */
const MAX_WAITING_BYTES = 65_536;

/** A reader that left early has the rest thrown away, up to this much and this long; past it the connection is given up. */
const MAX_DRAINED_BYTES = 65_536;
const MAX_DRAIN_MS = 1_000;

/** To run something after this turn. `queueMicrotask` costs several times as much. */
const SETTLED = Promise.resolve();

/** What one read of the socket held comes in many pushes in one turn; a waiting reader gets all of it in one piece. */
export function responseBody(
  controller: Pick<Dispatcher.DispatchController, 'pause' | 'resume' | 'abort'>,
): ResponseBody {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let drained: number | undefined;
  let paused = false;
  let state: 'open' | 'ended' | 'failed' = 'open';
  let failure: unknown;
  let cancelDrain: (() => void) | undefined;
  let onStep: ((step: Uint8Array | undefined) => void) | undefined;
  let onFailure: ((reason: unknown) => void) | undefined;

  function takeAll(): Buffer {
    const [only] = waiting;
    const taken = waiting.length === 1 && only !== undefined ? only : Buffer.concat(waiting);
    waiting = [];
    waitingBytes = 0;
    if (paused) {
      paused = false;
      controller.resume();
    }
    return taken;
  }

  function giveUp(): void {
    controller.abort(new Error('The reader has left.'));
  }

  /** Tells a reader who waits what there is. */
  function tell(): void {
    if (onStep === undefined || (waiting.length === 0 && state === 'open')) return;
    const step = onStep;
    onStep = undefined;
    if (waiting.length > 0) step(takeAll());
    else if (state === 'failed') onFailure?.(failure);
    else step(undefined);
  }

  return {
    read(givenOnStep, givenOnFailure) {
      onStep = givenOnStep;
      onFailure = givenOnFailure;
      tell();
    },
    /** The end of a good answer is a few bytes away, and its connection can serve the next call; anything longer is cut off. */
    leave() {
      drained = 0;
      onStep = undefined;
      takeAll();
      if (state === 'open') cancelDrain = systemClock.setTimer(giveUp, MAX_DRAIN_MS);
    },
    push(chunk) {
      if (drained !== undefined) {
        drained += chunk.length;
        if (drained > MAX_DRAINED_BYTES) giveUp();
        return;
      }
      waiting.push(chunk);
      waitingBytes += chunk.length;
      if (onStep !== undefined && waiting.length === 1) SETTLED.then(tell);
      if (waitingBytes > MAX_WAITING_BYTES && !paused) {
        paused = true;
        controller.pause();
      }
    },
    end() {
      if (state === 'open') state = 'ended';
      cancelDrain?.();
      tell();
    },
    fail(error) {
      cancelDrain?.();
      if (state !== 'open') return;
      state = 'failed';
      failure = error;
      tell();
    },
  };
}
