import { dirname, extname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { SumDifference } from '../usage-columns.js';
import { ownFile } from './own-file.js';
import { type Batch, receivedError, type ThreadData, type Told, type Verification } from './protocol.js';
import { WORKER_CODE } from './worker-code.js';

/** A thread that has its file open. */
export interface Thread {
  post(batch: Batch): void;
  /** Keeps the process alive, or not, as long as the thread runs. At first it does not. */
  hold(isHeld: boolean): void;
  /** Resolves once it has ended, with the error that ended it, if there was one. */
  readonly ended: Promise<Error | undefined>;
}

/**
 * Starts the thread of a store, and waits until it has opened the file.
 * @param listen told of all that the thread tells afterwards.
 * @throws {Error} when the thread cannot be started or the file not be opened.
 */
export async function startThread(data: ThreadData, listen: (told: Told) => void): Promise<Thread> {
  const worker = newWorker(data);
  const ended = endOf(worker);
  let unable: Error | undefined;
  await new Promise<void>((resolve, reject) => {
    worker.on('message', (told: Told) => {
      if (told.kind === 'ready') resolve();
      else if (told.kind === 'unable') unable = receivedError(told.error);
      else listen(told);
    });
    void ended.then((error) => reject(unable ?? error ?? hasEnded()));
  });
  worker.unref();
  return {
    post: (batch) => worker.postMessage(batch),
    hold: (isHeld) => (isHeld ? worker.ref() : worker.unref()),
    ended,
  };
}

/** Runs a thread that verifies a file. @throws {Error} as `sumDifferences` does, or when the thread cannot be started. */
export async function verifyInThread(data: Verification): Promise<readonly SumDifference[]> {
  const worker = newWorker(data);
  return new Promise((resolve, reject) => {
    worker.on('message', (told: Told) => {
      if (told.kind === 'verified') resolve(told.differences);
      else if (told.kind === 'unable') reject(receivedError(told.error));
    });
    void endOf(worker).then((error) => reject(error ?? hasEnded()));
  });
}

/** Resolves once a thread has ended, with the error that ended it, if there was one. */
function endOf(worker: Worker): Promise<Error | undefined> {
  return new Promise((resolve) => {
    let failure: Error | undefined;
    worker.on('error', (cause) => {
      failure = new Error('The thread of the SQLite store has failed', { cause });
    });
    worker.once('exit', () => resolve(failure));
  });
}

/** An error for whoever waits for a thread that ended without one. */
export function hasEnded(): Error {
  return new Error('The thread of the SQLite store has ended');
}

function newWorker(workerData: ThreadData | Verification): Worker {
  const code = WORKER_CODE ?? sourceCode();
  try {
    // Not the process's own options: a preloaded instrumentation, or another kind of module for `eval`, is not for this thread.
    const execArgv = process.execArgv.filter((option) => option === '--experimental-sqlite');
    return new Worker(code, { eval: true, execArgv, workerData, name: 'megallm sqlite' });
  } catch (cause) {
    throw new Error('Cannot start the thread of the SQLite store', { cause });
  }
}

/** Loads `worker.ts` beside this file. tsx, by which `npm start` runs our sources, does not follow into threads by itself. */
function sourceCode(): string {
  const file = ownFile() ?? '';
  const path = file.startsWith('file:') ? fileURLToPath(file) : file;
  const url = pathToFileURL(join(dirname(path), `worker${extname(path)}`)).href;
  const loader =
    extname(path) === '.ts' ? `import('tsx/esm/api').then(({ register }) => register())` : 'Promise.resolve()';
  return `${loader}.then(() => import(${JSON.stringify(url)})).then(({ serveStore }) => serveStore())`;
}
