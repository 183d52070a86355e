import { dirname, extname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { ownFile } from './own-file.js';
import { type Batch, receivedError, type ThreadData, type Told } from './protocol.js';
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
  let failure: Error | undefined;
  const ended = new Promise<Error | undefined>((resolve) => {
    worker.on('error', (error) => {
      failure = new Error('The thread of the SQLite store has failed', { cause: error });
    });
    worker.once('exit', () => resolve(failure));
  });
  await new Promise<void>((resolve, reject) => {
    worker.on('message', (told: Told) => {
      if (told.kind === 'ready') resolve();
      else if (told.kind === 'unable') failure = receivedError(told.error);
      else listen(told);
    });
    void ended.then(() => reject(failure ?? new Error('The thread of the SQLite store has ended')));
  });
  worker.unref();
  return {
    post: (batch) => worker.postMessage(batch),
    hold: (isHeld) => (isHeld ? worker.ref() : worker.unref()),
    ended,
  };
}

function newWorker(workerData: ThreadData): Worker {
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
