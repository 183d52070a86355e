import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import type { ModelOptions, TierLimits } from 'megallm-middleware';
import { within } from '../helpers/deadline.js';

/** What a server is told to serve. */
export interface ServerOrder {
  readonly file: string;
  /** Its base URL. */
  readonly upstream: string;
  readonly tiers: Readonly<Record<string, TierLimits>>;
  readonly models: Readonly<Record<string, ModelOptions>>;
  readonly timeoutMs: number;
}

export type FromServer =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'error'; readonly text: string };

/** A server in a process of its own. */
export interface ServerProcess {
  /** Opens the store and listens. @returns the port; rejects when the process ended first. */
  serve(order: ServerOrder): Promise<number>;
  /** Everything that reached `hooks.onError` or was printed. */
  readonly errors: readonly string[];
  /** Resolves with the exit code, `null` when it was killed. */
  readonly ended: Promise<number | null>;
  kill(signal: 'SIGKILL' | 'SIGTERM'): void;
}

/** A folder of its own in which the server is one file: it starts in a tenth of a second, as one of `dist` would not. */
export interface ServerFolder {
  readonly path: string;
  /** Starts a process that has loaded everything, and waits for its order. */
  start(): ServerProcess;
  /** Ends what still runs, and removes the folder. */
  remove(): Promise<void>;
}

const LOADS = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);`;

export async function serverFolder(): Promise<ServerFolder> {
  const path = mkdtempSync(join(tmpdir(), 'megallm-kill-'));
  const program = join(path, 'server.mjs');
  await build({
    // The store's thread loads its own file, which sources have beside them.
    entryPoints: { server: 'test/kill/server.ts', worker: 'src/stores/sqlite/worker.ts' },
    outdir: path,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['@megallm/source'],
    external: ['@photostructure/sqlite', 'gpt-tokenizer'],
    banner: { js: LOADS },
    logLevel: 'error',
  });
  symlinkSync(resolve('node_modules'), join(path, 'node_modules'));
  const started = new Set<ServerProcess>();
  return {
    path,
    start() {
      const process = startServer(program);
      started.add(process);
      void process.ended.then(() => started.delete(process));
      return process;
    },
    async remove() {
      const ends = [...started].map((process) => {
        process.kill('SIGKILL');
        return process.ended;
      });
      await within(Promise.all(ends), 'the end of the servers');
      rmSync(path, { recursive: true, force: true });
    },
  };
}

function startServer(program: string): ServerProcess {
  const child = fork(program, { execArgv: [], stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  const errors: string[] = [];
  const print = (text: Buffer): void => void errors.push(text.toString());
  child.stdout?.on('data', print);
  child.stderr?.on('data', print);
  const listening = new Promise<number>((resolve) => {
    child.on('message', (message: FromServer) => {
      if (message.kind === 'listening') resolve(message.port);
      else errors.push(message.text);
    });
  });
  const ended = endOf(child);
  return {
    errors,
    ended,
    kill: (signal) => void child.kill(signal),
    serve(order) {
      // A process that is gone takes no order; that it is, `ended` tells.
      child.send(order, () => {});
      const gone = ended.then((code) => {
        throw new Error(`The server ended with ${code} before it listened: ${errors.join('\n')}`);
      });
      return within(Promise.race([listening, gone]), `the server to listen: ${errors.join('\n')}`);
    },
  };
}

function endOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('close', (code) => resolve(code)));
}
