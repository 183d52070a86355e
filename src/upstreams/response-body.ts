import type { Dispatcher } from 'undici';
import { systemClock } from '../clock.js';

/** An HTTP answer's body between the parser that pushes and the reader that pulls. */
export interface ResponseBody {
  /** To be iterated once. Leaving early drains what little is left, so that the connection can serve the next call. */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Bytes pushed so far. */
  readonly size: number;
  push(chunk: Buffer): void;
  end(): void;
  /** Ends the iteration with this, after what was pushed before. */
  fail(error: unknown): void;
  /** Everything that waits to be read. */
  takeAll(): Buffer;
}

/** Past this many waiting bytes the socket is paused: a slow client holds no more than this of an answer. */
const MAX_WAITING_BYTES = 65_536;

/** A reader that left early has the rest thrown away, up to this much and this long; past it the connection is given up. */
const MAX_DRAINED_BYTES = 65_536;
const MAX_DRAIN_MS = 1_000;

export function responseBody(
  controller: Pick<Dispatcher.DispatchController, 'pause' | 'resume' | 'abort'>,
): ResponseBody {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let size = 0;
  let drained: number | undefined;
  let paused = false;
  let state: 'open' | 'ended' | 'failed' = 'open';
  let failure: unknown;
  let cancelDrain: (() => void) | undefined;
  let wake: (() => void) | undefined;

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

  function wakeReader(): void {
    const waker = wake;
    wake = undefined;
    waker?.();
  }

  async function next(): Promise<IteratorResult<Uint8Array>> {
    // What one read of the socket held comes in several pushes in one turn, and leaves in one piece: the promise
    // resolves after the turn.
    if (waiting.length === 0 && state === 'open') {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (waiting.length > 0) return { done: false, value: takeAll() };
    if (state === 'failed') throw failure;
    return { done: true, value: undefined };
  }

  /** The reader has all it wants. The end of a good answer is a few bytes away; anything longer is cut off. */
  async function leave(): Promise<IteratorResult<Uint8Array>> {
    drained = 0;
    takeAll();
    if (state === 'open') cancelDrain = systemClock.setTimer(giveUp, MAX_DRAIN_MS);
    return { done: true, value: undefined };
  }

  return {
    bytes: { [Symbol.asyncIterator]: () => ({ next, return: leave }) },
    get size() {
      return size;
    },
    push(chunk) {
      size += chunk.length;
      if (drained !== undefined) {
        drained += chunk.length;
        if (drained > MAX_DRAINED_BYTES) giveUp();
        return;
      }
      waiting.push(chunk);
      waitingBytes += chunk.length;
      if (waitingBytes > MAX_WAITING_BYTES && !paused) {
        paused = true;
        controller.pause();
      }
      wakeReader();
    },
    end() {
      if (state === 'open') state = 'ended';
      cancelDrain?.();
      wakeReader();
    },
    fail(error) {
      cancelDrain?.();
      if (state !== 'open') return;
      state = 'failed';
      failure = error;
      wakeReader();
    },
    takeAll,
  };
}
