import PQueue from 'p-queue';
import type { Cancellation } from '../base/cancellation.js';
import { isRecord, positiveInteger, refuseOthers, unexpected, withMethod } from '../base/checks.js';
import { type Clock, systemClock } from '../base/clock.js';
import { unavailable } from '../base/errors.js';
import { isStepwise, iterableOf, type Pieces, type StepSource } from '../base/steps.js';
import { young } from '../base/young.js';
import type { CallContext, ForwardCall, Upstream, UpstreamReply } from './upstream.js';
import { cancellationOf } from './upstream-call.js';

export interface QueuedOptions {
  /** Most calls at once. A stream counts until it has ended. */
  readonly concurrency: number;
  /** Most calls that wait; one more gets a 503 at once. With 0 nobody waits. @default 100 */
  readonly maxQueue?: number | undefined;
  /** Longest wait; a call that waited so long gets a 503. @default 30_000 */
  readonly maxWaitMs?: number | undefined;
  /**
   * Order of the waiting calls, by tier: a higher number goes before all lower ones, however long those have waited; among
   * equals the first to come goes first. A tier that is not named has 0. @default everyone in turn
   */
  readonly priority?: Readonly<Record<string, number>> | undefined;
  /** Clock of the waits. @default the machine's */
  readonly clock?: Pick<Clock, 'setTimer'> | undefined;
}

const OPTIONS: Readonly<Record<keyof QueuedOptions, true>> = {
  concurrency: true,
  maxQueue: true,
  maxWaitMs: true,
  priority: true,
  clock: true,
};

/** Gives the place back. Does nothing from the second time on. */
type Release = () => void;

/**
 * Lets at most `concurrency` calls reach the upstream at once; the others wait in line, for so long and so many. A call
 * keeps its place until its answer is complete, failed or was left early, or until its signal aborts. A streaming reply
 * must therefore be iterated, or the signal aborted.
 * @throws {TypeError} for options that cannot be right.
 */
export function queued(upstream: Upstream, options: QueuedOptions): Upstream {
  withMethod('upstream', upstream, 'send');
  if (!isRecord(options)) throw unexpected('options', 'to be an object with `concurrency`', options);
  refuseOthers('options', options, OPTIONS);
  const { clock = systemClock, priority = {} } = options;
  const concurrency = positiveInteger('concurrency', options.concurrency);
  const maxQueue = countOf('maxQueue', options.maxQueue ?? 100);
  const maxWaitMs = positiveInteger('maxWaitMs', options.maxWaitMs ?? 30_000);
  const priorities = new Map(Object.entries(priority).map(([tier, value]) => [tier, finite(tier, value)]));
  const queue = new PQueue({ concurrency });

  /** Resolves when the call may go ahead. */
  function place(tier: string, cancellation: Cancellation): Promise<Release> {
    const order = { priority: priorities.get(tier) ?? 0 };
    return new Promise((resolve, reject) => {
      // The place is given back as soon as the call aborts, whatever the upstream does.
      const hold = (): Promise<void> =>
        new Promise((free) => {
          const release = (): void => {
            cancellation.removeEventListener('abort', release);
            free();
          };
          cancellation.addEventListener('abort', release);
          resolve(release);
        });
      if (queue.pending < concurrency) void queue.add(hold, order);
      else wait(hold).catch(reject);
    });

    /** Waits in line; p-queue drops a waiter as soon as its signal aborts. */
    async function wait(hold: () => Promise<void>): Promise<void> {
      const leaving = new AbortController();
      const onAbort = (): void => leaving.abort(cancellation.reason);
      const cancelTimer = clock.setTimer(() => leaving.abort(waitedTooLong()), maxWaitMs);
      const stopWaiting = (): void => {
        cancelTimer();
        cancellation.removeEventListener('abort', onAbort);
      };
      cancellation.addEventListener('abort', onAbort);
      try {
        await queue.add(
          () => {
            stopWaiting();
            return hold();
          },
          { ...order, signal: leaving.signal },
        );
      } finally {
        stopWaiting();
      }
    }
  }

  /** Runs the call when there is a place for it. `finish` makes the reply give the place back at its end. */
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

  const { forward, operations, onAbort, ceiling, hasModel, patience } = upstream;
  return {
    name: upstream.name,
    ...(operations === undefined ? {} : { operations }),
    ...(onAbort === undefined ? {} : { onAbort }),
    ...(ceiling === undefined ? {} : { ceiling }),
    ...(hasModel === undefined ? {} : { hasModel: (name: string) => hasModel.call(upstream, name) }),
    ...(patience === undefined ? {} : { patience }),
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

/** Makes a reply give the place back at its end. */
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

/** Makes pieces give the place back at their end. Those that are read by calls remain so. */
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

  readonly #onSource = young((step: T | undefined): void => {
    if (step === undefined) this.#release();
    this.#onStep?.(step);
  });

  readonly #onBroken = young((reason: unknown): void => {
    this.#release();
    this.#onFailure?.(reason);
  });
}

/** Iterates the pieces. No generator: one that was never started would not run its `finally` when it is left. */
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
