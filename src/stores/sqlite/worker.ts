import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { isPending } from '../../base/awaitable.js';
import { type Connect, driverAt } from './driver.js';
import { openEngine } from './engine.js';
import { type Batch, type SentError, sentError, type ThreadData, type Told, type Verification } from './protocol.js';
import { machineMs, type StoreClock } from './shared-clock.js';
import { sumDifferences } from './sum-differences.js';

type Handler = { of(given: unknown): unknown }['of'];

/** Runs a thread: it verifies a file, or opens that of a store and answers questions until it is told to close. */
export function serveStore(): void {
  if (parentPort === null) throw new Error('Expected to run in a thread of its own');
  const port = parentPort;
  const data: ThreadData | Verification = workerData;
  const tell = (told: Told): void => port.postMessage(told);
  try {
    const connect = driverAt(data.driver);
    if ('verifies' in data) tell({ kind: 'verified', differences: sumDifferences(connect, data.verifies) });
    else answerFrom(port, { connect, data, tell });
  } catch (error) {
    tell({ kind: 'unable', error: sentError(error) });
  }
}

interface Serving {
  readonly connect: Connect;
  readonly data: ThreadData;
  readonly tell: (told: Told) => void;
}

function answerFrom(port: MessagePort, { connect, data, tell }: Serving): void {
  const clock = toldClock(data);
  const engine = openEngine({ connect, data, clock, tell: (calls) => tell({ kind: 'interrupted', calls }) });
  const answers = answerer(tell);
  port.on('message', ({ wallMs, first, names, given }: Batch) => {
    clock.set(wallMs);
    for (const [index, name] of names.entries()) {
      const to = answers.to(first + index);
      answer(engine[name], given[index], name === 'close' ? lastly(to, () => port.close()) : to);
    }
  });
  tell({ kind: 'ready' });
}

interface Answerer {
  done(value: unknown): void;
  failed(error: unknown): void;
}

/** The same answerer, after which something else is done. */
function lastly({ done, failed }: Answerer, end: () => void): Answerer {
  return {
    done(value) {
      done(value);
      queueMicrotask(end);
    },
    failed(error) {
      failed(error);
      queueMicrotask(end);
    },
  };
}

function answer(handler: Handler, given: unknown, { done, failed }: Answerer): void {
  try {
    const value = handler(given);
    if (isPending(value)) value.then(done, failed);
    else done(value);
  } catch (error) {
    failed(error);
  }
}

/** Sends the answers of one turn together: those of a group of writes come all at once. */
function answerer(tell: (told: Told) => void): { to(id: number): Answerer } {
  let told:
    | { kind: 'answers'; ids: number[]; values: unknown[]; failures: { id: number; error: SentError }[] }
    | undefined;

  function now() {
    if (told === undefined) {
      told = { kind: 'answers', ids: [], values: [], failures: [] };
      // After the others of the group, whose promises are settled already.
      queueMicrotask(send);
    }
    return told;
  }

  function send(): void {
    const sent = told;
    told = undefined;
    if (sent !== undefined) tell(sent);
  }

  return {
    to: (id) => ({
      done(value) {
        const { ids, values } = now();
        ids.push(id);
        values.push(value);
      },
      failed: (error) => void now().failures.push({ id, error: sentError(error) }),
    }),
  };
}

/**
 * The store's clock in this thread: as it was told with the latest questions, and where it is the machine's own, what has passed
 * since then.
 */
function toldClock({ isMachines, now }: ThreadData): StoreClock & { set(wallMs: number): void } {
  let told = { wallMs: now.wallMs, machineMs: now.machineMs };
  return {
    isMachines,
    wallMs: () => (isMachines ? told.wallMs + machineMs() - told.machineMs : told.wallMs),
    steadyMs: () => (isMachines ? now.steadyMs + machineMs() - now.machineMs : now.steadyMs),
    set(wallMs) {
      told = { wallMs, machineMs: machineMs() };
    },
  };
}
