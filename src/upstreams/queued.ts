import PQueue from 'p-queue';
import type { Cancellation } from '../base/cancellation.js';
import { positiveInteger, unexpected } from '../base/checks.js';
import { type Clock, systemClock } from '../base/clock.js';
import { unavailable } from '../base/errors.js';
import { isStepwise, iterableOf, type Pieces, type StepSource } from '../base/steps.js';
import type { CallContext, ForwardCall, Upstream, UpstreamReply } from './upstream.js';
import { cancellationOf } from './upstream-call.js';

export interface QueuedOptions {
  /** Most calls at once. A stream counts until it has ended. */
  readonly concurrency: number;
  /** Most calls waiting; one more gets a 503 at once. 0: nobody waits. @default 100 */
  readonly maxQueue?: number;
  /** Longest wait in milliseconds; who waited so long gets a 503. @default 30_000 */
  readonly maxWaitMs?: number;
  /**
   * Who comes first, by tier: calls of a tier with a higher number before all with a lower one, however long those have
   * waited; among equals the one that came first. A tier that is not named has 0. @default everyone in turn
   */
  readonly priority?: Readonly<Record<string, number>>;
  /** @default the machine's */
  readonly clock?: Pick<Clock, 'setTimer'>;
}

/** Gives the place back. Every time but the first it does nothing. */
type Release = () => void;

/**
 * Lets at most `concurrency` calls reach the upstream at once; the others wait in line, for so long and so many. A call
 * keeps its place until its answer is complete, failed or was left early, or until its signal aborts. A streaming reply
 * must therefore be iterated, or the signal aborted.
 * @throws {TypeError} for options that cannot be right.
 */
export function queued(upstream: Upstream, options: QueuedOptions): Upstream {
  const { clock = systemClock, priority = {} } = options;
  const concurrency = positiveInteger('concurrency', options.concurrency);
  const maxQueue = countOf('maxQueue', options.maxQueue ?? 100);
  const maxWaitMs = positiveInteger('maxWaitMs', options.maxWaitMs ?? 30_000);
  const priorities = new Map(Object.entries(priority).map(([tier, value]) => [tier, finite(tier, value)]));
  const queue = new PQueue({ concurrency });

  /** Resolves when the call may go ahead. */
  function place(tier: string, cancellation: Cancellation): Promise<Release> {
    const leaving = new AbortController();
    const onAbort = (): void => leaving.abort(cancellation.reason);
    return new Promise((resolve, reject) => {
      let cancelTimer: (() => void) | undefined;
      let started = false;
      const hold = (): Promise<void> => {
        started = true;
        cancelTimer?.();
        return new Promise((release) => {
          resolve(() => {
            cancellation.removeEventListener('abort', onAbort);
            release();
          });
        });
      };
      cancellation.addEventListener('abort', onAbort);
      // p-queue drops a waiter, and frees the place of a call that runs, as soon as `leaving` aborts.
      queue.add(hold, { signal: leaving.signal, priority: priorities.get(tier) ?? 0 }).catch((reason: unknown) => {
        cancellation.removeEventListener('abort', onAbort);
        cancelTimer?.();
        reject(reason);
      });
      if (!started) cancelTimer = clock.setTimer(() => leaving.abort(waitedTooLong()), maxWaitMs);
    });
  }

  /** Runs the call when there is a place for it, which `finish` gives back at the end of what it makes of the reply. */
  async function inTurn<Reply>(
    call: CallContext,
    run: () => Promise<Reply>,
    finish: (reply: Reply, release: Release) => Reply,
  ): Promise<Reply> {
    const cancellation = cancellationOf(call);
    if (cancellation.aborted) throw cancellation.reason;
    if (queue.pending >= concurrency && queue.size >= maxQueue) throw queueFull();
    const release = await place(call.tier, cancellation);
    try {
      // The abort may have come together with the place.
      if (cancellation.aborted) throw cancellation.reason;
      return finish(await run(), release);
    } catch (error) {
      release();
      throw error;
    }
  }

  const { forward, operations, onAbort } = upstream;
  return {
    name: upstream.name,
    ...(operations === undefined ? {} : { operations }),
    ...(onAbort === undefined ? {} : { onAbort }),
    send: (call) => inTurn(call, () => upstream.send(call), releasing),
    ...(forward === undefined
      ? {}
      : {
          forward: (call: ForwardCall) =>
            inTurn(
              call,
              () => forward.call(upstream, call),
              (reply, release) => ({ ...reply, body: releasingAtEnd(reply.body, release) }),
            ),
        }),
  };
}

/** The reply, giving the place back at its end. */
function releasing(reply: UpstreamReply, release: Release): UpstreamReply {
  switch (reply.kind) {
    case 'whole':
      release();
      return reply;
    case 'chunks':
      return { ...reply, chunks: releasingAtEnd(reply.chunks, release) };
    case 'bytes':
      return { ...reply, body: releasingAtEnd(reply.body, release) };
  }
}

/** The pieces, giving the place back at their end; those that are read by calls stay so. */
function releasingAtEnd<T>(pieces: Pieces<T>, release: Release): Pieces<T> {
  return isStepwise(pieces) ? new ReleasingSteps(pieces, release) : releasingIterable(pieces, release);
}

class ReleasingSteps<T> implements StepSource<T>, AsyncIterable<T> {
  readonly #source: StepSource<T>;
  readonly #release: Release;
  #onStep: ((step: T | undefined) => void) | undefined;
  #onFailure: ((reason: unknown) => void) | undefined;

  constructor(source: StepSource<T>, release: Release) {
    this.#source = source;
    this.#release = release;
  }

  read(onStep: (step: T | undefined) => void, onFailure: (reason: unknown) => void): void {
    this.#onStep = onStep;
    this.#onFailure = onFailure;
    this.#source.read(this.#onSource, this.#onBroken);
  }

  leave(): void {
    // Before the place is free, so that a source which can stop at once has stopped.
    this.#source.leave();
    this.#release();
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return iterableOf(this)[Symbol.asyncIterator]();
  }

  readonly #onSource = (step: T | undefined): void => {
    if (step === undefined) this.#release();
    this.#onStep?.(step);
  };

  readonly #onBroken = (reason: unknown): void => {
    this.#release();
    this.#onFailure?.(reason);
  };
}

/** Not a generator: one that was never started would not run its `finally` when it is left. */
function releasingIterable<T>(source: AsyncIterable<T>, release: Release): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = source[Symbol.asyncIterator]();
      return {
        async next() {
          try {
            const step = await iterator.next();
            if (step.done === true) release();
            return step;
          } catch (error) {
            release();
            throw error;
          }
        },
        async return() {
          try {
            // Before the place is free, so that a source which can stop at once has stopped; a stuck one is not waited for.
            const left = iterator.return?.();
            release();
            await left;
          } finally {
            release();
          }
          return { done: true, value: undefined };
        },
      };
    },
  };
}

function queueFull(): Error {
  return unavailable('overloaded', 'The model is busy and too many calls are waiting for it. Please retry.');
}

function waitedTooLong(): Error {
  return unavailable('overloaded', 'The model was busy for too long. Please retry.');
}

function countOf(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw unexpected(name, 'to be 0 or a positive integer', value);
}

function finite(tier: string, value: number): number {
  if (Number.isFinite(value)) return value;
  throw unexpected(`priority.${tier}`, 'to be a finite number', value);
}
