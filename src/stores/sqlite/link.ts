import type { Clock } from '../../base/clock.js';
import type { InterruptedCalls } from '../interrupted.js';
import { type Answers, type Engine, receivedError, type ThreadData } from './protocol.js';
import { hasEnded, startThread, type Thread } from './thread.js';

/** Most questions that wait for an answer: a disk or a lock that takes its time must not fill the memory. */
const MAX_WAITING = 10_000;
/** Most bytes of large texts among them. */
const MAX_WAITING_BYTES = 67_108_864;
/**
 * Most turns of the event loop in which questions gather after the one that brought the first. Each message wakes the thread, and
 * commits: some 200 µs of the processor, whatever is in it. Calls at once come a few in each turn.
 */
const MAX_GATHERING_TURNS = 2;
/** Least time between two attempts to start a thread anew. */
const RESTART_MS = 1_000;

type Given<Name extends keyof Engine> = Parameters<Engine[Name]>[0];
type Answer<Name extends keyof Engine> = Awaited<ReturnType<Engine[Name]>>;

/** Asks the thread that has a store's file. */
export interface Link {
  /**
   * Asks together what is asked in turns of the event loop that follow each other, three at most. Resolves or rejects as the engine's
   * method does; rejects at once when too much waits already.
   * @param bytes size of large texts in what is given.
   */
  ask<Name extends keyof Engine>(name: Name, given: Given<Name>, bytes?: number): Promise<Answer<Name>>;
  /** Has everything answered that was asked before, and ends the thread. */
  close(): Promise<void>;
}

interface Job {
  readonly bytes: number;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

interface Outbox {
  readonly first: number;
  readonly names: (keyof Engine)[];
  readonly given: unknown[];
  /** Questions that it had a turn before. */
  seen: number;
  turns: number;
}

interface LinkOptions {
  /** Asked each time that a thread starts. */
  readonly data: () => ThreadData;
  readonly clock: Clock;
  /** Told of calls that were settled in the name of dead processes. */
  readonly interrupted: InterruptedCalls['tell'];
}

/**
 * Starts a store's thread and keeps it: one that has failed is started anew by the next question. While an answer is awaited,
 * the process stays alive.
 * @throws {Error} as `startThread` does.
 */
export async function openLink({ data, clock, interrupted }: LinkOptions): Promise<Link> {
  const jobs = new Map<number, Job>();
  let waitingBytes = 0;
  let asked = 0;
  let outbox: Outbox | undefined;
  let closing: Promise<void> | undefined;
  let failed: { readonly error: Error; readonly at: number } | undefined;
  let starting: Promise<void> | undefined;
  let thread: Thread | undefined;

  async function start(): Promise<void> {
    const started = await startThread(data(), (told) => {
      if (told.kind === 'answers') take(told);
      if (told.kind === 'interrupted') interrupted(told.calls);
    });
    thread = started;
    void started.ended.then((error) => {
      thread = undefined;
      fail(error ?? hasEnded());
    });
  }

  async function startAnew(): Promise<void> {
    try {
      await start();
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)));
    }
    starting = undefined;
    post();
  }

  function take({ ids, values, failures }: Answers): void {
    for (let index = 0; index < ids.length; index += 1) taken(ids[index])?.resolve(values[index]);
    for (const { id, error } of failures) taken(id)?.reject(receivedError(error));
    if (jobs.size === 0 && closing === undefined) thread?.hold(false);
  }

  function taken(id = -1): Job | undefined {
    const job = jobs.get(id);
    if (job === undefined) return undefined;
    jobs.delete(id);
    waitingBytes -= job.bytes;
    return job;
  }

  function fail(error: Error): void {
    failed = { error, at: clock.steadyMs() };
    rejectAll(error);
  }

  function rejectAll(error: Error): void {
    outbox = undefined;
    for (const id of [...jobs.keys()]) taken(id)?.reject(error);
  }

  /** Waits for another turn as long as the last one brought something: who asks alone waits for one idle turn. */
  function gather(): void {
    if (outbox === undefined || outbox.turns === MAX_GATHERING_TURNS || outbox.seen === outbox.names.length) {
      post();
      return;
    }
    outbox.seen = outbox.names.length;
    outbox.turns += 1;
    setImmediate(gather);
  }

  function post(): void {
    if (outbox === undefined || starting !== undefined) return;
    if (thread === undefined) {
      // Not at every call where the file cannot be opened: that reads all of it.
      if (failed !== undefined && clock.steadyMs() - failed.at < RESTART_MS) rejectAll(failed.error);
      else starting = startAnew();
      return;
    }
    const { first, names, given } = outbox;
    outbox = undefined;
    thread.hold(true);
    try {
      thread.post({ wallMs: clock.wallMs(), first, names, given });
    } catch (error) {
      postEach(thread, { first, names, given }, error);
    }
  }

  /** Finds what cannot be copied, such as a function in a host's query: it alone fails. */
  function postEach(
    to: Thread,
    { first, names, given }: Pick<Outbox, 'first' | 'names' | 'given'>,
    cause: unknown,
  ): void {
    for (const [index, name] of names.entries()) {
      try {
        to.post({ wallMs: clock.wallMs(), first: first + index, names: [name], given: [given[index]] });
      } catch {
        taken(first + index)?.reject(new TypeError('Expected values that can be copied', { cause }));
      }
    }
    if (jobs.size === 0) to.hold(false);
  }

  function add<Name extends keyof Engine>(name: Name, given: Given<Name>, bytes = 0): Promise<Answer<Name>> {
    return new Promise((resolve, reject) => {
      if (outbox === undefined) {
        outbox = { first: asked, names: [], given: [], seen: 0, turns: 0 };
        setImmediate(gather);
      }
      outbox.names.push(name);
      outbox.given.push(given);
      jobs.set(asked, { bytes, resolve, reject });
      asked += 1;
      waitingBytes += bytes;
    });
  }

  async function end(): Promise<void> {
    await starting;
    if (thread === undefined) return;
    const { ended } = thread;
    try {
      await add('close', undefined);
    } finally {
      await ended;
    }
  }

  await start();
  return {
    ask(name, given, bytes = 0) {
      if (closing !== undefined) return Promise.reject(new Error('The SQLite store is closed'));
      if (jobs.size >= MAX_WAITING || (bytes > 0 && waitingBytes > 0 && waitingBytes + bytes > MAX_WAITING_BYTES)) {
        return Promise.reject(new Error('Too much waits to be written to the SQLite store'));
      }
      return add(name, given, bytes);
    },
    close() {
      closing ??= end();
      return closing;
    },
  };
}
